"""How far a file may grow when it is opened: what hostile files are held to, in one place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["check_inflation", "check_shape"]

# Up to here anything may grow; beyond, images do not shrink to a two-hundredth: what claims to is empty, or a bomb.
FREE_BYTES = 256 << 20
MOST_GROWTH = 200
# What filters of a Zarr chunk hand on may be wider than the numbers, and the index of a shard comes on top.
SPARE_BYTES, WIDEST_FILTER = 1 << 20, 16
# memory that LZMA may ask for, whatever it unpacks
LZMA_MEMORY = 256 << 20
# bytes of one chunk, which is unpacked whole
LARGEST_ZARR_CHUNK = 2 << 30
LARGEST_HDF_CHUNK = 1 << 30
MOST_CHUNKS_PER_SHARD = 1 << 20
# A picture inside a tile of a TIFF may be padded to its own blocks, but no more; samples.
FREE_SAMPLES, MOST_PADDING = 1 << 20, 2
# Values of TIFF tags may share bytes of the file, as those of a table for all pages do; all of them may not.
FREE_VALUES, MOST_REPEATS = 4 << 20, 4
_MOST_BANDS, _LONGEST_SIDE = 1 << 24, 1 << 31


def check_inflation(path: Path, what: str, stored: int, inflated: int) -> None:
    """Raise a ReadError if `stored` bytes of a file claim to unpack to `inflated` ones out of all proportion."""
    if inflated > max(FREE_BYTES, MOST_GROWTH * stored):
        raise ReadError(
            f"{path}: {what} claims to unpack {stored} bytes to {inflated}, more than images shrink to; it is damaged "
            "or meant to fill the memory. If it is sound, save it without compression."
        )


def check_shape(path: Path, shape: Sequence[int], band_axis: int = 0) -> None:
    """Raise a ReadError if a shape that nothing backs is larger than any image."""
    if any(n < 0 for n in shape) or shape[band_axis] > _MOST_BANDS or math.prod(shape) > _LONGEST_SIDE * _MOST_BANDS:
        raise ReadError(
            f"{path} claims the shape {tuple(shape)}; a cube has at most {_MOST_BANDS} bands. It is damaged."
        )
