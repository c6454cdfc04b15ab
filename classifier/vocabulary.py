"""Which terms of the training mails the model may keep.

Of the archives' mails a term is kept only if it occurs in at least five of them, from at least two
senders, in at least two groups, and holds no word that is known only as somebody's name; of our
own mails, which are invented, if two authors used it. So the file carries no address, no number
and no name that one correspondent brought in. What the user taught adds no term: a lesson knows
its sender as a hash only, so that names in it could not be told. The recogniser of acts has terms
of its own, of our own mails alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from classifier.examples import Example
from classifier.features import mail_terms, stem
from classifier.feedback import SOURCE as LESSON

LEAST_MAILS, LEAST_SENDERS = 5, 2
LEAST_OWN, LEAST_AUTHORS = 3, 2

PUBLIC = frozenset({"google", "facebook", "instagram", "amazon", "zoom", "internet", "english"})
"""Capitalised words that are nobody's name and that mails of every label use."""
CAPITALISING = frozenset({"de"})
"""Languages in which a capital within a sentence is no sign of a name."""
_PERSONAL = re.compile(r"[\d@]|://|www\.")
"""What would come from a number, an address or a link that escaped `text.normalise`."""
_WORD = re.compile(r"[^\W\d_]{2,30}")
_WITHIN = re.compile(r"(?<=[a-z,] )[^\W\d_]{2,30}")


def vocabulary(examples: Sequence[Example], most: int) -> list[str]:
    """The terms that may be kept, sorted; see the module's promise."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    examples = [example for example in examples if example.source != LESSON]
    counter = CountVectorizer(analyzer=mail_terms, binary=True, dtype=np.int32)
    matrix = counter.fit_transform([example.text for example in examples])
    allowed = _common(matrix, examples) | _ours(matrix, examples)
    mails = np.asarray(matrix.sum(axis=0)).ravel()
    nameless = _without_names(counter.vocabulary_, only_names(examples))
    ranked = sorted(
        (-int(mails[at]), term)
        for term, at in counter.vocabulary_.items()
        if allowed[at] and term in nameless and not _PERSONAL.search(term)
    )
    return sorted(term for _, term in ranked[:most])


def _without_names(terms: Iterable[str], names: frozenset[str]) -> set[str]:
    """The terms that hold no name; a stem that names alone have is one."""
    kept = {term for term in terms if not names.intersection(term.split())}
    stems = {stem(term) for term in kept}
    return {term for term in kept if term[0] != "~" or term in stems}


def _common(matrix: Any, examples: Sequence[Example]) -> Any:
    """For each column whether it stands in enough mails, of enough senders and groups."""
    import numpy as np

    mails = np.asarray(matrix.sum(axis=0)).ravel()
    senders = _distinct(matrix, [example.sender for example in examples])
    groups = _distinct(matrix, [example.group for example in examples])
    return (mails >= LEAST_MAILS) & (senders >= LEAST_SENDERS) & (groups >= LEAST_SENDERS)


def _ours(matrix: Any, examples: Sequence[Example]) -> Any:
    """For each column whether enough of our own mails and authors have it."""
    import numpy as np

    rows = [at for at, example in enumerate(examples) if example.source == "own"]
    mine = matrix[rows]
    authors = _distinct(mine, [examples[at].block for at in rows])
    return (np.asarray(mine.sum(axis=0)).ravel() >= LEAST_OWN) & (authors >= LEAST_AUTHORS)


def _distinct(matrix: Any, owners: list[str]) -> Any:
    """For each term (column) the number of different owners of the mails it occurs in."""
    import numpy as np
    from scipy.sparse import csr_matrix

    known = {owner: at for at, owner in enumerate(sorted(set(owners)))}
    rows = [known[owner] for owner in owners]
    ones = np.ones(len(rows), dtype=np.int32)
    belongs = csr_matrix((ones, (rows, range(len(rows)))), shape=(len(known), len(rows)))
    return np.asarray((belongs @ matrix > 0).sum(axis=0)).ravel()


def only_names(examples: Sequence[Example]) -> frozenset[str]:
    """Words that are names and nothing else: those from the names of senders and recipients that
    are not plainly common words too, and those that are written with a capital and hardly ever
    without. Places, months and makes go with them, which is as well: they tell where and when a
    mail was archived. Counted in senders, since one may never use capitals."""
    known = frozenset[str]().union(*(example.names for example in examples))
    small, title, inside, upper = (defaultdict[str, set[str]](set) for _ in range(4))
    for example in examples:
        if example.language in CAPITALISING:
            continue
        for word in set(_WORD.findall(example.text)):
            form = small if word.islower() else title if word.istitle() else upper
            form[word.lower()].add(example.sender)
        for word in set(_WITHIN.findall(example.text)):
            if word.istitle():
                inside[word.lower()].add(example.sender)

    def is_name(word: str) -> bool:
        plain, named = len(small[word]), len(inside[word])
        if word in known and len(upper[word]) <= len(title[word]):
            return plain < max(2 * LEAST_MAILS, named)
        return 4 * plain < named or (not plain and bool(title[word]))

    return frozenset(word for word in {*known, *title} if is_name(word)) - PUBLIC
