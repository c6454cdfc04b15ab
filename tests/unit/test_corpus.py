"""The shipped corpus keeps what its README promises, and its traps teach nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from classifier import corpus
from classifier.acts import plain, segments
from classifier.examples import message_of
from classifier.grouping import regroup
from classifier.message import read
from classifier.tactics import NAMES
from classifier.text import normalise
from classifier.verdict import LABELS

LANGUAGES = {"en", "de", "fr", "es", "nl", "it", "pt", "pl"}
FIELDS = {"id", "label", "kind", "language", "from", "subject", "body"}
OPTIONAL = {"sequence", "step", "twin", "tactics"}
UNQUOTED = re.compile(r"""(?!")[^<]*[()<>@,;:\\".\[\]][^<]* <""")
"""A display name that RFC 5322 section 3.4 wants in quotes: parsers differ on what it says."""
DOMAIN = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)|https?://([\w-]+(?:\.[\w-]+)+)")


def _records() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in [*sorted(corpus.OWN.glob("*.jsonl")), *corpus.unseen()]:
        for line in path.read_text("utf-8").splitlines():
            yield path.stem, json.loads(line)


RECORDS = list(_records())


def test_there_is_enough_of_everything() -> None:
    labels = Counter(record["label"] for _, record in RECORDS)
    assert labels["pitch"] >= 2000
    assert labels.total() - labels["pitch"] >= 2500
    for language in LANGUAGES:
        spoken = Counter(r["label"] for _, r in RECORDS if r["language"] == language)
        assert spoken["pitch"] >= 100
        assert spoken["personal"] >= 100


def test_every_line_is_as_the_readme_says() -> None:
    faults = []
    for batch, record in RECORDS:
        said = {
            "fields": FIELDS <= set(record) <= FIELDS | OPTIONAL,
            "id": record["id"].startswith(f"{batch}-"),
            "label": record["label"] in LABELS,
            "language": record["language"] in LANGUAGES,
            "sender": not UNQUOTED.match(record["from"]),
            "acts": bool(segments(record["body"])),
            "tactics": set(record.get("tactics", {})) <= set(NAMES),
            "whose tactics": record["label"] == "pitch" or "tactics" not in record,
        }
        faults += [f"{record['id']}: {name}" for name, fine in said.items() if not fine]
    assert faults == []
    assert len({record["id"] for _, record in RECORDS}) == len(RECORDS)


def test_a_tactics_quote_stands_in_its_mail() -> None:
    def words(text: str) -> str:
        return " ".join(text.split())

    missing = [
        (record["id"], quote)
        for _, record in RECORDS
        for quotes in record.get("tactics", {}).values()
        for quote in quotes
        if words(quote) not in words(record["subject"] + "\n" + plain(record["body"]))
    ]
    assert missing == []


def test_every_address_and_link_is_invented() -> None:
    real = {
        domain
        for _, record in RECORDS
        for match in DOMAIN.finditer(record["from"] + " " + plain(record["body"]))
        for domain in match.groups()
        if domain and not domain.rstrip(".").endswith(".example")
    }
    assert real == set()


def test_no_two_mails_are_alike() -> None:
    examples = [e for path in sorted(corpus.OWN.glob("*.jsonl")) for e in corpus.batch(path)]
    kept = {example.id for example in regroup(examples)}
    assert [example.id for example in examples if example.id not in kept] == []


def _traps(record: dict[str, Any]) -> list[float]:
    """What a text shows apart from what it says."""
    message = message_of(record["from"], record["subject"], plain(record["body"]))
    return [
        *(float(record["language"] == language) for language in sorted(LANGUAGES)),
        bool(message.quoted),
        bool(message.signature),
        record["subject"].lower().startswith(("re:", "aw:", "odp:", "r:")),
        record["subject"].islower(),
        not record["subject"],
        np.log1p(len(message.text.split())),
        np.log1p(len(message.signature)),
        np.log1p(message.text.count("\n\n")),
        message.text[:1].islower(),
    ]


def test_the_traps_alone_teach_next_to_nothing() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    told = [(batch, r) for batch, r in RECORDS if r["label"] in ("pitch", "personal")]
    traps = np.array([_traps(record) for _, record in told], dtype=float)
    pitch = [record["label"] == "pitch" for _, record in told]
    judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    batches = [batch for batch, _ in told]
    guessed = cross_val_predict(
        judge, traps, pitch, groups=batches, cv=GroupKFold(8), method="decision_function"
    )
    assert 0.4 < roc_auc_score(pitch, guessed) < 0.6


ARCHIVED = (
    "List-Id: Talk <talk.lists.example>\r\nX-Mailman-Version: 2.1.9\r\nPrecedence: list\r\n"
    "User-Agent: Mutt/1.4i\r\nX-Mailer: ColdSender 9\r\n"
)
FOOTER = (
    "\r\n_______________________________________________\r\nTalk mailing list\r\n"
    "Talk@lists.example\r\nhttps://lists.example/mailman/listinfo/talk\r\n"
)


@pytest.mark.parametrize("at", range(0, 400, 40))
def test_the_marks_of_an_archive_are_not_seen(at: int) -> None:
    _, record = RECORDS[at]
    text = plain(record["body"]).replace("\n", "\r\n")
    sender = f"From: {record['from']}\r\n"
    bare = f"{sender}Subject: Plans\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n"
    old = f"{sender}Subject: [talk] Plans\r\nDate: Mon, 4 Mar 2002 09:00:00 +0000\r\n"
    kind = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    seen = [
        normalise(read(mail.encode()))
        for mail in (bare + kind + text, old + ARCHIVED + kind + text + FOOTER)
    ]
    assert all(one == two for one, two in pairwise(seen))
