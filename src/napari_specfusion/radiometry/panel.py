"""White and dark references: their values over a cube's pixels, and their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.arguments import number
from napari_specfusion.data.checks import as_array
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CalibrationError
from napari_specfusion.io import as_cube

if TYPE_CHECKING:
    from napari_specfusion.data.cube_like import CubeLike

__all__ = ["Field", "Reference", "integration_time"]

# A reference with at least this share of values exactly at the maximum is saturated.
PLATEAU = 1e-3
_LIMITS = tuple(float(2**bits - 1) for bits in (8, 10, 12, 14, 16))
_MOST_LINES = 512
_TIMES = ("tint", "integration time", "exposure time", "exposure", "shutter")


@dataclass(frozen=True, eq=False)
class Field:
    """Values over a cube's pixels: an array ``(bands, 1, 1 or columns)``, or a cube of the same size minus a field."""

    line: NDArray[np.floating[Any]] | None = None
    cube: Cube | None = None
    less: Field | None = None

    def minus(self, other: Field) -> Field:
        """Return this field minus another."""
        if self.line is not None and other.line is not None:
            return Field(self.line - other.line)
        return Field(self.line, self.cube, other)

    def window(self, rows: slice, columns: slice) -> NDArray[np.floating[Any]]:
        """Return the values of a window, in a shape that broadcasts to ``(bands, rows, columns)``."""
        if self.line is None:
            assert self.cube is not None
            values = self.cube.read(rows, columns)
        else:
            values = self.line[:, :, columns] if self.line.shape[2] > 1 else self.line
        return values if self.less is None else values - self.less.window(rows, columns)

    def lazy(self, like: da.Array) -> da.Array:
        """Return the values as a dask array with chunks that match those of `like`."""
        if self.line is None:
            assert self.cube is not None
            values: da.Array = self.cube.values.rechunk(like.chunks)
        else:
            columns = like.chunks[2] if self.line.shape[2] > 1 else (1,)
            values = da.from_array(self.line, chunks=(like.chunks[0], (1,), columns))
        return values if self.less is None else values - self.less.lazy(like)


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference, its values over the cube, and their statistics.

    Attributes
    ----------
    name
        Name for messages.
    shape
        Bands, rows and columns.
    field
        Values over the cube's pixels.
    mean
        Mean over the lines ``(bands, 1, columns)``.
    peak, at_peak, varied
        The largest value, the share of lines ``(bands, columns)`` exactly at it (or at the sensor's limit or above),
        and whether there are other values.
    missing
        Share of no-data values.
    wavelengths, time
        Wavelengths and integration time from its file.
    """

    name: str
    shape: tuple[int, int, int]
    field: Field
    mean: NDArray[np.float64]
    peak: float
    at_peak: NDArray[np.float64]
    varied: bool
    missing: float
    wavelengths: NDArray[np.float64] | None = None
    time: float | None = None

    @classmethod
    def of(cls, what: CubeLike, raw: Cube, name: str, limit: float | None = None) -> Reference:
        """Prepare a reference in any form for the cube `raw`; `limit` is the count at which the sensor saturates."""
        cube = _as_reference(what, raw, name)
        mean, peak, at_peak, varied, missing = _summary(cube, limit)
        pixelwise = cube.shape[1:] == raw.shape[1:] and raw.shape[1] > 1
        field = Field(cube=cube) if pixelwise else Field(mean.astype(raw.values.dtype))
        return cls(
            name, cube.shape, field, mean, peak, at_peak, varied, missing, cube.wavelengths, integration_time(cube)
        )

    def saturated(self, limit: float | None) -> float | None:
        """Return the count at which the values are saturated, or None if they are not."""
        if limit is not None:
            return limit if self.peak >= limit else None
        share = float(self.at_peak.mean())
        # A saturated sensor stops at the same count in many pixels; an ordinary maximum occurs in one.
        plateau = share >= PLATEAU and int((self.at_peak > 0).sum()) > 1 and self.varied
        return self.peak if share > 0 and (plateau or self.peak in _LIMITS) else None


def _as_reference(what: CubeLike, raw: Cube, name: str) -> Cube:
    if isinstance(what, int | float | np.number):
        level = number(f"The {name}", what, error=CalibrationError)
        return Cube.from_array(np.full((raw.bands, 1, 1), level), name=name)
    if isinstance(what, np.ndarray | list | tuple):
        values = as_array(what)
        if values.ndim == 1:
            values = values[:, None, None]
        elif values.ndim == 2 and len(values) == raw.bands:
            values = values[:, None, :]
        return Cube.from_array(values, name=name)
    return as_cube(what)


def _lines(cube: Cube) -> Iterator[NDArray[np.floating[Any]]]:
    """Yield blocks of lines of `cube`: all lines, or 512 evenly spaced ones."""
    bands, height, width = cube.shape
    step = -(-height // _MOST_LINES)
    block = step * max(1, memory.PANEL_BLOCK // (bands * width * 8))
    for start in range(0, height, block):
        yield cube.read(slice(start, min(start + block, height), step), slice(None))


def _summary(cube: Cube, limit: float | None) -> tuple[NDArray[np.float64], float, NDArray[np.float64], bool, float]:
    """Return the mean over lines, then `peak`, `at_peak`, `varied` and `missing` as `Reference` describes them."""
    bands, _, width = cube.shape
    total, count = np.zeros((bands, 1, width)), np.zeros((bands, 1, width))
    peak, low, read = -np.inf, np.inf, 0
    at_peak = np.zeros((bands, width))
    for block in _lines(cube):
        known = np.isfinite(block)
        read += block.size
        total += np.where(known, block, 0).sum(1, keepdims=True, dtype=np.float64)
        count += known.sum(1, keepdims=True)
        highest = float(np.max(block, initial=-np.inf, where=known))
        low = min(low, float(np.min(block, initial=np.inf, where=known)))
        if highest > peak:
            peak, at_peak = highest, at_peak if limit is not None else np.zeros((bands, width))
        at_peak += (block == peak if limit is None else block >= limit).sum(1)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean, peak, at_peak * at_peak.size / max(read, 1), low < peak, 1 - float(count.sum()) / max(read, 1)


def integration_time(cube: Cube) -> float | None:
    """Return the integration time in the header of a cube's file, or None."""
    header = cube.metadata.get("header", {})
    for key in _TIMES if isinstance(header, Mapping) else ():
        try:
            value = float(str(header.get(key, "")).split()[0])
        except (IndexError, ValueError):
            continue
        if 0 < value < np.inf:
            return value
    return None
