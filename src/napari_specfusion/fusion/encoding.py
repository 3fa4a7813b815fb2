"""How a result keeps its values: as they are, or as 16-bit integers with a scale, which take half the room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import FusionError

__all__ = ["Encoding"]

NODATA = 65535
HIGHEST = NODATA - 1


@dataclass(frozen=True)
class Encoding:
    """Values as they are stored.

    Attributes
    ----------
    scale
        Value of a stored 1; values from 0 to 65534 times it are kept to half of it, others become the nearest of these,
        and 65535 means no data. None stores the values themselves.
    """

    scale: float | None = None

    def __post_init__(self) -> None:
        scale = self.scale
        if scale is None:
            return
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not (0 < scale < math.inf):
            raise FusionError(f"The scale is {scale!r}; give a positive number, such as 0.0001, or None.")

    @classmethod
    def of(cls, stored: Any, scale: Any) -> Encoding:
        """Return the encoding of an array of a store whose description has `scale`."""
        return cls(float(scale)) if np.dtype(stored.dtype) == np.uint16 else cls()

    def check(self, highest: float) -> None:
        """Check that values up to `highest` can be stored.

        Raises
        ------
        FusionError
            If they cannot.
        """
        if self.scale is not None and highest > HIGHEST * self.scale:
            raise FusionError(
                f"With a scale of {self.scale:g}, 16 bits hold values up to {HIGHEST * self.scale:g}, and the cube has "
                f"values of {highest:g}; give a scale of {1.25 * highest / HIGHEST:.2g} or more."
            )

    def dtype(self, computed: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type that is stored for results of type `computed`."""
        return computed if self.scale is None else np.dtype(np.uint16)

    @property
    def fill(self) -> float | int:
        """The stored value that means no data."""
        return math.nan if self.scale is None else NODATA

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the `Cube` that is stored like this."""
        return {} if self.scale is None else {"scale": self.scale, "nodata": NODATA}

    def stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what is stored for `values`, NaN where there are none."""
        if self.scale is None:
            return values
        scaled = np.rint(values / self.scale)
        return np.where(np.isnan(scaled), NODATA, np.clip(scaled, 0, HIGHEST)).astype(np.uint16)

    def values(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the values that `stored` stands for."""
        if self.scale is None:
            return stored
        values = stored.astype(np.float32) * np.float32(self.scale)
        values[stored == NODATA] = np.nan
        return values
