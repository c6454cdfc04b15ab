from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mail_corpus import write_corpus

from classifier import evaluate as room
from classifier.corpus import Example
from classifier.evaluate import Scored, evaluate, rate, report, split
from classifier.verdict import LABELS, Label


def example(number: int, label: Label, **fields: Any) -> Example:
    whole = {"kind": label, "group": f"g{number}", "sender": "s", "source": "t"}
    return Example(id=str(number), text=f"text {number}", label=label, **(whole | fields))


def scored(number: int, label: Label, pitch: float, **fields: Any) -> Scored:
    rest = dict.fromkeys(LABELS, (1 - pitch) / 3)
    return Scored(example(number, label, **fields), rest | {"pitch": pitch})


def test_a_group_never_sits_on_both_sides() -> None:
    mails = [example(n, LABELS[n % 4], group=f"g{n % 23}") for n in range(200)]
    judged: list[str] = []
    for inside, outside in split(mails, 5):
        assert not {e.group for e in inside} & {e.group for e in outside}
        assert len(inside) + len(outside) == len(mails)
        judged.extend(e.id for e in outside)
    assert sorted(judged) == sorted(e.id for e in mails)


def test_a_model_is_trained_without_the_groups_it_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    fit = room.fit

    def watched(examples: list[Example]) -> Any:
        seen.append({e.id for e in examples})
        return fit(examples)

    monkeypatch.setattr(room, "fit", watched)
    write_corpus(tmp_path)
    heard: list[tuple[str, float]] = []
    found = evaluate(tmp_path, 3, lambda *at: heard.append(at))
    assert sum(map(len, seen)) == 2 * 64
    assert set.intersection(*seen) == set()
    assert found.examples == dict.fromkeys(LABELS, 16)
    assert found.groups == dict.fromkeys(LABELS, 16)
    assert set(found.data) == {"pitches.jsonl.gz", "genuine.jsonl.gz", "junk.jsonl.gz"}
    assert heard[-1] == ("done", 1.0)
    assert json.loads(json.dumps(found.as_dict()))["recall"]["pitch"]["0.50"]["n"] == 16


def test_templates_are_trained_on_but_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pipeline:
        def predict_proba(self, texts: list[str]) -> list[list[float]]:
            return [[0.25] * 4 for _ in texts]

    monkeypatch.setattr(room, "fit", lambda _examples: (Pipeline(), 1.0))
    mails = [example(1, "pitch"), example(2, "pitch", real=False)]
    assert [item.example.id for item in room._judged([], mails)] == ["1"]


def test_the_figures() -> None:
    mails = [
        scored(1, "pitch", 0.97),
        scored(2, "pitch", 0.60),
        scored(3, "pitch", 0.10),
        scored(4, "personal", 0.85, kind="enquiry"),
        scored(5, "personal", 0.0, kind="enquiry"),
        scored(6, "personal", 0.0, kind="discussion"),
        scored(7, "bulk", 0.0),
        scored(8, "junk", 0.5),
    ]
    found = report(mails, 5, {})
    assert [found.recall["pitch"][t].hits for t in ("0.50", "0.80", "0.95")] == [2, 1, 1]
    assert found.recall["personal"]["0.50"].hits == 0
    alarms = found.false_alarms
    assert [(alarms["personal/enquiry"][t].hits, 2) for t in ("0.50", "0.95")] == [(1, 2), (0, 2)]
    assert (alarms["personal/all"]["0.80"].hits, alarms["personal/all"]["0.80"].n) == (1, 3)
    assert alarms["junk/all"]["0.50"].share == 1
    assert "pitch/all" not in alarms
    assert (found.precision["0.50"].hits, found.precision["0.50"].n) == (2, 4)
    # Pitches above others: 0.97 above all five, 0.60 above four, 0.10 above three.
    assert found.auc == pytest.approx(12 / 15)
    gaps = [0.03, 0.40, 0.90, 0.85, 0.0, 0.0, 0.0, 0.5]
    assert found.calibration_error == pytest.approx(sum(gaps) / 8, abs=1e-4)


def test_a_bin_is_measured_by_its_mean() -> None:
    mails = [scored(n, "pitch" if n < 3 else "junk", 0.75) for n in range(4)]
    assert report(mails, 5, {}).calibration_error == 0
    assert report(mails[:3], 5, {}).auc == 0  # nothing to tell apart


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 100, 0.0, 0.037), (100, 100, 0.963, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_the_wilson_interval(hits: int, n: int, low: float, high: float) -> None:
    found = rate(hits, n)
    assert (found.hits, found.n) == (hits, n)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)
