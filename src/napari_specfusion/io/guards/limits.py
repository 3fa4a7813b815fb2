"""How far a file may grow when it is opened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["check_inflation", "check_shape"]

# Up to here anything may grow; beyond, images do not shrink to a two-hundredth: what claims to is empty, or a bomb.
_FREE_BYTES = 256 << 20
_MOST_GROWTH = 200
_MOST_BANDS, _LONGEST_SIDE = 1 << 24, 1 << 31


def check_inflation(path: Path, what: str, stored: int, inflated: int) -> None:
    """Raise a ReadError if `stored` bytes of a file claim to unpack to `inflated` ones out of all proportion."""
    if inflated > max(_FREE_BYTES, _MOST_GROWTH * stored):
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
