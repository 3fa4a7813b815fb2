"""Clean cubes: what is taken out, what is left alone, and that it can be put back."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch

from napari_specfusion.data import surveying
from napari_specfusion.data.clean import Cleaning
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.surveying import survey_values


def values(dtype="f8", bands=4):
    return np.random.default_rng(0).random((bands, 24, 20)).astype(dtype)


def cleaning(cube, *, whole=True):
    return Cleaning.of(survey_values(cube, whole=whole))


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2", "i2"])
def test_a_clean_cube_stays_the_same_object(dtype):
    array = values() * (1 if dtype[0] == "f" else 10_000)
    cube = Cube.from_array(array.astype(dtype))
    assert cleaning(cube).apply(cube) is cube


def test_odd_values_are_missing_in_every_way_of_reading():
    array = values("f4")
    array[1, 2, 3], array[3, 5, 6] = -9999, 1e25
    want = np.where(np.abs(array) > 1, np.float32(np.nan), array)
    for cube in (Cube.from_array(array), Cube(da.from_array(array, chunks=(2, 10, 10)))):
        clean = cleaning(cube).apply(cube)
        for read in (clean.read(), clean.values.compute(), clean.in_memory().read()):
            np.testing.assert_array_equal(read, want)
        np.testing.assert_array_equal(clean.read(slice(1, 4), slice(2, 9)), want[:, 1:4, 2:9])
        np.testing.assert_array_equal(clean.spectrum(2, 3), want[:, 2, 3])
        np.testing.assert_array_equal(clean.select([3, 1]).read(), want[[3, 1]])
        assert clean.may_miss


def test_integers_keep_their_scale_and_declared_no_data():
    array = (values() * 10_000).astype("i2")
    array[0, 0, 0], array[1, 1, 1] = -32768, -9999
    cube = Cube.from_array(array, nodata=-9999, scale=np.full(4, 1e-4), offset=0.5)
    clean = cleaning(cube).apply(cube)
    want = cube.read()
    want[0, 0, 0] = np.nan
    np.testing.assert_array_equal(clean.read(), want)
    np.testing.assert_array_equal(clean.values.compute(), want)
    assert clean.nodata is None
    assert clean.is_physical


def test_a_sampled_clean_cube_reads_the_same(monkeypatch):
    monkeypatch.setattr(surveying, "SAMPLE_PIXELS", 320)
    cube = Cube.from_array(values("f4"))
    clean = cleaning(cube, whole=False).apply(cube)
    assert clean is not cube
    np.testing.assert_array_equal(clean.read(), cube.read())


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e9, -1e5])
def test_an_offset_leaves_no_trace(offset):
    array = values()
    cube = Cube.from_array(array + offset)
    part = cleaning(cube)
    clean = part.apply(cube)
    np.testing.assert_array_equal(part.level, offset)
    np.testing.assert_allclose(clean.read(), array, rtol=0, atol=2e-16 * abs(offset))
    np.testing.assert_array_equal(clean.values.compute(), clean.read())
    np.testing.assert_array_equal(part.restore(torch.as_tensor(clean.read())).numpy(), cube.read())


def test_the_contrast_of_integers_with_a_large_offset_survives_single_precision():
    array = (values() * 1000).astype("u2")
    cube = Cube.from_array(array, offset=1e9, scale=1.0)
    clean = cleaning(cube).apply(cube)
    assert clean.read().dtype == np.float32
    np.testing.assert_array_equal(np.diff(clean.read(), axis=1), np.diff(array.astype("f4"), axis=1))
    missing = cube.replace(nodata=float(array[0, 0, 0]))
    assert np.isnan(cleaning(missing).apply(missing).read()[0, 0, 0])


def test_a_dim_band_beside_bright_ones_is_left_alone():
    array = values()
    array[2] = 0.5 + 1e-3 * array[2]
    assert not cleaning(Cube.from_array(array)).moves


def test_a_constant_band_becomes_zero():
    array = values("f4")
    array[2] = 1e6
    cube = Cube.from_array(array)
    part = cleaning(cube)
    clean = part.apply(cube).read()
    assert not clean[2].any()
    np.testing.assert_array_equal(np.delete(clean, 2, 0), np.delete(array, 2, 0))
    np.testing.assert_array_equal(part.restore(torch.as_tensor(clean)).numpy(), array)


@pytest.mark.parametrize("size", [3e38, 1e30, 1e-30])
def test_extreme_units_are_taken_out_exactly(size):
    array = (values() * size).astype("f4")
    cube = Cube.from_array(array)
    part = cleaning(cube)
    clean = part.apply(cube).read()
    assert 1 <= clean.max() < 2
    np.testing.assert_array_equal(part.restore(torch.as_tensor(clean)).numpy(), array)
    # what a method overshoots stays finite
    assert torch.isfinite(part.restore(torch.as_tensor(4 * clean))).all()


def test_one_band_in_other_units_does_not_drown_the_others():
    array = values()
    array[1] *= 1e20
    clean = cleaning(Cube.from_array(array)).apply(Cube.from_array(array)).read()
    assert clean[1].max() < 4
    np.testing.assert_array_equal(clean[0], array[0])
