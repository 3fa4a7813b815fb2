"""Quality metrics as formulas over plain arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "HALF_WINDOW",
    "Floats",
    "correlation",
    "error_maps",
    "gaussian_taps",
    "high_pass",
    "psnr",
    "relative_error",
    "similarity",
    "spectral_angle",
    "windowed",
]

Floats = NDArray[np.float64]

HALF_WINDOW = 5
SIGMA = 1.5
SMALLEST_NORMS = 1e-8
FLAT = 1e-12


def psnr(mse: Floats, peak: float) -> Floats:
    """Peak signal-to-noise ratio in dB of bands with these mean squared errors."""
    with np.errstate(divide="ignore"):
        return np.asarray(20 * math.log10(peak) - 10 * np.log10(mse))


def relative_error(mse: Floats, mean: Floats, ratio: float) -> Floats:
    """One band's contribution to ERGAS; 0 for a band that is zero and predicted as zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mse == 0, 0.0, 100 / ratio * np.sqrt(mse) / np.abs(mean))


def spectral_angle(truth: Floats, guess: Floats) -> Floats:
    """Spectral angle in degrees ``(y, x)``; NaN where a spectrum is practically zero."""
    norms = [np.sqrt(np.einsum("byx,byx->yx", v, v)) for v in (truth, guess)]
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = truth / norms[0], guess / norms[1]
        # The arc cosine of a scalar product loses half the digits of small angles.
        angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=0), np.linalg.norm(a + b, axis=0))
    return np.where(norms[0] * norms[1] > SMALLEST_NORMS, np.degrees(angle), np.nan)


def similarity(truth: Floats, guess: Floats, taps: Floats, peak: float) -> tuple[Floats, Floats]:
    """SSIM and UIQI of one band ``(y, x)`` at every position where the window fits.

    UIQI is 0/0 where both images are flat; there it is its luminance factor, as in the authors' code.
    """
    x, y, squares, product = (windowed(v, taps) for v in (truth, guess, truth * truth + guess * guess, truth * guess))
    means, cross = x * x + y * y, x * y
    variances, covariance = np.maximum(squares - means, 0), product - cross
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    ssim = (2 * cross + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
    with np.errstate(divide="ignore", invalid="ignore"):
        luminance = np.where(means > 0, 2 * cross / means, 1.0)
        uiqi = luminance * np.where(variances > FLAT * squares, 2 * covariance / variances, 1.0)
    return ssim, uiqi


def error_maps(truth: Floats, guess: Floats) -> Floats:
    """Angle, RMSE and mean error of every pixel, ``(3, y, x)``."""
    missing = np.isnan(truth)
    count = np.sum(~missing, axis=0)
    error = np.where(missing, 0, guess - truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        rmse, mean = np.sqrt(np.sum(error * error, axis=0) / count), np.sum(error, axis=0) / count
    return np.stack([spectral_angle(np.where(missing, 0, truth), np.where(missing, 0, guess)), rmse, mean])


def high_pass(image: Floats) -> Floats:
    """Return each pixel of a band ``(y, x)`` less the mean of its eight neighbours, times 8, where all of them exist.

    This is the Laplacian of Zhou et al. 1998, 8 in the middle and -1 around it.
    """
    ones = np.ones(3)
    around = ndimage.correlate1d(ndimage.correlate1d(image, ones, axis=0), ones, axis=1)
    return np.asarray((9 * image - around)[1:-1, 1:-1])


def correlation(count: Floats, sums: Floats) -> Floats:
    """Correlation of two images band by band.

    Parameters
    ----------
    count
        Number of values ``(bands,)``.
    sums
        Sums ``(5, bands)`` of x, y, x**2, y**2 and x y.

    Returns
    -------
    ndarray
        ``(bands,)``; NaN where one of the two is constant and the other is not, 1 where both are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, xx, yy, xy = sums / count
        variances = np.maximum(xx - x * x, 0), np.maximum(yy - y * y, 0)
        flat = [variance <= FLAT * square for variance, square in zip(variances, (xx, yy), strict=True)]
        found = (xy - x * y) / np.sqrt(variances[0] * variances[1])
    found = np.where(flat[0] & flat[1], 1.0, np.where(flat[0] | flat[1], np.nan, found))
    return np.where(count > 0, found, np.nan)


def gaussian_taps() -> Floats:
    """One axis of the separable window of SSIM and UIQI."""
    taps = np.exp(-0.5 * (np.arange(-HALF_WINDOW, HALF_WINDOW + 1) / SIGMA) ** 2)
    return np.asarray(taps / taps.sum())


def windowed(image: Floats, taps: Floats) -> Floats:
    """Weighted sum around every pixel where the whole window lies inside the image."""
    cut = slice(HALF_WINDOW, -HALF_WINDOW)
    rows = ndimage.correlate1d(image, taps, axis=0, mode="nearest")[cut]
    return np.asarray(ndimage.correlate1d(rows, taps, axis=1, mode="nearest")[:, cut])
