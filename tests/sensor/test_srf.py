"""Spectral responses: named, read, given."""

from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.errors import ReadError, SceneError
from napari_specfusion.sensor.srf import ANALYTIC_SRFS, Srf, analytic_srf, as_srf, read_srf

GRID = np.arange(400.0, 1001.0, 10.0)


@pytest.mark.parametrize("name", ANALYTIC_SRFS)
def test_analytic_responses_weigh_their_own_wavelengths(name):
    srf = analytic_srf(name, GRID)
    assert srf.names == tuple(ANALYTIC_SRFS[name])
    np.testing.assert_allclose(srf.matrix.sum(axis=1), 1)
    assert (srf.matrix >= 0).all()
    centres = [centre for centre, _ in ANALYTIC_SRFS[name].values()]
    # a wide one is cut off where the grid begins
    np.testing.assert_allclose(GRID[srf.matrix.argmax(axis=1)], centres, atol=5)


def test_a_flat_spectrum_stays_flat():
    flat = np.full((len(GRID), 3, 4), 0.25)
    seen = analytic_srf("rgbn", GRID).apply(flat)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, 0.25, rtol=1e-6)


def test_the_offset_is_added():
    srf = Srf(np.eye(2, 3), offset=np.array([1.0, 2.0]))
    assert (srf.guide_bands, srf.bands) == (2, 3)
    np.testing.assert_array_equal(srf.apply(np.ones((3, 1, 1)))[:, 0, 0], [2, 3])


def test_what_a_response_does_not_weigh_it_does_not_see():
    values = np.ones((3, 1, 3))
    values[0, 0, 1] = values[2, 0, 2] = np.nan
    seen = Srf(np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1e-30]])).apply(values)
    np.testing.assert_array_equal(seen[:, 0], [[2, 2, np.nan], [2, np.nan, 2]])


def test_bands_left_out_leave_a_flat_spectrum_flat():
    srf = analytic_srf("rgb", GRID)
    missing = (GRID > 580) & (GRID < 620)
    rest = srf.without(missing)
    assert rest.names == srf.names
    assert not rest.matrix[:, missing].any()
    np.testing.assert_allclose(rest.matrix.sum(axis=1), 1)
    flat = np.full((len(GRID), 2, 2), 0.25)
    flat[missing] = np.nan
    np.testing.assert_allclose(rest.apply(flat), 0.25, rtol=1e-6)
    assert srf.without(np.zeros(len(GRID), bool)) is srf
    with pytest.raises(SceneError, match="Guide band red covers only bands without data"):
        srf.without(srf.matrix[0] > 0)


def test_a_table_is_interpolated(tmp_path):
    path = tmp_path / "srf.csv"
    path.write_text("nm,left,right\n400,1,0\n500,1,1\n600,0,1\n", encoding="utf-8")
    srf = read_srf(path, [390, 450, 550, 650])
    assert srf.names == ("left", "right")
    np.testing.assert_allclose(srf.matrix, [[0, 1 / 1.5, 0.5 / 1.5, 0], [0, 0.5 / 1.5, 1 / 1.5, 0]])


def test_the_response_of_the_cave_benchmark(data_dir):
    srf = read_srf(data_dir / "srf" / "nikon_d700_cave.csv", np.arange(400.0, 701.0, 10.0))
    assert srf.names == ("red", "green", "blue")
    assert srf.matrix.shape == (3, 31)


@pytest.mark.parametrize(
    "text",
    ["", "nm,a\n", "nm,a\n400,x\n", "nm\n400\n500\n", "nm,a\n500,1\n400,1\n", "nm,a\n400,1\n500,1,2\n"],
)
def test_files_that_are_no_table(text, tmp_path):
    path = tmp_path / "srf.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match=r"srf\.csv"):
        read_srf(path, GRID)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ReadError, match=r"gone\.csv"):
        read_srf(tmp_path / "gone.csv", GRID)


def test_a_band_that_sees_nothing_is_named():
    with pytest.raises(SceneError, match="blue"):
        analytic_srf("rgb", [600.0, 650.0, 700.0])
    with pytest.raises(SceneError, match="units"):
        analytic_srf("rgb", [0.4, 0.5, 0.6])


def test_whatever_stands_for_a_response(tmp_path):
    srf = analytic_srf("rgb", GRID)
    assert as_srf(srf, None, len(GRID)) is srf
    assert as_srf("rgb", GRID, len(GRID)).names == srf.names
    assert as_srf(np.ones(len(GRID)), None, len(GRID)).guide_bands == 1
    path = tmp_path / "srf.csv"
    path.write_text("nm,pan\n300,1\n1200,1\n", encoding="utf-8")
    for name in (path, str(path)):
        np.testing.assert_allclose(as_srf(name, GRID, len(GRID)).matrix, 1 / len(GRID))


@pytest.mark.parametrize(
    ("srf", "wavelengths", "words"),
    [
        ("rgb", None, "wavelengths"),
        ("xyz", GRID, "choose one of"),
        (np.ones((3, 5)), GRID, "5 columns"),
        (np.full((1, len(GRID)), np.nan), GRID, "finite"),
        (np.ones((2, 2, 2)), GRID, "matrix"),
    ],
)
def test_what_is_no_response(srf, wavelengths, words):
    with pytest.raises(SceneError, match=words):
        as_srf(srf, wavelengths, len(GRID))


def test_a_wrong_offset_or_cube():
    with pytest.raises(SceneError, match="offset"):
        Srf(np.ones((2, 3)), offset=np.zeros(3))
    with pytest.raises(SceneError, match="response has 3 bands"):
        Srf(np.ones((2, 3))).apply(np.ones((4, 2, 2)))
