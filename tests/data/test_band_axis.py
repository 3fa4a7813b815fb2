"""Bands along the spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.data.band_axis import bad_ranges, band_near, gaps, next_good
from napari_specfusion.data.cube import Cube

GRID = [400.0, 410.0, 420.0, 430.0, 440.0]


def cube(good=None, wavelengths=GRID):
    return Cube.from_array(np.zeros((5, 2, 2)), wavelengths=wavelengths, good_bands=good)


@pytest.mark.parametrize(
    ("wavelength", "band"), [(400, 0), (395, 0), (394, None), (424, 2), (426, 3), (445, 4), (446, None)]
)
def test_the_nearest_band_is_found_where_there_is_one(wavelength, band):
    assert band_near(cube(), wavelength) == band


def test_bad_bands_are_not_near_and_unknown_ones_neither():
    assert band_near(cube([1, 1, 0, 1, 1]), 421) == 3
    assert band_near(cube(wavelengths=None), 400) is None


@pytest.mark.parametrize(
    ("good", "band", "forward", "expected"),
    [([1, 1, 0, 0, 1], 2, True, 4), ([1, 1, 0, 0, 1], 3, False, 1), ([1, 1, 1, 0, 0], 3, True, 2),
     ([0, 0, 1, 1, 1], 0, False, 2), ([1, 1, 1, 1, 1], 3, True, 3), ([0] * 5, 3, True, 3)],
)  # fmt: skip
def test_bad_bands_are_skipped(good, band, forward, expected):
    assert next_good(cube(good), band, forward=forward) == expected


def test_gaps_between_sensors_are_found():
    assert gaps(np.array(GRID)).size == 0
    assert gaps(np.array([400.0, 410, 420, 900, 910, 920, 930])).tolist() == [2]
    assert gaps(np.array([400.0, 900])).size == 0


def test_stretches_of_bad_bands():
    assert bad_ranges(cube()) == []
    assert bad_ranges(cube([0, 1, 0, 0, 1])) == [(395, 405), (415, 435)]
    assert bad_ranges(cube([1, 1, 1, 1, 0], None)) == [(3.5, 4.5)]
