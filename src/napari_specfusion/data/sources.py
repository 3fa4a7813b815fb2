"""Direct access to a cube's stored values, bypassing its display chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArraySource", "BandSource", "Source", "WindowSource"]


class Source(Protocol):
    """Reads stored values directly from the file or the array, bypassing the display chunks."""

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the stored values ``(bands,)`` of one pixel."""

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the stored values ``(bands, rows, columns)`` of one window."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """A source over anything that slices like a numpy array ``(bands, y, x)``, such as a memory map.

    Attributes
    ----------
    array
        The values.
    coarser
        The same image at sizes halved again and again, the largest first; they are for looking at.
    """

    array: Any
    coarser: tuple[Any, ...] = ()

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the stored values ``(bands,)`` of one pixel."""
        return np.asarray(self.array[:, y, x])

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the stored values ``(bands, rows, columns)`` of one window."""
        return np.asarray(self.array[:, rows, columns])


@dataclass(frozen=True, eq=False)
class BandSource:
    """Some bands of another source."""

    source: Source
    bands: NDArray[np.intp]

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the stored values ``(bands,)`` of one pixel."""
        return self.source.spectrum(y, x)[self.bands]

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the stored values ``(bands, rows, columns)`` of one window."""
        return self.source.window(rows, columns)[self.bands]


@dataclass(frozen=True, eq=False)
class WindowSource:
    """A window of another source: `height` x `width` pixels from row `y0`, column `x0`."""

    source: Source
    y0: int
    x0: int
    height: int
    width: int

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the stored values ``(bands,)`` of one pixel."""
        return self.source.spectrum(y + self.y0, x + self.x0)

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the stored values ``(bands, rows, columns)`` of one window."""

        def moved(part: slice, start: int, length: int) -> slice:
            first, last, step = part.indices(length)
            return slice(first + start, last + start, step)

        return self.source.window(moved(rows, self.y0, self.height), moved(columns, self.x0, self.width))
