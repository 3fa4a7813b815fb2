"""Lazy arrays over HDF5 datasets."""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.lazy import BlockArray, BlockCache, Box, MappedArray, Shape, lazy_cube
from napari_specfusion.io.formats.hdf5.file import checked, child, datasets, import_h5py, open_hdf

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["HdfArray", "child", "datasets", "hdf_array", "hdf_cube", "import_h5py", "open_hdf"]

_MOST_DASK_CHUNKS = 50_000
_MOST_BANDS, _LONGEST_SIDE = 1_000_000, 10_000_000
_WIDEST_ITEM = 1024
_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3


@dataclass(frozen=True, eq=False)
class HdfArray(BlockArray):
    """A dataset of an HDF5 file with two or three axes, exposed as ``(bands, y, x)``.

    Attributes
    ----------
    dataset
        Its name in the file. A dataset with two axes is a single band.
    mirrored
        Whether its columns are returned in reverse order.
    """

    dataset: str
    mirrored: bool = False

    @classmethod
    def transposed(cls, path: Path, dataset: str) -> Self:
        """Return a MATLAB 7.3 array, whose axes are stored in reverse order."""
        with open_hdf(path) as file:
            found = checked(path, child(file, dataset), dataset)
            stored, dtype = tuple(found.shape), found.dtype.str
        return cls(str(path), stored, dtype, (2, 1, 0), dataset)

    def seen_as(self, order: tuple[int, ...]) -> Self:
        """Return the same dataset with its exposed axes permuted."""
        axes = (self.axes[order[0]], self.axes[order[1]], self.axes[order[2]])
        return type(self)(self.path, self.stored_shape, self.stored_dtype, axes, self.dataset, self.mirrored)

    @property
    def chunks(self) -> Shape | None:
        """Chunk size ``(bands, y, x)``; None for contiguous data."""
        stored = self._stored_chunks
        return None if stored is None else (stored[self.axes[0]], stored[self.axes[1]], stored[self.axes[2]])

    @cached_property
    def _open(self) -> Any:
        # Kept open because opening costs more than reading a chunk.
        h5py = import_h5py(Path(self.path))
        file = h5py.File(self.path, "r", rdcc_nbytes=memory.HDF_CACHE)
        return checked(Path(self.path), child(file, self.dataset), self.dataset)

    @cached_property
    def _stored_chunks(self) -> Shape | None:
        chunks = self._open.chunks
        return None if chunks is None else _three(chunks)

    @cached_property
    def _filters(self) -> tuple[tuple[int, tuple[int, ...]], ...] | None:
        """Codes and parameters of the filters if all of them can be undone here; None leaves them to HDF5."""
        found = self._open
        if found.chunks is None or not found.id.get_storage_size() or not _plain_type(found):
            return None
        plist = found.id.get_create_plist()
        every = [plist.get_filter(index) for index in range(plist.get_nfilters())]
        filters = tuple((int(code), tuple(values)) for code, _, values, _ in every)
        return filters if {code for code, _ in filters} <= {_DEFLATE, _SHUFFLE, _FLETCHER} else None

    @cached_property
    def _rank(self) -> int:
        return int(self._open.ndim)

    @cached_property
    def _never_written(self) -> NDArray[Any]:
        assert self._stored_chunks is not None
        return np.full(self._stored_chunks, self._open.fillvalue, self.stored_dtype)

    @cached_property
    def _cache(self) -> BlockCache:
        return BlockCache()

    def _box(self, picks: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
        if self.mirrored:
            picks = (picks[0], picks[1], self.shape[2] - 1 - picks[2])
        return self._bounded(picks)

    def _bounded(self, picks: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
        """Return the values at `picks`, read as several boxes if a single one would be large and mostly unused."""
        spans = [int(np.ptp(pick)) + 1 for pick in picks]
        wanted = math.prod(pick.size for pick in picks)
        if math.prod(spans) * self.dtype.itemsize > memory.HDF_BOX and math.prod(spans) > 2 * wanted:
            for axis in sorted(range(3), key=lambda a: -spans[a] / picks[a].size):
                chunk = picks[axis] // (1 if self.chunks is None else self.chunks[axis])
                cuts = np.flatnonzero(np.diff(chunk)) + 1
                if cuts.size:
                    cut = int(cuts[cuts.size // 2])
                    halves = [list(picks), list(picks)]
                    halves[0][axis], halves[1][axis] = picks[axis][:cut], picks[axis][cut:]
                    return np.concatenate([self._bounded((h[0], h[1], h[2])) for h in halves], axis)
        return super()._box(picks)

    def _read(self, box: Box) -> NDArray[Any]:
        if self._filters is None:
            return self._by_h5py(box)
        assert self._stored_chunks is not None
        out = np.empty([s.stop - s.start for s in box], self.stored_dtype)
        touched = (range(s.start // n, -(-s.stop // n)) for s, n in zip(box, self._stored_chunks, strict=True))
        for place in itertools.product(*touched):
            start = [p * n for p, n in zip(place, self._stored_chunks, strict=True)]
            block = self._cache.get(place, partial(self._chunk, start))
            here, there = [], []
            for s, low, n in zip(box, start, self._stored_chunks, strict=True):
                first, last = max(s.start, low), min(s.stop, low + n)
                here.append(slice(first - s.start, last - s.start))
                there.append(slice(first - low, last - low))
            out[tuple(here)] = block[tuple(there)]
        return out

    def _by_h5py(self, box: Box) -> NDArray[Any]:
        flat = self._open.ndim == 2
        return np.asarray(self._open[box[1:] if flat else box]).reshape([s.stop - s.start for s in box])

    def _chunk(self, start: list[int]) -> NDArray[Any]:
        """Return one whole chunk.

        HDF5 itself inflates a chunk without a limit, and holds a global lock meanwhile. Here inflation stops at the
        declared size, and threads inflate in parallel.
        """
        assert self._stored_chunks is not None
        size = math.prod(self._stored_chunks) * np.dtype(self.stored_dtype).itemsize
        offset = tuple(start[3 - self._rank :])
        try:
            stored = self._open.id.get_chunk_info_by_coord(offset)
            if stored.byte_offset is None:  # never written
                return self._never_written
            if not self._filters and stored.size != size:
                # HDF5 would allocate the declared size and write the stored bytes past its end.
                raise ReadError(
                    f"{self.path}: an uncompressed chunk of {self.dataset} declares {stored.size} bytes instead "
                    f"of {size}; the file is damaged, get a new copy."
                )
            mask, raw = self._open.id.read_direct_chunk(offset)
        except (MemoryError, OSError, RuntimeError, ValueError):
            # Let HDF5 report the error, or supply the fill value.
            ends = (min(a + n, end) for a, n, end in zip(start, self._stored_chunks, self.stored_shape, strict=True))
            inside = [slice(a, end) for a, end in zip(start, ends, strict=True)]
            block = np.zeros(self._stored_chunks, self.stored_dtype)
            found = self._by_h5py((inside[0], inside[1], inside[2]))
            block[tuple(slice(0, n) for n in found.shape)] = found
            return block
        assert self._filters is not None
        data = raw
        for index, (code, values) in reversed(list(enumerate(self._filters))):
            if not mask >> index & 1:
                data = _undo(self.path, code, values, data, size)
        if len(data) != size:
            raise ReadError(f"{self.path}: a chunk of {self.dataset} has {len(data)} bytes, not {size}; it is damaged.")
        return np.frombuffer(data, self.stored_dtype).reshape(self._stored_chunks)


def hdf_array(path: Path, dataset: Any, axes: str, mirrored: bool = False) -> HdfArray | MappedArray:
    """Return an open dataset as a lazy array ``(bands, y, x)``.

    Parameters
    ----------
    path
        The file.
    dataset
        An h5py dataset with three axes, or two for a single band.
    axes
        Meaning of its axes, in order, such as "byx"; "yx" for two axes.
    mirrored
        Whether to return its columns in reverse order.

    Raises
    ------
    ReadError
        If it is not numeric, is stored outside the file, or has chunks of more than 1 GB.
    """
    checked(path, dataset, dataset.name)
    stored = _three(dataset.shape)
    letters = axes if len(axes) == 3 else f"b{axes}"
    order = (letters.index("b"), letters.index("y"), letters.index("x"))
    if stored[order[0]] > _MOST_BANDS or max(stored) > _LONGEST_SIDE:
        raise ReadError(
            f"{path}: {dataset.name} declares the shape {tuple(dataset.shape)}; a cube has at most {_MOST_BANDS} bands "
            f"and {_LONGEST_SIDE} rows and columns. Is axes={axes!r} right?"
        )
    offset = dataset.id.get_offset() if dataset.chunks is None else None
    if offset and not mirrored and _plain_type(dataset):
        end = offset + math.prod(stored) * dataset.dtype.itemsize
        if end > path.stat().st_size:
            raise ReadError(f"{path} has {path.stat().st_size} bytes, but {dataset.name} ends at {end}; truncated?")
        return MappedArray(str(path), dataset.dtype.str, stored, offset, order)
    return HdfArray(str(path), stored, dataset.dtype.str, order, str(dataset.name), mirrored)


def hdf_cube(path: Path, dataset: Any, axes: str, mirrored: bool = False, **description: Any) -> Cube:
    """Make a lazy cube of an open dataset, in dask chunks of whole HDF5 chunks; `description` is passed to `Cube`."""
    array = hdf_array(path, dataset, axes, mirrored)
    chunks = getattr(array, "chunks", None)
    if chunks is not None:
        chunks = _merged(array.shape, chunks, array.dtype.itemsize)
    return lazy_cube(array, path, chunks=chunks, **description)


def _merged(shape: Shape, chunks: Shape, itemsize: int) -> Shape:
    """Return dask chunks of whole HDF5 chunks, merging small or very numerous ones."""
    bands, height, width = (min(n, size) for n, size in zip(chunks, shape, strict=True))
    while height < shape[1] or width < shape[2]:
        count = math.prod(-(-size // n) for size, n in zip(shape, (bands, height, width), strict=True))
        if bands * height * width * itemsize >= memory.HDF_CHUNK and count <= _MOST_DASK_CHUNKS:
            break
        height, width = min(2 * height, shape[1]), min(2 * width, shape[2])
    while -(-shape[0] // bands) * -(-shape[1] // height) * -(-shape[2] // width) > _MOST_DASK_CHUNKS:
        bands = min(2 * bands, shape[0])
    return bands, height, width


def _plain_type(dataset: Any) -> bool:
    """Whether the file stores the numbers exactly as numpy does."""
    h5py = import_h5py(Path(dataset.file.filename))
    return bool(h5py.h5t.py_create(dataset.dtype, logical=True) == dataset.id.get_type())


def _three(shape: tuple[int, ...]) -> Shape:
    bands, height, width = shape if len(shape) == 3 else (1, *shape)
    return int(bands), int(height), int(width)


def _undo(path: str, code: int, values: tuple[int, ...], data: bytes, size: int) -> bytes:
    """Undo one filter, returning at most a chunk of `size` bytes and its checksums."""
    if code == _FLETCHER:
        return data[:-4]
    if code == _SHUFFLE:
        item = values[0] if values else 1
        if not 1 <= item <= _WIDEST_ITEM:
            raise ReadError(f"{path}: a chunk is shuffled by items of {item} bytes; it is damaged, get a new copy.")
        whole = len(data) // item * item
        mixed = np.frombuffer(data, np.uint8, whole).reshape(item, -1)
        plain_bytes = np.empty((mixed.shape[1], item), np.uint8)
        for index in range(item):  # column by column: four times as fast as a transposed copy
            plain_bytes[:, index] = mixed[index]
        return plain_bytes.tobytes() + data[whole:]
    inflater = zlib.decompressobj()
    plain = inflater.decompress(data, size + 64)
    if not inflater.eof:
        raise ReadError(f"{path}: a chunk is cut off or inflates to more than {size} bytes; it is damaged.")
    return plain
