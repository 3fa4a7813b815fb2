"""Tiles are as large as memory allows."""

from __future__ import annotations

from fractions import Fraction

import dask.array as da
import pytest

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.tiling.tile_runner import tile_grid
from napari_specfusion.tiling.tiles import Footprint


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("bands", [1, 31, 100, 200, 400])
@pytest.mark.parametrize("ratio", [2, 3, 4, Fraction(5, 2)])
def test_a_tile_of_automatic_size_is_bounded_in_bytes(bands: int, ratio: int | Fraction, device: str) -> None:
    low = da.zeros((bands, 1200, 1200), "uint16", chunks=-1)
    sharp = da.zeros((3, int(1200 * ratio), int(1200 * ratio)), "uint16", chunks=-1)
    scene = Scene(Cube(low), Cube(sharp), ratio)
    grid = tile_grid(scene, Footprint(halo=8, stride=ratio.numerator, multiple=ratio.numerator), "auto", device)
    height, width = grid.core_shape
    most, side = (memory.TILE, 512) if device == "cpu" else (memory.DEVICE_TILE, 1024)
    # rounded up to whole cube pixels
    assert 4 * bands * (height - ratio.numerator) * (width - ratio.numerator) <= most
    assert height == width and height >= 64
    # the usual cube of 31 bands has tiles of the full side, and none are needlessly small
    assert height >= side or (bands > 31 and 4 * bands * (height + 64) * (width + 64) > most)
