"""`raincheck config`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from pydantic import BaseModel

from config.load import default_path
from config.units import written
from gateway import preflight
from gateway.cli.common import config_option, servable_or_fail, settings_from


@click.group()
def config() -> None:
    """The configuration: check it, show what holds."""


@config.command()
@config_option
def check(config_path: Path | None) -> None:
    """Say whether the gateway would start with this configuration, or everything that is wrong.

    Looks at the file, the environment (RAINCHECK_<TABLE>__<KEY>), the model, the templates and
    the TLS files. Needs no running gateway and changes nothing.
    """
    settings = servable_or_fail(config_path)
    for note in preflight.notes(settings):
        click.echo(f"note: {note}", err=True)
    click.echo(f"{config_path or default_path(os.environ)}: fine")


@config.command("show")
@config_option
@click.option("--for", "recipient", metavar="A", help="What holds for this recipient.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_(config_path: Path | None, recipient: str | None, as_json: bool) -> None:
    """Every setting as it holds, with the environment laid over the file. Secrets are not shown."""
    settings = settings_from(config_path)
    chosen: BaseModel = settings.profile(recipient) if recipient else settings
    values = plain(chosen)
    click.echo(json.dumps(values, ensure_ascii=False, indent=2) if as_json else as_toml(values))


def plain(model: BaseModel) -> dict[str, object]:
    """A model as plain values, written the way the file writes them."""
    values: dict[str, object] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            values[name] = plain(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            values[name] = [plain(one) for one in value]
        else:
            values[name] = written(value)
    return values


def as_toml(values: dict[str, object]) -> str:
    """The values as a TOML file with the keys in their tables."""
    keys = [f"{name} = {_toml(value)}" for name, value in values.items() if _is_key(value)]
    tables = [f"[{name}]\n{as_toml(one)}" for name, one in values.items() if isinstance(one, dict)]
    return "\n".join(keys) + "\n" * bool(keys) + "\n".join(tables)


def _is_key(value: object) -> bool:
    return value is not None and not isinstance(value, dict)


def _toml(value: object) -> str:
    """JSON's strings, numbers, booleans and lists are TOML's too; inline tables are not."""
    if isinstance(value, dict):
        pairs = (f"{name} = {_toml(one)}" for name, one in value.items() if one is not None)
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)
