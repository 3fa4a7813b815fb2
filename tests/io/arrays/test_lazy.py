"""Arrays in files: indexed like numpy's, in memory that grows with what is asked for."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_specfusion.io.arrays.lazy import BlockArray, Box

SHAPE = (4, 5, 6)
VALUES = np.arange(120).reshape(SHAPE)


@dataclass(frozen=True, eq=False)
class Counted(BlockArray):
    """Whose values are their places, made as they are asked for."""

    def _read(self, box: Box) -> NDArray[Any]:
        bands, rows, columns = (np.arange(s.start, s.stop) for s in box)
        _, height, width = self.stored_shape
        return (bands[:, None, None] * height + rows[:, None]) * width + columns


def picks(length: int) -> st.SearchStrategy[Any]:
    """Return integers, slices, lists of places, and masks."""
    places = st.integers(-length, length - 1)
    return st.one_of(places, st.slices(length), st.lists(places, min_size=1, max_size=7).map(np.array))


@given(index=st.tuples(*(picks(n) for n in SHAPE)))
def test_every_index_as_numpy_takes_it_axis_by_axis(index: tuple[Any, ...]) -> None:
    want: NDArray[Any] = VALUES
    for axis, part in reversed(list(enumerate(index))):
        want = want[(slice(None),) * axis + (part,)]
    np.testing.assert_array_equal(Counted("file", SHAPE, "<i8", (0, 1, 2))[index], want)


def test_masks_and_missing_axes() -> None:
    array = Counted("file", SHAPE, "<i8", (0, 1, 2))
    mask = np.array([True, False, True, False, False])
    np.testing.assert_array_equal(array[:, mask], VALUES[:, mask])
    np.testing.assert_array_equal(array[2], VALUES[2])


@pytest.mark.parametrize("index", [4, -5, [0, 4]])
def test_places_outside_are_refused(index: Any) -> None:
    with pytest.raises(IndexError):
        Counted("file", SHAPE, "<i8", (0, 1, 2))[index]


def test_one_pixel_of_an_absurdly_large_image_costs_little() -> None:
    array = Counted("file", (3, 10**11, 10**6), "<i8", (0, 1, 2))
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(array[:, 7, 5], np.arange(3) * 10**17 + 7 * 10**6 + 5)
        assert array[0, :10, ::500_000].shape == (10, 2)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
