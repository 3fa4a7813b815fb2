from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, SpectrumError
from napari_specfusion.spectra import polygon_mask, region_spectra

VALUES = np.random.default_rng(0).normal(5, 2, (6, 20, 15))


@pytest.mark.parametrize("strip", [1, 32_000_000])
def test_means_and_spreads_are_those_of_numpy_however_the_cube_is_read(
    strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "STRIP", strip)
    values = VALUES.copy()
    values[2, 3:9, 4] = np.nan
    values[4] = np.nan
    cube = Cube.from_array(values, wavelengths=np.arange(6) + 400, good_bands=[1, 1, 1, 1, 1, 0], name="c")
    labels = np.random.default_rng(1).integers(0, 4, (20, 15))
    labels[5] = 0
    labels[:, 12:] = -7
    found = region_spectra(cube, labels)
    assert [s.metadata["label"] for s in found] == [-7, 1, 2, 3]
    for spectrum in found:
        inside = values[:, labels == spectrum.metadata["label"]]
        assert spectrum.metadata["pixels"] == inside.shape[1]
        assert np.allclose(spectrum.values[:4], np.nanmean(inside[:4], axis=1))
        assert spectrum.spread is not None
        assert np.allclose(spectrum.spread[:4], np.nanstd(inside[:4], axis=1, ddof=1))
        assert np.isnan(spectrum.values[4:]).all() and np.isnan(spectrum.spread[4:]).all()
    assert found[0].name == "c region -7" and found[0].unit == "nm"


def test_large_values_of_small_spread_keep_it() -> None:
    values = (1e6 + VALUES).astype(np.float64)
    (found,) = region_spectra(values, np.ones((20, 15), bool))
    assert found.spread is not None and np.allclose(found.spread, np.std(VALUES, axis=(1, 2), ddof=1), rtol=1e-6)


def test_a_single_pixel_has_no_spread() -> None:
    mask = np.zeros((20, 15), bool)
    mask[3, 4] = True
    (found,) = region_spectra(VALUES, mask)
    assert np.allclose(found.values, VALUES[:, 3, 4]) and found.spread is not None and not found.spread.any()


class Watched:
    """An array that knows which rows and columns were read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.seen = values, np.zeros(values.shape[1:], bool)
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, at: Any) -> np.ndarray:
        self.seen[at[1:]] = True
        return self.values[at]


def test_only_what_is_around_the_regions_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_specfusion.data.sources import ArraySource

    monkeypatch.setattr(memory, "STRIP", 1)
    array = Watched(VALUES)
    cube = Cube(da.from_array(array, chunks=(6, 20, 15), name="watched"), source=ArraySource(array))
    labels = np.zeros((20, 15), np.uint8)
    labels[2:4, 3:6], labels[10, 9] = 1, 2
    region_spectra(cube, labels)
    assert np.array_equal(array.seen, labels > 0)


def test_it_tells_how_far_it_is_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STRIP", 1)
    told: list[Any] = []
    region_spectra(VALUES, np.ones((20, 15), bool), progress=told.append)
    assert [step.done for step in told] == list(range(20)) and told[0].total == 20
    with pytest.raises(Cancelled, match="no region was averaged"):
        region_spectra(VALUES, np.ones((20, 15), bool), should_stop=lambda: True)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((20, 15), int), "No pixel of .* lies in a region"),
        (np.zeros((20, 15)), "float64"),
        (np.ones((3, 3), int), r"shape \(3, 3\)"),
        ("no", "The labels are"),
        ([[1], [1, 2]], "whole numbers"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, words: str) -> None:
    with pytest.raises(SpectrumError, match=words):
        region_spectra(VALUES, labels)


# --- polygons -----------------------------------------------------------------------------


def test_polygons_by_hand() -> None:
    square = polygon_mask([(0.5, 0.5), (0.5, 3.5), (2.5, 3.5), (2.5, 0.5)], 5, 5)
    assert np.argwhere(square).tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]
    triangle = polygon_mask([(-0.5, -0.5), (-0.5, -0.4), (3.6, 3.7), (3.6, -0.5)], 4, 4)
    assert np.array_equal(triangle, np.tri(4, dtype=bool))
    # a figure of eight, and what lies outside of the image
    assert polygon_mask([(-9, -9), (-9, 20), (20, 20), (20, -9)], 3, 4).all()
    assert not polygon_mask([(7, 7), (7, 9), (9, 9)], 3, 4).any()


points = st.tuples(st.floats(-3, 12), st.floats(-3, 12))


@settings(max_examples=100, deadline=None)
@given(points, points, points, points)
def test_halves_of_a_polygon_share_no_pixel(a: Any, b: Any, c: Any, d: Any) -> None:
    """Of four corners in convex position, or any others, by the rule of even and odd."""
    first, second = polygon_mask([a, b, c], 9, 9), polygon_mask([a, c, d], 9, 9)
    assert np.array_equal(first ^ second, polygon_mask([a, b, c, d], 9, 9))


@pytest.mark.parametrize("corners", [[], [(0, 0), (1, 1)], 3, [(0, 0, 0)] * 3, [(0, np.nan)] * 3, "abc"])
def test_what_is_no_polygon(corners: Any) -> None:
    with pytest.raises(SpectrumError, match="corners"):
        polygon_mask(corners, 4, 4)
