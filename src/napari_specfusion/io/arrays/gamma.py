"""Pictures as cubes: a gamma, which must be undone to measure light, and transparency, which measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["LINEAR", "SRGB", "LinearArray", "linearised", "without_alpha"]

SRGB, LINEAR = "sRGB", "linear"


@dataclass(frozen=True)
class LinearArray:
    """A picture of whole numbers ``(bands, y, x)`` with the gamma of sRGB undone: light from 0 to 1, float32.

    Attributes
    ----------
    array
        The picture as stored.
    stored_linear
        Whether there is no gamma to undo, only the range.
    """

    array: Any
    stored_linear: bool = False

    ndim = 3
    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        bands, height, width = self.array.shape
        return int(bands), int(height), int(width)

    @cached_property
    def _light(self) -> NDArray[np.float32]:
        """Light for every value that can be stored."""
        share = np.linspace(0.0, 1.0, np.iinfo(self.array.dtype).max + 1)
        if not self.stored_linear:
            # IEC 61966-2-1
            share = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return share.astype(np.float32)

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        return np.asarray(self._light[self.array[index]])


def linearised(array: Any, transfer: str | None, path: Path) -> LinearArray:
    """Return `array` with its gamma undone; where nothing is known of it (None), it is taken for that of sRGB.

    Raises
    ------
    ReadError
        If its values are not of 8 or 16 bits, without sign.
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise ReadError(
            f"{path} holds {array.dtype} values; linear=True undoes the gamma of pictures of 8 or 16 bits, so leave it "
            "out."
        )
    return LinearArray(array, transfer == LINEAR)


def without_alpha(cube: Cube) -> Cube:
    """Return `cube` without its last band, which its file calls transparency; one with wavelengths as it is.

    Much software writes any fourth band of 8 bits so, near infrared too: a note says what to do.
    """
    if cube.wavelengths is not None:
        return cube
    note = f"band {cube.bands} is transparency, the file says, and was left out; wavelengths= for every band keeps it"
    rest = cube.select(range(cube.bands - 1))
    return rest.replace(metadata=dict(rest.metadata) | {"notes": (*rest.metadata.get("notes", ()), note)})
