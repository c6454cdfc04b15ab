"""`raincheck model`: what the user sees of figures, pictures and thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from mail_corpus import write_own

from classifier import corpus
from gateway.cli import Failure, root
from gateway.cli.thresholds import Judged, as_dict, nearest, rows

PITCH = (
    "From: Sam <sam@apps.example>\r\nSubject: Apps\r\n\r\nWe build mobile apps for companies like "
    "yours at affordable prices. Can I send you a free quote and a proposal?\r\n"
)
WALK = (
    "From: Jo <jo@friends.example>\r\nSubject: Sunday\r\n\r\nThanks for the walk on Sunday, it was "
    "lovely to see you and the children. I will bring the book that I borrowed.\r\n"
)


@pytest.fixture
def config(trained: Path, tmp_path: Path) -> Path:
    path = tmp_path / "raincheck.toml"
    path.write_text(f'[judge]\nmodel = "{trained}"\n')
    return path


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "1.eml").write_text(PITCH)
    (folder / "2.eml").write_text(WALK)
    return folder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(root, ["model", *map(str, arguments)])


def test_thresholds_as_a_table(config: Path, mailbox: Path) -> None:
    result = run("thresholds", "--config", config, mailbox)
    assert result.exit_code == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    table = {line[0]: line[1:] for line in lines if line[0].startswith("0.") and len(line) == 4}
    assert table["0.5"][1:] in (["50.00%", "tag"], ["50.00%", ""])
    assert int(table["0.3"][0]) >= int(table["0.99"][0])
    assert "Of 2 mails, the nearest above quarantine" in result.stdout
    assert "sam@apps.example" in result.stdout
    assert "jo@friends.example" not in result.stdout


def test_thresholds_as_json_and_pictures(config: Path, mailbox: Path, tmp_path: Path) -> None:
    png, svg = tmp_path / "t.png", tmp_path / "t.svg"
    result = run(
        "thresholds", "--json", "--config", config, "--picture", png, "--picture", svg, mailbox
    )
    found = json.loads(result.stdout)
    assert found["mails"] == 2
    assert found["taken"]["0.5"] == 1
    assert [one["from"] for one in found["nearest"]] == ["sam@apps.example"]
    assert png.read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in svg.read_bytes()[:1000]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("thresholds", "nowhere"), "no such file"),
        (("thresholds", "empty"), "no mail in"),
        (("thresholds", "--picture", "t.gif", "mails"), "a picture ends in .png or .svg"),
        (("thresholds", "--picture", "no/such/t.png", "mails"), "no folder that can be written"),
    ],
)
def test_what_cannot_be_done_is_said(
    config: Path, mailbox: Path, arguments: tuple[str, ...], fault: str
) -> None:
    (mailbox.parent / "empty").mkdir()
    places = [
        mailbox.parent / one if at and not one.startswith("-") else one
        for at, one in enumerate(arguments)
    ]
    result = run(*places, "--config", config)
    assert isinstance(result.exception, Failure) or result.exit_code
    assert fault in (str(result.exception) + result.output)


MAILS = [
    Judged(f"{n}.eml", f"s{n}@x.example", "", score) for n, score in enumerate((0.9, 0.81, 0.1))
]


def test_rows_count_what_scores_at_least_the_threshold() -> None:
    table = {row[0]: row[1:] for row in rows(MAILS, {"quarantine": 0.81, "tag": 0.5})}
    assert table["0.81"] == ("2", "66.67%", "quarantine")
    assert table["0.9"] == ("1", "33.33%", "")
    assert table["0.5"] == ("2", "66.67%", "tag")
    assert rows([], {})[0][1:] == ("0", "0.00%", "")


def test_the_nearest_are_those_just_above() -> None:
    assert [one.score for one in nearest(MAILS, 0.8)] == [0.81, 0.9]
    assert nearest(MAILS, 0.95) == []
    assert as_dict(MAILS, {"quarantine": 0.8})["taken"]["0.8"] == 2


def test_the_unseen_batches_are_judged_by_the_model_in_use(config: Path, own: Path) -> None:
    record = {"id": "en99-1", "label": "pitch", "kind": "saas", "language": "en"}
    record |= {"from": "Sam <sam@apps.example>", "subject": "Apps"}
    body = (
        "<offer>We build mobile apps. <bait>Can I send you a free quote? We would do a free audit."
    )
    record |= {"body": body}
    tagged = {"tactics": {"bait-offer": ["a free audit"]}}
    other = {"id": "en99-2", "label": "personal", "body": "<social>Thanks for the walk on Sunday."}
    (own / "unseen").mkdir()
    lines = [json.dumps(one) for one in (record | tagged, record | other)]
    (own / "unseen/en99.jsonl").write_text("\n".join(lines) + "\n")
    result = run("evaluate", "--by", "unseen", "--config", config, "--mistakes", 5)
    assert result.exit_code == 0
    assert "all pitches found\t1/1 = 100.0%" in result.stdout
    assert "0/0" not in result.stdout
    assert "tagged 100% are shown; of those shown 100% are tagged" in result.stdout
    as_json = json.loads(run("evaluate", "--by", "unseen", "--config", config, "--json").stdout)
    assert (as_json["split"], as_json["examples"]["personal"]) == ("unseen", 1)
    assert "unseen/en99.jsonl" not in str(corpus.read().files)
    assert "en99" not in {example.block for example in corpus.read().items}


def test_the_unseen_batches_take_no_further_data(own: Path) -> None:
    with pytest.raises(click.UsageError, match="takes no --data"):
        root.main(
            ["model", "evaluate", "--by", "unseen", "--data", str(own)], standalone_mode=False
        )


def test_evaluate_prints_draws_and_lists_the_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(tmp_path / "own")
    monkeypatch.setattr(corpus, "OWN", tmp_path / "own")
    picture = tmp_path / "figures.svg"
    result = run("evaluate", "--folds", 2, "--picture", picture, "--mistakes", 3)
    assert result.exit_code == 0, result.output
    assert "pitches found: source own" in result.stdout
    assert "false alarms: personal/all" in result.stdout
    assert "calibration error" in result.stdout
    assert b"recall" in picture.read_bytes()
    worst = [line for line in result.stdout.splitlines() if "\town-" in line]
    assert len(worst) == 3
    as_json = run("evaluate", "--folds", 2, "--json")
    assert json.loads(as_json.stdout)["split"] == "blocks"


def test_sources_are_left_out_of_further_data_only() -> None:
    result = CliRunner().invoke(
        root, ["model", "evaluate", "--by", "sources"], standalone_mode=False
    )
    assert isinstance(result.exception, click.UsageError)
    assert "--by sources needs --data FOLDER" in str(result.exception)


def test_a_model_is_not_put_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "raincheck.db").touch()
    result = CliRunner().invoke(
        root, ["model", "train", "--out", str(tmp_path)], standalone_mode=False
    )
    assert isinstance(result.exception, Failure)
    assert result.exception.exitcode == 73
    assert "holds raincheck.db; a model needs a folder of its own" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["raincheck.db"]
