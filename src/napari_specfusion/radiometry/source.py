"""Compute reflectance, for a window or for the whole cube."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.radiometry.panel import Field

__all__ = ["ReflectanceSource"]


@dataclass(frozen=True, eq=False)
class ReflectanceSource:
    """Reads counts from their source and converts them to reflectance."""

    raw: Cube
    dark: Field
    span: Field
    floor: NDArray[np.float64]
    factor: NDArray[np.float64]
    fill: bool

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the reflectance ``(bands,)`` of one pixel."""
        spectrum: NDArray[Any] = self.window(slice(y, y + 1), slice(x, x + 1))[:, 0, 0]
        return spectrum

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the reflectance ``(bands, rows, columns)`` of one window."""
        # Dead columns are filled from valid ones anywhere in their line.
        read = slice(None) if self.fill else columns
        parts = (self.raw.read(rows, read), self.dark.window(rows, read), self.span.window(rows, read))
        values = _apply(*parts, self.floor, self.factor, fill=self.fill)
        return values[:, :, columns] if self.fill else values

    def lazy(self) -> da.Array:
        """Return the reflectance of the whole cube as a dask array."""
        counts = self.raw.values
        if self.fill:
            counts = counts.rechunk({2: -1})
        chunks = (counts.chunks[0], (1,), (1,))
        floor, factor = (da.from_array(v, chunks=chunks) for v in (self.floor, self.factor))
        dark, span = self.dark.lazy(counts), self.span.lazy(counts)
        values: da.Array = da.map_blocks(_apply, counts, dark, span, floor, factor, fill=self.fill, dtype=counts.dtype)
        return values


def _apply(
    counts: NDArray[Any],
    dark: NDArray[Any],
    span: NDArray[Any],
    floor: NDArray[Any],
    factor: NDArray[Any],
    fill: bool,
) -> NDArray[Any]:
    """Convert counts to reflectance; dead pixels become NaN or are interpolated along x."""
    alive = span > floor
    gain = np.divide(factor, span, out=np.full(np.broadcast_shapes(span.shape, factor.shape), np.nan), where=alive)
    values = ((counts - dark) * gain).astype(counts.dtype)
    return _filled(values, alive) if fill and not alive.all() else values


def _filled(values: NDArray[Any], alive: NDArray[np.bool_]) -> NDArray[Any]:
    """Return `values` with dead pixels interpolated linearly between their nearest valid neighbours along x."""
    width = alive.shape[2]
    if width != values.shape[2]:
        return values  # a single spectrum: a dead band has no neighbours
    x = np.arange(width)
    left = np.maximum.accumulate(np.where(alive, x, -1), axis=2)
    right = np.minimum.accumulate(np.where(alive, x, width)[:, :, ::-1], axis=2)[:, :, ::-1]
    # At the edge, the only neighbour is copied; bands without valid pixels stay NaN.
    left, right = np.where(left < 0, right, left), np.where(right >= width, left, right)
    left, right = np.clip(left, 0, width - 1), np.clip(right, 0, width - 1)
    share = ((x - left) / np.maximum(right - left, 1)).astype(values.dtype)
    a, b = (np.take_along_axis(values, np.broadcast_to(i, values.shape), axis=2) for i in (left, right))
    filled: NDArray[Any] = np.where(alive, values, a + (b - a) * share)
    return filled
