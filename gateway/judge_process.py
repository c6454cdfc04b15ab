"""The child behind `gateway.judging`: reads mails from standard input, answers on standard output.

Arguments: model file ('' for the shipped one), octets read of each mail, seconds for each mail.
Answers `(True, model id)` when ready, then `(True, (Message, Verdict))` for each mail, or
`(False, why)`. Ends at end of input, so it never outlives its worker.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from classifier import model
from classifier.message import Limits, read
from gateway.judging import FRAME

READING_SHARE = 0.6
"""Of a mail's time, what reading may use up, so that some is left for judging it."""
GRACE_SECONDS = 1.0
"""The worker kills us first; this is for when there is no worker any more."""


def main(path: str, octets: str, seconds: str) -> None:
    """Serve until standard input ends."""
    # Ctrl-C and a service manager reach the whole group; a worker that drains still needs us.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, _private_stdout()
    limits = Limits(octets=int(octets), seconds=float(seconds) * READING_SHARE)
    try:
        judge = model.load(Path(path) if path else None)
    except model.ModelError as error:
        return _send(sink, (False, str(error)))
    judge.warm()
    _send(sink, (True, judge.id))
    while (content := _receive(source)) is not None:
        # Nobody handles SIGPROF, so the kernel ends us wherever we spin, even without a worker.
        signal.setitimer(signal.ITIMER_PROF, float(seconds) + GRACE_SECONDS)
        try:
            message = read(content, limits)
            _send(sink, (True, (message, judge.judge(message))))
        except Exception as error:  # whatever it is, the mail goes on unjudged
            _send(sink, (False, repr(error)))
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def _private_stdout() -> BinaryIO:
    """Standard output for frames alone: what a library prints goes to standard error."""
    private = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return private


def _receive(source: BinaryIO) -> bytes | None:
    header = source.read(FRAME.size)
    return source.read(FRAME.unpack(header)[0]) if len(header) == FRAME.size else None


def _send(sink: BinaryIO, value: object) -> None:
    octets = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    sink.write(FRAME.pack(len(octets)) + octets)
    sink.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the worker was stopped while we started
        main(*sys.argv[1:])
