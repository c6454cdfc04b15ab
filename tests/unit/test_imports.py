"""Imports run one way, and a library stands behind one door.

config ← classifier ← replies ← gateway; inside the gateway: envelope ← policy ← rooms ← pipeline ←
app ← cli. CONTRIBUTING.md says why.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "classifier", "replies", "gateway")
LAYERS = (  # each may import from those before it, and from its own
    ("gateway.plain", "gateway.log", "gateway.envelope", "gateway.maildir", "gateway.mailfiles"),
    ("gateway.policy",),
    (
        "gateway.relay",
        "gateway.senderauth",
        "gateway.memory",
        "gateway.quarantine",
        "gateway.outbox",
    ),
    (
        "gateway.judging",
        "gateway.delivery",
        "gateway.holding",
        "gateway.digest",
        "gateway.preflight",
    ),
    ("gateway.pipeline", "gateway.timer", "gateway.judge_process"),
    ("gateway.worker", "gateway.services"),
    ("gateway.app",),
    ("gateway.cli", "gateway.__main__"),
)
DOORS = {
    "aiosmtpd": ("gateway.relay",),
    "aiosmtplib": ("gateway.outbox",),
    "sqlalchemy": ("gateway.memory",),
    "alembic": ("gateway.memory",),
    "sklearn": ("classifier",),
    "joblib": ("classifier",),
    "mailparser": ("classifier",),
    "inscriptis": ("classifier",),
    "authres": ("gateway.senderauth",),
    "jinja2": ("replies", "gateway.digest"),
    "css_inline": ("gateway.digest",),
    "click": ("gateway.cli",),
    "rich": ("gateway.cli",),
    "matplotlib": ("gateway.cli",),
    "threadpoolctl": ("classifier.train",),
    "numpy": ("classifier",),
}
HEAVY = ("sklearn", "joblib", "scipy", "matplotlib")
"""Imported inside functions only: together they take over a second, and most processes that
import their module never judge."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if "migrations.versions" not in name:
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = dict(modules())


def within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def layer(name: str) -> int | None:
    return next((n for n, places in enumerate(LAYERS) if within(name, places)), None)


@pytest.mark.parametrize("name", MODULES)
def test_packages_import_one_way(name: str) -> None:
    own = PACKAGES.index(name.split(".")[0])
    wrong = [
        other
        for other in imported(MODULES[name])
        if other.split(".")[0] in PACKAGES and PACKAGES.index(other.split(".")[0]) > own
    ]
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("gateway.")])
def test_rooms_of_the_gateway_import_one_way(name: str) -> None:
    own = layer(name)
    assert own is not None, f"{name} has no layer; give it one in LAYERS"
    wrong = [other for other in imported(MODULES[name]) if (layer(other) or 0) > own]
    assert wrong == []


@pytest.mark.parametrize("library", DOORS)
def test_a_library_is_imported_behind_its_door_only(library: str) -> None:
    outside = [
        name
        for name, tree in MODULES.items()
        if not within(name, DOORS[library])
        and any(other.split(".")[0] == library for other in imported(tree))
    ]
    assert outside == []


def test_heavy_libraries_are_imported_late() -> None:
    early = [
        name
        for name, tree in MODULES.items()
        for node in tree.body
        if any(other.split(".")[0] in HEAVY for other in imported(node))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert early == []


def test_every_third_party_import_has_been_thought_of() -> None:
    """A new library gets a door in DOORS, or is one of those that any room may use."""
    anywhere = {"pydantic", "structlog", "numpy", "lxml", *HEAVY}
    known = {*PACKAGES, *DOORS, *anywhere, *sys.stdlib_module_names}
    used = {other.split(".")[0] for tree in MODULES.values() for other in imported(tree)}
    assert used - known == set()
