"""What a cube shows first."""

from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.display import band_limits, first_band, likely_limits

SHAPE = (5, 8, 9)


def cube(levels, **fields):
    values = np.ones(SHAPE) * np.asarray(levels, float)[:, None, None]
    return Cube.from_array(values + np.linspace(0, 0.1, 72).reshape(8, 9), **fields)


def test_green_is_shown_first_where_it_is_good():
    wavelengths = [450.0, 540.0, 552.0, 650.0, 750.0]
    assert first_band(cube([9, 1, 2, 3, 4], wavelengths=wavelengths)) == 2
    assert first_band(cube([9, 1, 2, 3, 4], wavelengths=wavelengths, good_bands=[1, 1, 0, 1, 1])) == 1
    # nothing was measured there
    assert first_band(cube([9, 1, np.nan, 3, 4], wavelengths=wavelengths)) == 0


@pytest.mark.parametrize(
    "fields",
    [{}, {"wavelengths": [1000, 1200, 1400, 1600, 2000]},
     {"wavelengths": [500, 550, 600, 700, 800], "spectral_unit": "cm-1"}],
)  # fmt: skip
def test_else_the_brightest_good_band_is(fields):
    assert first_band(cube([1, 4, 3, 9, 2], **fields)) == 3
    assert first_band(cube([1, 4, 3, 9, 2], good_bands=[1, 1, 1, 0, 1], **fields)) == 1
    assert first_band(cube([np.nan, 4, 3, np.nan, 2], **fields)) == 1


def test_an_empty_cube_shows_some_band():
    assert 0 <= first_band(cube([np.nan] * 5)) < 5
    assert 0 <= first_band(cube([1] * 5, good_bands=[0] * 5)) < 5


def test_each_band_has_its_limits():
    seen = cube([1, 4, 3, 9, 2], good_bands=[1, 1, 1, 0, 1])
    for band, level in enumerate([1, 4, 3, 9, 2]):
        low, high = band_limits(seen, band)
        assert level < low < level + 0.01 < level + 0.09 < high < level + 0.1
    assert band_limits(cube([np.nan] * 5), 2) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("dtype", "fields", "expected"),
    [("u1", {}, (0, 255)), ("u2", {}, (0, 10000)), ("i2", {"scale": 1e-4}, (0, 1)), ("f4", {}, (0, 1)),
     ("i2", {"scale": -1e-4}, (-1, 0)), ("u1", {"scale": 0.0}, (0, 1))],
)  # fmt: skip
def test_likely_limits_are_told_without_reading(dtype, fields, expected):
    unread = Cube.from_array(np.zeros(SHAPE, dtype), **fields)
    assert likely_limits(unread) == pytest.approx(expected)
