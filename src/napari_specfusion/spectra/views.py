"""Other looks at a spectrum: without continuum or baseline, smoothed, derived, or on a common scale.

Nothing is computed across a gap between two sensors or across bands without a value, except a continuum, which is
stretched over the whole spectrum.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from napari_specfusion.arguments import choice, number, whole
from napari_specfusion.data.band_axis import gaps
from napari_specfusion.errors import SpectrumError
from napari_specfusion.spectra.spectrum import as_spectrum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_specfusion.spectra.spectrum import Spectrum

__all__ = ["SCALES", "derivative", "normalise", "remove_baseline", "remove_continuum", "smooth"]

Floats = NDArray[np.float64]

# bands of a window, at most
WIDEST = 1001
# rounds of reweighting a baseline, at most
ROUNDS = 50
STEEPEST = 1e12


def remove_continuum(spectrum: Spectrum) -> Spectrum:
    """Return a spectrum divided by its continuum: the upper convex hull, straight between its corners.

    After R. N. Clark and T. L. Roush, Journal of Geophysical Research 89(B7), 1984.

    Parameters
    ----------
    spectrum
        A spectrum, or a list of values.

    Returns
    -------
    Spectrum
        Values up to 1; NaN where the continuum is not above zero. The spread is divided alike.

    Raises
    ------
    SpectrumError
        If it is no spectrum.
    """
    spectrum = as_spectrum(spectrum)
    known = spectrum.known
    if not known.any():
        return spectrum
    x, y = spectrum.positions[known], spectrum.values[known]
    corners = _upper_hull(x, y)
    hull = np.interp(spectrum.positions, x[corners], y[corners])
    return _divided(spectrum, np.where(hull > 0, hull, np.nan))


def smooth(spectrum: Spectrum, window: int = 9, order: int = 2) -> Spectrum:
    """Return a spectrum smoothed by polynomials that are fitted to a moving window.

    After A. Savitzky and M. J. E. Golay, Analytical Chemistry 36(8), 1964, for bands at any distances. At the ends the
    last whole window is used. A stretch of fewer bands than the window is fitted as a whole.

    Parameters
    ----------
    spectrum
        A spectrum, or a list of values.
    window
        Number of bands, odd, from 3 to 1001.
    order
        Order of the polynomials, at least 0 and below `window`.

    Returns
    -------
    Spectrum
        The smoothed values. The spread stays.

    Raises
    ------
    SpectrumError
        If the window is even, too small or too large.
    """
    spectrum = as_spectrum(spectrum)
    return spectrum.replace(values=_fitted(spectrum, *_window(window, order, 0), 0))


def derivative(spectrum: Spectrum, window: int = 5, order: int = 2) -> Spectrum:
    """Return the first derivative of a spectrum, by the polynomials that `smooth` fits.

    Parameters
    ----------
    spectrum
        A spectrum, or a list of values.
    window
        Number of bands, odd, from 3 to 1001.
    order
        Order of the polynomials, at least 1 and below `window`.

    Returns
    -------
    Spectrum
        Change of the value per nm, per cm-1, or per band; without a spread. NaN at single bands.

    Raises
    ------
    SpectrumError
        If the window is even, too small or too large.
    """
    spectrum = as_spectrum(spectrum)
    return spectrum.replace(values=_fitted(spectrum, *_window(window, order, 1), 1), spread=None)


def remove_baseline(spectrum: Spectrum, smoothness: float = 1e5, asymmetry: float = 0.01) -> Spectrum:
    """Return a spectrum less its baseline, for narrow peaks over a broad background, as in Raman spectra.

    Asymmetric least squares: a smooth curve that is drawn to what lies below it, band by band. After P. H. C. Eilers,
    Analytical Chemistry 75(14), 2003, and P. H. C. Eilers and H. F. M. Boelens, Leiden University Medical Centre, 2005.

    Parameters
    ----------
    spectrum
        A spectrum, or a list of values.
    smoothness
        Weight of the curve's second differences, up to 1e12: the larger, the stiffer. 1e4 to 1e7 are usual.
    asymmetry
        Weight of bands above the curve, above 0 and below 1; those below weigh 1 less that.

    Returns
    -------
    Spectrum
        The values less the curve. The spread stays.

    Raises
    ------
    SpectrumError
        If a number is out of range.
    """
    spectrum = as_spectrum(spectrum)
    stiff = number("smoothness", smoothness, high=STEEPEST, above=0, error=SpectrumError)
    uneven = number("asymmetry", asymmetry, high=0.999, above=0, error=SpectrumError)
    values = spectrum.values.copy()
    for part in np.split(np.arange(spectrum.bands), gaps(spectrum.positions) + 1):
        values[part] -= _baseline(values[part], stiff, uneven)
    return spectrum.replace(values=values)


def normalise(spectrum: Spectrum, scale: str = "maximum") -> Spectrum:
    """Return a spectrum on a scale on which others can be compared with it.

    Parameters
    ----------
    spectrum
        A spectrum, or a list of values.
    scale
        What becomes 1: the ``"area"`` between curve and axis, the ``"maximum"``, or the length of the ``"vector"``. Or
        ``"snv"``, standard normal variate: the mean becomes 0 and the standard deviation 1 (R. J. Barnes et al.,
        Applied Spectroscopy 43(5), 1989).

    Returns
    -------
    Spectrum
        The values, and the spread alike; NaN where the scale is not above zero.

    Raises
    ------
    SpectrumError
        If there is no such scale.
    """
    spectrum = as_spectrum(spectrum)
    measure = SCALES[choice("scale", scale, SCALES, SpectrumError)]
    if not spectrum.known.any():
        return spectrum
    if scale == "snv":
        spectrum = spectrum.replace(values=spectrum.values - np.nanmean(spectrum.values))
    found = measure(spectrum)
    return _divided(spectrum, np.full(spectrum.bands, found if found > 0 else np.nan))


def _divided(spectrum: Spectrum, by: Floats) -> Spectrum:
    spread = None if spectrum.spread is None else spectrum.spread / by
    return spectrum.replace(values=spectrum.values / by, spread=spread)


# --- scales ----------------------------------------------------------------------------


def _area(spectrum: Spectrum) -> float:
    return sum(
        float(np.trapezoid(np.abs(spectrum.values[part]), spectrum.positions[part])) for part in _stretches(spectrum)
    )


def _spread(spectrum: Spectrum) -> float:
    values = spectrum.values[spectrum.known]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


SCALES: Mapping[str, Callable[[Spectrum], float]] = {
    "area": _area,
    "maximum": lambda spectrum: float(np.nanmax(spectrum.values)),
    "vector": lambda spectrum: float(np.sqrt(np.nansum(spectrum.values**2))),
    "snv": _spread,
}


# --- continuum and baseline ---------------------------------------------------------------


def _upper_hull(x: Floats, y: Floats) -> list[int]:
    """Return the corners of the upper convex hull of points that ascend in x."""
    corners: list[int] = []
    for point in range(len(x)):
        while len(corners) > 1:
            first, last = corners[-2], corners[-1]
            turn = (x[last] - x[first]) * (y[point] - y[first]) - (y[last] - y[first]) * (x[point] - x[first])
            if turn < 0:
                break
            corners.pop()
        # of two bands at one wavelength, the upper one
        if corners and x[corners[-1]] == x[point]:
            if y[corners[-1]] >= y[point]:
                continue
            corners.pop()
        corners.append(point)
    return corners


def _baseline(values: Floats, stiff: float, uneven: float) -> Floats:
    """Return the curve under values ``(n,)``; the values themselves where fewer than three are known."""
    known = np.isfinite(values)
    if known.sum() < 3:
        return values
    heights = np.where(known, values, 0)
    # the scale of the values changes nothing but rounding
    unit = float(np.max(np.abs(heights))) or 1.0
    heights = heights / unit
    roughness = stiff * _roughness(len(values))
    weights = known.astype(np.float64)
    curve = heights
    for _ in range(ROUNDS):
        system = roughness.copy()
        # values that are missing weigh nothing, but for what keeps the ends from being undetermined
        system[-1] += np.maximum(weights, 1e-9)
        curve = np.asarray(solveh_banded(system, np.maximum(weights, 1e-9) * heights))
        before, weights = weights, np.where(known, np.where(heights > curve, uneven, 1 - uneven), 0.0)
        if np.array_equal(before, weights):
            break
    return curve * unit


@lru_cache(maxsize=16)
def _roughness(count: int) -> Floats:
    """Return the sum of squared second differences as a matrix, its upper three diagonals ``(3, count)``."""
    bands = np.zeros((3, count))
    kernel = np.array([1.0, -2.0, 1.0])
    for start in range(count - 2):
        for offset in range(3):
            for other in range(offset, 3):
                bands[2 - (other - offset), start + other] += kernel[offset] * kernel[other]
    return bands


# --- polynomials in a moving window ----------------------------------------------------------


def _window(window: int, order: int, least: int) -> tuple[int, int]:
    width = whole("window", window, 3, WIDEST, SpectrumError)
    if width % 2 == 0:
        raise SpectrumError(f"window is {width}; it must be odd, so that a band is in its middle. Try {width + 1}.")
    return width, whole("order", order, least, min(width - 1, 9), SpectrumError)


def _stretches(spectrum: Spectrum) -> list[NDArray[np.intp]]:
    """Return the indices of bands that follow one another without a gap or a missing value."""
    edges = np.zeros(spectrum.bands - 1, bool)
    edges[gaps(spectrum.positions)] = True
    known = spectrum.known
    edges |= known[1:] != known[:-1]
    parts = np.split(np.arange(spectrum.bands), np.flatnonzero(edges) + 1)
    return [part for part in parts if known[part[0]]]


def _fitted(spectrum: Spectrum, window: int, order: int, degree: int) -> Floats:
    """Return a derivative of the fitted polynomials, of degree 0 or 1, at every band."""
    found = np.full(spectrum.bands, np.nan)
    for part in _stretches(spectrum):
        width = min(window, len(part))
        if width <= degree:
            continue
        starts, weights = _weights(spectrum.positions[part].tobytes(), width, min(order, width - 1), degree)
        seen = spectrum.values[part][starts[:, None] + np.arange(width)]
        found[part] = np.einsum("bw,bw->b", weights, seen)
    return found


@lru_cache(maxsize=64)
def _weights(positions: bytes, width: int, order: int, degree: int) -> tuple[NDArray[Any], Floats]:
    """Return where the window of each band starts, and its weights ``(bands, width)``."""
    x = np.frombuffer(positions)
    starts = np.clip(np.arange(len(x)) - width // 2, 0, len(x) - width)
    away = x[starts[:, None] + np.arange(width)] - x[:, None]
    # in units of the window, so that powers stay near 1
    unit = np.max(np.abs(away), axis=1)
    unit[unit == 0] = 1
    powers = (away / unit[:, None])[..., None] ** np.arange(order + 1)
    return starts, np.linalg.pinv(powers)[:, degree] / unit[:, None] ** degree
