from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mail_corpus import BATCHES, write_corpus, write_own

from classifier import corpus
from classifier import evaluate as room
from classifier.evaluate import by_source, evaluate, leave_sources_out, split
from classifier.examples import Example
from classifier.figures import MISTAKES, Scored, rate, report, sliced
from classifier.verdict import LABELS, Label


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small corpus in the place of the shipped one."""
    write_own(tmp_path / "own")
    monkeypatch.setattr(corpus, "OWN", tmp_path / "own")


def example(number: int, label: Label, **fields: Any) -> Example:
    whole = {"kind": label, "group": f"g{number}", "sender": "s", "source": "t"}
    return Example(id=str(number), text=f"text {number}", label=label, **(whole | fields))


def scored(number: int, label: Label, pitch: float, **fields: Any) -> Scored:
    rest = dict.fromkeys(LABELS, (1 - pitch) / 3)
    return Scored(example(number, label, **fields), rest | {"pitch": pitch})


def test_a_block_never_sits_on_both_sides() -> None:
    mails = [example(n, LABELS[n % 4], group=f"g{n}", block=f"b{n % 23}") for n in range(200)]
    judged: list[str] = []
    for inside, outside in split(mails, 5):
        assert not {e.block for e in inside} & {e.block for e in outside}
        assert len(inside) + len(outside) == len(mails)
        judged.extend(e.id for e in outside)
    assert sorted(judged) == sorted(e.id for e in mails)


def test_a_source_is_judged_by_the_others_and_without_its_kin() -> None:
    mails = [
        example(1, "pitch", source="own", group="a"),
        example(2, "pitch", source="list", group="a"),
        example(3, "pitch", source="list", group="b"),
    ]
    parts = [([e.id for e in inside], [e.id for e in out]) for inside, out in by_source(mails)]
    assert parts == [([], ["2", "3"]), (["3"], ["1"])]


def watched(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What the trainings to come are given, by block."""
    seen: list[set[str]] = []
    fit = room.fit

    def noting(examples: list[Example]) -> Any:
        seen.append({e.block for e in examples})
        return fit(examples)

    monkeypatch.setattr(room, "fit", noting)
    return seen


def test_a_model_is_trained_without_the_batches_it_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    heard: list[tuple[str, float]] = []
    found = evaluate((), 2, lambda *at: heard.append(at))
    assert [len(blocks) for blocks in seen] == [2, 2]
    assert set.union(*seen) == set(BATCHES)
    assert found.split == "blocks"
    assert found.examples == dict.fromkeys(LABELS, 16)
    assert set(found.data) == {f"{name}.jsonl" for name in BATCHES}
    assert heard[-1] == ("done", 1.0)
    assert json.loads(json.dumps(found.as_dict()))["recall"]["pitch"]["0.50"]["n"] == 16


def test_leaving_sources_out_judges_our_own_by_the_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "data")
    monkeypatch.setattr(room, "fit", lambda examples: ([e.source for e in examples], 1.0))
    judged: list[tuple[str, set[str]]] = []

    class Scorer:
        def __init__(self, sources: list[str]) -> None:
            self.sources = set(sources)

        def score(self, text: str) -> Any:
            judged.append((text, self.sources))
            return type("Scores", (), {"probabilities": (0.25,) * 4, "columns": range(99)})

    monkeypatch.setattr("classifier.scorer.Scorer", Scorer)
    found = leave_sources_out([tmp_path / "data"])
    assert found.split == "sources"
    assert len(judged) == 128
    assert {frozenset(sources) for text, sources in judged if "ownpitch" in text} == {
        frozenset({"pitches", "genuine", "junk"})
    }


def test_templates_are_trained_on_but_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scorer:
        def __init__(self, pipeline: Any) -> None: ...

        def score(self, _text: str) -> Any:
            return type("Scores", (), {"probabilities": (0.25,) * 4, "columns": range(99)})

    monkeypatch.setattr("classifier.scorer.Scorer", Scorer)
    mails = [example(1, "pitch"), example(2, "pitch", real=False)]
    assert [item.example.id for item in room.judged(None, mails)] == ["1"]


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


def test_slices_tell_source_language_length_year_step_and_kind() -> None:
    mails = [
        scored(1, "pitch", 0.9, kind="seo", language="pl", year=2024),
        scored(2, "pitch", 0.2, kind="seo", step=3, source="own"),
        scored(3, "personal", 0.9, kind="enquiry"),
    ]
    named = {name: [item.example.id for item in items] for name, items in sliced(mails).items()}
    assert named["kind seo"] == ["1", "2"]
    assert "kind enquiry" not in named
    assert (named["language pl"], named["language en"]) == (["1"], ["2", "3"])
    assert (named["source own"], named["source t"]) == (["2"], ["1", "3"])
    assert (named["step 1"], named["step 2 and later"]) == (["1", "3"], ["2"])
    assert named["year 2024"] == ["1"]
    assert "year 0" not in named
    assert named["length up to 20 words"] == ["1", "2", "3"]
    found = report(mails, 5, {})
    assert found.found["language pl"]["0.80"].hits == 1
    assert found.false_alarms["language en"]["0.80"].n == 1


@pytest.mark.parametrize(
    ("words", "name"), [(20, "up to 20"), (21, "up to 50"), (200, "up to 200"), (201, "over 200")]
)
def test_length_is_told_in_words(words: int, name: str) -> None:
    one = Scored(replace(example(1, "junk"), text="w " * words), {"pitch": 0.0})
    assert f"length {name} words" in sliced([one])


def test_the_worst_mistakes_come_first_and_are_bounded() -> None:
    mails = [scored(n, "personal", n / 100) for n in range(80)] + [scored(90, "pitch", 0.1)]
    worst = report(mails, 5, {}).mistakes
    assert len(worst) == MISTAKES
    assert [one.id for one in worst[:3]] == ["90", "79", "78"]
    assert worst[0].text == "text 90"


def test_the_curve_falls_in_threshold_and_rises_in_recall() -> None:
    mails = [scored(n, "pitch" if n % 3 else "bulk", n / 10) for n in range(10)]
    points = report(mails, 5, {}).curve
    assert [point[0] for point in points] == sorted((p[0] for p in points), reverse=True)
    assert [point[1] for point in points] == sorted(point[1] for point in points)
    assert points[-1][1:] == (1.0, pytest.approx(6 / 9))


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
