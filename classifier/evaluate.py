"""How well the training does on mail it has not seen.

`evaluate(folders)` trains with the very code of `train` on all blocks but a fold's, judges that
fold's mails, and so judges every mail once by a model that saw neither it, nor its sender, nor its
campaign, nor, for our own mails, anything its author wrote in that batch. `leave_sources_out`
does so source by source: our own corpus judged by what the archives teach, and each archive by
everything else. `judge_unseen` trains nothing: it judges the batches that are kept apart. Templates
are trained on but not counted. Raises CorpusError.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from classifier import corpus, tactic_figures
from classifier.examples import Example, Progress
from classifier.figures import Report, Scored, report
from classifier.model import Model
from classifier.recogniser import SEED
from classifier.train import fit

FOLDS = 5

Parts = list[tuple[list[Example], list[Example]]]


def evaluate(
    folders: Sequence[Path] = (), folds: int = FOLDS, progress: Progress | None = None
) -> Report:
    """Cross-validate on our own corpus and the folders. `progress` hears (stage, share done)."""
    return _evaluated(folders, lambda items: list(split(items, folds)), "blocks", progress)


def leave_sources_out(folders: Sequence[Path], progress: Progress | None = None) -> Report:
    """Judge each source by a model trained on the others."""
    return _evaluated(folders, by_source, "sources", progress)


def judge_unseen(model: Model) -> tuple[Report, tactic_figures.Figures]:
    """How a model does on the batches of our own that no model is trained on, and what it shows of
    their tactics: from the mail to the verdict, as the gateway judges. Raises CorpusError."""
    files = corpus.unseen()
    mails = [mail for path in files for mail in tactic_figures.mails(path)]
    verdicts = [model.judge(mail.message, explain_from=math.inf) for mail in mails]
    scored = [
        Scored(mail.example, verdict.probabilities)
        for mail, verdict in zip(mails, verdicts, strict=True)
    ]
    shown = [(mail.example, verdict.tactics) for mail, verdict in zip(mails, verdicts, strict=True)]
    return report(scored, 1, corpus.digests(files), "unseen"), tactic_figures.count(shown)


def _evaluated(
    folders: Sequence[Path],
    parted: Callable[[Sequence[Example]], Parts],
    name: str,
    progress: Progress | None,
) -> Report:
    tell = progress or (lambda _stage, _share: None)
    examples = corpus.read(folders, lambda name, share: tell(f"reading {name}", 0.1 * share))
    parts = parted(examples.items)
    scored = list(_judged_all(parts, tell))
    tell("done", 1.0)
    return report(scored, len(parts), examples.files, name)


def _judged_all(parts: Parts, tell: Progress) -> Iterator[Scored]:
    for number, (inside, outside) in enumerate(parts):
        tell(f"fold {number + 1} of {len(parts)}", 0.1 + 0.9 * number / len(parts))
        yield from judged(fit(inside)[0], outside)


def split(examples: Sequence[Example], folds: int) -> Iterator[tuple[list[Example], list[Example]]]:
    """(trained on, judged) of each fold; a block is never on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    # Sources have their share of every fold, and so do the languages of our own mails.
    # What is too rare to be spread goes with its label.
    finest = [f"{example.label} {example.source} {example.language}" for example in examples]
    count = Counter(finest)
    strata = [
        fine if count[fine] >= folds else example.label
        for fine, example in zip(finest, examples, strict=True)
    ]
    blocks = [example.block or example.group for example in examples]
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED)
    for inside, outside in splitter.split(strata, strata, blocks):
        yield [examples[at] for at in inside], [examples[at] for at in outside]


def by_source(examples: Sequence[Example]) -> Parts:
    """(the others, one source) for each source; what shares a group with it is left out."""
    parts = []
    for source in sorted({example.source for example in examples}):
        outside = [example for example in examples if example.source == source]
        groups = {example.group for example in outside}
        parts.append(([e for e in examples if e.group not in groups], outside))
    return parts


def judged(pipeline: Any, examples: Sequence[Example]) -> list[Scored]:
    """The real mails among these with the probabilities that the pipeline gives them."""
    from classifier.scorer import Scorer, settled

    scorer = Scorer(pipeline)
    return [
        Scored(example, settled(scorer.score(example.text))) for example in examples if example.real
    ]
