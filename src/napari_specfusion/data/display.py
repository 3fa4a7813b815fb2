"""Display of a cube: the bands for red, green and blue, the band to show first, and contrast limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import CubeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.data.cube import Cube

__all__ = ["band_limits", "contrast_limits", "first_band", "likely_limits", "rgb_bands"]

# wavelengths of red, green and blue, and how far they may lie outside the cube's range, in nm
RGB_WAVELENGTHS = (640.0, 550.0, 460.0)
RGB_MARGIN = 30.0
# the wavelength to show first, in nm, and the number of bands to look at where it is not there
FIRST_WAVELENGTH = 550.0
LOOKED_AT = 15
# stored integers of more than 8 bits that are bright: reflectance is stored times this
BRIGHT = 10_000
# positions of red, green and blue among the good bands, 0 to 1, in a cube without visible wavelengths
RGB_SHARES = (0.85, 0.5, 0.15)


def rgb_bands(cube: Cube, wavelengths: Sequence[float] | None = None) -> tuple[int, int, int]:
    """Return the bands to show as red, green and blue, as `Cube.rgb_bands` describes them."""
    known = cube.wavelengths
    if wavelengths is None and cube.bands == 3:
        return (0, 1, 2) if known is None else (2, 1, 0)
    chosen = RGB_WAVELENGTHS if wavelengths is None else wavelengths
    if len(chosen) != 3:
        raise CubeError(f"{len(chosen)} wavelengths were given; a picture takes three: red, green and blue.")
    if known is not None and cube.spectral_unit == "nm":
        low, high = known.min() - RGB_MARGIN, known.max() + RGB_MARGIN
        if low <= min(chosen) and max(chosen) <= high:
            red, green, blue = (cube.band_at(wavelength) for wavelength in chosen)
            return red, green, blue
    good = np.flatnonzero(cube.good) if cube.good.any() else np.arange(cube.bands)
    red, green, blue = (int(good[int(share * (len(good) - 1))]) for share in RGB_SHARES)
    return red, green, blue


def first_band(cube: Cube) -> int:
    """Return the band to show first: the good one at 550 nm, or else the brightest of a few good ones.

    Reads a small sample of each band that it looks at. Bands without a value are left out.
    """
    good = np.flatnonzero(cube.good) if cube.good.any() else np.arange(cube.bands)
    known = cube.wavelengths
    if known is not None and cube.spectral_unit == "nm":
        low, high = known[good].min() - RGB_MARGIN, known[good].max() + RGB_MARGIN
        if low <= FIRST_WAVELENGTH <= high:
            green = cube.band_at(FIRST_WAVELENGTH)
            if np.isfinite(_sample(cube, [green])).any():
                return green
    some = np.unique(good[np.linspace(0, len(good) - 1, min(len(good), LOOKED_AT)).astype(int)])
    levels = [float(np.median(v)) if v.size else -np.inf for v in map(_finite, _sample(cube, some))]
    return int(some[int(np.argmax(levels))])


def band_limits(cube: Cube, band: int) -> tuple[float, float]:
    """Return display limits of one band: the 1st and 99th percentile of a small sample of it."""
    return _limits(_sample(cube, [band]))


def likely_limits(cube: Cube) -> tuple[float, float]:
    """Return display limits that suit such values as a rule, without reading any."""
    if cube.dtype.kind not in "ui":
        return 0.0, 1.0
    top = float(np.iinfo(cube.dtype).max) if cube.dtype.itemsize == 1 else BRIGHT
    scale, offset = (float(np.median(value)) for value in (cube.scale, cube.offset))
    low, high = sorted((offset, top * scale + offset))
    return (low, high) if high > low else (low, low + 1.0)


def contrast_limits(cube: Cube) -> tuple[float, float]:
    """Return display limits, as `Cube.contrast_limits` describes them."""
    return _limits(cube.sample())


def _sample(cube: Cube, bands: Sequence[int] | NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Return a sample of each of these bands, whether it is good or not."""
    return cube.select(bands).replace(good_bands=None).sample(len(bands))


def _limits(sample: NDArray[np.floating[Any]]) -> tuple[float, float]:
    values = _finite(sample)
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, [1, 99])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _finite(sample: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    values: NDArray[np.floating[Any]] = sample[np.isfinite(sample)]
    return values
