"""What `config check` finds beyond the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import ConfigError
from config.settings import Settings
from gateway.preflight import checked, notes


def settings(here: Path, **tables: Any) -> Settings:
    own = {
        "state": {"url": f"sqlite:///{here}/var/state.db"},
        "folder": {"path": str(here / "quarantine")},
        "next_hop": {"path": str(here / "mail")},
    }
    return Settings.model_validate(own | tables)


def test_a_usable_configuration_passes_and_nothing_is_made(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert checked(found, "x.toml") is found
    assert list(tmp_path.iterdir()) == []
    assert notes(found) == []


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = settings(
        tmp_path,
        judge={"model": "/nowhere/model"},
        relay={"tls_certificate": "/nowhere/cert", "tls_key": "/nowhere/key"},
        folder={"path": str(tmp_path / "file/below")},
        next_hop={"path": str(tmp_path / "file")},
        state={"url": f"sqlite:///{tmp_path}/file/state.db"},
        answers={"templates": str(tmp_path / "templates")},
    )
    template = tmp_path / "templates/en/not-now.txt"
    template.parent.mkdir(parents=True)
    template.write_text("{{ nmae }}")
    with pytest.raises(ConfigError) as caught:
        checked(found, "x.toml")
    said = str(caught.value)
    for words in (
        *("x.toml: /nowhere/model: there is no model", "nmae", "/nowhere/cert"),
        *("[state] url:", "[folder] path:", "[next_hop] path:"),
    ):
        assert words in said


def test_a_next_hop_elsewhere_needs_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    hop = {"kind": "smtp", "path": str(tmp_path / "file")}
    assert checked(settings(tmp_path, next_hop=hop), "x.toml")


def test_a_certificate_of_the_next_hop_is_looked_at(tmp_path: Path) -> None:
    hop = {"kind": "smtp", "tls": "required", "tls_ca": str(tmp_path / "none.pem")}
    with pytest.raises(ConfigError, match=r"none\.pem"):
        checked(settings(tmp_path, next_hop=hop), "x.toml")


@pytest.mark.parametrize(
    ("tables", "note"),
    [
        ({"answers": {"mode": "live"}}, "authserv_ids is empty"),
        ({"recipients": [{"answers": {"mode": "live"}}]}, "authserv_ids is empty"),
        ({"relay": {"clients": ["0.0.0.0/0"]}}, "allows everybody"),
        ({"relay": {"clients": ["::/0"]}}, "allows everybody"),
    ],
)
def test_what_is_probably_not_meant(tmp_path: Path, tables: dict[str, Any], note: str) -> None:
    (said,) = notes(settings(tmp_path, **tables))
    assert note in said
