"""Limits on how far a file may expand when it is opened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["check_inflation", "check_shape"]

# Any expansion is allowed up to here. Beyond, real images do not compress 200 times: such files are empty or bombs.
FREE_BYTES = 256 << 20
MOST_GROWTH = 200
# The filters of a Zarr chunk may output wider numbers than the array's, and a shard adds its index.
SPARE_BYTES, WIDEST_FILTER = 1 << 20, 16
# memory limit of the LZMA decoder
LZMA_MEMORY = 256 << 20
# bytes of one chunk, which can only be unpacked as a whole
LARGEST_ZARR_CHUNK = 2 << 30
LARGEST_HDF_CHUNK = 1 << 30
MOST_CHUNKS_PER_SHARD = 1 << 20
# A picture inside a TIFF tile may be padded to whole blocks: any size is allowed up to the first number of samples,
# beyond that it may exceed the tile by the second as a factor.
FREE_SAMPLES, MOST_PADDING = 1 << 20, 2
# TIFF tags may share bytes of the file, such as a table used by all pages, but only up to this many times.
FREE_VALUES, MOST_REPEATS = 4 << 20, 4
_MOST_BANDS, _LONGEST_SIDE = 1 << 24, 1 << 31


def check_inflation(path: Path, what: str, stored: int, inflated: int) -> None:
    """Raise a ReadError if `stored` bytes are declared to unpack to implausibly many (`inflated`) bytes."""
    if inflated > max(FREE_BYTES, MOST_GROWTH * stored):
        raise ReadError(
            f"{path}: {what} expands from {stored} bytes to {inflated}, more than images do; it is damaged "
            "or malicious. If the file is valid, save it without compression."
        )


def check_shape(path: Path, shape: Sequence[int], band_axis: int = 0) -> None:
    """Raise a ReadError if a declared shape is larger than any image."""
    if any(n < 0 for n in shape) or shape[band_axis] > _MOST_BANDS or math.prod(shape) > _LONGEST_SIDE * _MOST_BANDS:
        raise ReadError(
            f"{path} declares the shape {tuple(shape)}; a cube has at most {_MOST_BANDS} bands. It is damaged."
        )
