"""Finding mails in the paths a user gives."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.mailfiles import find


def contents(*paths: Path) -> list[tuple[str, bytes]]:
    return [(source.name, source.read()) for source in find(paths)]


def test_a_file_is_one_mail(tmp_path: Path) -> None:
    file = tmp_path / "a.eml"
    file.write_bytes(b"Subject: a\n\na\n")
    assert contents(file) == [(str(file), b"Subject: a\n\na\n")]


def test_a_directory_is_its_files_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.eml", "a.eml", ".hidden", "sub/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert [content for _, content in contents(tmp_path)] == [b"a.eml", b"b.eml", b"sub/c.txt"]


def test_a_maildir_is_what_is_in_new_and_cur(tmp_path: Path) -> None:
    for part in ("new", "cur", "tmp"):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"1.{part}").write_bytes(part.encode())
    assert [content for _, content in contents(tmp_path)] == [b"cur", b"new"]


def test_a_directory_whose_path_lies_below_tmp_is_no_exception(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    (folder / "a.eml").write_bytes(b"a")
    assert [content for _, content in contents(folder)] == [b"a"]


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_an_mbox_is_its_mails(tmp_path: Path, eol: bytes) -> None:
    file = tmp_path / "box"
    first = eol.join([b"Subject: 1", b"", b"Text", b"From here on, more", b""])
    second = eol.join([b"Subject: 2", b"", b"two", b""])
    file.write_bytes(eol.join([b"From a Mon", first, b"From b Tue", second]))
    found = contents(file)
    assert [name for name, _ in found] == [f"{file}#1", f"{file}#2"]
    assert [content.split(eol)[0] for _, content in found] == [b"Subject: 1", b"Subject: 2"]
    assert b"From here on, more" in found[0][1]
    assert found[1][1] == second


def test_an_empty_file_is_an_empty_mail(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert contents(tmp_path / "empty") == [(str(tmp_path / "empty"), b"")]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"Subject: in")))
    assert contents(Path("-")) == [("-", b"Subject: in")]


def test_a_path_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find([tmp_path / "nowhere"])
