"""The store under several threads and processes at once, and under kill -9."""

from __future__ import annotations

import multiprocessing
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from store_rows import ANN, MONTH, NOW, SAM, held_mail, pitch_answer

from gateway.memory import database
from gateway.memory.store import Store


def test_eight_threads_hold_one_pitch_one_answer(store: Store) -> None:
    def hold(number: int) -> str:
        answer = pitch_answer(f"a{number}", f"m{number}", message_id="<same@seller.example>")
        return store.hold([held_mail(f"m{number}")], [answer], [], MONTH)[0].state

    with ThreadPoolExecutor(8) as pool:
        states = sorted(pool.map(hold, range(8)))
    assert states == ["planned"] + ["withheld"] * 7
    assert len(store.held()) == 8


def _in_processes(target: Callable[..., None], path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    workers = [spawn.Process(target=target, args=(str(path), barrier, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
        worker.kill()
    assert [worker.exitcode for worker in workers] == [0] * 4


def _reserve(path: str, barrier: Any, worker: int) -> None:
    store = Store.open(f"sqlite:///{path}")
    for number in range(20):
        barrier.wait(60)  # all four ask for the same slot at the same instant
        answer = pitch_answer(
            f"a{worker}-{number}", f"m{number}", recipient=f"r{number}@example.com"
        )
        store.hold([], [answer], [], MONTH)
    store.close()


def test_four_processes_hold_one_pitch_one_answer(store: Store, path: Path) -> None:
    _in_processes(_reserve, path)
    answers = store.answers()
    planned = [answer.recipient for answer in answers if answer.state == "planned"]
    assert len(answers) == 80
    assert sorted(planned) == sorted(f"r{number}@example.com" for number in range(20))


def _increment(path: str, barrier: Any, worker: int) -> None:
    opened = database.Database.open(f"sqlite:///{path}")
    barrier.wait(60)
    for _ in range(60):
        with opened.write() as connection:
            items = connection.execute(text("SELECT items FROM digests")).scalar_one()
            connection.execute(text("UPDATE digests SET items = :n"), {"n": items + 1})
    opened.close()


def test_no_update_of_four_processes_is_lost(store: Store, path: Path) -> None:
    store.record_digest(ANN, NOW, 0)
    _in_processes(_increment, path)
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT items FROM digests").fetchall() == [(240,)]
    raw.close()


def _claim(path: str, barrier: Any, worker: int) -> None:
    store = Store.open(f"sqlite:///{path}")
    barrier.wait(60)
    while answer := store.claim_answer(NOW):
        store.settle_answer(answer.id, "sent", f"by {worker}")
    store.close()


def test_four_outboxes_claim_each_answer_once(store: Store, path: Path) -> None:
    for number in range(24):
        answer = pitch_answer(f"a{number}", f"m{number}", recipient=f"r{number}@example.com")
        store.hold([held_mail(f"m{number}")], [answer], [], MONTH)
    _in_processes(_claim, path)
    assert {(answer.state, answer.attempts) for answer in store.answers()} == {("sent", 1)}


KILLED = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_rows import held_mail, pitch_answer, pitch_touch
from gateway.memory import contacts
from gateway.memory.store import Store
from gateway.quarantine.folder import MaildirFolder

here = Path(sys.argv[1])
store = Store.open(f"sqlite:///{here / 'raincheck.db'}")
path = MaildirFolder(here / "folder").store("ann@example.com", b"pitch")
if sys.argv[3] == "before":
    contacts.touch = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
mails = [held_mail("m1", path=str(path)), held_mail("m2", path=str(path))]
store.hold(mails, [pitch_answer()], [pitch_touch()], timedelta(days=30))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_minus_nine_leaves_all_or_nothing(tmp_path: Path, when: str) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent), when]
    done = subprocess.run(command, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len([path for path in (tmp_path / "folder").rglob("*") if path.is_file()]) == 1
    store = Store.open(f"sqlite:///{tmp_path / 'raincheck.db'}")
    kept = (len(store.held()), len(store.answers()), store.recall(SAM, ANN, "").touches)
    store.close()
    assert kept == ((2, 1, 1) if when == "after" else (0, 0, 0))
