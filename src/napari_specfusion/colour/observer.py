"""The CIE 1931 standard observer, and the way from its tristimulus values to the screen."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["colour_matching", "linear_rgb", "rgb_weights", "to_srgb"]

Floats = NDArray[np.float64]

# C. Wyman, P.-P. Sloan, P. Shirley: "Simple Analytic Approximations to the CIE XYZ Color Matching Functions",
# Journal of Computer Graphics Techniques 2(2), 2013. Height, centre, width below and above the centre, in nm.
LOBES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "x": ((1.056, 599.8, 37.9, 31.0), (0.362, 442.0, 16.0, 26.7), (-0.065, 501.1, 20.4, 26.2)),
    "y": ((0.821, 568.8, 46.9, 40.5), (0.286, 530.9, 16.3, 31.1)),
    "z": ((1.217, 437.0, 11.8, 36.0), (0.681, 459.0, 26.0, 13.8)),
}
# what the observer sees, in nm
VISIBLE = np.arange(360.0, 831.0)
# from XYZ to linear sRGB (IEC 61966-2-1), and to the responses in which Bradford's adaptation works
TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def colour_matching(wavelengths: ArrayLike) -> Floats:
    """Return the CIE 1931 colour-matching functions (2 degrees), by the fit of Wyman, Sloan and Shirley (2013).

    Parameters
    ----------
    wavelengths
        ``(n,)`` in nm.

    Returns
    -------
    numpy.ndarray
        x, y and z ``(3, n)``.
    """
    at = np.asarray(wavelengths, np.float64)
    curves = []
    for lobes in LOBES.values():
        curve = np.zeros_like(at)
        for height, centre, below, above in lobes:
            curve += height * np.exp(-0.5 * ((at - centre) / np.where(at < centre, below, above)) ** 2)
        curves.append(curve)
    return np.stack(curves)


def linear_rgb(xyz: ArrayLike, white: ArrayLike) -> Floats:
    """Return linear sRGB of tristimulus values ``(3, ...)``, for an eye that has adapted to `white` ``(3,)``.

    White gives 1, 1, 1. The adaptation to the screen's white is Bradford's.
    """
    screen = np.linalg.inv(TO_RGB) @ np.ones(3)
    gain = (BRADFORD @ screen) / (BRADFORD @ np.asarray(white, np.float64))
    matrix = TO_RGB @ np.linalg.inv(BRADFORD) @ np.diag(gain) @ BRADFORD
    return np.tensordot(matrix, np.asarray(xyz, np.float64), axes=1)


def rgb_weights(wavelengths: ArrayLike) -> Floats:
    """Return how much each band adds to linear red, green and blue ``(3, bands)``.

    Between the bands the spectrum is taken as straight, outside them as constant. A flat spectrum of 1 gives 1, 1, 1.

    Parameters
    ----------
    wavelengths
        Band centres ``(bands,)`` in nm, ascending.
    """
    known = np.asarray(wavelengths, np.float64)
    # each band's share in a spectrum that is interpolated nanometre by nanometre
    shares = np.stack([np.interp(VISIBLE, known, one) for one in np.eye(len(known))], axis=1)
    xyz = colour_matching(VISIBLE) @ shares
    return linear_rgb(xyz, xyz.sum(axis=1))


def to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the screen's values, 0 to 1, of linear light; NaN stays."""
    light = np.clip(linear, 0, 1)
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055), np.float32)
