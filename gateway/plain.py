"""Untrusted text made fit to be shown on a terminal, in a table or in a text mail."""

from __future__ import annotations

import textwrap


def printable(text: str, width: int | None = None) -> str:
    """One line: control, bidi and other unprintable characters become spaces, runs of white space
    one space; at most `width` characters."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return textwrap.shorten(shown, width, placeholder="…") if width else shown
