"""The commands that teach, train with what was taught, and go back."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import pytest
from lab import ANN, mail, running
from lessons import content, figures, letter, named, write

from classifier import adapt
from classifier.feedback import read
from config.settings import Settings
from gateway.cli import Failure, root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a configuration of its own, to run commands in."""
    (tmp_path / "raincheck.toml").write_text("")
    monkeypatch.setenv("RAINCHECK_CONFIG", str(tmp_path / "raincheck.toml"))
    monkeypatch.chdir(tmp_path)
    for number in range(22):
        (tmp_path / f"{number}.eml").write_bytes(letter(number))
    return tmp_path


def raincheck(*arguments: str | Path) -> int:
    """Run a command in this process, where the small corpus is; the exit code."""
    try:
        root.main([str(one) for one in arguments], "raincheck", standalone_mode=False)
    except click.UsageError as error:
        print(error.format_message(), file=sys.stderr)
        return os.EX_USAGE
    except Failure as error:
        print(error.format_message(), file=sys.stderr)
        return error.exitcode
    return 0


def test_learn_teaches_and_shows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert raincheck("model", "learn") == 0
    said = capsys.readouterr()
    assert "nothing was taught yet" in said.err
    assert "0 different mails were taught" in said.err
    assert not (here / "var").exists()
    (here / "empty.eml").write_bytes(b"From: a@b.example\r\n\r\n")
    assert raincheck("model", "learn", "--genuine", "0.eml", "1.eml", "empty.eml") == 0
    said = capsys.readouterr()
    assert said.out == f"{here}/var/feedback.jsonl: 2 taught as personal\n"
    assert said.err == "empty.eml: left out (it has no text of its own)\n"
    assert raincheck("model", "learn", "--pitch", "1.eml") == 0
    capsys.readouterr()
    assert raincheck("model", "learn") == 0
    said = capsys.readouterr()
    assert said.out == "personal\tsaid\t1\npitch\tsaid\t1\n"
    assert "(1 pitch, 1 personal)" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--pitch"], 64, "Name mails"),
        (["0.eml"], 64, "say what they are"),
        (["--pitch", "--genuine", "0.eml"], 64, "--pitch or --genuine"),
        (["--pitch", "nowhere.eml"], 66, "nowhere.eml: no such file"),
        (["--pitch", "empty.eml"], 66, "no mail to learn from in empty.eml"),
    ],
)
def test_learn_says_what_is_wrong(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    (here / "empty.eml").touch()
    assert raincheck("model", "learn", *arguments) == code
    assert words in capsys.readouterr().err
    assert read(here / "var/feedback.jsonl") == []


def test_a_broken_file_is_exit_65(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "var").mkdir()
    (here / "var/feedback.jsonl").write_text("nonsense\n")
    assert raincheck("model", "learn") == 65
    assert "feedback.jsonl, line 1" in capsys.readouterr().err


def test_nothing_is_kept_where_the_configuration_says_so(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAINCHECK_JUDGE__FEEDBACK", "")
    for command in (
        ["learn"],
        ["learn", "--pitch", "0.eml"],
        ["train", "--with-feedback", "--out", "m"],
    ):
        assert raincheck("model", *command) == 78
        assert '[judge] feedback = ""' in capsys.readouterr().err
    assert not (here / "var").exists()
    assert not Settings.model_validate({"judge": {"feedback": "."}}).judge.learns


@pytest.mark.usefixtures("own")
def test_train_with_feedback_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ("model", "train", "--with-feedback", "--out", "model")
    raincheck("model", "learn", "--genuine", *(f"{n}.eml" for n in range(19)))
    assert raincheck(*train) == 65
    assert "19 different mails were taught (19 personal)" in capsys.readouterr().err
    raincheck("model", "learn", "--genuine", *(f"{n}.eml" for n in range(22)))
    capsys.readouterr()
    write(here / "model", "old")
    assert raincheck(*train) == 0
    said = capsys.readouterr().out
    assert "pitches found at 0.80\t" in said
    assert "false alarms at 0.95\t0/12\t0/12" in said
    assert ", from 86 mails, 22 yours\n" in said
    assert "takes it up on reload" in said
    assert raincheck("model", "rollback", "model") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"model: model {named('old')} again, of 2026-03-03; a running")
    assert content(here / "model") == b"old"


@pytest.mark.usefixtures("own")
def test_train_with_feedback_that_would_be_worse_is_exit_75(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raincheck("model", "learn", "--genuine", *(f"{n}.eml" for n in range(22)))
    worse = figures([0.9, 0.1], [0.1]), figures([0.9, 0.1], [0.97])
    monkeypatch.setattr(adapt, "trial", lambda *_: worse)
    capsys.readouterr()
    assert raincheck("model", "train", "--with-feedback", "--out", "model") == 75
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "pitches found at 0.80\t1/2\t1/2",
        "false alarms at 0.80\t0/1\t1/1",
        "false alarms at 0.95\t0/1\t1/1",
    ]
    assert "model: nothing was replaced" in said.err
    assert not (here / "model").exists()


def test_a_folder_that_holds_something_else_is_exit_73(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raincheck("model", "learn", "--genuine", *(f"{n}.eml" for n in range(22)))
    assert raincheck("model", "train", "--with-feedback", "--out", "var") == 73
    assert "var: holds feedback.jsonl; a model needs a folder" in capsys.readouterr().err


def test_rollback_without_a_model_before_is_exit_66(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "model", "one")
    assert raincheck("model", "rollback", "model") == 66
    assert "model.previous: there is no earlier model to go back to" in capsys.readouterr().err


async def test_a_release_teaches_that_the_mail_was_wanted(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(here) as lab:
        for number in (1, 2, 3):
            await lab.send(mail(0.99, number, extra=f"X-Number: {number}\r\n"))
        monkeypatch.setenv("RAINCHECK_NEXT_HOP__KIND", "smtp")
        monkeypatch.setenv("RAINCHECK_NEXT_HOP__ADDRESS", f"127.0.0.1:{lab.hop.port}")
        monkeypatch.setenv("RAINCHECK_FOLDER__PATH", str(lab.folder))
        monkeypatch.setenv("RAINCHECK_STATE__URL", lab.settings.state.url)
        first, second, third = lab.store.held()

        async def release(held_id: str) -> int:
            return await asyncio.to_thread(raincheck, "quarantine", "release", held_id)

        assert await release(first.id) == 0
        (learnt,) = read(here / "var/feedback.jsonl")
        assert (learnt.id, learnt.label, learnt.source) == (first.sha256, "personal", "release")
        assert learnt.text.startswith("Offer xxnumberxx")

        # What cannot be kept does not make a release fail.
        (here / "var/feedback.jsonl").unlink()
        (here / "var/feedback.jsonl").mkdir()
        capsys.readouterr()
        assert await release(second.id) == 0
        said = capsys.readouterr()
        assert f"{second.id}: released: delivered to {ANN}" in said.out
        assert said.err.startswith(f"{second.id}: nothing was learnt from it: ")
        assert said.err.count("\n") == 1
        (here / "var/feedback.jsonl").rmdir()

        lab.hop.data = "550 5.7.1 No"
        assert await release(third.id) == 75
        lab.hop.data = "250 Ok"
        monkeypatch.setenv("RAINCHECK_JUDGE__FEEDBACK", "")
        assert await release(third.id) == 0
        assert len(lab.hop.mails) == 3
        assert not (here / "var/feedback.jsonl").exists(), "a refused one, and one not to be kept"
