"""Validation of a cube's fields; each check returns the field in the form that a cube stores."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_specfusion.arguments import short
from napari_specfusion.errors import CubeError

__all__ = [
    "as_array",
    "check_data",
    "check_window",
    "filled",
    "fixed_numbers",
    "one_or_per_band",
    "one_per_band",
    "places",
    "to_numbers",
]


def check_data(data: Any) -> None:
    """Raise a CubeError unless `data` can be a cube's pixels."""
    if not all(hasattr(data, name) for name in ("dtype", "shape", "ndim")):
        raise CubeError(f"The data are of type {type(data).__name__}; give an array (bands, y, x).")
    try:
        dtype = np.dtype(data.dtype)
    except TypeError as error:
        raise CubeError(
            f"The data are {short(data.dtype)} of a {type(data).__name__}; give an array of numpy or dask."
        ) from error
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


def as_array(array: Any) -> NDArray[Any]:
    """Return anything like an array as one of numpy."""
    try:
        return np.asarray(array)
    except Exception as error:  # rows of unequal length, or an array of another library
        raise CubeError(
            f"A {type(array).__name__} cannot be used as an array ({' '.join(str(error).split())[:120]}); give rows of "
            "equal length: (bands, y, x)."
        ) from error


def check_window(*parts: Any) -> None:
    """Raise a CubeError unless the parts are slices of whole numbers."""
    for part in parts:
        ends = (part.start, part.stop, part.step) if isinstance(part, slice) else (part,)
        if not isinstance(part, slice) or not all(end is None or isinstance(end, int | np.integer) for end in ends):
            raise CubeError(f"The window has {short(part)}; give slices of whole numbers, such as slice(0, 10).")
        if part.step == 0:
            raise CubeError("The window has a slice of step 0; give slices of another step.")


def places(key: str, value: Any, count: int) -> NDArray[np.intp]:
    """Return indices below `count`, given as such or as a boolean mask."""
    index = np.atleast_1d(as_array(value))
    if index.dtype == bool:
        if index.shape != (count,):
            raise CubeError(f"The mask has {index.size} entries for {count} bands; give one per band.")
        index = np.flatnonzero(index)
    if index.ndim != 1 or index.dtype.kind not in "iu" or not np.all((index < count) & (index >= -count)):
        raise CubeError(f"{key} are {short(value)}; give numbers from 0 to {count - 1}, or a mask.")
    return index.astype(np.intp)


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
        found = np.asarray(value)
        if found.dtype.kind in "mMc":
            # numpy would take counts of seconds or days, or the real part
            raise ValueError(f"{found.dtype} is not a type of real numbers")
        return np.asarray(found, dtype=np.float64)
    except Exception as error:  # arrays of other libraries raise anything
        raise CubeError(f"{key} is {short(value)}, not a number ({error}); give numbers, or leave it out.") from error


def one_per_band(key: str, value: Any, bands: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return the field `key` as an array ``(bands,)``."""
    try:
        values: NDArray[Any] = np.asarray(value).astype(dtype)
    except Exception as error:
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
