"""A run is continued with the images that it was begun with, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_specfusion import memory
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled, OutputError, SceneError
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.fusion.inputs import describe_inputs, what_changed
from napari_specfusion.io import open_cube, save_cube
from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from pathlib import Path

JOB: dict[str, Any] = {"model": "glp", "tile": 32, "device": "cpu"}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    scene = sample_scene(128, 4)
    return tuple(
        save_cube(cube, tmp_path / name, writer="tiff").paths[-1]
        for name, cube in (("hsi.tif", scene.hsi), ("guide.tif", scene.guide))
    )


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Pairs that are read into memory, and pairs that are too large for that."""
    if request.param == "large":
        monkeypatch.setattr(memory, "KEPT_PAIR", 0)
    return str(request.param)


def stop_after(tiles: int) -> dict[str, Any]:
    seen: list[int] = []

    def progress(event: FusionProgress) -> None:
        seen.append(event.done)

    return {"progress": progress, "should_stop": lambda: bool(seen) and seen[-1] >= tiles}


def change(path: Path, y: int, x: int, *, keep_time: bool) -> None:
    """Change one pixel of an image in place."""
    before = path.stat()
    values = tifffile.memmap(path)
    values[..., y, x] += 1
    values.flush()
    del values
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("changed", ["hsi", "guide"])
@pytest.mark.parametrize("keep_time", [False, True], ids=["new time", "same time"])
@pytest.mark.parametrize("place", [13, 120], ids=["in a finished tile", "elsewhere"])
def test_a_changed_image_is_never_continued_with(
    tmp_path: Path, files: tuple[Path, Path], size: str, changed: str, keep_time: bool, place: int
) -> None:
    out = tmp_path / "r.zarr"
    with pytest.raises(Cancelled):
        fuse(*files, **JOB, out=out, **stop_after(3))
    path = files[changed == "guide"]
    y = x = place if changed == "guide" else place // 4
    change(path, y, x, keep_time=keep_time)
    if size == "large" and keep_time and place > 100:
        pytest.skip("what has not been read yet, in a file that claims to be the same, cannot be known")
    with pytest.raises(OutputError, match=r"(differ|changed).*overwrite=True"):
        fuse(*files, **JOB, out=out)
    fresh = fuse(*files, **JOB)
    again = fuse(*files, **JOB, out=out, overwrite=True)
    np.testing.assert_array_equal(again.read(), fresh.read())


def test_unchanged_images_are_continued_with(tmp_path: Path, files: tuple[Path, Path], size: str) -> None:
    out = tmp_path / "r.zarr"
    whole = fuse(*files, **JOB).read()
    for tiles in (2, 5):
        with pytest.raises(Cancelled):
            fuse(*files, **JOB, out=out, **stop_after(tiles))
    if size == "small":
        # copied meanwhile
        for path in files:
            os.utime(path, (1, 1))
    messages: list[str] = []
    fused = fuse(*files, **JOB, out=out, progress=lambda event: event.step and messages.append(event.step.message))
    np.testing.assert_array_equal(fused.read(), whole)
    assert any("finished tiles" in message for message in messages) is (size == "large")


def test_a_pair_that_changes_during_the_run_is_told(
    tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "KEPT_PAIR", 0)

    def progress(event: FusionProgress) -> None:
        if event.done == 1:
            change(files[1], 100, 100, keep_time=False)

    with pytest.raises(SceneError, match=r"changed while it was being fused.*guide's file"):
        fuse(*files, **JOB, out=tmp_path / "r.zarr", progress=progress)
    with pytest.raises(OutputError, match=r"another pair|finished"):
        fuse(*files, **JOB, out=tmp_path / "r.zarr")


def test_a_deleted_image_ends_in_a_sentence(
    tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "KEPT_PAIR", 0)
    scene = Scene(*(open_cube(path) for path in files))
    with pytest.raises(Cancelled):
        fuse(scene, **JOB, out=tmp_path / "r.zarr", **stop_after(3))
    kept = files[1].read_bytes()
    files[1].unlink()
    with pytest.raises(Exception, match=r"guide\.tif") as caught:
        fuse(scene, **JOB, out=tmp_path / "r.zarr")
    assert type(caught.value).__module__ == "napari_specfusion.errors"
    files[1].write_bytes(kept)
    with pytest.raises(OutputError, match="time of modification of the guide's file"):
        fuse(scene, **JOB, out=tmp_path / "r.zarr")


def test_images_in_memory_are_known_by_all_their_pixels() -> None:
    rng = np.random.default_rng(0)
    low, sharp = rng.random((4, 20, 20)), rng.random((3, 80, 80))
    before = describe_inputs(CalibratedScene(Scene(Cube.from_array(low), Cube.from_array(sharp))))
    again = describe_inputs(CalibratedScene(Scene(Cube.from_array(low.copy()), Cube.from_array(sharp.copy()))))
    assert what_changed(before, again) == ""
    sharp[1, 17, 29] += 1e-9
    now = describe_inputs(CalibratedScene(Scene(Cube.from_array(low), Cube.from_array(sharp))))
    assert what_changed(before, now) == "the pixels of the guide differ"
