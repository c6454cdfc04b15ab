"""What the documentation says, held against what there is: links, settings, commands, the unit."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from config import load
from config.load import SHIPPED
from gateway.cli import root

HERE = Path(__file__).parents[2]
PAGES = [HERE / "README.md", HERE / "CONTRIBUTING.md", *sorted((HERE / "docs").glob("*.md"))]
INSTALL = HERE / "docs" / "install.md"
UNIT = HERE / "docs" / "raincheck.service"

_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PROGRAM = re.compile(r"(?:\$ )?(?:\S*/bin/)?raincheck (.+)")


def named(page: Path) -> str:
    return str(page.relative_to(HERE))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in this language."""
    return [text for kind, text in _FENCE.findall(page.read_text("utf-8")) if kind == language]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """What `#…` may follow a link to this page: its headings, as GitHub writes them."""
    headings = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(
    ("page", "text"),
    [
        pytest.param(page, text, id=f"{named(page)}-{number}")
        for page in PAGES
        for number, text in enumerate(blocks(page, "toml"))
    ],
)
def test_every_piece_of_configuration_can_be_loaded(page: Path, text: str, tmp_path: Path) -> None:
    file = tmp_path / "raincheck.toml"
    file.write_text(text, encoding="utf-8")
    load(file, {})


def commands(page: Path) -> Iterator[str]:
    """Each call of raincheck on the page, without the program: `a|b` in it is two calls."""
    lines = _INLINE.findall(prose(page))
    for kind, text in _FENCE.findall(page.read_text("utf-8")):
        lines += [
            line for line in text.splitlines() if line.startswith("$ ") or kind in ("sh", "console")
        ]
    for line in lines:
        if call := _PROGRAM.fullmatch(line):
            yield from alternatives(call[1])


def alternatives(call: str) -> list[str]:
    """`contacts allow|block x` → `contacts allow x`, `contacts block x`."""
    found = re.search(r"\b[a-z]+(?:\|[a-z]+)+\b", call)
    if not found:
        return [call]
    return [call.replace(found[0], one, 1) for one in found[0].split("|")]


def resolved(call: str) -> str | None:
    """What is wrong with a call, or None: its commands and its long options have to exist."""
    command: click.Command = root
    for word in shlex.split(call, comments=True):
        context = click.Context(command)
        if isinstance(command, click.Group) and not word.startswith("-"):
            inner = command.get_command(context, word)
            if inner is None:
                return f"no command {word!r}"
            command = inner
        elif word.startswith("--"):
            known = {option for one in command.get_params(context) for option in one.opts}
            if word.partition("=")[0] not in known:
                return f"no option {word!r}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_exists(page: Path) -> None:
    wrong = {call: problem for call in commands(page) if (problem := resolved(call))}
    assert not wrong


def test_commands_are_found_where_pages_have_them() -> None:
    assert {"send examples/*.eml", "contacts allow", "contacts block"} <= {
        call for page in PAGES for call in commands(page)
    }
    assert any(call.startswith("judge") for call in commands(INSTALL))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("quarantine release 1a202d   # deliver", None),
        ("digest --html FILE", None),
        ("--help", None),
        ("relaese 1a202d", "no command 'relaese'"),
        ("quarantine liste", "no command 'liste'"),
        ("digest --pdf FILE", "no option '--pdf'"),
    ],
)
def test_a_wrong_command_would_be_seen(call: str, problem: str | None) -> None:
    assert resolved(call) == problem


def test_the_unit_on_the_page_is_the_unit_in_the_code() -> None:
    shown = [text for text in blocks(INSTALL, "ini") if "[Unit]" in text]
    assert shown == [UNIT.read_text("utf-8")]


def test_the_installed_configuration_has_no_relative_path(tmp_path: Path) -> None:
    installed = tmp_path / "raincheck.toml"
    installed.write_text(as_installed(), encoding="utf-8")
    settings = load(installed, {})
    assert settings.state.url.startswith("sqlite:////var/lib/raincheck/")
    paths = list(paths_in(settings))
    assert len(paths) >= 4
    assert not [path for path in paths if not path.is_absolute()]
    assert '"var/' not in as_installed()  # nor in a line that waits in a comment


def as_installed() -> str:
    """The shipped file, after the `sed` of the page."""
    (block,) = (text for text in blocks(INSTALL, "sh") if "sed -e" in text)
    command = re.search(r"^sed .*?(?= /opt/)", block.replace("\\\n", ""), re.MULTILINE)
    assert command
    return subprocess.run(
        [*shlex.split(command[0]), SHIPPED],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def paths_in(model: BaseModel) -> Iterator[Path]:
    """Every path a setting holds."""
    for _, value in model:
        if isinstance(value, BaseModel):
            yield from paths_in(value)
        elif isinstance(value, Path):
            yield value
