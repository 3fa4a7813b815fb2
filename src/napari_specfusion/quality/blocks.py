"""Two images of one shape, compared block by block."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_specfusion import memory
from napari_specfusion.arguments import number, whole
from napari_specfusion.errors import SceneError
from napari_specfusion.io import as_cube
from napari_specfusion.quality.formulas import HALF_WINDOW, Floats
from napari_specfusion.quality.hypercomplex import WINDOW
from napari_specfusion.tiling.tiles import Box, Footprint, TileGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.progress import Watch
    from napari_specfusion.tiling.tiles import Tile

__all__ = ["ImagePair", "blockwise", "cuts", "pair_of", "peak_of", "pieces", "side_of"]

T = TypeVar("T")

UNIT_RANGE_LIMIT = 1.5
LARGEST_BLOCK = 1 << 31
SMALLEST_BLOCK = 128
MOST_WORKERS = 4


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images of the same shape, read in blocks."""

    reference: Cube
    estimate: Cube
    good: NDArray[np.bool_]
    border: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width within the border."""
        _, height, width = self.reference.shape
        return height - 2 * self.border, width - 2 * self.border

    @property
    def described(self) -> Cube:
        """The image that states the wavelengths."""
        return self.estimate if self.reference.wavelengths is None else self.reference

    def truth(self, box: Box) -> Floats:
        """Return the reference ``(bands, y, x)`` in `box`, NaN in the bands that are left out."""
        return self._values(self.reference, box)

    def read(self, box: Box, limit: float | None) -> tuple[Floats, Floats]:
        """Return both images in `box`, NaN in both where a value is missing in either."""
        truth, guess = self.truth(box), self._values(self.estimate, box)
        if limit is not None:
            np.clip(guess, 0, limit, out=guess)
        missing = np.isnan(truth) | np.isnan(guess)
        truth[missing] = guess[missing] = np.nan
        return truth, guess

    def _values(self, image: Cube, box: Box) -> Floats:
        rows, columns = (slice(s.start + self.border, s.stop + self.border) for s in box.slices)
        values = np.array(image.read(rows, columns), dtype=np.float64)
        values[~self.good] = np.nan
        return values


def pair_of(reference: CubeLike, estimate: CubeLike, border: int) -> ImagePair:
    """Check that the two images can be compared."""
    truth, guess = as_cube(reference), as_cube(estimate)
    if truth.shape != guess.shape:
        raise SceneError(
            f"The reference has shape {truth.shape}, the estimate {guess.shape}; "
            "give two images (bands, y, x) on one grid, with the same bands."
        )
    _, height, width = truth.shape
    if not 0 <= 2 * border < min(height, width):
        raise SceneError(
            f"A border of {border} pixels leaves nothing of an image of {height} x {width}; choose a smaller one."
        )
    return ImagePair(truth, guess, truth.good & guess.good, border)


def peak_of(pair: ImagePair, data_range: float | None, block: int | None, watch: Watch) -> float:
    """Return the given data range, or derive it from the reference."""
    if data_range is None:
        largest = max(
            blockwise(
                pair,
                block,
                lambda box, _: float(np.fmax.reduce(pair.truth(box), axis=None)),
                watch,
                "Looking for the largest value",
            )
        )
        data_range = 1.0 if not largest > UNIT_RANGE_LIMIT else largest
    return number("data_range, the largest possible value,", data_range, above=0.0, error=SceneError)


def side_of(pair: ImagePair, block: int | None) -> int:
    """Return the side of a block in pixels, as given or as the memory allows: a multiple of the window of Q2n."""
    if block is None:
        return max(SMALLEST_BLOCK, math.isqrt(memory.QUALITY_BLOCK // (8 * len(pair.good))) // WINDOW * WINDOW)
    return math.ceil(whole("The block size", block, 1, LARGEST_BLOCK, SceneError) / WINDOW) * WINDOW


def cuts(length: int, side: int) -> tuple[int, ...]:
    """Return the sizes of the blocks along an axis of `length` pixels."""
    return (side,) * (length // side) + ((length % side,) if length % side else ())


def blockwise(
    pair: ImagePair, block: int | None, compute: Callable[[Box, Box], T], watch: Watch, message: str
) -> list[T]:
    """Return `compute(read box, core within it)` for every block, in order; `watch` is told and asked at each."""
    side = side_of(pair, block)
    grid = TileGrid(pair.shape, Fraction(1), Footprint(HALF_WINDOW), side)
    return list(_over(grid, lambda tile: compute(tile.read, tile.crop), watch, message))


def pieces(grid: TileGrid, compute: Callable[[Box], T], watch: Watch, message: str) -> Iterator[T]:
    """Yield `compute(core)` for every tile of a grid, in order; `watch` is told and asked at each."""
    return _over(grid, lambda tile: compute(tile.core), watch, message)


def _over(grid: TileGrid, compute: Callable[[Tile], T], watch: Watch, message: str) -> Iterator[T]:
    def watched(tile: Tile) -> T:
        # blocks that still wait when the run is stopped are not begun
        watch.check()
        return compute(tile)

    with ThreadPoolExecutor(min(MOST_WORKERS, os.cpu_count() or 1)) as pool:
        for number, value in enumerate(pool.map(watched, grid)):
            watch.tell(number, len(grid), message)
            yield value
