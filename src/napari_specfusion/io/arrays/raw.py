"""Write blocks of an uncompressed image into a file, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import OutputError
from napari_specfusion.io.arrays.blocks import contiguous

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_specfusion.io.arrays.blocks import Block

__all__ = ["LAYOUTS", "fill", "stored_dtype"]

# the axes of (bands, y, x) in the order they are stored
LAYOUTS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def stored_dtype(dtype: np.dtype[Any], known: Iterable[str], title: str) -> tuple[np.dtype[Any], list[str]]:
    """Return the format's little-endian type that holds every value of `dtype`, and a note if the type changes.

    Parameters
    ----------
    dtype
        Type of the stored values.
    known
        numpy names of the format's types, smallest first.
    title
        Display name of the format.

    Raises
    ------
    OutputError
        If the format has no such type.
    """
    allowed = [np.dtype(name) for name in known]
    kinds = {"b": "ui", "u": "ui", "i": "i", "f": "f"}[dtype.kind]
    fitting = [d for d in allowed if d == dtype] or [
        d for d in allowed if d.kind in kinds and np.can_cast(dtype, d, "safe")
    ]
    if not fitting:
        raise OutputError(
            f"{title} cannot store {dtype} values, only {', '.join(d.name for d in allowed)}; save to another format, "
            "or convert the cube's data first."
        )
    chosen = fitting[0]
    notes = [] if chosen == dtype else [f"{dtype} was stored as {chosen}, without loss"]
    return chosen.newbyteorder("<"), notes


def fill(
    path: Path,
    offset: int,
    shape: tuple[int, int, int],
    layout: str,
    dtype: np.dtype[Any],
    blocks: Iterable[tuple[Block, NDArray[Any]]],
) -> None:
    """Write blocks of a ``(bands, y, x)`` image to their places in the existing file `path`.

    Parameters
    ----------
    path
        The file.
    offset
        Bytes before the first number.
    shape
        Bands, rows, columns.
    layout
        Key of `LAYOUTS`.
    dtype
        Type in the file.
    blocks
        Blocks and their values ``(bands, rows, columns)``.
    """
    axes = LAYOUTS[layout]
    sizes = [shape[axis] for axis in axes]
    # not memory-mapped: on a full disk a mapped write dies from a signal, a plain one raises an error
    with path.open("r+b") as file:
        for block, values in blocks:
            stored = contiguous(values.transpose(axes).astype(dtype, copy=False), axes.index(1))
            box = [block.box[axis] for axis in axes]
            first, second, third = (s.start for s in box)
            if box[1:] == [slice(0, sizes[1]), slice(0, sizes[2])]:
                runs = stored.reshape(1, 1, -1)
            elif box[2] == slice(0, sizes[2]):
                runs = stored.reshape(len(stored), 1, -1)
            else:
                runs = stored
            for i, plane in enumerate(runs):
                for j, run in enumerate(plane):
                    place = ((first + i) * sizes[1] + second + j) * sizes[2] + third
                    file.seek(offset + place * dtype.itemsize)
                    file.write(run.data)
