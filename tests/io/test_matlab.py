"""MATLAB files, old and new: which array, and which of its axes holds the bands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

CUBE = np.arange(6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)


def save(path: Path, version: str, **variables: Any) -> Path:
    """Write variables as MATLAB would: "4", "5" through scipy, "7.3" as HDF5 with reversed axes."""
    if version != "7.3":
        savemat(path, variables, format=version)
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            array = np.atleast_2d(value)
            words = {"f": "double", "U": "char"}
            kind = words.get(array.dtype.kind, array.dtype.name)
            stored = array.T if array.dtype.kind != "U" else np.frombuffer(str(value).encode("utf-16-le"), "u2")
            file.create_dataset(name, data=stored).attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(512))
    return path


@pytest.fixture(params=["5", "7.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def same(path: Path, values: NDArray[Any], **options: Any) -> None:
    cube = open_cube(path, **options)
    np.testing.assert_array_equal(cube.data.compute(), values)
    np.testing.assert_array_equal(cube.spectrum(2, 3), values[:, 2, 3])
    np.testing.assert_array_equal(cube.read(slice(1, 4), slice(2, 6)), values[:, 1:4, 2:6])


def test_largest_cube_with_bands_last(version: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", version, small=CUBE[:, :, :2], HSI=CUBE, label=np.zeros((50, 50)), note="text")
    same(path, CUBE.transpose(2, 0, 1))
    assert open_cube(path).name == "HSI"
    same(path, CUBE[:, :, :2].transpose(2, 0, 1), variable="small")
    same(path, CUBE, band_axis=0)


@pytest.mark.parametrize(("axis", "count"), [(0, 6), (1, 7), (2, 8)])
def test_wavelengths_find_the_band_axis(axis: int, count: int, version: str, tmp_path: Path) -> None:
    wavelengths = np.linspace(400, 1000, count)
    path = save(tmp_path / "a.mat", version, data=CUBE, wl=wavelengths)
    same(path, np.moveaxis(CUBE, axis, 0))
    np.testing.assert_allclose(open_cube(path).wavelengths, wavelengths)
    path = save(tmp_path / "b.mat", version, data=CUBE)
    same(path, np.moveaxis(CUBE, axis, 0), wavelengths=wavelengths)


def test_other_vectors_are_no_wavelengths(version: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", version, data=CUBE, bands=np.arange(8.0) + 1, wl=np.array([5.0] * 8))
    assert open_cube(path).wavelengths is None


def test_unfolded_image(version: str, tmp_path: Path) -> None:
    bands_first = CUBE.transpose(2, 0, 1)
    unfolded = CUBE.reshape(42, 8, order="F").T
    path = save(tmp_path / "a.mat", version, Y=unfolded, nRow=6.0, nCol=7.0, M=np.zeros((8, 4)))
    same(path, bands_first)
    same(save(tmp_path / "b.mat", version, Y=unfolded.T), bands_first, size=(6, 7))
    with pytest.raises(ReadError, match=r"no height and width that unfold it\. Give size="):
        open_cube(tmp_path / "b.mat")
    with pytest.raises(ReadError, match="no height and width"):
        open_cube(tmp_path / "b.mat", size=(5, 7))
    assert open_cube(tmp_path / "b.mat", variable="Y").shape == (1, 42, 8)


def test_candidates_are_named(version: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", version, left=CUBE, right=CUBE, text="hello")
    with pytest.raises(ReadError, match=r"left \(6 x 7 x 8\), right \(6 x 7 x 8\).*variable="):
        open_cube(path)
    with pytest.raises(ReadError, match="no variable 'middle'; choose among left"):
        open_cube(path, variable="middle")
    with pytest.raises(ReadError, match="'text' is no image"):
        open_cube(path, variable="text")


def test_nothing_to_open(version: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no numeric 2-D or 3-D array"):
        open_cube(save(tmp_path / "a.mat", version, text="hello", one=1.0))


def test_version_4(tmp_path: Path) -> None:
    same(save(tmp_path / "a.mat", "4", image=CUBE[0]), CUBE[:1], variable="image")


def test_complex(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="complex"):
        open_cube(save(tmp_path / "a.mat", "5", data=CUBE * 1j))


def test_dataset_object(tmp_path: Path) -> None:
    scales = np.empty((2, 2), object)
    scales[:] = [["", ""], [np.linspace(500.5, 1800, 8), ""]]
    record = {"data": CUBE.reshape(42, 8, order="F"), "imagesize": [6, 7], "axisscale": scales, "name": "map"}
    cube = open_cube(save(tmp_path / "a.mat", "5", map1=record))
    np.testing.assert_array_equal(cube.data.compute(), CUBE.transpose(2, 0, 1))
    assert cube.spectral_unit == "cm-1"
    assert cube.name == "map"
    assert "cm-1" in cube.metadata["notes"][0]


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.mat", "7.3", data=CUBE)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ReadError, match=r"napari-specfusion\[hdf\]"):
        open_cube(path)
