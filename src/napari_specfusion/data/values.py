"""Conversion of stored numbers to physical values: scale, offset, and NaN for no-data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.computed import computed

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["lazy_values", "physical", "stored_window"]


def lazy_values(cube: Cube) -> da.Array:
    """Return all values of a cube, lazily, as `Cube.values` describes them."""
    dtype = _float_dtype(cube.dtype)
    if cube.is_physical:
        return cube.data if cube.dtype == dtype else cube.data.astype(dtype)
    scale, offset = (np.asarray(v, dtype).reshape(-1, 1, 1) for v in (cube.scale, cube.offset))
    scaled: da.Array = cube.data.astype(dtype) * scale + offset
    if cube.nodata is not None:
        scaled = da.where(_missing(cube, cube.data), dtype.type(np.nan), scaled)
    return scaled


def stored_window(cube: Cube, rows: slice, columns: slice) -> NDArray[Any]:
    """Return the stored values ``(bands, rows, columns)`` of a window, in memory."""
    if cube.source is None:
        return computed(cube.data[:, rows, columns])
    return cube.source.window(rows, columns)


def physical(cube: Cube, stored: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Return the physical values for a cube's stored values ``(bands, y, x)``."""
    dtype = _float_dtype(cube.dtype)
    values: NDArray[np.floating[Any]] = stored.astype(dtype)
    if cube.is_physical:
        return values
    scale, offset = (v if isinstance(v, float) else v[:, None, None] for v in (cube.scale, cube.offset))
    values = (values * np.asarray(scale, dtype) + np.asarray(offset, dtype)).astype(dtype, copy=False)
    if cube.nodata is not None:
        values[_missing(cube, stored)] = np.nan
    return values


def _float_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype("f8") if stored.itemsize == 8 else np.dtype("f4")


def _missing(cube: Cube, stored: Any) -> Any:
    nodata = cube.nodata
    assert nodata is not None
    if np.isnan(nodata) or cube.dtype.kind != "f":
        return stored == nodata
    return stored == cube.dtype.type(nodata)
