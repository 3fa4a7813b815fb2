"""Tiles: who writes what, who reads what."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion.errors import FusionError
from napari_specfusion.tiling.tiles import Box, Footprint, TileGrid, padded_shape

RATIOS = [Fraction(2), Fraction(3), Fraction(4), Fraction(5, 2), Fraction(10, 3), Fraction(8)]


@st.composite
def grids(draw):
    ratio = draw(st.sampled_from(RATIOS))
    footprint = Footprint(halo=draw(st.integers(0, 20)), stride=draw(st.sampled_from([1, 4, 6, 16])))
    shape = padded_shape((draw(st.integers(1, 90)), draw(st.integers(1, 90))), ratio, draw(st.sampled_from([1, 4])))
    return TileGrid(shape, ratio, footprint, draw(st.one_of(st.none(), st.integers(1, 60))))


@settings(max_examples=200, deadline=None)
@given(grids())
def test_cores_partition_the_image(grid):
    written = np.zeros(grid.shape, int)
    for tile in grid:
        written[tile.core.slices] += 1
    assert np.all(written == 1)
    assert [tile.index for tile in grid] == list(range(len(grid)))


@settings(max_examples=200, deadline=None)
@given(grids())
def test_what_is_read_holds_the_core_and_its_halo_on_the_grid(grid):
    height, width = grid.shape
    step = math.lcm(grid.footprint.stride, grid.ratio.numerator)
    for tile in grid:
        read, core = tile.read, tile.core
        assert 0 <= read.y0 <= core.y0 < core.y1 <= read.y1 <= height
        assert 0 <= read.x0 <= core.x0 < core.x1 <= read.x1 <= width
        for corner in (read.y0, read.x0, core.y0, core.x0):
            assert corner % step == 0
        halo = grid.footprint.halo
        assert core.y0 - read.y0 >= min(halo, core.y0) and read.y1 - core.y1 >= min(halo, height - core.y1)
        assert core.x0 - read.x0 >= min(halo, core.x0) and read.x1 - core.x1 >= min(halo, width - core.x1)
        low = read.divide(grid.ratio)
        assert tuple(n * grid.ratio for n in low.shape) == read.shape


@settings(max_examples=50, deadline=None)
@given(grids())
def test_the_crop_cuts_the_core_out_of_what_was_read(grid):
    image = np.arange(math.prod(grid.shape)).reshape(grid.shape)
    for tile in grid:
        np.testing.assert_array_equal(image[tile.read.slices][tile.crop.slices], image[tile.core.slices])


def test_no_tile_size_means_one_tile():
    grid = TileGrid((60, 90), Fraction(3), Footprint(halo=10))
    assert len(grid) == 1
    assert grid[0].read == grid[0].core == Box(0, 60, 0, 90)


def test_a_tile_size_is_rounded_up_to_the_step():
    grid = TileGrid((96, 96), Fraction(3), Footprint(halo=5, stride=4), core=13)
    assert (grid.step, grid.core_shape, grid.margin, grid.counts) == (12, (24, 24), 12, (4, 4))


@pytest.mark.parametrize("index", [-1, 4])
def test_no_tile_beyond_the_last(index):
    with pytest.raises(IndexError):
        TileGrid((8, 8), Fraction(2), Footprint(0), core=4)[index]


def test_boxes():
    box = Box(4, 10, 2, 8)
    assert box.shape == (6, 6)
    assert box.grow(3) == Box(1, 13, -1, 11)
    assert box.grow(3).clip((12, 10)) == Box(1, 12, 0, 10)
    assert box.relative_to(Box(1, 12, 1, 9)) == Box(3, 9, 1, 7)
    assert box.divide(Fraction(2)) == Box(2, 5, 1, 4)
    with pytest.raises(FusionError, match="multiples of the ratio"):
        box.divide(Fraction(4))


@pytest.mark.parametrize(
    ("shape", "ratio", "multiple", "padded"),
    [((10, 12), Fraction(4), 1, (12, 12)), ((10, 12), Fraction(5, 2), 4, (20, 20)), ((8, 8), Fraction(2), 4, (8, 8))],
)
def test_padding(shape, ratio, multiple, padded):
    assert padded_shape(shape, ratio, multiple) == padded


@pytest.mark.parametrize(("shape", "core"), [((10, 12), None), ((12, 12), 0), ((0, 12), 4)])
def test_grids_that_cannot_be(shape, core):
    with pytest.raises(FusionError):
        TileGrid(shape, Fraction(4), Footprint(0), core=core)


def test_a_side_beyond_all_numbers_is_the_whole_image() -> None:
    grid = TileGrid((64, 48), Fraction(4), Footprint(halo=0, stride=4, multiple=4), 10**400)
    assert grid.core_shape == (64, 48) and len(grid) == 1
