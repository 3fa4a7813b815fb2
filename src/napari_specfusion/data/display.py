"""Display of a cube: the bands for red, green and blue, and the contrast limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.errors import CubeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.data.cube import Cube

__all__ = ["contrast_limits", "rgb_bands"]

# wavelengths of red, green and blue, and how far they may lie outside the cube's range, in nm
RGB_WAVELENGTHS = (640.0, 550.0, 460.0)
RGB_MARGIN = 30.0
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


def contrast_limits(cube: Cube) -> tuple[float, float]:
    """Return display limits, as `Cube.contrast_limits` describes them."""
    sample = cube.sample()
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(sample, [1, 99])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)
