"""Q2n: one index of quality for spectra of any number of bands.

A spectrum of L bands is one hypercomplex number with 2**n >= L components. For a reference z and an estimate v

    Q2n = |cov(z, v)| / (s_z s_v)  *  2 s_z s_v / (s_z**2 + s_v**2)  *  2 |m_z| |m_v| / (|m_z|**2 + |m_v|**2)

with the means m, the spreads s and the covariance E[z v*] - m_z m_v* of a window. One band gives UIQI, two bands the
same of complex numbers, four bands Q4 (A. Garzelli, F. Nencini: Hypercomplex quality assessment of
multi/hyperspectral images, IEEE GRSL 6(4), 2009; L. Alparone et al.: A global quality measurement of pan-sharpened
multispectral imagery, IEEE GRSL 1(4), 2004).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_specfusion.quality.formulas import FLAT, Floats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["WINDOW", "HypercomplexSum", "hypercomplex_quality", "hypercomplex_sum", "product_signs", "windows_of"]

# side of a window, in pixels
WINDOW = 32


class HypercomplexSum(NamedTuple):
    """The sum of Q2n over windows, each weighted by its number of valid pixels, and the sum of the weights."""

    total: float = 0.0
    weight: int = 0

    @property
    def mean(self) -> float:
        """The mean; NaN without any pixel."""
        return self.total / self.weight if self.weight else math.nan


def hypercomplex_sum(truth: Floats, guess: Floats, side: int = WINDOW) -> HypercomplexSum:
    """Return the sum of Q2n over the windows of an image.

    Parameters
    ----------
    truth, guess
        ``(bands, y, x)``; a pixel with NaN in either is left out, and so is a band without any value in a window.
    side
        Side of a window in pixels; windows lie side by side, and those at the bottom and the right may be smaller.
    """
    total, weight = 0.0, 0
    for rows, columns in windows_of(truth.shape[1], truth.shape[2], side):
        known = np.isfinite(truth[:, rows, columns]) & np.isfinite(guess[:, rows, columns])
        live = known.any(axis=(1, 2))
        inside = known[live].all(axis=0) & live.any()
        if count := int(inside.sum()):
            total += count * hypercomplex_quality(*(v[live, rows, columns][:, inside] for v in (truth, guess)))
            weight += count
    return HypercomplexSum(total, weight)


def hypercomplex_quality(truth: Floats, guess: Floats) -> float:
    """Return Q2n of one window.

    Each band is first brought to mean 1 and spread 1 of the reference, so that all bands count alike; so does the
    usual program for pansharpening (G. Vivone et al.: A critical comparison among pansharpening algorithms, IEEE TGRS
    53(5), 2015). Where both are flat, the index is its last factor.

    Parameters
    ----------
    truth, guess
        Spectra ``(bands, pixels)``, without NaN.
    """
    level = truth.mean(axis=1, keepdims=True)
    spread = truth.std(axis=1, keepdims=True)
    # a band that varies by rounding only is flat
    spread = np.where(spread > FLAT * np.abs(level), spread, 1.0)
    truth, guess = (truth - level) / spread + 1, (guess - level) / spread + 1
    means = truth.mean(axis=1), guess.mean(axis=1)
    truth, guess = truth - means[0][:, None], guess - means[1][:, None]
    squares = [float(mean @ mean) for mean in means]
    bias = 2 * math.sqrt(squares[0] * squares[1]) / (squares[0] + squares[1]) if sum(squares) > 0 else 1.0
    variances = [float(np.einsum("bp,bp->", v, v)) / v.shape[1] for v in (truth, guess)]
    if sum(variances) <= FLAT * sum(squares):
        return bias
    covariance = _modulus(truth @ guess.T / truth.shape[1])
    return float(bias * 2 * covariance / sum(variances))


def _modulus(covariance: Floats) -> float:
    """Return ``|E[z v*]|`` from the covariances ``(L, L)`` of the components."""
    bands = len(covariance)
    size = 1 << (bands - 1).bit_length()
    padded = np.zeros((size, size))
    padded[:bands, :bands] = covariance
    component, signs = _conjugate_products(size)
    parts = np.bincount(component, (signs * padded).ravel(), size)
    return float(np.sqrt(parts @ parts))


@lru_cache(maxsize=4)
def _conjugate_products(size: int) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
    """Return which component, flat, and with which sign ``(size, size)``, ``e_i`` times the conjugate of ``e_j`` is."""
    signs = product_signs(size).copy()
    signs[:, 1:] *= -1
    rows = np.arange(size)
    return (rows[:, None] ^ rows).ravel(), signs


@lru_cache(maxsize=4)
def product_signs(size: int) -> NDArray[np.int8]:
    """Return the sign ``(size, size)`` of ``e_i e_j``, which is a multiple of ``e_(i xor j)``, by Cayley and Dickson.

    Numbers are doubled by ``(a, b)(c, d) = (a c - d* b, d a + b c*)``.
    """
    signs = np.ones((1, 1), np.int8)
    while len(signs) < size:
        flip = np.ones(len(signs), np.int8)
        flip[1:] = -1
        # columns of the second half of the result are c or d, rows a or b
        signs = np.block([[signs, signs.T], [signs * flip, -(flip * signs.T)]]).astype(np.int8)
    return signs


def windows_of(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of the windows that cut an image; those at the bottom and the right may be smaller."""
    for y in range(0, height, side):
        for x in range(0, width, side):
            yield slice(y, min(y + side, height)), slice(x, min(x + side, width))
