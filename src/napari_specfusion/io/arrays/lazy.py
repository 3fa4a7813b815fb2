"""Arrays that stay in their files: sliced like numpy arrays, pickled as a path."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import ReadError, SpecFusionError
from napari_specfusion.io.arrays.pieces import read_box, stored_box

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

__all__ = ["BlockArray", "BlockCache", "LoadedArray", "MappedArray", "display_chunks", "lazy_cube", "native"]

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]

_MOST_ROW_BLOCKS = 64
_MOST_CHUNKS = 50_000


def native(dtype: Any) -> np.dtype[Any]:
    """Return `dtype` in this machine's byte order."""
    found: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    return found


class StoredArray:
    """Numbers in a file, exposed as ``(bands, y, x)`` in native byte order.

    Attributes
    ----------
    stored_shape
        Shape in the order of the file.
    stored_dtype
        numpy type string.
    axes
        Which stored axis is the band, y and x axis.
    """

    stored_shape: Shape
    stored_dtype: str
    axes: Shape

    ndim = 3

    @property
    def shape(self) -> Shape:
        """Bands, rows, columns."""
        bands, height, width = (self.stored_shape[axis] for axis in self.axes)
        return bands, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the returned values, in native byte order."""
        return native(self.stored_dtype)


@dataclass(frozen=True)
class MappedArray(StoredArray):
    """Uncompressed numbers in a file, exposed as ``(bands, y, x)``.

    Each access opens the file, reads what it needs, and closes it again; scattered pixels are copied out of a map of
    the file instead.

    Attributes
    ----------
    path
        The file.
    stored_dtype
        numpy type string with byte order.
    stored_shape
        Shape in C order, as stored in the file.
    offset
        Bytes before the first number.
    axes
        Which stored axis is the band, y and x axis.
    """

    path: str
    stored_dtype: str
    stored_shape: Shape
    offset: int = 0
    axes: Shape = (0, 1, 2)

    @property
    def row_span(self) -> int:
        """Bytes of the file spanned by one row of one band."""
        bands, _, width = self.shape
        planes = 1 if self.axes[0] == 0 else bands
        return planes * width * self.dtype.itemsize

    def __getitem__(self, index: Any) -> NDArray[Any]:
        box = stored_box(index, self.shape, self.axes)
        try:
            if box is not None:
                read = read_box(self.path, np.dtype(self.stored_dtype), self.offset, self.stored_shape, box)
                picks = tuple(slice(None) if isinstance(part, slice) else 0 for part in _parts(index))
                return np.asarray(read.transpose(self.axes)[picks], self.dtype)
            mapped = np.memmap(self.path, self.stored_dtype, "r", self.offset, self.stored_shape)
        except (OSError, ValueError) as error:
            raise ReadError(
                f"{self.path} can no longer be read ({error}); it was moved or truncated. Open it again."
            ) from error
        return np.array(mapped.transpose(self.axes)[index], dtype=self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return _described(self)


def _described(array: Any) -> dict[str, Any]:
    """Return the fields of an array to pickle; whoever reads it may have another working folder."""
    return {f.name: getattr(array, f.name) for f in fields(array)} | {"path": os.path.abspath(array.path)}


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _places(index: Any, length: int) -> NDArray[np.intp]:
    """Return the positions that an index selects along an axis."""
    if isinstance(index, slice):
        return np.arange(*index.indices(length))
    places = np.asarray(index)
    if places.dtype == bool:
        return np.flatnonzero(places)
    if places.size and (places.min() < -length or places.max() >= length):
        raise IndexError(f"{index} lies outside an axis of {length}")
    return np.where(places < 0, places + length, places).astype(np.intp)


@dataclass(frozen=True, eq=False)
class BlockArray(StoredArray, ABC):
    """Numbers that a library reads in boxes, exposed as ``(bands, y, x)``.

    Attributes
    ----------
    path
        The file or folder.
    stored_shape
        Shape in the axis order of the boxes.
    stored_dtype
        numpy type string.
    axes
        Which stored axis is the band, y and x axis.
    """

    path: str
    stored_shape: Shape
    stored_dtype: str
    axes: Shape

    def __getitem__(self, index: Any) -> NDArray[Any]:
        index = _parts(index)
        index += (slice(None),) * (3 - len(index))
        wanted = [_places(i, n) for n, i in zip(self.shape, index, strict=True)]
        picks = [np.atleast_1d(w) for w in wanted]
        out = np.empty([p.size for p in picks], self.dtype)
        if out.size:
            runs = [picks[0]] if np.ptp(picks[0]) < picks[0].size else list(picks[0][:, None])
            start = 0
            for run in runs:
                out[start : start + run.size] = self._box((run, picks[1], picks[2]))
                start += run.size
        return out.reshape([n for w in wanted for n in w.shape])

    def __getstate__(self) -> dict[str, Any]:
        # Open handles and caches are not pickled, only the description.
        return _described(self)

    def _box(self, picks: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
        """Return the values at `picks` (bands, rows, columns), read as one box around them."""
        low = [int(p.min()) for p in picks]
        box: list[slice] = [slice(0)] * 3
        for axis, first, pick in zip(self.axes, low, picks, strict=True):
            box[axis] = slice(first, int(pick.max()) + 1)
        try:
            block: NDArray[Any] = self._read((box[0], box[1], box[2])).transpose(self.axes)
        except SpecFusionError:
            raise
        except Exception as error:  # libraries raise anything on damaged data
            raise ReadError(
                f"{self.path} cannot be read ({error}); the file is damaged or has changed since it was opened."
            ) from error
        chosen: NDArray[Any] = block[np.ix_(*(p - first for p, first in zip(picks, low, strict=True)))]
        return chosen

    @abstractmethod
    def _read(self, box: Box) -> NDArray[Any]:
        """Return the values of `box`, in stored order."""


class BlockCache:
    """A thread-safe cache of the most recently used decoded blocks, limited in bytes."""

    def __init__(self, limit: int = 128 << 20) -> None:
        self._limit = limit
        self._blocks: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the cached block for `key`, calling `make` if it is missing."""
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
        block = make()
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = block
                self._size += block.nbytes
            while self._size > self._limit and len(self._blocks) > 1:
                self._size -= self._blocks.popitem(last=False)[1].nbytes
        return block


