"""Validation of a cube's fields; each check returns the field in the form that a cube stores."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_specfusion.errors import CubeError

__all__ = ["check_data", "filled", "fixed_numbers", "one_or_per_band", "one_per_band", "to_numbers"]


def check_data(data: Any) -> None:
    """Raise a CubeError unless `data` can be a cube's pixels."""
    dtype = np.dtype(data.dtype)
    if dtype.kind == "c":
        raise CubeError(f"The data are complex ({dtype}); take the magnitude or the real part first.")
    if dtype.kind not in "biuf":
        raise CubeError(f"The data are {dtype}, not numbers; a cube holds integers or floating-point values.")
    if data.ndim != 3:
        raise CubeError(f"The data have {data.ndim} axes; a cube has three: (bands, y, x).")
    if any(n != n for n in data.shape):
        raise CubeError(
            f"The data have an unknown shape {tuple(data.shape)}; call compute_chunk_sizes() on them first."
        )
    if 0 in data.shape:
        raise CubeError(f"The data are empty, shape {tuple(data.shape)}; a cube needs at least one band and one pixel.")


def filled(array: Any, nodata: Any) -> Any:
    """Return `array` with masked values replaced by NaN or `nodata`; values under a mask are meaningless."""
    lazy = isinstance(array, da.Array)
    if not isinstance(array._meta if lazy else array, np.ma.MaskedArray):
        return array
    fill = np.nan if array.dtype.kind == "f" else nodata
    if fill is None and (lazy or np.ma.is_masked(array)):
        raise CubeError(f"The data are masked {array.dtype}; give nodata=, a number of that type that marks the gaps.")
    try:
        return da.ma.filled(array, fill) if lazy else array.filled(fill)
    except (TypeError, ValueError, OverflowError) as error:
        raise CubeError(
            f"nodata is {nodata!r}, which {array.dtype} cannot hold ({error}); give a number of that type."
        ) from error


def to_numbers(key: str, value: Any) -> NDArray[np.float64]:
    """Return the field `key` as numbers of any shape."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CubeError(f"{key} is {value!r}, not a number ({error}); give numbers, or leave it out.") from error


def one_per_band(key: str, value: Any, bands: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return the field `key` as an array ``(bands,)``."""
    try:
        values: NDArray[Any] = np.asarray(value).astype(dtype)
    except (TypeError, ValueError) as error:
        raise CubeError(f"{key} must be numbers ({error}); give one per band, or leave it out.") from error
    if values.shape != (bands,):
        raise CubeError(f"{key} has {values.size} entries for {bands} bands; give one per band, or leave it out.")
    return values


def one_or_per_band(key: str, value: Any, bands: int) -> float | NDArray[np.float64]:
    """Return the field `key` as one number, or as an array ``(bands,)``."""
    values = to_numbers(key, value)
    if values.shape not in {(), (bands,)}:
        raise CubeError(f"{key} has shape {values.shape} for {bands} bands; give one number or one per band.")
    return values if values.ndim else float(values)


def fixed_numbers(key: str, value: Any, count: int) -> tuple[float, ...]:
    """Return the field `key` as `count` numbers."""
    values = to_numbers(key, value)
    if key == "affine" and values.shape == (9,) and values[6:].tolist() == [0, 0, 1]:
        values = values[:6]  # rasterio's transforms include the last row
    if values.shape != (count,):
        raise CubeError(f"{key} has shape {values.shape}; give {count} numbers, or None.")
    return tuple(values.tolist())
