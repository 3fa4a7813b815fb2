"""Boxes of an uncompressed image, read from the file piece by piece instead of through a memory map.

Touching a page of a map that is not in memory waits for the disk, and stops every thread where Python's lock is held
meanwhile. It also brings in the pages around it, which a spectrum of a band-sequential file does not need: its pieces
are read in a small part of that time.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MOST_PIECES", "read_box", "stored_box"]

# more are read with what lies between them, where that is little
MOST_PIECES = 4096
# from the begin of one piece to that of the next, at most: a few pages, which the system would read anyway
NEAR = 32 << 10
# read at a time with what lies between
SPAN = 4 << 20
# how Linux is told to fetch what will be read; other systems are not told
_ADVISE: Any = getattr(os, "posix_fadvise", None)
_WILL_NEED: int = getattr(os, "POSIX_FADV_WILLNEED", 0)


def stored_box(index: Any, shape: Sequence[int], axes: Sequence[int]) -> tuple[slice, ...] | None:
    """Return the box of the file that an index takes, in stored order; None where it is no plain box.

    Parameters
    ----------
    index
        What stands between the brackets.
    shape
        Of the array that is indexed.
    axes
        Which stored axis each of its axes is.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    if len(parts) > len(shape):
        return None
    parts += [slice(None)] * (len(shape) - len(parts))
    box = [slice(0)] * len(shape)
    for axis, part, length in zip(axes, parts, shape, strict=True):
        if isinstance(part, slice):
            start, stop, step = part.indices(length)
            if step < 1 or stop <= start:
                return None
        elif isinstance(part, int | np.integer) and not isinstance(part, bool) and -length <= part < length:
            start = int(part) % length
            stop, step = start + 1, 1
        else:
            return None
        # up to the last place that is taken
        stop -= (stop - 1 - start) % step
        box[axis] = slice(start, stop, step)
    return tuple(box)


def read_box(path: str, dtype: np.dtype[Any], offset: int, shape: Sequence[int], box: Sequence[slice]) -> NDArray[Any]:
    """Return the values of a box of the file.

    Parameters
    ----------
    path
        The file.
    dtype
        Type of the numbers in it.
    offset
        Bytes before the first one.
    shape
        Shape in C order, as stored.
    box
        A slice for each stored axis, as `stored_box` gives them.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it ends too early.
    """
    counts = [len(range(part.start, part.stop, part.step)) for part in box]
    # trailing axes that are taken whole make longer pieces
    whole = len(shape)
    while whole > 1 and counts[whole - 1] == shape[whole - 1]:
        whole -= 1
    if box[whole - 1].step > 1 and whole < len(shape):
        # what lies between is much
        whole += 1
    outer = box[: whole - 1]
    strides = [math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape))]
    inner = box[whole - 1]
    first = offset + inner.start * strides[whole - 1]
    starts = np.array([first], np.int64)
    for part, stride in zip(outer, strides, strict=False):
        starts = np.add.outer(starts, np.arange(part.start, part.stop, part.step, dtype=np.int64) * stride).ravel()
    # what a step passes over within a piece is read too
    out = np.empty([*counts[: whole - 1], inner.stop - inner.start, *counts[whole:]], dtype)
    pieces = out.reshape(-1).view(np.uint8).reshape(len(starts), -1)
    with open(path, "rb", buffering=0) as file:
        if len(starts) > MOST_PIECES and (apart := outer[-1].step * strides[whole - 2]) <= NEAR:
            for row in range(0, len(starts), counts[whole - 2]):
                _fill_spans(file, int(starts[row]), apart, pieces[row : row + counts[whole - 2]])
        else:
            _fill_each(file, starts.tolist(), pieces)
    return out[(slice(None),) * (whole - 1) + (slice(None, None, inner.step),)]


def _fill_each(file: Any, starts: Sequence[int], pieces: NDArray[np.uint8]) -> None:
    """Read pieces that begin at `starts`."""
    if _ADVISE is not None and len(starts) > 1:
        for start in starts:
            _ADVISE(file.fileno(), start, pieces.shape[1], _WILL_NEED)
    for start, piece in zip(starts, pieces, strict=True):
        _fill(file, start, piece.data)


def _fill_spans(file: Any, start: int, apart: int, pieces: NDArray[np.uint8]) -> None:
    """Read pieces that begin `apart` bytes from each other, with what lies between them."""
    count, length = pieces.shape
    at_once = max(1, (SPAN - length) // apart + 1)
    held = np.empty((min(at_once, count) - 1) * apart + length, np.uint8)
    for done in range(0, count, at_once):
        some = pieces[done : done + at_once]
        _fill(file, start + done * apart, held.data[: (len(some) - 1) * apart + length])
        some[:] = as_strided(held, some.shape, (apart, 1))


def _fill(file: Any, start: int, piece: memoryview) -> None:
    file.seek(start)
    done = 0
    while done < len(piece):
        # one call reads 2 GiB at most
        got = file.readinto(piece[done:])
        if not got:
            raise ValueError("it ends too early")
        done += got
