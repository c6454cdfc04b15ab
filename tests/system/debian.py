"""The real parts the system tests need, from Debian's packages.

`need("postfix")` returns when the program is there, installs its package when it may (root, Debian,
apt-get), and skips the test with one line that says what is missing otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

PACKAGES = {
    "postfix": ("postfix",),
    "dovecot": ("dovecot-core", "dovecot-lmtpd"),
    "imap": ("dovecot-imapd",),
    "swaks": ("swaks", "libnet-ssleay-perl"),
}
PROGRAMS = {
    "postfix": Path("/usr/sbin/postfix"),
    "dovecot": Path("/usr/lib/dovecot/lmtp"),
    "imap": Path("/usr/lib/dovecot/imap"),
    "swaks": Path("/usr/bin/swaks"),
}
PATIENCE = 300.0  # seconds an installation may take


def need(part: str) -> None:
    """Make sure a part is there, or skip."""
    if PROGRAMS[part].exists():
        return
    problem = _install(PACKAGES[part])
    if not PROGRAMS[part].exists():
        packages = " ".join(PACKAGES[part])
        pytest.skip(f"{part} is not installed (apt-get install {packages}){problem}")


@cache  # one attempt a session: a machine without a mirror should not pay for every test
def _install(packages: tuple[str, ...]) -> str:
    """Try apt-get. What went wrong, or '' when nothing did."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return ""
    problem = _apt("update") or _apt("install", "-y", "--no-install-recommends", *packages)
    return f"; apt-get: {problem}" if problem else ""


def _apt(*arguments: str) -> str:
    # RUNLEVEL=1: invoke-rc.d then starts nothing, so no mail server of the machine comes up.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        done = subprocess.run(
            ["apt-get", "-q", "-o", "Acquire::Retries=1", *arguments],
            env=quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{arguments[0]} took more than {PATIENCE:.0f} s"
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else f"exit {done.returncode}")
