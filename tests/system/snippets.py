"""The configuration in docs/postfix.md, read from the page itself, so that it cannot drift."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "postfix.md"
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippet(section: str, file: str, **replaced: object) -> str:
    """The fenced block of a section whose first line names the file.

    Each `old=new` replaces a number of the page by one of this machine, so keys are written with
    a leading underscore: `_2525=port`. A number that does not stand there is an error.
    """
    text = _blocks(section)[file]
    for old, new in replaced.items():
        number = old.removeprefix("_")
        text, count = re.subn(rf"\b{number}\b", str(new), text)
        assert count, f"docs/postfix.md, {section}, {file}: there is no {number}"
    return text


def with_path(text: str, old: str, new: Path) -> str:
    """A snippet with a path of the page replaced by one of this machine; it has to stand there."""
    assert old in text, f"docs/postfix.md: {old} does not stand in\n{text}"
    return text.replace(old, str(new))


def _blocks(section: str) -> dict[str, str]:
    parts = _SECTION.split(PAGE.read_text())
    body = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    blocks = {}
    for block in _FENCE.findall(body):
        name = block.splitlines()[0].removeprefix("# ").rpartition("/")[2]
        assert name not in blocks, f"docs/postfix.md, {section}: two blocks for {name}"
        blocks[name] = block
    return blocks
