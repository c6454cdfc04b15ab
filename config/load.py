"""Reads `raincheck.toml` and the environment into `Settings`.

Promises: every fault of a file is reported at once, each with file, key and way out; no value of
a secret is ever part of a message. Raises ConfigError, nothing else.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from config.settings import Profile, Settings

PREFIX = "RAINCHECK_"
SHIPPED = Path(__file__).with_name("raincheck.toml")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: where it stands (file or variable), which key, and what to write instead."""

    source: str
    key: str
    problem: str

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.key}: {self.problem}"
            if self.key
            else f"{self.source}: {self.problem}"
        )


class ConfigError(Exception):
    """The configuration cannot be used; `faults` names every reason."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def default_path(environ: Mapping[str, str]) -> Path:
    """`$RAINCHECK_CONFIG`, else `config/raincheck.toml` here, else the shipped file."""
    if named := environ.get("RAINCHECK_CONFIG"):
        return Path(named)
    local = Path("config/raincheck.toml")
    return local if local.exists() else SHIPPED


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from this file, with `RAINCHECK_<TABLE>__<KEY>` laid over it."""
    path = path or default_path(environ)
    data = _read(path)
    origins = _overlay(data, environ)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(tuple(_faults(error, str(path), origins))) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = "no such file; name one with --config, or copy the shipped config/raincheck.toml"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not UTF-8 text; save it as UTF-8"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"is not valid TOML: {error}"
    raise ConfigError((Fault(str(path), "", problem),))


def _overlay(data: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Put the environment's keys into `data`; returns which variable each key came from."""
    origins = {}
    for variable, text in environ.items():
        table, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        if not variable.startswith(PREFIX) or not separator:
            continue
        keys = data.setdefault(table, {})
        if not isinstance(keys, dict):
            problem = f"[{table}] is no table in the file, so a variable cannot set its keys"
            raise ConfigError((Fault(variable, "", problem),))
        keys[key] = _value(text)
        origins[(table, key)] = variable
    return origins


def _value(text: str) -> Any:
    """A variable's text: TOML where it opens a list, table or string; else as it is, since the
    settings turn `3`, `true` and `0.5` into what the key wants, and a password may be all digits.
    """
    if not text.startswith(("[", "{", '"')):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _faults(
    error: ValidationError, path: str, origins: dict[tuple[str, str], str]
) -> Iterator[Fault]:
    general: set[tuple[tuple[str, ...], str]] = set()
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        loc, message = tuple(str(part) for part in detail["loc"]), detail["msg"]
        if loc[0] == "recipients" and (loc[2:], message) in general:
            continue  # inherited, and said already where it stands
        general.add((loc, message))
        source = origins.get((loc[0], loc[1]), path) if len(loc) > 1 else path
        yield Fault(source, _key(loc), _problem(detail["type"], message, loc))


def _key(loc: tuple[str, ...]) -> str:
    """`("recipients", "0", "thresholds", "tag")` → `[[recipients]] no. 1 thresholds.tag`."""
    if loc[:1] == ("recipients",) and len(loc) > 1:
        return f"[[recipients]] no. {int(loc[1]) + 1} {'.'.join(loc[2:])}".rstrip()
    table, rest = loc[:1], loc[1:]
    return f"[{''.join(table)}] {'.'.join(rest)}".rstrip()


def _problem(kind: str, message: str, loc: tuple[str, ...]) -> str:
    if kind == "extra_forbidden":
        return "no such key" + _suggestion(loc)
    if kind in ("tuple_type", "list_type"):
        return 'write a list: ["…", "…"]'
    return message.removeprefix("Value error, ")


def _suggestion(loc: tuple[str, ...]) -> str:
    """The key that was probably meant, or those there are."""
    table: type[BaseModel] = Settings
    for part in loc[:-1]:
        if part.isdigit():
            continue
        field = Profile if part == "recipients" else table.model_fields[part].annotation
        if not (isinstance(field, type) and issubclass(field, BaseModel)):
            return ""
        table = field
    close = get_close_matches(loc[-1], table.model_fields, n=1, cutoff=0.7)
    return (
        f"; did you mean {close[0]}?" if close else f"; there are {', '.join(table.model_fields)}"
    )
