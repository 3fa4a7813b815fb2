"""Zarr stores: this package's own, other OME-Zarr, and plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

CUBE = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)


def save(path: Path, values: np.ndarray, axes: str, version: str = "0.5", **specfusion: Any) -> Path:
    group = zarr.create_group(path)
    group.create_array("0", data=values, chunks=(4,) * values.ndim)
    image = {
        "axes": [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}]}],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    else:
        group.attrs["multiscales"] = [image | {"version": version}]
    if specfusion:
        group.attrs["specfusion"] = specfusion
    return path


def test_description_comes_back(tmp_path: Path) -> None:
    described = {
        "wavelengths": [400.0, 500.0, 600.0, 700.0, 800.0],
        "spectral_unit": "nm",
        "fwhm": None,
        "good_bands": [True, True, False, True, True],
        "nodata": None,
        "scale": [1.0, 2.0, 1.0, 1.0, 1.0],
        "offset": 0.5,
        "name": "fused",
        "affine": [1.0, 0.0, 5.0, 0.0, -1.0, 6.0],
        "crs": "EPSG:32633",
        "pixel_size": [1.0, 1.0],
        "something new": 1,
    }
    cube = open_cube(save(tmp_path / "x.zarr", CUBE, "cyx", **described))
    np.testing.assert_array_equal(cube.data.compute(), CUBE)
    np.testing.assert_allclose(cube.spectrum(1, 2), CUBE[:, 1, 2] * [1, 2, 1, 1, 1] + 0.5)
    np.testing.assert_allclose(cube.wavelengths, described["wavelengths"])
    assert cube.good.sum() == 4
    assert cube.nodata is None
    assert (cube.name, cube.crs) == ("fused", "EPSG:32633")
    assert cube.affine == (1, 0, 5, 0, -1, 6)
    assert cube.pixel_size == (1, 1)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("axes", "order"), [("cyx", (0, 1, 2)), ("yxc", (1, 2, 0)), ("yx", None), ("tcyx", (0, 1, 2))])
def test_axes(axes: str, order: tuple[int, int, int] | None, version: str, tmp_path: Path) -> None:
    want = CUBE[:1] if order is None else CUBE
    stored = CUBE[0] if order is None else CUBE.transpose(order)
    cube = open_cube(save(tmp_path / "x.zarr", stored[None] if axes[0] == "t" else stored, axes, version))
    np.testing.assert_array_equal(cube.data.compute(), want)
    np.testing.assert_array_equal(cube.spectrum(2, 3), want[:, 2, 3])
    np.testing.assert_array_equal(cube.read(slice(1, 4), slice(2, 6)), want[:, 1:4, 2:6])


def test_plain_array_in_a_folder_of_another_name(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "cube", data=CUBE)
    np.testing.assert_array_equal(open_cube(tmp_path / "cube").data.compute(), CUBE)


def test_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ReadError, match="is no Zarr store"):
        open_cube(tmp_path / "empty.zarr")
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(ReadError, match="without an OME-Zarr image"):
        open_cube(tmp_path / "group.zarr")
    with pytest.raises(ReadError, match=r"axes tcyx of shape \(2, 5, 6, 7\)"):
        open_cube(save(tmp_path / "movie.zarr", np.stack([CUBE, CUBE]), "tcyx"))
    with pytest.raises(ReadError, match=r"axes cyx for shape \(5, 6, 7, 1\)"):
        open_cube(save(tmp_path / "four.zarr", CUBE[..., None], "cyx"))
    (tmp_path / "group.zarr" / "zarr.json").write_text("{ not json")
    with pytest.raises(ReadError, match="cannot be read as Zarr"):
        open_cube(tmp_path / "group.zarr")
    with pytest.raises(ReadError, match="wavelengths has 2 entries"):
        open_cube(save(tmp_path / "lies.zarr", CUBE, "cyx", wavelengths=[1.0, 2.0]))