def display_chunks(shape: Shape, row_bytes: int, limit: int) -> Shape:
    """Return dask chunks of one band, split by rows if a band spans more than `limit` bytes of the file.

    Several bands share a chunk if single-band chunks would make the dask graph too large.
    """
    bands, height, width = shape
    rows = min(height, max(1, limit // max(1, row_bytes), -(-height // _MOST_ROW_BLOCKS)))
    return -(-bands * -(-height // rows) // _MOST_CHUNKS), rows, width


def lazy_cube(
    array: Any, path: Path, chunks: Shape | None = None, coarser: tuple[Any, ...] = (), **description: Any
) -> Cube:
    """Make a lazy cube of `array` ``(bands, y, x)`` stored in `path`; `description` is passed to `Cube`.

    `coarser` holds it at halved sizes, see `ArraySource`.
    Bands stay in file order; `open_cube` sorts them later.
    The dask name is derived from the path, its modification time and its size: hashing the pixels would read them all.
    """
    if chunks is None:
        span = getattr(array, "row_span", array.shape[2] * array.dtype.itemsize)
        plane = array.shape[2] * array.dtype.itemsize
        chunks = display_chunks(array.shape, span, memory.DISPLAY_CHUNK if span == plane else memory.DISPLAY_SPAN)
    state = path.stat()
    what = repr(array) if not isinstance(array, np.ndarray) else (array.shape, array.strides)
    token = tokenize(str(path), state.st_mtime_ns, state.st_size, what, description.get("name"))
    data = da.from_array(
        array, chunks=chunks, name=f"specfusion-{token}", lock=False, meta=np.empty((0, 0, 0), array.dtype)
    )
    return Cube(data, source=ArraySource(array, coarser), **description)


@dataclass(frozen=True, eq=False)
class LoadedArray(BlockArray):
    """Numbers that can only be read all at once: loaded on first access, then kept in memory."""

    @cached_property
    def _whole(self) -> NDArray[Any]:
        found = self._load()
        if found.shape != self.stored_shape:
            raise ReadError(f"{self.path} has changed since it was opened; open it again.")
        return np.asarray(found, np.dtype(self.stored_dtype).newbyteorder("="))

    def _read(self, box: Box) -> NDArray[Any]:
        return self._whole[box]

    @abstractmethod
    def _load(self) -> NDArray[Any]:
        """Return the whole array in its stored shape."""
