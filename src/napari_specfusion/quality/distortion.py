"""Distortions without a reference: how two bands go together in the cube, and how they do in the sharp result.

Q is the universal image quality index of Wang and Bovik 2002 of two bands in a window, of means m, variances v and
covariance c:

    Q = 2 c / (v_1 + v_2)  *  2 m_1 m_2 / (m_1**2 + m_2**2)

Its mean over the windows should not depend on the resolution (L. Alparone et al.: Multispectral and panchromatic data
assessment without reference, PE&RS 74(2), 2008). With the result F, the cube Y, the guide P and the guide P' that is
degraded like the cube, over L bands and K bands of the guide,

    D_lambda = mean over l != r of |Q(F_l, F_r) - Q(Y_l, Y_r)|            (their eq. 3, p = 1)
    D_s      = mean over l and k of |Q(F_l, P_k) - Q(Y_l, P'_k)|          (their eq. 4, q = 1; for a guide of one band)
    QNR      = (1 - D_lambda) (1 - D_s)                                   (their eq. 5, alpha = beta = 1)

Q depends on levels, so each band of the guide is first brought to mean and spread of the band that it is compared with,
as measured on the cube's grid, by the same line at both resolutions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from napari_specfusion.quality.formulas import FLAT, Floats

__all__ = ["GuideMatch", "IndexSums", "WindowMoments", "d_lambda", "d_s", "guide_index", "pair_index"]


@dataclass(frozen=True, eq=False)
class WindowMoments:
    """Moments of the pixels in a window.

    Attributes
    ----------
    mean
        ``(L + K,)``: of the bands of an image, then of the guide.
    covariance
        ``(L + K, L + K)``.
    bands
        L.
    """

    mean: Floats
    covariance: Floats
    bands: int

    @classmethod
    def of(cls, image: Floats, guide: Floats) -> WindowMoments:
        """Return the moments of pixels ``(L, pixels)`` and ``(K, pixels)``, without NaN."""
        values = np.concatenate([image, guide])
        mean = values.mean(axis=1)
        values -= mean[:, None]
        return cls(mean, values @ values.T / values.shape[1], len(image))


@dataclass(frozen=True, eq=False)
class GuideMatch:
    """How each band of the guide is brought to each band of the cube: ``gain * guide + offset``, both ``(L, K)``."""

    gain: Floats
    offset: Floats

    @classmethod
    def of(cls, cube_mean: Floats, cube_spread: Floats, guide_mean: Floats, guide_spread: Floats) -> GuideMatch:
        """Return the lines that match means and spreads ``(L,)`` and ``(K,)``; a constant guide band is only moved."""
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(guide_spread > 0, cube_spread[:, None] / guide_spread, 1.0)
        return cls(gain, cube_mean[:, None] - gain * guide_mean)


def pair_index(moments: WindowMoments) -> Floats:
    """Return Q ``(L, L)`` of every two bands of the image."""
    count = moments.bands
    mean, covariance = moments.mean[:count], moments.covariance[:count, :count]
    variance = np.diag(covariance)
    return _index(mean[:, None], mean, variance[:, None], variance, covariance)


def guide_index(moments: WindowMoments, match: GuideMatch) -> Floats:
    """Return Q ``(L, K)`` of every band of the image with every band of the matched guide."""
    count = moments.bands
    variance = np.diag(moments.covariance)
    return _index(
        moments.mean[:count, None],
        match.gain * moments.mean[count:] + match.offset,
        variance[:count, None],
        match.gain**2 * variance[count:],
        match.gain * moments.covariance[:count, count:],
    )


def _index(m1: Floats, m2: Floats, v1: Floats, v2: Floats, covariance: Floats) -> Floats:
    """Return Q; where both are flat, its factor of levels, and 1 where both are 0."""
    squares, variances = m1 * m1 + m2 * m2, v1 + v2
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where(squares > 0, 2 * m1 * m2 / squares, 1.0)
        return np.asarray(level * np.where(variances > FLAT * squares, 2 * covariance / variances, 1.0))


@dataclass(frozen=True, eq=False)
class IndexSums:
    """Sums of Q over windows: of every two bands ``(L, L)``, and of every band with the guide's ``(L, K)``."""

    windows: int
    cube_pairs: Floats
    result_pairs: Floats
    cube_guide: Floats
    result_guide: Floats

    @classmethod
    def none(cls, bands: int, guide_bands: int) -> IndexSums:
        """Return the sums over no window."""
        pairs, guide = np.zeros((bands, bands)), np.zeros((bands, guide_bands))
        return cls(0, pairs, pairs, guide, guide)

    @classmethod
    def of(cls, cube: WindowMoments, result: WindowMoments, match: GuideMatch) -> IndexSums:
        """Return those of one window, with its moments at both resolutions."""
        return cls(1, pair_index(cube), pair_index(result), guide_index(cube, match), guide_index(result, match))

    def __add__(self, other: IndexSums) -> IndexSums:
        return IndexSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def d_lambda(sums: IndexSums) -> float:
    """Return the spectral distortion; NaN without windows, 0 for a single band."""
    if not sums.windows:
        return math.nan
    bands = len(sums.cube_pairs)
    differences = np.abs(sums.result_pairs - sums.cube_pairs) / sums.windows
    # each band with itself is 1 at both resolutions
    return float(differences.sum() / max(bands * (bands - 1), 1))


def d_s(sums: IndexSums) -> Floats:
    """Return the spatial distortion of each band ``(L,)``, mean over the guide's; NaN without windows."""
    if not sums.windows:
        return np.full(len(sums.cube_guide), math.nan)
    return np.asarray(np.abs(sums.result_guide - sums.cube_guide).mean(axis=1) / sums.windows)
