"""Which axis holds the bands: the rules, every reader with unnamed axes, and what is said where they know little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import h5py
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene, cube_findings
from napari_specfusion.errors import CubeError, ReadError
from napari_specfusion.io import as_cube, open_cube
from napari_specfusion.io.metadata.axes import candidates, find_band_axis, named_axis, order_of

if TYPE_CHECKING:
    from pathlib import Path


def save_npy(folder: Path, values: np.ndarray[Any, Any]) -> Path:
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


def save_npz(folder: Path, values: np.ndarray[Any, Any]) -> Path:
    np.savez(folder / "x.npz", values)
    return folder / "x.npz"


def save_mat(folder: Path, values: np.ndarray[Any, Any]) -> Path:
    savemat(folder / "x.mat", {"cube": values})
    return folder / "x.mat"


def save_hdf5(folder: Path, values: np.ndarray[Any, Any]) -> Path:
    with h5py.File(folder / "x.h5", "w") as file:
        file["cube"] = values
    return folder / "x.h5"


def save_zarr(folder: Path, values: np.ndarray[Any, Any]) -> Path:
    zarr.create_array(folder / "x.zarr", data=values)
    return folder / "x.zarr"


SAVERS = {"npy": save_npy, "npz": save_npz, "mat": save_mat, "h5": save_hdf5, "zarr": save_zarr}

# shape of the array, axis of its bands, whether the user has to be told
PUBLIC = [
    ((145, 145, 200), 2, False),  # Indian Pines
    ((15, 20, 507), 2, False),  # a Raman map
    ((610, 340, 103), 2, False),  # Pavia University
    ((1096, 715, 102), 2, False),  # Pavia Centre
    ((512, 614, 224), 2, False),  # AVIRIS scenes
    ((512, 217, 204), 2, True),  # Salinas: 512 bands of 217 x 204 would do as well
    ((83, 86, 204), 2, True),  # a part of it
    ((349, 1905, 144), 2, False),  # Houston
    ((1476, 256, 145), 2, True),  # Botswana
    ((307, 1280, 191), 2, True),  # Washington DC
    ((31, 512, 512), 0, False),  # CAVE
    ((512, 482, 31), 2, False),
    ((224, 1000, 1100), 0, False),
    ((3, 480, 640), 0, False),  # guides
    ((480, 640, 4), 2, False),
    ((1, 480, 640), 0, False),
    ((1268, 173, 1235), 1, True),  # lines of a scanner, as PRISMA has them
    ((6, 7, 8), 0, True),
    ((64, 64, 64), 0, True),
    ((1, 1, 1), 0, False),
    ((2000, 1, 1), 0, False),
]


@pytest.mark.parametrize(("shape", "axis", "weak"), PUBLIC)
def test_shapes_of_public_files(shape: tuple[int, int, int], axis: int, weak: bool) -> None:
    found = find_band_axis(shape)
    assert (found.axis, found.certainty == "weak") == (axis, weak)


@pytest.mark.parametrize("kind", SAVERS)
def test_two_equal_axes_leave_the_third(kind: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (15, 15, 20)).astype("u2")
    for index, axis in enumerate((2, 0, 1)):
        stored = np.moveaxis(values, 2, axis)
        folder = tmp_path / str(index)
        folder.mkdir()
        cube = open_cube(SAVERS[kind](folder, stored))
        np.testing.assert_array_equal(cube.data.compute(), np.moveaxis(stored, axis, 0))
        assert "findings" not in cube.metadata


@pytest.mark.parametrize("kind", SAVERS)
def test_a_map_of_long_spectra(kind: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((15, 20, 507))
    cube = open_cube(SAVERS[kind](tmp_path, values))
    np.testing.assert_array_equal(cube.data.compute(), values.transpose(2, 0, 1))
    assert "findings" not in cube.metadata


@pytest.mark.parametrize("kind", SAVERS)
def test_weak_evidence_is_told_and_settled_by_axes(kind: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((30, 10, 12))
    path = SAVERS[kind](tmp_path, values)
    cube = open_cube(path)
    # MATLAB's custom is bands last, though the shape speaks for the first
    if kind != "mat":
        assert cube.shape == (12, 30, 10) or cube.shape == (30, 10, 12)
    (finding,) = cube_findings(cube)
    assert finding.level == "warning" and "(30 x 10 x 12) holds the bands" in finding.message
    for axes in ("byx", "bxy", "yxb", "xyb", "ybx", "xby"):
        settled = open_cube(path, axes=axes)
        np.testing.assert_array_equal(settled.data.compute(), values.transpose([axes.index(a) for a in "byx"]))
        assert "findings" not in settled.metadata
    for wrong in ("yx", "cyx", "byxx", ""):
        with pytest.raises(ReadError, match="does not fit"):
            open_cube(path, axes=wrong)
    given_count = open_cube(path, wavelengths=np.linspace(400, 900, 10))
    assert given_count.shape == (10, 30, 12) and "findings" not in given_count.metadata


def test_a_scene_passes_the_findings_of_its_cubes_on(tmp_path: Path) -> None:
    hsi = open_cube(save_npy(tmp_path, np.random.default_rng(0).random((6, 7, 8))))
    guide = Cube.from_array(np.random.default_rng(1).random((3, 14, 16)), metadata={"findings": [["info", "odd"], 3]})
    findings = Scene(hsi, guide).check()
    told = [(f.level, f.topic) for f in findings if f.topic in {"cube", "guide"}]
    assert told == [("warning", "cube"), ("info", "guide")]
    assert cube_findings(guide.replace(metadata={"findings": 3})) == ()


def test_a_doubt_stays_with_what_is_saved(tmp_path: Path) -> None:
    cube = open_cube(save_npy(tmp_path, np.random.default_rng(0).random((6, 7, 8))))
    cube.save(tmp_path / "y.npz")
    again = open_cube(tmp_path / "y.npz")
    # its axes are known now, but nobody has settled what they were in the first file
    assert cube_findings(again) == cube_findings(cube) and "uncertain_axes" not in again.metadata


@pytest.mark.parametrize("make", [np.asarray, da.from_array, list])
def test_arrays_have_their_bands_first_and_doubts_are_told(make: Any) -> None:
    values = np.random.default_rng(0).random((15, 15, 20))
    cube = as_cube(make(values))
    np.testing.assert_array_equal(cube.data.compute(), values)
    (finding,) = cube_findings(cube)
    assert finding.level == "warning"
    assert 'axes="yxb" for 20 bands of 15 x 15' in finding.message
    settled = as_cube(make(values), axes="yxb")
    np.testing.assert_array_equal(settled.data.compute(), values.transpose(2, 0, 1))
    assert cube_findings(settled) == ()
    assert cube_findings(as_cube(make(values[:10, :12, :14]))) == (), "what is documented is no reason to doubt"
    assert as_cube(make(values[0]), axes="xy").shape == (1, 20, 15)
    with pytest.raises(ReadError, match="does not fit the shape"):
        as_cube(make(values), axes="yx")
    with pytest.raises(CubeError, match="already has named axes"):
        as_cube(cube, axes="yxb")


def test_names_of_dimensions_win(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((15, 15, 20))
    zarr.create_array(tmp_path / "3.zarr", data=values, dimension_names=["wavelength", "y", "x"])
    zarr.create_array(
        tmp_path / "2.zarr", data=values, zarr_format=2, attributes={"_ARRAY_DIMENSIONS": ["y", "b", "x"]}
    )
    assert open_cube(tmp_path / "3.zarr").shape == (15, 15, 20)
    assert open_cube(tmp_path / "2.zarr").shape == (15, 15, 20)
    np.testing.assert_array_equal(open_cube(tmp_path / "2.zarr").data.compute(), values.transpose(1, 0, 2))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["cube"] = values
        for axis, label in enumerate(("channel", "y", "x")):
            file["cube"].dims[axis].label = label
    assert open_cube(tmp_path / "x.h5").shape == (15, 15, 20)


@pytest.mark.parametrize(
    ("names", "axis"),
    [
        (("y", "x", "band"), 2),
        (("Wavelength", "lat", "lon"), 0),
        (("row", "time", "col"), 1),
        (("a", "b", "c"), None),
        ((None, "", "x"), None),
        (("band", "x", "wavelength"), None),
    ],
)
def test_names_of_axes(names: tuple[str | None, ...], axis: int | None) -> None:
    assert named_axis(names) == axis


SIZES = st.integers(1, 3000)


@given(st.tuples(SIZES, SIZES, SIZES), st.none() | SIZES, st.none() | st.integers(0, 2))
def test_rules_hold_for_every_shape(shape: tuple[int, int, int], count: int | None, usual: int | None) -> None:
    found = find_band_axis(shape, count, usual=usual)
    assert found.axis in {0, 1, 2} and found.reason
    fitting = [axis for axis in range(3) if shape[axis] == count]
    if len(fitting) == 1:
        assert (found.axis, found.certainty) == (fitting[0], "certain")
    elif not fitting and len(set(shape)) == 2:
        assert shape.count(shape[found.axis]) == 1 and found.certainty == "likely"
    elif not fitting and len(set(shape)) == 3 and usual is not None:
        assert found.axis == usual
    assert find_band_axis(shape, count, named=1).axis == 1
    # turned round, the array tells the same
    if len(set(shape)) == 3 and not fitting and usual is None:
        turned = find_band_axis(shape[::-1], count)
        assert (turned.axis, turned.certainty) == (2 - found.axis, found.certainty)


@given(st.tuples(SIZES, SIZES, SIZES), st.permutations("byx"))
def test_every_order_can_be_named(shape: tuple[int, int, int], letters: list[str]) -> None:
    order = order_of("".join(letters), shape, "x")
    assert sorted(order) == [0, 1, 2] and [letters[axis] for axis in order] == ["b", "y", "x"]
    assert list(candidates(shape)) == ["byx", "ybx", "yxb"]
