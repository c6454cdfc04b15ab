from __future__ import annotations

import mailbox
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import maildir

MAIL = b"Subject: hello\r\n\r\nEight bits: \xff\x00 and no final newline"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_mail_lies_in_new_byte_for_byte_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "ann@example.com"
    path = maildir.write(folder, MAIL)
    assert path.parent == folder / "new"
    assert path.read_bytes() == maildir.read(path) == MAIL
    assert files(folder) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for directory in (folder, *(folder / name for name in ("tmp", "new", "cur"))):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert ":" not in path.name
    assert "/" not in path.name


def test_a_mail_client_reads_it(tmp_path: Path) -> None:
    maildir.write(tmp_path / "box", MAIL)
    box = mailbox.Maildir(tmp_path / "box", create=False)
    assert [message["Subject"] for message in box] == ["hello"]


def test_names_never_repeat(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: maildir.write(tmp_path / "box", MAIL), range(64)))
    assert len(set(paths)) == len(files(tmp_path)) == 64


@pytest.mark.parametrize("name", ["{}", "{}:2,", "{}:2,FS", "{},S=52:2,S"])
def test_it_is_found_where_a_client_moved_it(tmp_path: Path, name: str) -> None:
    path = maildir.write(tmp_path, MAIL)
    moved = tmp_path / "cur" / name.format(path.name)
    path.rename(moved)
    assert maildir.find(path) == moved
    assert maildir.find(tmp_path / "cur" / f"{path.name}:2,T") == moved
    assert maildir.read(path) == MAIL
    maildir.remove(path)
    assert files(tmp_path) == []


def test_a_name_that_only_begins_alike_is_another_mail(tmp_path: Path) -> None:
    path = maildir.write(tmp_path, MAIL)
    other = tmp_path / "cur" / f"{path.name}x:2,S"
    path.rename(other)
    assert maildir.find(path) is None
    maildir.remove(path)
    assert other.exists()
    with pytest.raises(FileNotFoundError, match="no longer in its folder"):
        maildir.read(path)


def test_find_in_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert maildir.find(tmp_path / "gone" / "new" / "1.x.host") is None


def test_read_follows_a_rename_between_finding_and_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = maildir.write(tmp_path, MAIL)
    moved = tmp_path / "cur" / f"{path.name}:2,S"
    honest = maildir.find

    def late(wanted: Path) -> Path | None:
        found = honest(wanted)
        if found == path:
            path.rename(moved)
        return found

    monkeypatch.setattr(maildir, "find", late)
    assert maildir.read(path) == MAIL


@pytest.mark.parametrize("fault", ["write", "rename", "sync"])
def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    maildir.write(tmp_path / "box", MAIL)
    before = files(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if fault == "rename":
        monkeypatch.setattr(Path, "rename", fail)
    elif fault == "sync":
        monkeypatch.setattr(maildir, "_sync_directory", fail)
    else:
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        maildir.write(tmp_path / "box", MAIL)
    assert files(tmp_path) == before


def test_everything_is_synced_before_the_path_is_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    honest = os.fsync

    def note(descriptor: int) -> None:
        honest(descriptor)
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(str(target.relative_to(tmp_path.parent)))

    monkeypatch.setattr(os, "fsync", note)
    path = maildir.write(tmp_path / "a" / "b", MAIL)
    root = tmp_path.name
    made = [f"{root}", f"{root}/a", f"{root}/a/b", f"{root}/a/b"]
    assert synced == [*made, f"{root}/a/b/tmp/{path.name}", f"{root}/a/b/new"]
    synced.clear()
    path = maildir.write(tmp_path / "a" / "b", MAIL)
    assert synced == [f"{root}/a/b/tmp/{path.name}", f"{root}/a/b/new"]
    synced.clear()
    maildir.remove(path)
    assert synced == [f"{root}/a/b/new"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.Lee+Pitches@Example.COM", "ann.lee+pitches@example.com"),
        ("müller@example.com", "müller@example.com"),
        ("postmaster", "postmaster"),
    ],
)
def test_ordinary_addresses_stay_readable(address: str, name: str) -> None:
    assert maildir.folder_name(address) == name


@pytest.mark.parametrize(
    ("address", "beginning"),
    [
        ("../../etc/passwd@example.com", "_._.._etc_passwd@example.com~"),
        (".hidden@example.com", "_hidden@example.com~"),
        ("-rf@example.com", "_rf@example.com~"),
        ("a/b@example.com", "a_b@example.com~"),
        ("a\x00b\r\n@example.com", "a_b__@example.com~"),
        ("a\\b~c@example.com", "a_b_c@example.com~"),
        ("..", "_.~"),
        ("", "_~"),
        ("\udcff@example.com", "_@example.com~"),
    ],
)
def test_other_characters_give_way_to_a_hash(address: str, beginning: str) -> None:
    name = maildir.folder_name(address)
    assert name.startswith(beginning)
    assert len(name) == len(beginning) + 16


def test_a_long_address_is_cut_between_characters() -> None:
    first, second = (maildir.folder_name("ü" * 300 + end) for end in "ab")
    assert first != second
    assert len(first.encode()) <= 200
    assert first.startswith("ü" * 91 + "~")


@given(st.text(st.characters(), max_size=300), st.text(st.characters(), max_size=300))
def test_every_name_is_one_safe_component(one: str, two: str) -> None:
    names = [maildir.folder_name(address) for address in (one, two)]
    for name in names:
        assert 0 < len(name.encode()) <= 200
        assert name[0] not in ".-"
        assert Path(name).name == name
        assert name.isprintable()
    assert (names[0] == names[1]) == (one.lower() == two.lower())
