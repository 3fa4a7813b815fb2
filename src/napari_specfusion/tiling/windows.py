"""Blended windows, which make a method with global operations local.

::

    windows of a fixed side, anchored in the image       weights along one axis, adding up to 1

    +--------+--+--------+                               1 ------.    .--------.    .------
    |        |  |     +--+-----+                                   `.'          `.'
    |        |  |     |  |     |                                   .'`.        .'`.
    +--------+--+-----+--+-----+                         0 ------'    `------'    `--------
                the last one is slid inward

The result depends only on the image, not on its tiles: a tile is read as far as the windows that touch its core reach.
Windows that several tiles touch are kept until the engine, which works row by row, has passed them.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import FusionError
from napari_specfusion.tiling.tiles import Box, Footprint, Tile
from napari_specfusion.tiling.transfers import downloaded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    import torch

    from napari_specfusion.tiling.contract import Predictor

__all__ = ["WindowedPredictor", "Windows"]

MIN_OVERLAP = 64

# This many windows are kept even if they exceed the memory limit. A tile touches four.
KEPT_WINDOWS = 6

Index = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The windows of one image; all numbers in HR pixels.

    Attributes
    ----------
    shape
        Height and width of the (padded) image.
    side
        Side of a window; where the image is smaller, its height or width. The last window of an axis may be up to a
        step longer, to end at the image's edge.
    overlap
        How far neighbouring windows overlap; the last two may overlap more.
    step
        Corners are multiples of this.
    margin
        Extra pixels read on each side of a window, for the method's local operations.
    """

    shape: tuple[int, int]
    side: int
    overlap: int
    step: int = 1
    margin: int = 0

    def __post_init__(self) -> None:
        if self.side < 1 or self.side % self.step or self.overlap % self.step:
            raise FusionError(
                f"Windows of {self.side} pixels overlap by {self.overlap}; both must be multiples of {self.step}."
            )
        if not 0 <= self.overlap <= self.side // 2:
            raise FusionError(f"The overlap is {self.overlap}; it must lie between 0 and {self.side // 2}.")

    @classmethod
    def of(cls, shape: tuple[int, int], ratio: Fraction, footprint: Footprint, overlap: int | None = None) -> Windows:
        """Return the windows that a method with `footprint` needs.

        Parameters
        ----------
        shape
            Height and width of the (padded) image.
        ratio
            HR pixels per LR pixel.
        footprint
            Its window must not be None; the side is that, rounded down to the step.
        overlap
            Rounded up to the step, at most half the side. None takes an eighth of the side, but at least 64 pixels.
        """
        assert footprint.window is not None
        step = math.lcm(footprint.stride, footprint.multiple, ratio.numerator)
        side = max(footprint.window // step, 1) * step
        if overlap is None:
            overlap = max(MIN_OVERLAP, side // 8)
        overlap = min(math.ceil(overlap / step), side // 2 // step) * step
        return cls(shape, side, overlap, step, math.ceil(footprint.halo / step) * step)

    @property
    def stride(self) -> int:
        """Distance from one window to the next; tiles of this side touch the fewest windows."""
        return self.side - self.overlap

    @property
    def footprint(self) -> Footprint:
        """The footprint of the blended method: all windows that touch a tile."""
        return Footprint(self.side + self.margin, stride=self.step)

    @cached_property
    def spans(self) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
        """Start and stop row of each window, and columns likewise."""
        rows, columns = (tuple(self._spans(size)) for size in self.shape)
        return rows, columns

    def _spans(self, size: int) -> Iterator[tuple[int, int]]:
        last = max(size - self.side, 0) // self.step * self.step
        for start in range(0, last, self.stride):
            yield start, start + self.side
        yield last, size

    @cached_property
    def weights(self) -> tuple[tuple[NDArray[np.float64], ...], tuple[NDArray[np.float64], ...]]:
        """The weights of each row of each window, and of each column likewise: at each pixel they add up to 1."""
        rows, columns = (self._weights(size, spans) for size, spans in zip(self.shape, self.spans, strict=True))
        return rows, columns

    def _weights(self, size: int, spans: tuple[tuple[int, int], ...]) -> tuple[NDArray[np.float64], ...]:
        ramp = np.sin(np.pi / 2 * (np.arange(self.overlap) + 0.5) / max(self.overlap, 1)) ** 2
        total, weights = np.zeros(size), []
        for start, stop in spans:
            weight = np.ones(stop - start)
            if start > 0:
                weight[: self.overlap] = ramp
            if stop < size:
                weight[weight.size - self.overlap :] *= ramp[::-1]
            total[start:stop] += weight
            weights.append(weight)
        # two neighbours' ramps add up to 1 already; more than two may meet where the last window was slid
        return tuple(weight / total[start:stop] for weight, (start, stop) in zip(weights, spans, strict=True))

    def box(self, index: Index) -> Box:
        """Return the pixels of the window in row ``index[0]`` and column ``index[1]``."""
        return Box(*self.spans[0][index[0]], *self.spans[1][index[1]])

    def touching(self, box: Box) -> list[Index]:
        """Return the windows that overlap `box`, row by row."""
        ranges = ((box.y0, box.y1), (box.x0, box.x1))
        rows, columns = (
            [i for i, (start, stop) in enumerate(spans) if start < end and stop > begin]
            for spans, (begin, end) in zip(self.spans, ranges, strict=True)
        )
        return list(product(rows, columns))


class WindowedPredictor:
    """A local predictor made from one that works on whole windows.

    Parameters
    ----------
    inner
        The predictor; its footprint states the window.
    shape
        Height and width of the (padded) image in HR pixels.
    ratio
        HR pixels per LR pixel.
    overlap
        How far neighbouring windows overlap, in HR pixels; None chooses automatically.

    Attributes
    ----------
    windows
        The windows.
    """

    def __init__(self, inner: Predictor, shape: tuple[int, int], ratio: Fraction, overlap: int | None = None) -> None:
        self.inner, self.ratio = inner, ratio
        self.windows = Windows.of(shape, ratio, inner.footprint, overlap)
        # in order of last use: the kept part of a window, and its values
        self._kept: OrderedDict[Index, tuple[Box, torch.Tensor]] = OrderedDict()
        self._squares, self._count = 0.0, 0
        self._low, self._high = math.inf, -math.inf

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return self.inner.bands

    @property
    def footprint(self) -> Footprint:
        """The pixels that it needs around a tile; it has no window."""
        return dataclasses.replace(self.windows.footprint, multiple=self.inner.footprint.multiple)

    @property
    def seam(self) -> float | None:
        """RMS difference of neighbouring windows where they overlap, as a share of the result's range, so far.

        None before two windows have met, or where the result is constant.
        """
        if not self._count or not self._high > self._low:
            return None
        return math.sqrt(self._squares / self._count) / (self._high - self._low)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile, on the CPU; see `Predictor.predict`. Values outside the core are undefined."""
        import torch

        core = tile.core
        # not filled: the system allocates no memory for parts that are never touched
        fused = torch.empty((self.bands, *tile.read.shape), dtype=guide.dtype)
        target = fused[:, *tile.crop.slices].zero_()
        for index in self.windows.touching(core):
            part = _common(self.windows.box(index), core)
            assert part is not None
            values = self._part(index, part)
            if values is None:
                self._compute(index, guide, hsi, tile, shape)
                values = self._part(index, part)
                assert values is not None
            self._measure(index, values, part)
            weight = self._weight(index, part).to(values)
            target[:, *part.relative_to(core).slices].addcmul_(values, weight)
        self._low = min(self._low, float(target.min()))
        self._high = max(self._high, float(target.max()))
        self._forget(core)
        return fused

    def _compute(
        self, index: Index, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]
    ) -> None:
        """Predict a window and keep it; make room for it first."""
        box = self.windows.box(index)
        read = box.grow(self.windows.margin).clip(shape)
        fine = read.relative_to(tile.read)
        sharp, coarse = guide[:, *fine.slices], hsi[:, *fine.divide(self.ratio).slices]
        size = self.bands * math.prod(box.shape) * guide.element_size()
        while self._kept and self.kept_bytes + size > max(memory.WINDOW_CACHE, KEPT_WINDOWS * size):
            self._kept.popitem(last=False)
        whole = self.inner.predict(sharp, coarse, Tile(tile.index, read, box), shape)
        inside = downloaded(whole[:, *box.relative_to(read).slices], guide.dtype)
        self._kept[index] = box, inside.clone() if read != box else inside

    @property
    def kept_bytes(self) -> int:
        """Memory in bytes of the windows kept for later tiles."""
        return sum(values.numel() * values.element_size() for _, values in self._kept.values())

    def _part(self, index: Index, part: Box) -> torch.Tensor | None:
        """Return the kept values of a window in `part`; None unless all of it is kept."""
        if index not in self._kept:
            return None
        box, values = self._kept[index]
        if _common(box, part) != part:
            return None
        self._kept.move_to_end(index)
        return values[:, *part.relative_to(box).slices]

    def _weight(self, index: Index, part: Box) -> torch.Tensor:
        """Return a window's weights in `part`."""
        import torch

        rows, columns = (
            weights[i][begin - spans[i][0] : end - spans[i][0]]
            for weights, spans, i, begin, end in zip(
                self.windows.weights, self.windows.spans, index, (part.y0, part.x0), (part.y1, part.x1), strict=True
            )
        )
        return torch.from_numpy(np.outer(rows, columns))

    def _measure(self, index: Index, values: torch.Tensor, part: Box) -> None:
        """Compare a window in `part` with those above and to the left, if they are still kept."""
        for other in ((index[0] - 1, index[1]), (index[0], index[1] - 1)):
            if min(other) < 0:
                continue
            common = _common(self.windows.box(other), part)
            theirs = None if common is None else self._part(other, common)
            if common is None or theirs is None:
                continue
            difference = values[:, *common.relative_to(part).slices] - theirs
            self._squares += float(difference.double().square().sum())
            self._count += difference.numel()

    def _forget(self, core: Box) -> None:
        """Drop what no tile to the right of `core` or below touches."""
        for index, (box, values) in list(self._kept.items()):
            top = core.y1 if box.x1 <= core.x1 else core.y0
            if top <= box.y0:
                continue
            if top >= box.y1:
                del self._kept[index]
            else:
                self._kept[index] = Box(top, box.y1, box.x0, box.x1), values[:, top - box.y0 :].clone()


def _common(first: Box, second: Box) -> Box | None:
    """Return the intersection of two boxes, None if it is empty."""
    box = Box(max(first.y0, second.y0), min(first.y1, second.y1), max(first.x0, second.x0), min(first.x1, second.x1))
    return box if box.y0 < box.y1 and box.x0 < box.x1 else None
