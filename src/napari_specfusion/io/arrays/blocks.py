"""Read the stored values of a cube block by block, in an order that suits both the source and the target file."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.data.computed import computed
from napari_specfusion.errors import Cancelled, ReadError
from napari_specfusion.io.arrays.lazy import BlockArray, MappedArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_specfusion.data.cube import Cube

__all__ = ["Block", "SaveProgress", "Watch", "contiguous", "file_arrays", "plan", "reads_by_bands", "stored_blocks"]

_AHEAD = 2


@dataclass(frozen=True)
class Block:
    """A box of a cube."""

    bands: slice
    rows: slice
    columns: slice

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The box as an index ``(bands, y, x)``."""
        return self.bands, self.rows, self.columns


@dataclass(frozen=True)
class SaveProgress:
    """Progress of a save.

    Attributes
    ----------
    done, total
        Bytes of pixel data written so far, and in total.
    seconds
        Time since the save began.
    remaining
        Estimated seconds left; None before the first block.
    message
        Description of the current work.
    """

    done: int
    total: int
    seconds: float
    remaining: float | None
    message: str = "Writing"


class Watch:
    """Count the bytes written, report progress, and stop the save on request.

    Parameters
    ----------
    total
        Bytes to write.
    progress
        Called with a `SaveProgress` at the start and after every block.
    should_stop
        Called before every block; a true result stops the save.
    """

    def __init__(
        self,
        total: int,
        progress: Callable[[SaveProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.total = total
        self._done = 0
        self._start = time.perf_counter()
        self._progress, self._should_stop = progress, should_stop

    def check(self) -> None:
        """Raise `Cancelled` if a stop was requested."""
        if self._should_stop is not None and self._should_stop():
            raise Cancelled("Saving was stopped; nothing was written, and any earlier file is untouched.")

    def add(self, count: int) -> None:
        """Count `count` bytes as written."""
        self._done += count
        if self._progress is not None:
            seconds = time.perf_counter() - self._start
            left = None if not self._done else seconds / self._done * (self.total - self._done)
            self._progress(SaveProgress(self._done, self.total, seconds, left))


def file_arrays(cube: Cube) -> list[Any]:
    """Return the file arrays that a cube is read from directly, if they are known."""
    source: Any = cube.source
    while getattr(source, "source", None) is not None:
        source = source.source
    return [array] if (array := getattr(source, "array", None)) is not None else []


def reads_by_bands(cube: Cube) -> bool:
    """Whether `cube` reads faster a few bands at a time than a few rows at a time."""
    for array in file_arrays(cube):
        if isinstance(array, MappedArray):
            return array.axes[0] != 2
        if isinstance(array, BlockArray) and not hasattr(array, "level"):
            # interleaved segments look planar here, but each segment holds all bands
            return array.axes[0] == 0 and getattr(array, "layout", "") != "contiguous"
        if isinstance(array, np.ndarray):
            return abs(array.strides[0]) == max(abs(s) for s in array.strides)
    bands, rows, _ = (max(chunks) for chunks in cube.data.chunks)
    # compare how much of each chunk is wasted by a block of few rows and by a block of few bands
    return bool(rows / cube.shape[1] >= bands / cube.bands)


def plan(cube: Cube, by_bands: bool, grid: tuple[int, int, int] = (1, 1, 1), limit: int | None = None) -> list[Block]:
    """Return blocks that cover `cube` exactly once, each of about `limit` bytes or less.

    Parameters
    ----------
    cube
        The cube.
    by_bands
        True for blocks of few bands and many rows, False for all bands and few rows.
    grid
        Blocks start at multiples of these numbers of bands, rows and columns.
    limit
        Bytes per block; a block of a single grid cell may be larger.
    """
    limit = memory.SAVED_BLOCK if limit is None else limit
    bands, height, width = cube.shape
    size = cube.dtype.itemsize

    def fitting(each: int, step: int, whole: int) -> int:
        return min(whole, max(1, limit // max(1, each * step)) * step)

    if by_bands:
        group = fitting(height * width * size, grid[0], bands)
        rows = fitting(group * width * size, grid[1], height)
        columns = fitting(group * rows * size, grid[2], width)
    else:
        group = bands
        columns = fitting(bands * min(grid[1], height) * size, grid[2], width)
        rows = fitting(bands * columns * size, grid[1], height)
    return [
        Block(slice(b, min(b + group, bands)), slice(y, min(y + rows, height)), slice(x, min(x + columns, width)))
        for b in range(0, bands, group)
        for y in range(0, height, rows)
        for x in range(0, width, columns)
    ]


def contiguous(values: NDArray[Any], row_axis: int = 1) -> NDArray[Any]:
    """Return `values` in C order; rows are transposed a few at a time so that they stay in the CPU cache."""
    if values.flags.c_contiguous:
        return values
    turned = np.empty(values.shape, values.dtype)
    to, rows = np.moveaxis(turned, row_axis, 0), np.moveaxis(values, row_axis, 0)
    # each pixel occupies one cache line
    step = max(1, memory.CACHED // (64 * max(1, rows.shape[-1])))
    for first in range(0, len(rows), step):
        to[first : first + step] = rows[first : first + step]
    return turned


def _unmapped(array: MappedArray, block: Block) -> NDArray[Any]:
    """Return the values ``(bands, rows, columns)`` of a block by plain reading.

    The pages of a memory-mapped file count as memory of the process, and a block may touch pages all over the file.
    """
    place = [array.axes.index(axis) for axis in range(3)]
    box, sizes = [block.box[axis] for axis in place], array.stored_shape
    stored = np.empty([part.stop - part.start for part in box], array.stored_dtype)
    runs: NDArray[Any] = stored
    if box[2] == slice(0, sizes[2]):
        runs = stored.reshape(1, 1, -1) if box[1] == slice(0, sizes[1]) else stored.reshape(len(stored), 1, -1)
    first, second, third = (part.start for part in box)
    try:
        with open(array.path, "rb", buffering=0) as file:
            starts = [
                array.offset + (((first + i) * sizes[1] + second + j) * sizes[2] + third) * stored.itemsize
                for i in range(runs.shape[0])
                for j in range(runs.shape[1])
            ]
            runs = runs.reshape(len(starts), -1).view("u1")
            if sys.platform == "linux":
                # otherwise the system reads ahead between the runs, which takes twice as long
                for start in starts:
                    os.posix_fadvise(file.fileno(), start, runs.shape[1], os.POSIX_FADV_WILLNEED)
            for start, run in zip(starts, runs, strict=True):
                file.seek(start)
                if file.readinto(run.data) != run.nbytes:
                    raise OSError("it ends too early")
    except OSError as error:
        raise ReadError(
            f"{array.path} can no longer be read ({error}); it was moved or truncated. Open it again."
        ) from error
    return stored.transpose(array.axes).astype(array.dtype, copy=False)


def stored_blocks(cube: Cube, blocks: Sequence[Block], watch: Watch) -> Iterator[tuple[Block, NDArray[Any]]]:
    """Yield each block with its stored values ``(bands, rows, columns)``, reading the next blocks ahead."""
    arrays = file_arrays(cube) if hasattr(cube.source, "array") else []

    def read(block: Block) -> NDArray[Any]:
        if arrays and isinstance(arrays[0], MappedArray):
            return _unmapped(arrays[0], block)
        if arrays:
            return np.asarray(arrays[0][block.box])
        if cube.source is not None and block.bands == slice(0, cube.bands):
            return cube.source.window(block.rows, block.columns)
        return computed(cube.data[block.box])

    watch.check()
    watch.add(0)
    with ThreadPoolExecutor(_AHEAD, "specfusion-save") as readers:
        coming = deque(readers.submit(read, block) for block in blocks[:_AHEAD])
        for index, block in enumerate(blocks):
            values = coming.popleft().result()
            if index + _AHEAD < len(blocks):
                coming.append(readers.submit(read, blocks[index + _AHEAD]))
            yield block, values
            watch.add(math.prod(values.shape) * cube.dtype.itemsize)
            del values
            watch.check()
