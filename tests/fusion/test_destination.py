"""Where a result may be written: bad paths are refused first, and an older result is kept until the end."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, OutputError
from napari_specfusion.fusion.destination import destination, state_of
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io import open_cube, save_cube
from napari_specfusion.progress import Watch
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.tiling.tiles import Box

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

INPUTS = {role: {"content": role, "files": [], "windows": ""} for role in ("hsi", "guide")}
JOB: dict[str, Any] = {"model": "glp", "tile": 32, "device": "cpu"}


def begin(path: Path, *, overwrite: bool = False, key: str = "a", inputs: Any = None) -> Path | None:
    """Return the store that a run would continue."""
    with destination(path, [], overwrite=overwrite, watch=Watch()) as place:
        return place.begun(key, inputs or INPUTS)


def store(path: Path, tiles: int, key: str = "a") -> ResultStore:
    """Make a store of two tiles, of which the first `tiles` are written."""
    made = ResultStore.create(path, (3, 40, 40), core=(32, 40), tiles=2, fields={"name": "m"}, key=key, inputs=INPUTS)
    for index, box in enumerate((Box(0, 32, 0, 40), Box(32, 40, 0, 40))[:tiles]):
        made.write(index, box, np.full((3, *box.shape), index, np.float32))
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(64, 4)


@pytest.fixture
def files(tmp_path: Path, scene: Scene) -> tuple[Path, Path]:
    """Return the cube as a Zarr folder and the guide as a TIFF, in a folder of their own."""
    folder = tmp_path / "in"
    folder.mkdir()
    return save_cube(scene.hsi, folder / "hsi.zarr").paths[-1], save_cube(scene.guide, folder / "guide.tif").paths[-1]


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert begin(tmp_path / "new.zarr") is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"does not end in \.zarr"):
        begin(tmp_path / "new.tif")
    with pytest.raises(OutputError, match="does not exist"):
        begin(tmp_path / "nowhere" / "new.zarr")
    (tmp_path / "file.zarr").write_text("precious", encoding="utf-8")
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "thesis.tex").write_text("precious", encoding="utf-8")
    for name in ("file.zarr", "folder.zarr"):
        with pytest.raises(OutputError, match="not a Zarr store"):
            begin(tmp_path / name, overwrite=True)
    (tmp_path / "empty.zarr").mkdir()
    assert begin(tmp_path / "empty.zarr") is None

    def refuse(**_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.raises(OutputError, match="cannot be written to"):
        begin(tmp_path / "new.zarr")


def test_what_may_be_continued_and_replaced(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "foreign.zarr")
    with pytest.raises(OutputError, match="holds another image"):
        begin(tmp_path / "foreign.zarr")
    assert begin(tmp_path / "foreign.zarr", overwrite=True) is None

    path = tmp_path / "r.zarr"
    made = store(path, 1)
    assert begin(path) == path
    assert begin(path, overwrite=True) is None
    with pytest.raises(OutputError, match="holds another job"):
        begin(path, key="b")
    changed = INPUTS | {"guide": INPUTS["guide"] | {"content": "other"}}
    with pytest.raises(OutputError, match=r"another pair: the pixels of the guide differ.*overwrite=True"):
        begin(path, inputs=changed)
    made.write(1, Box(32, 40, 0, 40), np.zeros((3, 8, 40), np.float32))
    with pytest.raises(OutputError, match="finished"):
        begin(path)


def test_a_replacement_is_continued_and_an_abandoned_one_goes(tmp_path: Path) -> None:
    path, new = tmp_path / "r.zarr", tmp_path / ".r.zarr.new"
    store(path, 2, key="old")
    store(new, 1)
    assert begin(path, overwrite=True) == new
    assert begin(path, overwrite=True, key="b") is None
    assert names(tmp_path) == ["r.zarr"]

    store(new, 1)
    shutil.rmtree(path)
    assert begin(path) == path
    assert names(tmp_path) == ["r.zarr"]
    assert ResultStore.open(path).done.tolist() == [True, False]


def test_what_a_killed_process_left_half_done_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "r.zarr"
    store(path, 1)
    for scratch in (".r.zarr.abcdefgh.partial", ".other.zarr.abcdefgh.partial"):
        (tmp_path / scratch / scratch[1:].partition(".abc")[0] / "0").mkdir(parents=True)
    # killed between the two renames of a replacement
    (tmp_path / ".r.zarr.12345678.partial").mkdir()
    path.rename(tmp_path / ".r.zarr.12345678.partial" / "r.zarr.before")
    assert begin(path) == path
    assert names(tmp_path) == [".other.zarr.abcdefgh.partial", "r.zarr"]


def test_a_disk_too_small_is_noticed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    path = tmp_path / "r.zarr"
    store(path, 1)
    with destination(path, [], overwrite=True, watch=Watch()) as place:
        with pytest.raises(OutputError, match=r"too full.*make room.*older result"):
            place.check_room(10**6, None)
        place.check_room(8 * 10**5, None)
        place.check_room(16 * 10**5, path)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["hsi.zarr", "hsi.zarr/0/new.zarr", "guide.tif.zarr/../hsi.zarr", "linked.zarr", "around"]
)
def test_an_input_is_never_written_to(
    tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, name: str, overwrite: bool
) -> None:
    hsi, guide = files
    folder = hsi.parent
    if name == "linked.zarr":
        if sys.platform == "win32":
            pytest.skip("links need a privilege on Windows")
        (folder / name).symlink_to(hsi)
    if name == "around":
        folder = folder.rename(tmp_path / "around.zarr")
        hsi, guide, out = folder / hsi.name, folder / guide.name, folder
        (folder / "zarr.json").write_text("{}", encoding="utf-8")
    else:
        out = folder / name
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for given in (out, os.path.relpath(out)):
        with pytest.raises(OutputError, match="which is read; give another path"):
            fuse(hsi, guide, **JOB, out=given, overwrite=overwrite)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_crop_of_the_result_is_an_input_too(tmp_path: Path, scene: Scene) -> None:
    out = tmp_path / "r.zarr"
    fused = fuse(scene, **JOB, out=out)
    for cube in (fused, open_cube(out), Cube(fused.data[:, :16, :16] * 2)):
        with pytest.raises(OutputError, match="which is read"):
            fuse(cube, scene.guide, **JOB, ratio=1, align=False, out=out, overwrite=True)


def test_the_older_result_stays_until_the_new_one_is_complete(tmp_path: Path, scene: Scene) -> None:
    out = tmp_path / "r.zarr"
    older = fuse(scene, **JOB, out=out).read()
    job = JOB | {"model": "bicubic", "out": out, "overwrite": True}
    counts: list[int] = []
    with pytest.raises(Cancelled):
        fuse(
            scene,
            **job,
            progress=lambda event: counts.append(event.done),
            should_stop=lambda: max(counts, default=0) > 0,
        )
    np.testing.assert_array_equal(open_cube(out).read(), older)
    done: list[int] = []
    fused = fuse(scene, **job, progress=lambda event: event.step or done.append(event.done))
    assert done[0] > 0
    np.testing.assert_array_equal(fused.read(), fuse(scene, **JOB | {"model": "bicubic"}).read())
    np.testing.assert_array_equal(open_cube(out).read(), fused.read())
    assert names(tmp_path) == ["r.zarr"]


def test_what_lies_at_a_path_is_told(tmp_path: Path) -> None:
    scene = sample_scene(32, 4)
    assert state_of(tmp_path / "result.zarr") == "free"
    (tmp_path / "empty.zarr").mkdir()
    assert state_of(tmp_path / "empty.zarr") == "free"
    with pytest.raises(Cancelled):
        written: list[Any] = []
        fuse(
            scene, model="bicubic", tile=16, out=tmp_path / "begun.zarr",
            progress=lambda event: written.append(event.box) if event.box else None, should_stop=lambda: bool(written),
        )  # fmt: skip
    assert state_of(tmp_path / "begun.zarr") == "unfinished"
    fuse(scene, model="bicubic", tile=16, out=tmp_path / "begun.zarr")
    assert state_of(tmp_path / "begun.zarr") == "finished"
    save_cube(scene.hsi, tmp_path / "image.zarr")
    (tmp_path / "text.zarr").write_text("x", encoding="utf-8")
    assert state_of(tmp_path / "image.zarr") == state_of(tmp_path / "text.zarr") == "other"
