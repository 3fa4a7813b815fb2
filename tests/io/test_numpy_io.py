"""NPY and NPZ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube

CUBE = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">f4", "<f8", "|u1"])
def test_npy(dtype: str, order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(CUBE, dtype, order=order))  # type: ignore[call-overload]
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), CUBE)
    np.testing.assert_array_equal(cube.spectrum(2, 3), CUBE[:, 2, 3])
    np.save(path, np.asarray(CUBE[1], dtype, order=order))  # type: ignore[call-overload]
    np.testing.assert_array_equal(open_cube(path).data.compute(), CUBE[1:2])


@pytest.mark.parametrize("order", ["C", "F"])
def test_band_axis(order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(CUBE.transpose(1, 2, 0), order=order))  # type: ignore[call-overload]
    for cube in (open_cube(path, band_axis=2), open_cube(path, wavelengths=range(400, 405))):
        np.testing.assert_array_equal(cube.data.compute(), CUBE)


def test_npz_with_a_description(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(
        path,
        cube=CUBE.transpose(1, 2, 0),
        mask=np.ones((6, 7)),
        wavelengths=np.arange(900, 400, -100),
        fwhm=np.arange(5.0),
        good_bands=np.array([1, 0, 1, 1, 1]),
    )
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), CUBE[::-1])
    np.testing.assert_allclose(cube.wavelengths, [500, 600, 700, 800, 900])
    np.testing.assert_allclose(cube.fwhm, [4, 3, 2, 1, 0])
    np.testing.assert_array_equal(cube.good, [1, 1, 1, 0, 1])
    assert open_cube(path, variable="mask").shape == (1, 6, 7)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(5),
        np.zeros((2, 2, 2, 2)),
        np.zeros((3, 0, 4)),
        np.array(1.0),
        np.zeros((2, 2, 2), complex),
        np.full((2, 2, 2), "a"),
        np.full((2, 2, 2), None),
    ],
    ids=["1-D", "4-D", "empty", "0-D", "complex", "text", "objects"],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_no_cube(bad: np.ndarray, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "npy":
        np.save(path, bad, allow_pickle=True)
    else:
        np.savez(path, cube=bad, allow_pickle=True)
    with pytest.raises(ReadError, match=path.name):
        open_cube(path)


def test_npz_candidates(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, left=CUBE, right=CUBE)
    with pytest.raises(ReadError, match=r"left .*, right .*variable="):
        open_cube(path)
