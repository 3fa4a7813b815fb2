"""Spectra of layers at points of the world; no Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.spectra.spectrum import BAND, Spectrum

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BAND", "Curve", "Spot", "band_positions", "spot_at"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A spectrum of a layer.

    Attributes
    ----------
    cube
        Name of the layer it was taken from.
    place
        Where, in words, such as "pin 1"; empty for the cursor. Curves of one place in several cubes share it.
    spectrum
        Physical values; NaN for bad bands and missing data.
    colour
        Of the pin or the region; empty for the cursor.
    pixel
        Row and column in that layer, for a single pixel.
    """

    cube: str
    place: str
    spectrum: Spectrum
    colour: str = ""
    pixel: tuple[int, int] | None = None


def band_positions(cube: Cube) -> tuple[NDArray[np.float64], str]:
    """Return where the bands of a cube lie, and in which unit; band numbers where that is unknown."""
    if cube.wavelengths is None:
        return np.arange(cube.bands, dtype=np.float64), BAND
    return cube.wavelengths, cube.spectral_unit


@dataclass(frozen=True)
class Spot:
    """A pixel of a cube layer. Finding it is for the window's thread; any thread can read it.

    Two are equal if they are the same pixel of the same data, and are told alike.

    Attributes
    ----------
    layer
        Name of the layer.
    data
        Tells the layer's data from others.
    pixel
        Row and column.
    place, colour
        As in `Curve`.
    cube
        What is read.
    """

    layer: str
    data: int
    pixel: tuple[int, int]
    place: str = ""
    colour: str = ""
    cube: Cube | None = field(default=None, repr=False, compare=False)

    def read(self) -> Curve:
        """Return the spectrum."""
        assert self.cube is not None
        spectrum = Spectrum.of_pixel(self.cube.replace(name=self.layer), *self.pixel)
        if self.place:
            spectrum = spectrum.replace(name=f"{self.layer} {self.place}")
        return Curve(self.layer, self.place, spectrum, self.colour, self.pixel)


def spot_at(layer: Any, point: Sequence[float], place: str = "", colour: str = "") -> Spot | None:
    """Return the pixel of a cube layer at a point (y, x) of the world; None beside the image."""
    at = layer.world_to_data((0.0,) * (layer.ndim - 2) + tuple(point))
    row, column = (round(float(v)) for v in at[-2:])
    cube = Cube.from_layer(layer)
    if not (0 <= row < cube.shape[1] and 0 <= column < cube.shape[2]):
        return None
    return Spot(str(layer.name), id(layer.data), (row, column), place, colour, cube)
