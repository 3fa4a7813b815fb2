"""Boxes of an uncompressed image, read from the file piece by piece instead of through a memory map.

Touching a page of a map that is not in memory stops every thread, as Python's lock is held meanwhile. It also brings in
the pages around it, which a spectrum of a band-sequential file does not need: its pieces are read in a small part of
that time.
"""

from __future__ import annotations

import math
import os
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MOST_PIECES", "read_box", "stored_box"]

# more are left to the map
MOST_PIECES = 4096
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


def read_box(path: str, dtype: np.dtype[Any], offset: int, shape: Sequence[int], box: Sequence[slice]) -> Any:
    """Return the values of a box of the file, or None if it lies in too many pieces.

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
    if math.prod(counts[: whole - 1]) > MOST_PIECES:
        return None
    strides = [math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape))]
    inner = box[whole - 1]
    first = offset + inner.start * strides[whole - 1]
    starts = [
        first + sum(at * stride for at, stride in zip(places, strides, strict=False))
        for places in product(*(range(part.start, part.stop, part.step) for part in outer))
    ]
    # what a step passes over within a piece is read too
    out = np.empty([*counts[: whole - 1], inner.stop - inner.start, *counts[whole:]], dtype)
    # a type that Python knows, whatever the numbers are
    pieces = memoryview(out.reshape(-1).view(np.uint8).data)
    length = out.nbytes // len(starts)
    with open(path, "rb", buffering=0) as file:
        if _ADVISE is not None and len(starts) > 1:
            for start in starts:
                _ADVISE(file.fileno(), start, length, _WILL_NEED)
        for number, start in enumerate(starts):
            _fill(file, start, pieces[number * length : (number + 1) * length])
    return out[(slice(None),) * (whole - 1) + (slice(None, None, inner.step),)]


def _fill(file: Any, start: int, piece: memoryview) -> None:
    file.seek(start)
    done = 0
    while done < len(piece):
        # one call reads 2 GiB at most
        got = file.readinto(piece[done:])
        if not got:
            raise ValueError("it ends too early")
        done += got
