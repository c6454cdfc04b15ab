"""Putting a model in its place, whatever happens, and going back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lessons import content, named, put, write

from classifier import install
from classifier import model as models
from classifier.model import ModelError


@pytest.fixture(params=["exchange", "renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system that exchanges directories in one step, and one that cannot."""
    if request.param == "renames":
        monkeypatch.setattr(install, "_exchanged", lambda *_: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_model_is_put_in_place_and_the_one_before_kept(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    for words in ("one", "two", "three"):
        put(folder, words)
    assert (content(folder), content(install.previous(folder))) == (b"three", b"two")
    assert len(list(folder.parent.iterdir())) == 2
    assert install.rollback(folder).id == named("two")
    assert (content(folder), content(install.previous(folder))) == (b"two", b"three")
    assert install.rollback(folder).id == named("three")


def test_an_empty_folder_and_a_link_are_places_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path / "empty", "one")
    assert content(tmp_path / "empty") == b"one"
    (tmp_path / "link").symlink_to("empty")
    put(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "link") == b"two"
    assert content(tmp_path / "empty.previous") == b"one"


@pytest.mark.parametrize("place", ["var", "var.previous"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, place: str) -> None:
    write(tmp_path / "var", "one")
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "raincheck.db").write_text("all the state")
    with pytest.raises(ModelError, match=rf"{place}: holds raincheck\.db; a model needs a folder"):
        put(tmp_path / "var", "two")
    assert content(tmp_path / "var") == b"one"


def test_what_is_no_model_is_not_put_in_place(tmp_path: Path) -> None:
    def broken(fresh: Path) -> models.Manifest:
        manifest = write(fresh, "two")
        (fresh / models.MODEL_NAME).write_bytes(b"tw")
        return manifest

    put(tmp_path / "model", "one")
    with pytest.raises(ModelError, match="SHA-256"):
        install.put(tmp_path / "model", broken)
    assert content(tmp_path / "model") == b"one"
    put(tmp_path / "model", "three")
    assert content(install.previous(tmp_path / "model")) == b"one"


@pytest.mark.parametrize("damage", ["none before", "damaged before", "no folder"])
def test_there_may_be_nothing_to_go_back_to(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / ("deep/model" if damage == "no folder" else "model")
    if damage != "no folder":
        write(folder, "one")
    if damage == "damaged before":
        write(install.previous(folder), "zero")
        (install.previous(folder) / models.MODEL_NAME).write_bytes(b"")
    with pytest.raises(ModelError, match=r"model(\.previous)?(/raincheck\.joblib)?: "):
        install.rollback(folder)
    if damage != "no folder":
        assert content(folder) == b"one"


KILLED = """
import os, shutil, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
from classifier import install
from lessons import put, write

WATCHED = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "open", "ctypes.dlsym")
deed, way, earlier = sys.argv[1], sys.argv[2], sys.argv[3].split()
if way == "renames":
    install._exchanged = lambda *_: False
base = Path.cwd()

def child(folder, last):
    steps = [0]
    def watch(event, arguments):
        if event in WATCHED:
            steps[0] += 1
            if steps[0] > last:
                os._exit(9)
    sys.addaudithook(watch)
    if deed == "rollback":
        install.rollback(folder)
    else:
        put(folder, "three")
    os._exit(0)

for last in range(1000):
    folder = base / str(last) / "model"
    for words in earlier:
        put(folder, words)
    pid = os.fork()
    if not pid:
        child(folder, last)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
        break
print(last)
"""


def killed(base: Path, deed: str, way: str, earlier: str) -> list[Path]:
    """The folders after a process was killed before its first step on the file system, its second,
    and so on."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", KILLED, deed, way, earlier, str(here), str(here.parents[1])],
        capture_output=True,
        text=True,
        cwd=base,
        check=True,
    )
    return [base / str(number) / "model" for number in range(int(done.stdout))]


@pytest.mark.parametrize("deed", ["put", "rollback"])
def test_a_crash_at_any_step_leaves_a_whole_model(tmp_path: Path, way: str, deed: str) -> None:
    folders = killed(tmp_path, deed, way, "one two")
    assert len(folders) > (8 if deed == "put" else 4)
    wanted = {b"two", b"three"} if deed == "put" else {b"one", b"two"}
    after = []
    for folder in folders:
        if way == "renames" and not folder.exists():
            install.rollback(folder)
            assert content(install.previous(folder)) in wanted
        assert content(folder) in wanted
        after.append(content(folder))
        put(folder, "four")
        assert content(folder) == b"four"
        assert content(install.previous(folder)) in wanted
        assert len(list(folder.parent.iterdir())) == 2
    assert set(after) == wanted, "killed before the exchange, and after it"


@pytest.mark.parametrize("deed", ["put", "rollback"])
def test_after_a_crash_the_way_back_leads_to_the_model_in_use_before(
    tmp_path: Path, way: str, deed: str
) -> None:
    before = {"one": "two", "two": "one", "three": "two"}
    for folder in killed(tmp_path, deed, way, "one two"):
        if not folder.exists():
            install.rollback(folder)  # brings it back
        now = content(folder).decode()
        assert install.rollback(folder).id == named(before[now])
        assert install.rollback(folder).id == named(now)
        names = {path.name for path in folder.parent.iterdir()}
        assert names == {"model", "model.previous"}
        assert {path.name for path in folder.iterdir()} == {models.MODEL_NAME, models.MANIFEST_NAME}


def test_after_a_crash_a_model_never_used_is_nothing_to_go_back_to(
    tmp_path: Path, way: str
) -> None:
    for folder in killed(tmp_path, "put", way, "one"):
        if not folder.exists():
            install.rollback(folder)
        if content(folder) == b"three":
            assert install.rollback(folder).id == named("one")
        else:
            with pytest.raises(ModelError, match="there is no earlier model"):
                install.rollback(folder)
            assert content(folder) == b"one"


def test_the_shipped_model_can_be_replaced_and_the_one_before_is_not_kept_in_git() -> None:
    install.check(models.MODELS)
    root = models.MODELS.parents[1]
    ignored = (root / ".gitignore").read_text().splitlines()
    assert f"{install.previous(models.MODELS).relative_to(root)}/" in ignored
