"""`raincheck serve` as a process of its own, as it runs in earnest, and the folder it keeps."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from waiting import free_port, greeting, wait_until

ROOT = Path(__file__).parents[2]
EXIT_SECONDS = 30  # what SIGTERM may take
COMMAND = (sys.executable, "-m", "gateway")


class Raincheck:
    """A gateway in its own directory. `settings` has the tables of raincheck.toml; `listen` and
    what the tests do not need are filled in. With `owner` (uid, gid) it runs as that user."""

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any],
        port: int | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.home = home
        self.command = COMMAND if owner is None else (*_as_user(*owner), *COMMAND)
        if owner:
            os.chown(home, *owner)
        self.port = port or free_port()
        self.config = home / "raincheck.toml"
        self.folder = home / "var" / "quarantine"
        self.process: subprocess.Popen[bytes] | None = None
        self.write(settings)

    def write(self, settings: Mapping[str, Any]) -> None:
        """Write the configuration; a running gateway sees it at the next SIGHUP."""
        tables = {name: dict(table) for name, table in settings.items() if name != "recipients"}
        tables["relay"] = {"workers": 1} | tables.get("relay", {})
        tables["relay"]["listen"] = f"127.0.0.1:{self.port}"
        tables["digest"] = {"enabled": False} | tables.get("digest", {})
        self.config.write_text(toml(tables, settings.get("recipients", ())))

    def launch(self) -> None:
        """Start the process, without waiting for it to serve."""
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "serve", "--config", str(self.config)],
                cwd=self.home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start, and wait until it serves; fails the test, with the log, when it does not."""
        before = len(self.events("serving"))
        self.launch()
        try:
            wait_until("serve to serve", lambda: self._serves(before), seconds=60)
        except AssertionError as error:
            self.kill()
            pytest.fail(f"{error}\n{self.log()}")

    def _serves(self, before: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"serve ended with {self.process.returncode}"
        said = len(self.events("serving")) > before
        return said and greeting(self.port).startswith("220")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> float:
        """SIGTERM; fails unless it ends with 0 in time. The seconds it took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.terminate()
        try:
            code = self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"serve did not end within {EXIT_SECONDS} s of SIGTERM\n{self.log()}")
        assert code == 0, f"serve ended with {code}\n{self.log()}"
        return time.monotonic() - begun

    def kill(self) -> None:
        """Without ceremony, workers and all: the process leads a group of its own."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        path = self.home / "log"
        return f"--- raincheck\n{path.read_text(errors='replace')}" if path.exists() else ""

    def run(self, *arguments: str, ok: bool = True) -> str:
        """A `raincheck` command on the same configuration; its standard output."""
        command, *rest = arguments
        done = subprocess.run(
            [*self.command, command, *rest, "--config", str(self.config)],
            cwd=self.home,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not ok or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def held(self, user: str) -> list[bytes]:
        """Every mail in the folder of a user at example.com, as any mail client would see it."""
        box = self.folder / f"{user}@example.com"
        return [path.read_bytes() for sub in ("new", "cur") for path in (box / sub).glob("*")]

    def held_ids(self) -> list[str]:
        """The ids `raincheck quarantine list` shows, oldest first."""
        return [entry["id"] for entry in self.listed()]

    def listed(self) -> list[dict[str, Any]]:
        """What `raincheck quarantine list --json` says."""
        entries: list[dict[str, Any]] = json.loads(self.run("quarantine", "list", "--json"))
        return entries

    def events(self, name: str) -> list[str]:
        """The log lines of one event."""
        return [line for line in self.log().splitlines() if f'"event": "{name}"' in line]


def _as_user(uid: int, gid: int) -> tuple[str, ...]:
    """The prefix that runs a command as this user. What it writes is theirs; it may still read
    the interpreter and the code, which can lie in a home directory closed to them."""
    if uid == os.geteuid():
        return ()
    capability = "+dac_override"
    return (
        "setpriv",
        *(f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
        *(f"--inh-caps={capability}", f"--ambient-caps={capability}"),
    )


def _environment() -> dict[str, str]:
    """Ours, without settings of the machine's own gateway, and with the code under test."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RAINCHECK_")}
    return kept | {"PYTHONPATH": str(ROOT)}


def toml(tables: Mapping[str, Mapping[str, Any]], recipients: Any = ()) -> str:
    """The tables as TOML. JSON's strings, numbers, booleans and arrays are TOML's too."""
    lines: list[str] = []
    for name, table in tables.items():
        lines += [f"[{name}]", *_entries(table)]
    for entry in recipients:
        lines += ["[[recipients]]", *_entries(entry)]
    return "\n".join(lines) + "\n"


def _entries(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{name} = {json.dumps(item)}" for name, item in value.items())
            yield f"{key} = {{ {inner} }}"
        else:
            yield f"{key} = {json.dumps(value)}"


StartGateway: TypeAlias = Callable[..., Raincheck]
"""What the fixture `gateway` gives: call it with settings and, if it matters, a port."""
