"""Tile geometry: which pixels to read and which to write.

Everything is counted in pixels of the high-resolution grid, the guide's::

        read box: core grown by the halo, clipped at the image's edge
        +-----------------------------+
        |  halo                       |      corners on multiples of
        |     +-----------------+     |      lcm(stride, ratio), so that
        |     |  core           |     |      a network's patches and the
        |     |  (written)      |     |      low-resolution pixels fall
        |     +-----------------+     |      where they fall in the
        |                             |      whole image
        +-----------------------------+

Cores partition the image: every pixel is written by one tile, once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from napari_specfusion.errors import FusionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Box", "Footprint", "Tile", "TileGrid", "padded_shape"]


@dataclass(frozen=True)
class Box:
    """A half-open rectangle of pixels, rows ``y0 .. y1 - 1``, columns ``x0 .. x1 - 1``."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The row and the column slice that cut this box out of an image."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grow(self, margin: int) -> Box:
        """Return the box with `margin` pixels more on every side."""
        return Box(self.y0 - margin, self.y1 + margin, self.x0 - margin, self.x1 + margin)

    def clip(self, shape: tuple[int, int]) -> Box:
        """Return the part of the box inside an image of `shape` (height, width)."""
        height, width = shape
        return Box(max(self.y0, 0), min(self.y1, height), max(self.x0, 0), min(self.x1, width))

    def relative_to(self, other: Box) -> Box:
        """Return the same pixels in coordinates that start at `other`'s corner."""
        return Box(self.y0 - other.y0, self.y1 - other.y0, self.x0 - other.x0, self.x1 - other.x0)

    def divide(self, ratio: Fraction) -> Box:
        """Return the box on the low-resolution grid; its corners must fall on whole pixels.

        Raises
        ------
        FusionError
            If a corner is not a multiple of the ratio.
        """
        corners = [Fraction(v) / ratio for v in (self.y0, self.y1, self.x0, self.x1)]
        if any(c.denominator != 1 for c in corners):
            raise FusionError(
                f"The box {self} does not fall on whole low-resolution pixels at ratio {ratio}; "
                "tile corners must be multiples of the ratio."
            )
        return Box(*(c.numerator for c in corners))


@dataclass(frozen=True)
class Footprint:
    """The requirements of a method on its tiles, in HR pixels.

    Attributes
    ----------
    halo
        How far beyond its core a tile must be read so that the core equals that of the whole image.
    stride
        Tile corners must be multiples of this (the period of the method's own patch grid).
    multiple
        The image is padded at the bottom and right to a multiple of this before anything runs.
    window
        Side of the square window a method with global operations was evaluated at; None for local methods.
    uses_grid
        Whether the method needs the coordinates of its pixels in the whole image.
    """

    halo: int
    stride: int = 1
    multiple: int = 1
    window: int | None = None
    uses_grid: bool = False


@dataclass(frozen=True)
class Tile:
    """One unit of work: read `read`, predict, write `core`."""

    index: int
    read: Box
    core: Box

    @property
    def crop(self) -> Box:
        """The core in coordinates of the read box."""
        return self.core.relative_to(self.read)


def padded_shape(shape: tuple[int, int], ratio: Fraction, multiple: int = 1) -> tuple[int, int]:
    """Return `shape` (HR pixels) enlarged to a multiple of lcm(multiple, ratio)."""
    step = math.lcm(multiple, ratio.numerator)
    height, width = (math.ceil(n / step) * step for n in shape)
    return height, width


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one image.

    Parameters
    ----------
    shape
        Height and width of the (padded) image in HR pixels; multiples of the ratio.
    ratio
        HR pixels per LR pixel, exact.
    footprint
                The method's requirements.
    core
        Side of a core in HR pixels; rounded up to the grid's step. None takes the whole image at once.
    """

    shape: tuple[int, int]
    ratio: Fraction
    footprint: Footprint
    core: int | None = None

    def __post_init__(self) -> None:
        if self.core is not None and self.core < 1:
            raise FusionError(f"The tile size is {self.core}; it must be at least 1 pixel, or None.")
        if any(n < 1 or (n / self.ratio).denominator != 1 for n in self.shape):
            raise FusionError(
                f"The image has {self.shape} pixels, which is not a multiple of the ratio {self.ratio}; pad it first."
            )

    @property
    def step(self) -> int:
        """Tile corners are multiples of this many HR pixels."""
        return math.lcm(self.footprint.stride, self.ratio.numerator)

    @property
    def core_shape(self) -> tuple[int, int]:
        """Height and width of a full core."""
        if self.core is None:
            return self.shape
        side = -(-self.core // self.step) * self.step
        return min(side, self.shape[0]), min(side, self.shape[1])

    @property
    def margin(self) -> int:
        """The halo, rounded up to the grid's step."""
        return math.ceil(self.footprint.halo / self.step) * self.step

    @property
    def counts(self) -> tuple[int, int]:
        """Number of tiles down and across."""
        (height, width), (rows, columns) = self.shape, self.core_shape
        return math.ceil(height / rows), math.ceil(width / columns)

    def __len__(self) -> int:
        down, across = self.counts
        return down * across

    def __getitem__(self, index: int) -> Tile:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row, column = divmod(index, self.counts[1])
        height, width = self.core_shape
        core = Box(row * height, (row + 1) * height, column * width, (column + 1) * width).clip(self.shape)
        return Tile(index, core.grow(self.margin).clip(self.shape), core)

    def __iter__(self) -> Iterator[Tile]:
        return (self[i] for i in range(len(self)))
