"""Results as 16-bit integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled, FusionError, OutputError
from napari_specfusion.fusion.encoding import Encoding
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io import open_cube
from napari_specfusion.io.formats.zarr import pyramid
from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from pathlib import Path

JOB: dict[str, Any] = {"model": "glp", "tile": 32, "device": "cpu"}
SCALE = 1e-4


@pytest.fixture(scope="module")
def scene() -> Scene:
    scene = sample_scene(128, 4)
    hsi = scene.hsi.read().copy()
    hsi[3, 5, 6] = np.nan
    return Scene(Cube.from_array(hsi), scene.guide, 4, psf=scene.psf, shift=scene.shift)


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_values_are_kept_to_half_a_step(tmp_path: Path, scene: Scene, kind: str) -> None:
    out = tmp_path / "r.zarr" if kind == "folder" else None
    plain = fuse(scene, **JOB).read()
    fused = fuse(scene, **JOB, scale=SCALE, out=out)
    assert fused.dtype == np.uint16
    assert (fused.scale, fused.nodata) == (SCALE, 65535)
    for cube in (fused, *([] if out is None else [open_cube(out)])):
        found = cube.read()
        np.testing.assert_array_equal(np.isnan(found), np.isnan(plain))
        assert np.nanmax(np.abs(found - plain.clip(0, 65534 * SCALE))) <= 0.51 * SCALE


def test_levels_average_values_and_leave_no_data_out(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "COARSEST_SIDE", 32)
    fuse(scene, **JOB, out=tmp_path / "plain.zarr")
    fuse(scene, **JOB, scale=SCALE, out=tmp_path / "scaled.zarr")
    plain, scaled = (ResultStore.open(tmp_path / name).levels() for name in ("plain.zarr", "scaled.zarr"))
    assert len(plain) == len(scaled) == 3
    encoding = Encoding(SCALE)
    for expected, stored in zip(plain, scaled, strict=True):
        found = encoding.values(stored.compute())
        np.testing.assert_allclose(found, expected.compute().clip(0), atol=3 * SCALE)


def test_a_run_is_continued_with_the_same_scale(tmp_path: Path, scene: Scene) -> None:
    out, done = tmp_path / "r.zarr", []
    with pytest.raises(Cancelled):
        fuse(
            scene,
            **JOB,
            scale=SCALE,
            out=out,
            progress=lambda event: done.append(event.done),
            should_stop=lambda: max(done, default=0) > 2,
        )
    with pytest.raises(OutputError, match="another job"):
        fuse(scene, **JOB, out=out)
    fused = fuse(scene, **JOB, scale=SCALE, out=out)
    np.testing.assert_array_equal(fused.read(), fuse(scene, **JOB, scale=SCALE).read())


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, "1", True])
def test_a_scale_is_a_positive_number(scene: Scene, scale: Any) -> None:
    with pytest.raises(FusionError, match="positive number"):
        fuse(scene, **JOB, scale=scale)


def test_a_scale_too_small_for_the_cube_is_refused(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(FusionError, match=r"16 bits hold values up to .* give a scale of .* or more"):
        fuse(scene, **JOB, scale=1e-6, out=tmp_path / "r.zarr")
    assert not list(tmp_path.iterdir())
