"""The model card: what a model is and what went into it, written beside it by the training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from classifier.examples import Example

if TYPE_CHECKING:
    from classifier.model import Manifest

CARD_NAME = "CARD.md"

_HEAD = """\
# Model {id}

Says of a mail how probable it is that it is an unsolicited hard sell (`pitch`), mail from a person
or in the course of business (`personal`), a newsletter or notice (`bulk`), or fraud and spam
(`junk`). It reads the subject, the sender's own text and the signature; not the quotation, the
addresses, the links, the numbers or the header.

- file `{file}`, SHA-256 `{sha256}`
- trained with scikit-learn {sklearn} on Python {python}
- a TF-IDF of {terms:,} words, pairs and stems; the acts of the mail's sentences, in {voices}
  voices, and {tactics} tactics, recognised from {sentence_terms:,} terms; its shape; multinomial
  logistic regression, temperature {temperature}

How it works and how good it is: `docs/judgement.md`. To make it anew: `make model`.

## What it was trained on
"""


def card(manifest: Manifest, examples: Sequence[Example]) -> str:
    """The card of a model that was trained on these examples, as Markdown."""
    head = _HEAD.format(
        id=manifest.id,
        file=manifest.file,
        sha256=manifest.sha256,
        sklearn=manifest.sklearn,
        python=manifest.python,
        temperature=manifest.temperature,
        terms=manifest.features["mail terms"],
        sentence_terms=manifest.features["sentence terms"],
        voices=manifest.features["voices"],
        tactics=manifest.features["tactics"],
    )
    mails = Counter((e.source, e.language, e.label) for e in examples)
    weights: dict[str, float] = defaultdict(float)
    for example in examples:
        weights[example.source] += example.weight / len(examples)
    rows = [
        (source, f"{weights[source]:.0%}", language, label, f"{count:,}")
        for (source, language, label), count in sorted(mails.items())
    ]
    files = [(name, f"`{digest}`") for name, digest in sorted(manifest.data.items())]
    return "\n".join(
        [
            head,
            *_table(("source", "its weight", "language", "label", "mails"), rows),
            "",
            "Mails are counted after near-identical ones were dropped. `own` is the corpus in",
            "`classifier/corpus/`; of other sources the model keeps term weights only.",
            "",
            *_table(("data file", "SHA-256"), files),
            "",
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]
