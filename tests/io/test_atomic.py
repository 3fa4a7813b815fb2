"""Files appear whole or not at all, also where Windows would refuse."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from napari_specfusion.errors import OutputError
from napari_specfusion.io import atomic
from napari_specfusion.io.atomic import check_name, clear_leftovers, explained, remove_folder, replacing, replacing_all


class Held:
    """`os.replace` as on Windows: it fails as long as a file at either end is open, here `times` times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> None:
        self.left, self.waited = times, 0.0
        self._name, self._replace = name, os.replace
        monkeypatch.setattr(os, "replace", self)
        monkeypatch.setattr(atomic, "WINDOWS", True)
        monkeypatch.setattr(atomic.time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.waited += seconds

    def __call__(self, source: Path, target: Path) -> None:
        if self._name in {Path(source).name, Path(target).name} and self.left:
            self.left -= 1
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(target))
        self._replace(source, target)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")
    return path


def test_a_file_is_replaced(old: Path) -> None:
    with replacing(old) as part:
        assert part.name == old.name and part.parent.parent == old.parent
        part.write_text("new", encoding="utf-8")
        assert old.read_text(encoding="utf-8") == "old"
    assert old.read_text(encoding="utf-8") == "new"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.skipif(os.name != "posix", reason="the bits of a file's mode are Unix's")
def test_others_may_read_it_as_any_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "ours") as part:
        part.touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("error", [ValueError("not a number"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_what_fails_leaves_the_old_file(old: Path, error: BaseException) -> None:
    def fail() -> None:
        with replacing(old) as part:
            part.write_text("ne", encoding="utf-8")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert old.read_text(encoding="utf-8") == "old"
    assert list(old.parent.iterdir()) == [old]


def test_a_full_disk_is_told_in_words(old: Path) -> None:
    def fill() -> None:
        with replacing(old) as part:
            part.write_text("ne", encoding="utf-8")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"filled up while writing .*table\.csv; make room"):
        fill()
    assert old.read_text(encoding="utf-8") == "old"
    assert list(old.parent.iterdir()) == [old]


def test_a_folder_in_the_way_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(OutputError, match="cannot be written"), replacing(tmp_path / "table.csv") as part:
        part.write_text("new", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_missing_folder_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="none does not exist; make it first"), replacing(tmp_path / "none" / "x"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fsync") or os.name == "nt", reason="Windows opens no folders")
def test_the_disk_has_file_and_name(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, settled = os.fsync, []

    def watch(handle: int) -> None:
        settled.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watch)
    with replacing(old) as part:
        part.write_text("new", encoding="utf-8")
    assert settled == [False, True]
    monkeypatch.setattr(atomic, "WINDOWS", True)
    with replacing(old) as part:
        part.write_text("newer", encoding="utf-8")
    assert settled == [False, True, False]


# --- Windows --------------------------------------------------------------------------------


def test_a_file_that_a_scanner_holds_is_waited_for(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch, old.name, 3)
    with replacing(old) as part:
        part.write_text("new", encoding="utf-8")
    assert old.read_text(encoding="utf-8") == "new"
    assert 0 < held.waited < 2


def test_a_file_that_is_open_is_told_in_words(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch, old.name, 1000)
    with (
        pytest.raises(OutputError, match=r"open in another program or in a viewer layer.*Close"),
        replacing(old) as part,
    ):
        part.write_text("new", encoding="utf-8")
    assert old.read_text(encoding="utf-8") == "old"
    assert list(old.parent.iterdir()) == [old]
    assert held.waited < 2


def test_elsewhere_a_refusal_is_final(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch, old.name, 1)
    monkeypatch.setattr(atomic, "WINDOWS", False)
    with pytest.raises(OutputError, match="permissions"), replacing(old) as part:
        part.write_text("new", encoding="utf-8")
    assert held.waited == 0


@pytest.mark.parametrize("name", ["a.img", "a.hdr"])
def test_of_several_files_all_or_none_are_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = (tmp_path / "a.img", tmp_path / "a.hdr")
    for target in targets:
        target.write_text("old", encoding="utf-8")

    def save() -> None:
        with explained(targets[-1]), replacing_all(targets) as parts:
            for part in parts:
                part.write_text("new", encoding="utf-8")

    Held(monkeypatch, name, 2)
    save()
    assert [target.read_text(encoding="utf-8") for target in targets] == ["new", "new"]
    # the fifth attempt is the last; what was moved aside before comes back
    Held(monkeypatch, name, 5)
    with pytest.raises(OutputError, match="Close it there"):
        save()
    assert [target.read_text(encoding="utf-8") for target in targets] == ["new", "new"]
    assert sorted(tmp_path.iterdir()) == sorted(targets)


def test_a_folder_in_which_something_is_open_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "a.zarr"
    store.mkdir()
    (store / "zarr.json").write_text("{}", encoding="utf-8")
    Held(monkeypatch, store.name, 5)
    with pytest.raises(OutputError, match="Close it there"), explained(store):
        remove_folder(store)
    assert (store / "zarr.json").exists()
    remove_folder(store)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a:b.tif", "':', which Windows forbids"),
        ("what?.tif", "forbids"),
        ("a*.tif", "forbids"),
        ('"a".tif', "forbids"),
        ("a<b.tif", "forbids"),
        ("a>b.tif", "forbids"),
        ("a|b.tif", "forbids"),
        ("a\tb.tif", "forbids"),
        ("cube.", "a dot or a space"),
        ("cube.tif ", "a dot or a space"),
        ("CON", "reserves"),
        ("nul.tif", "reserves"),
        ("Com1.csv", "reserves"),
        ("LPT9", "reserves"),
        ("aux .tar.gz", "reserves"),
    ],
)
def test_names_that_windows_cannot_hold(name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_name(tmp_path / name)
    monkeypatch.setattr(atomic, "WINDOWS", True)
    with pytest.raises(OutputError, match=words):
        check_name(tmp_path / name)
    with pytest.raises(OutputError, match=words), replacing(tmp_path / name):
        pass
    with pytest.raises(OutputError, match=words):
        check_name(tmp_path / name / "cube.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a b.tif", "console.tif", "com10", "com.tif", ".hidden", "Düne 1.hdr", "a;b,c&d.tif"])
def test_names_that_windows_can_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "WINDOWS", True)
    check_name(tmp_path / ".." / tmp_path.name / name)
    check_name(Path(".") / name)


def test_a_path_too_long_for_windows_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "WINDOWS", True)

    def refuse(*args: Any, **keywords: Any) -> str:
        raise FileNotFoundError(errno.ENOENT, "The system cannot find the path specified", "x" * 300)

    monkeypatch.setattr(atomic.tempfile, "mkdtemp", refuse)
    with pytest.raises(OutputError, match="longer than the 259 characters"), replacing(tmp_path / "a.csv"):
        pass


def test_only_leftovers_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".state.pt.x7w_2.partial").mkdir()
    (tmp_path / ".state.pt.x7w_2.partial" / "state.pt").touch()
    (tmp_path / "mine.partial").touch()
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.partial"]
