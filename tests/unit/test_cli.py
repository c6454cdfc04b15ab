"""The commands as a user calls them: their output, their exit codes, what they leave on disk."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from lab import ANN, BOB, SELLER, Lab, held, mail, running

from classifier.model import MANIFEST_NAME, MODEL_NAME, MODELS
from gateway.cli import COMMANDS
from gateway.memory.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples"
GROUPS = {
    "quarantine": ("list", "show", "release", "discard"),
    "contacts": ("list", "import", "allow", "block", "forget"),
    "model": (
        "info",
        "verify",
        "train",
        "evaluate",
        "thresholds",
        "learn",
        "rollback",
    ),
    "config": ("check", "show"),
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with a configuration of its own."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "raincheck.toml").write_text(
        f"""
        [next_hop]
        kind = "maildir"
        path = "{tmp_path}/mail"
        [folder]
        path = "{tmp_path}/quarantine"
        [state]
        url = "sqlite:///{tmp_path}/state.db"
        [digest]
        timezone = "UTC"
        """
    )
    return tmp_path


def raincheck(
    here: Path, *arguments: str | Path, stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=here,
        env=os.environ | {"RAINCHECK_CONFIG": str(here / "raincheck.toml"), **environ},
        timeout=120,
        check=False,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


@pytest.fixture
async def lab(here: Path) -> AsyncIterator[Lab]:
    """A folder with two mails in it, left by a gateway with the same database."""
    async with running(here) as running_lab:
        await running_lab.send(mail(0.99, 1))
        await running_lab.send(mail(0.96, 2, to=BOB), BOB)
        yield running_lab


def test_every_command_teaches(here: Path) -> None:
    top = raincheck(here, "--help")
    assert top.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in top.stdout
        for words in ([command], *([command, sub] for sub in GROUPS.get(command, ()))):
            shown = raincheck(here, *words, "--help")
            assert (shown.returncode, shown.stderr) == (0, "")
            assert f"Usage: raincheck {' '.join(words)}" in shown.stdout
            assert len(shown.stdout.splitlines()) > 6


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nonsense"], 64, "No such command"),
        (["judge"], 64, "Missing argument"),
        (["judge", "nowhere.eml"], 66, "nowhere.eml: no such file"),
        (["judge", "--client-ip", "x", "raincheck.toml"], 64, "no IP address"),
        (["send", "nowhere.eml"], 66, "no such file"),
        (["--config", "x", "serve"], 64, "No such option"),
        (["serve", "--config", "nowhere.toml"], 78, "nowhere.toml: no such file"),
        (["config", "check", "--config", "nowhere.toml"], 78, "copy the shipped"),
        (["quarantine", "list"], 66, "no gateway has kept its state here"),
        (["judge", "mail"], 66, "no mail in mail"),
        (["quarantine", "show", "m9"], 65, "no held mail has this id"),
        (["quarantine", "release", "m9"], 65, "no held mail has this id"),
        (["quarantine", "list", "--since", "tomorrowish"], 64, "is no time"),
        (["contacts", "forget", "x@y.example"], 65, "not on the list"),
        (["contacts", "allow", "no address"], 64, "neither an address nor a @domain"),
        (["contacts", "import", "nowhere.csv"], 66, "No such file"),
        (["digest", "--html", "x.html", "--send"], 64, "choose one"),
        (["model", "train", "--data", ".", "--out", "out"], 65, ""),
    ],
)
def test_what_goes_wrong_says_so_with_the_right_code(
    here: Path, arguments: list[str], code: int, words: str
) -> None:
    if arguments != ["quarantine", "list"]:
        Store.open(f"sqlite:///{here}/state.db").close()
    done = raincheck(here, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_a_database_that_is_none_is_exit_69(here: Path) -> None:
    (here / "state.db").write_text("this is not a database, and long enough to be looked at" * 50)
    done = raincheck(here, "quarantine", "list")
    assert done.returncode == 69
    assert "state.db" in done.stderr


def test_config_check_says_everything_at_once(here: Path) -> None:
    assert raincheck(here, "config", "check").stdout == f"{here}/raincheck.toml: fine\n"
    templates = here / "templates/en"
    templates.mkdir(parents=True)
    (templates / "not-now.txt").write_text("Hello {{ nmae }}")
    done = raincheck(
        here,
        *("config", "check"),
        RAINCHECK_ANSWERS__TEMPLATES=str(here / "templates"),
        RAINCHECK_JUDGE__MODEL="/nowhere",
        RAINCHECK_RELAY__TLS_CERTIFICATE="/nowhere/cert.pem",
        RAINCHECK_RELAY__TLS_KEY="/nowhere/key.pem",
    )
    assert done.returncode == 78
    for words in ("not-now.txt", "nmae", "raincheck model train", "/nowhere/cert.pem"):
        assert words in done.stderr


@pytest.mark.parametrize("damage", ["flip a bit", "another scikit-learn"])
def test_serve_refuses_a_model_it_cannot_vouch_for(here: Path, damage: str) -> None:
    model = here / "model"
    shutil.copytree(MODELS, model)
    if damage == "flip a bit":
        octets = bytearray((model / MODEL_NAME).read_bytes())
        octets[1000] ^= 1
        (model / MODEL_NAME).write_bytes(octets)
    else:
        manifest = json.loads((model / MANIFEST_NAME).read_text())
        (model / MANIFEST_NAME).write_text(json.dumps(manifest | {"sklearn": "0.1"}))
    done = raincheck(here, "serve", RAINCHECK_JUDGE__MODEL=str(model))
    assert done.returncode == 78
    assert "raincheck model train" in done.stderr


def test_config_show_masks_secrets_and_reads_back(here: Path) -> None:
    shown = raincheck(here, "config", "show", RAINCHECK_ANSWERS__PASSWORD="hunter2")
    assert "hunter2" not in shown.stdout
    assert 'password = "********"' in shown.stdout
    (here / "again.toml").write_text(shown.stdout.replace("********", ""))
    again = raincheck(here, "config", "show", "--json", "--config", here / "again.toml")
    assert json.loads(again.stdout) == json.loads(
        raincheck(here, "config", "show", "--json").stdout
    )
    assert (
        json.loads(raincheck(here, "config", "show", "--for", ANN, "--json").stdout)["match"] == "*"
    )


def test_judge_prints_what_the_design_promises(here: Path) -> None:
    done = raincheck(here, "judge", "--json", EXAMPLES, here / "raincheck.toml")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["path"]).name for line in lines] == [
        *("1-pitch.eml", "2-follow-up.eml", "3-customer-enquiry.eml", "4-newsletter.eml"),
        *("5-introduction.eml", "raincheck.toml"),
    ]
    for line in lines:
        assert set(line) == {
            *("path", "message_id", "from", "subject", "label", "score", "probabilities"),
            *("tactics", "terms", "disposition", "reasons", "answer", "parse", "error"),
        }
        assert set(line["answer"]) == {"would_send", "rung", "template", "reasons"}
        assert abs(sum(line["probabilities"].values()) - 1) < 0.001
        assert line["probabilities"]["pitch"] == line["score"]
    assert [line["disposition"] for line in lines[:5]] == ["quarantine"] * 2 + ["deliver"] * 3
    assert lines[0]["message_id"] == "<20260302141407.4711@growthrocket.example>"
    assert "assumptive-close" in [tactic["name"] for tactic in lines[0]["tactics"]]
    assert lines[0]["answer"]["reasons"] == ["shadow-mode", "not-authenticated"]
    assert not (here / "state.db").exists(), "judge changes nothing"


def test_judge_in_words_from_standard_input(here: Path) -> None:
    pitch = (EXAMPLES / "1-pitch.eml").read_bytes()
    done = raincheck(here, "judge", "-", stdin=pitch)
    assert done.stdout.startswith("-: quarantine, pitch ")
    assert "  tactic   assumptive-close: “" in done.stdout
    assert "  answer   none: answers are only shown" in done.stdout


def test_judge_takes_the_envelope_it_is_given(here: Path) -> None:
    arguments = ["judge", "--json", EXAMPLES / "1-pitch.eml"]

    def reasons(*more: str) -> list[str]:
        line = json.loads(raincheck(here, *arguments, *more).stdout)
        return [*line["reasons"], *line["answer"]["reasons"]]

    assert reasons("--mail-from", "<>")[0].startswith("null reverse-path")
    assert "from-mismatch" in reasons("--mail-from", "other@growthrocket.example")
    assert "recipient-not-addressed" in reasons("--rcpt-to", ANN)
    store = Store.open(f"sqlite:///{here}/state.db")
    store.set_contact("@growthrocket.example", "known", "test")
    store.close()
    assert "known" in reasons()[0]


def test_judge_trusts_authentication_of_allowed_clients_only(here: Path) -> None:
    seal = b"Authentication-Results: mx.example.com; dmarc=pass header.from=growthrocket.example\n"
    (here / "sealed.eml").write_bytes(seal + (EXAMPLES / "1-pitch.eml").read_bytes())

    def answer(client: str) -> object:
        done = raincheck(
            here,
            *("judge", "--json", "--client-ip", client, "sealed.eml"),
            RAINCHECK_RELAY__AUTHSERV_IDS='["mx.example.com"]',
            RAINCHECK_ANSWERS__MODE="live",
        )
        return json.loads(done.stdout)["answer"]

    sent = {"would_send": True, "rung": 1, "template": "en/not-now", "reasons": []}
    assert answer("127.0.0.1") == sent
    assert answer("192.0.2.1") == sent | {"would_send": False, "reasons": ["not-authenticated"]}


async def test_quarantine_list_and_show(here: Path, lab: Lab) -> None:
    first, second = lab.store.held()
    listed = raincheck(here, "quarantine", "list").stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == [first.id, second.id]
    assert listed[0].split("\t")[2:] == [ANN, "0.99", f"Brad <{SELLER}>", "Offer 1", "held"]
    only = json.loads(raincheck(here, "quarantine", "list", "--recipient", BOB, "--json").stdout)
    assert [one["id"] for one in only] == [second.id]
    assert [one["state"] for one in only[0]["answers"]] == ["shadow"]
    shown = raincheck(here, "quarantine", "show", first.id).stdout
    for words in ("Subject:  Offer 1", "Dear Ann,", "Right now is not the right time"):
        assert words in shown
    raw = raincheck(here, "quarantine", "show", "--raw", first.id).stdout
    assert raw.encode() == mail(0.99, 1).replace(b"\r\n", b"\n") or raw.encode() == mail(0.99, 1)
    assert raincheck(here, "quarantine", "show", first.id[:12]).stdout == shown
    lab.store.hold([held(3), held(33)], (), (), timedelta(days=30))
    ambiguous = raincheck(here, "quarantine", "show", "m3")
    assert ambiguous.returncode == 65
    assert "begins several ids" in ambiguous.stderr


async def test_release_delivers_once_and_remembers_the_sender(here: Path, lab: Lab) -> None:
    first, _ = lab.store.held()
    done = raincheck(here, "quarantine", "release", first.id)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{first.id}: released: delivered to {ANN}")
    (delivered,) = (here / "mail" / ANN / "new").iterdir()
    assert delivered.read_bytes().endswith(mail(0.99, 1))
    assert b"\nX-Raincheck: released; id=" in b"\n" + delivered.read_bytes()
    again = raincheck(here, "quarantine", "release", first.id)
    assert again.returncode == 65
    assert "already released" in again.stdout
    assert len(list((here / "mail" / ANN / "new").iterdir())) == 1
    assert lab.store.recall(SELLER, ANN, "").standing == "allowed"
    assert [answer.state for answer in lab.store.answers([first.id])] == ["cancelled"]
    everything = raincheck(here, "quarantine", "list", "--all").stdout
    assert "\treleased" in everything


async def test_release_in_another_directory_does_not_deliver_there(here: Path, lab: Lab) -> None:
    first, _ = lab.store.held()
    done = raincheck(here, "quarantine", "release", first.id, RAINCHECK_NEXT_HOP__PATH="var/mail")
    assert done.returncode == 78
    assert "var/mail" in done.stderr
    assert first.id in [mail.id for mail in lab.store.held()]
    assert not (here / "var").exists()


async def test_discard_deletes_the_file(here: Path, lab: Lab) -> None:
    first, second = lab.store.held()
    assert raincheck(here, "quarantine", "discard", first.id, second.id).returncode == 0
    assert lab.held_files() == []
    assert lab.store.held() == []
    assert raincheck(here, "quarantine", "discard", first.id).returncode == 65
    assert raincheck(here, "quarantine", "list").stderr == "Nothing is held.\n"


async def test_the_digest_is_shown_written_and_sent(here: Path, lab: Lab) -> None:
    shown = raincheck(here, "digest")
    assert shown.stdout.count("1 mail held for you.") == 2
    assert raincheck(here, "digest", "--html", "x.html").returncode == 64
    written = raincheck(here, "digest", "--recipient", ANN.upper(), "--html", "x.html")
    assert written.returncode == 0
    assert (here / "x.html").read_text().lower().startswith("<!doctype html>")
    nothing = raincheck(here, "digest", "--since", "2099-01-01").stderr
    assert nothing == "Nothing new was held; 2 from before: raincheck digest --since 30d\n"
    assert raincheck(here, "digest", "--since", "1h").stdout.count("held for you") == 2
    sent = raincheck(here, "digest", "--send")
    assert sent.returncode == 0
    assert sent.stdout.count("1 mail held for you: 250") == 2
    (digest,) = (here / "mail" / ANN / "new").iterdir()
    assert b"Auto-Submitted: auto-generated" in digest.read_bytes()
    assert lab.store.last_digest(ANN) is not None


def test_contacts(here: Path) -> None:
    Store.open(f"sqlite:///{here}/state.db").close()
    assert raincheck(here, "contacts", "list").stderr == "No contacts yet.\n"
    assert raincheck(here, "contacts", "allow", "Eve@Friends.example").returncode == 0
    assert raincheck(here, "contacts", "block", "@pushy.example", "--for", ANN).returncode == 0
    (here / "sent.csv").write_text(
        '"Eve" <eve@friends.example>,x\nBEGIN:VCARD\nEMAIL:mo@b.example.\n'
    )
    assert raincheck(here, "contacts", "import", "sent.csv").stdout.endswith(
        "1 new, 1 already there\n"
    )
    assert raincheck(here, "contacts", "import", "sent.csv").stdout.endswith(
        "0 new, 2 already there\n"
    )
    listed = {
        (one["address"], one["standing"], one["recipient"], one["source"])
        for one in json.loads(raincheck(here, "contacts", "list", "--json").stdout)
    }
    assert listed == {
        ("eve@friends.example", "allowed", "", "cli"),
        ("@pushy.example", "blocked", ANN, "cli"),
        ("mo@b.example", "known", "", "import"),
    }
    assert raincheck(here, "contacts", "list").stdout.count("\n") == 3
    assert raincheck(here, "contacts", "forget", "eve@friends.example").returncode == 0


def test_model_info_and_verify(here: Path) -> None:
    info = json.loads(raincheck(here, "model", "info", "--json").stdout)
    assert raincheck(here, "model", "verify").stdout.startswith(f"{info['id']}: fine")
    assert f"id\t{info['id']}" in raincheck(here, "model", "info").stdout
    assert raincheck(here, "model", "verify", RAINCHECK_JUDGE__MODEL="/nowhere").returncode == 78


def test_send_without_a_gateway_says_how_to_start_one(here: Path) -> None:
    done = raincheck(here, "send", EXAMPLES, RAINCHECK_RELAY__LISTEN="127.0.0.1:1")
    assert done.returncode == 69
    assert "raincheck serve" in done.stderr


async def test_send_shows_what_became_of_each(here: Path, lab: Lab) -> None:
    letters = {
        "a": mail(0.1, 11),
        "b": mail(0.99, 12).replace(b"\r\n", b"\n"),
        "c": mail(0.1, 13, to="x@elsewhere.example"),
        "d": mail(0.6, 14),
    }
    for name, content in letters.items():
        (here / f"{name}.eml").write_bytes(content)
    lab.hop.rcpt[BOB] = "550 5.1.1 No Bob"
    listen = f"127.0.0.1:{lab.port}"
    done = await asyncio.to_thread(
        raincheck,
        here,
        "send",
        *(f"{name}.eml" for name in letters),
        RAINCHECK_RELAY__LISTEN=listen,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows] == [
        *(["a.eml", ANN], ["b.eml", ANN], ["c.eml", ""], ["d.eml", ANN]),
    ]
    assert rows[0][3] == "delivered"
    assert rows[1][2] in {mail.id for mail in lab.store.held()}
    assert rows[1][3].startswith("held: score 0.99")
    assert "none: " in rows[1][4]
    assert rows[2][3].startswith("not sent")
    assert rows[3][3] == "delivered, marked as a pitch: score 0.60"
    assert done.returncode == 65
    refused = await asyncio.to_thread(
        raincheck, here, "send", "--rcpt-to", BOB, "a.eml", RAINCHECK_RELAY__LISTEN=listen
    )
    assert "refused: 550 5.1.1 No Bob" in refused.stdout
    assert refused.returncode == 75


def test_what_is_decided_for_everyone_replaces_what_was_for_one(here: Path) -> None:
    store = Store.open(f"sqlite:///{here}/state.db")
    store.set_contact(SELLER, "allowed", "release", ANN)
    assert raincheck(here, "contacts", "block", SELLER).returncode == 0
    assert store.recall(SELLER, ANN, "").standing == "blocked"
    store.set_contact(SELLER, "allowed", "release", ANN)
    assert raincheck(here, "contacts", "forget", SELLER).returncode == 0
    assert store.contacts() == []
    store.close()


def test_judge_says_that_the_disk_is_full(here: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "judge", str(EXAMPLES / "4-newsletter.eml")],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=here,
            timeout=120,
            check=False,
        )
    assert done.returncode == 74
    assert b"No space left" in done.stderr
