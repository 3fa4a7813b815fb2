"""One pass over a pair: the second moments that regressions, subspace and noise estimates are made of.

The pass reads strips, so that its memory is bounded by the strip; what it keeps is the guide on the low-resolution grid
and matrices of bands x bands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.degrade import Sampling, apply_separable
from napari_specfusion.errors import CalibrationError
from napari_specfusion.scene import Scene

__all__ = ["PairMoments", "guide_on_coarse_grid"]

STRIP_VALUES = 16_000_000
# LR pixels whose PSF reaches further over the image's edge than this share see what nobody measured
MIN_SEEN = 0.95


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Second moments of a cube and its guide over the valid low-resolution pixels.

    Attributes
    ----------
    sampling
        How the guide was brought to the LR grid.
    guide
        The degraded guide ``(G, h, w)``; NaN where the guide has no data.
    measured
        Boolean ``(h, w)``: LR pixels that both images measured.
    valid
        Those of them whose PSF lies inside the guide; the moments count these.
    count
        Number of valid pixels.
    cube_cube, cube_guide, guide_guide
        Sums of products ``(B + 1, B + 1)``, ``(B + 1, G + 1)``, ``(G + 1, G + 1)``; the last row or column belongs to
        a constant 1.
    lags
        Mean products ``(2, B, B)`` of the centred cube with itself one and two pixels away.
    """

    sampling: Sampling
    guide: NDArray[np.float32]
    measured: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    count: int
    cube_cube: NDArray[np.float64]
    cube_guide: NDArray[np.float64]
    guide_guide: NDArray[np.float64]
    lags: NDArray[np.float64]

    @classmethod
    def of(cls, scene: Scene, sampling: Sampling) -> PairMoments:
        """Pass over `scene` once.

        Raises
        ------
        CalibrationError
            If fewer valid pixels remain than a regression needs.
        """
        bands, height, width = scene.hsi.shape
        degraded = guide_on_coarse_grid(scene, sampling)
        guides = len(degraded)
        inside = np.outer(
            sampling.seen(height, scene.guide.shape[1], 0) > MIN_SEEN,
            sampling.seen(width, scene.guide.shape[2], 1) > MIN_SEEN,
        )
        measured = np.isfinite(degraded).all(axis=0)
        if np.count_nonzero(inside & measured) < 8 * (guides + 1):
            inside[:] = True
        cc = np.zeros((bands + 1, bands + 1))
        cg = np.zeros((bands + 1, guides + 1))
        gg = np.zeros((guides + 1, guides + 1))
        products, pairs = np.zeros((2, bands, bands)), np.zeros(2)
        # a common origin keeps the lagged products from cancelling
        origin: NDArray[np.float64] | None = None
        for rows in strips(height, bands * width):
            cube = scene.hsi.read(rows, slice(None)).astype(np.float64)
            finite = np.isfinite(cube)
            cube = np.where(finite, cube, 0.0)
            # a band that is empty throughout the strip says nothing about its pixels
            ok = finite[finite.any(axis=(1, 2))].all(axis=0) & finite.any(axis=0)
            measured[rows] &= ok
            ok = measured[rows] & inside[rows]
            if not ok.any():
                continue
            y = np.concatenate([cube[:, ok], np.ones((1, int(ok.sum())))])
            g = np.concatenate([degraded[:, rows][:, ok].astype(np.float64), np.ones((1, y.shape[1]))])
            cc += y @ y.T
            cg += y @ g.T
            gg += g @ g.T
            origin = y[:-1].mean(axis=1) if origin is None else origin
            centred = (cube - origin[:, None, None]) * ok
            for lag in (1, 2):
                for near, far, both in (
                    (centred[:, lag:], centred[:, :-lag], ok[lag:] & ok[:-lag]),
                    (centred[:, :, lag:], centred[:, :, :-lag], ok[:, lag:] & ok[:, :-lag]),
                ):
                    products[lag - 1] += near.reshape(bands, -1) @ far.reshape(bands, -1).T
                    pairs[lag - 1] += np.count_nonzero(both)
        count = round(cc[-1, -1])
        if count < 2 * (guides + 1) or origin is None:
            raise CalibrationError(
                f"Only {count} low-resolution pixels are valid in both images; at least {2 * (guides + 1)} are needed. "
                "Check the no-data values, or take a larger part of the scene."
            )
        mean = cc[:-1, -1] / count - origin
        lags = products / np.maximum(pairs, 1)[:, None, None] - np.outer(mean, mean)
        lags = (lags + lags.transpose(0, 2, 1)) / 2
        return cls(sampling, degraded, measured, measured & inside, count, cc, cg, gg, lags)

    @property
    def bands(self) -> int:
        """Number of cube bands."""
        return len(self.cube_cube) - 1

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance ``(B, B)`` of the cube."""
        mean = self.cube_cube[:-1, -1] / self.count
        return np.asarray(self.cube_cube[:-1, :-1] / self.count - np.outer(mean, mean))

    def cube_from_guide(self, ridge: float = 1e-6) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Regress the cube's bands on the degraded guide: weights ``(B, G)`` and constants ``(B,)``."""
        return _regress(self.guide_guide, self.cube_guide[:-1], ridge)

    def guide_from_cube(self, basis: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Regress the degraded guide on ``basis.T @ cube``, `basis` ``(B, p)``: weights ``(G, p)``, constants ``(G,)``."""
        full = np.block([[basis, np.zeros((len(basis), 1))], [np.zeros((1, basis.shape[1])), np.eye(1)]])
        return _regress(full.T @ self.cube_cube @ full, (full.T @ self.cube_guide).T[:-1], 1e-10)

    def principal_directions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the eigenvalues ``(B,)``, descending, and eigenvectors ``(B, B)`` of the uncentred band moments."""
        values, vectors = np.linalg.eigh(self.cube_cube[:-1, :-1] / self.count)
        return values[::-1].clip(0), vectors[:, ::-1]

    def noise_along(self, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Estimate the noise variance ``(k,)`` of the cube along unit `directions` ``(B, k)``.

        Noise is what neighbouring pixels do not share: the variance at distance 0 minus the one extrapolated from
        distances 1 and 2, the nugget of a geostatistical variogram (exponential model).
        """

        def along(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(np.einsum("bk,bc,ck->k", directions, matrix, directions))

        total, first, second = along(self.covariance), along(self.lags[0]), along(self.lags[1])
        first = first.clip(0)
        # first**2 / second, and never more than 2 * first where the second distance says nothing
        signal = first**2 / np.maximum(np.maximum(second, first / 2), np.finfo(np.float64).tiny)
        return np.asarray((total - signal).clip(0, total.clip(0)))


def guide_on_coarse_grid(scene: Scene, sampling: Sampling) -> NDArray[np.float32]:
    """Return the guide ``(G, h, w)`` blurred and decimated to the cube's grid, strip by strip; no-data as NaN."""
    (_, height, width), (guides, sharp_y, sharp_x) = scene.hsi.shape, scene.guide.shape
    down_y = sampling.blur_matrix(height, sharp_y, 0).astype(np.float32)
    down_x = sampling.blur_matrix(width, sharp_x, 1).astype(np.float32)
    degraded = np.empty((guides, height, width), np.float32)
    for rows in strips(height, guides * sharp_x * math.ceil(sampling.ratio)):
        part = down_y[rows]
        used = np.unique(part.indices)
        span = slice(int(used[0]), int(used[-1]) + 1)
        image = scene.guide.read(span, slice(None)).astype(np.float32, copy=False)
        missing = ~np.isfinite(image).all(axis=0)
        if missing.any():
            image = np.where(missing, np.float32(0), image)
        coarse = apply_separable(part[:, span], down_x, image)
        if missing.any():
            spoiled = apply_separable(part[:, span], down_x, missing[None].astype(np.float32))[0] > 1e-3
            coarse[:, spoiled] = np.nan
        degraded[:, rows] = coarse
    return degraded


def strips(rows: int, values_per_row: int) -> list[slice]:
    """Cut `rows` rows into strips of at most `STRIP_VALUES` values, at least 8 rows each."""
    step = max(8, STRIP_VALUES // max(values_per_row, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _regress(
    inputs: NDArray[np.float64], targets: NDArray[np.float64], ridge: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve ``targets = weights @ inputs + constants`` from moments whose last input is the constant 1."""
    penalty: NDArray[Any] = np.diag(np.diag(inputs)).copy()
    penalty[-1, -1] = 0
    weights = np.linalg.lstsq(inputs + ridge * penalty, targets.T, rcond=None)[0].T
    return weights[:, :-1], weights[:, -1]
