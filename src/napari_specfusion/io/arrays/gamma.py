"""Pictures as cubes: undo the gamma to get linear light, and drop the alpha channel."""

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
    """An integer picture ``(bands, y, x)`` with the sRGB gamma undone: linear light from 0 to 1, float32.

    Attributes
    ----------
    array
        The picture as stored.
    stored_linear
        Whether the stored values are linear already and need only be scaled to 0-1.
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
        """Lookup table from stored value to linear light."""
        share = np.linspace(0.0, 1.0, np.iinfo(self.array.dtype).max + 1)
        if not self.stored_linear:
            # IEC 61966-2-1
            share = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return share.astype(np.float32)

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        return np.asarray(self._light[self.array[index]])


def linearised(array: Any, transfer: str | None, path: Path) -> LinearArray:
    """Return `array` with its gamma undone; an unknown transfer function (None) is assumed to be sRGB.

    Raises
    ------
    ReadError
        If its values are not unsigned integers of 8 or 16 bits.
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise ReadError(
            f"{path} holds {array.dtype} values; linear=True undoes the gamma of pictures of 8 or 16 bits, so leave it "
            "out."
        )
    return LinearArray(array, transfer == LINEAR)


def without_alpha(cube: Cube) -> Cube:
    """Return `cube` without its last band, which its file marks as transparency; keep all bands if it has wavelengths.

    Much software marks any fourth 8-bit band as alpha, even near infrared, so a note says how to keep it.
    """
    if cube.wavelengths is not None:
        return cube
    note = f"the file marks band {cube.bands} as transparency, so it was left out; give wavelengths= to keep it"
    rest = cube.select(range(cube.bands - 1))
    return rest.replace(metadata=dict(rest.metadata) | {"notes": (*rest.metadata.get("notes", ()), note)})
