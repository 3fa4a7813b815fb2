"""Ranges and variances of a pair, in one pass over the cube and one over the guide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.quality.blocks import pieces
from napari_specfusion.quality.distortion import GuideMatch

if TYPE_CHECKING:
    from napari_specfusion.progress import Watch
    from napari_specfusion.quality.formulas import Floats
    from napari_specfusion.quality.full_scale import FullScale
    from napari_specfusion.tiling.tiles import Box

__all__ = ["Levels"]

# share of a band's range by which rounding may exceed it
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Levels:
    """What values the two images have.

    Attributes
    ----------
    low, high
        Smallest and largest value ``(L,)`` of the cube in each band.
    cube_variance, coarse_guide_variance, guide_variance
        Variances ``(L,)`` of the cube, ``(K,)`` of the degraded guide and of the guide.
    cube_negative
        Share of the cube's values below 0, in %.
    match
        How each band of the guide is brought to each band of the cube.
    """

    low: Floats
    high: Floats
    cube_variance: Floats
    coarse_guide_variance: Floats
    guide_variance: Floats
    cube_negative: float
    match: GuideMatch

    @classmethod
    def of(cls, whole: FullScale, watch: Watch) -> Levels:
        """Read the pair.

        Raises
        ------
        Cancelled
            If `watch` stops it.
        """

        def measured(box: Box) -> list[_Spread]:
            images = whole.cube(box)[whole.bands], whole.coarse_guide(box), whole.guide(whole.core(box))
            return [_Spread.of(image) for image in images]

        parts = list(pieces(whole.grid, measured, watch, "Reading the pair"))
        cube, coarse, guide = (_Spread.joined([part[which] for part in parts]) for which in range(3))
        values = int(cube.count.sum())
        return cls(
            cube.low,
            cube.high,
            cube.variance,
            coarse.variance,
            guide.variance,
            100 * int(cube.negative.sum()) / values if values else np.nan,
            GuideMatch.of(cube.mean, np.sqrt(cube.variance), coarse.mean, np.sqrt(coarse.variance)),
        )

    def beyond(self, values: Floats) -> Floats:
        """Return how far values ``(L, y, x)`` lie outside of their band's range, as a share of it; 0 within."""
        low, high = (limit[:, None, None] for limit in (self.low, self.high))
        width = high - low
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.maximum(low - values, values - high) / width
        # a band without a range, and a value that is missing, is not outside
        return np.where(share > ROUNDING, np.where(width > 0, share, 0.0), 0.0)


@dataclass(frozen=True, eq=False)
class _Spread:
    """Number, mean, variance and range of the values of each band, and how many are negative; all ``(bands,)``."""

    count: Floats
    mean: Floats
    variance: Floats
    low: Floats
    high: Floats
    negative: Floats

    @classmethod
    def of(cls, image: Floats) -> _Spread:
        known = np.isfinite(image)
        count = known.sum(axis=(1, 2)).astype(np.float64)
        with np.errstate(invalid="ignore"):
            mean = np.where(known, image, 0).sum(axis=(1, 2)) / count
            off = np.where(known, image - mean[:, None, None], 0)
            variance = (off * off).sum(axis=(1, 2)) / count
        low, high = np.where(known, image, np.inf).min(axis=(1, 2)), np.where(known, image, -np.inf).max(axis=(1, 2))
        return cls(count, np.nan_to_num(mean), np.nan_to_num(variance), low, high, (image < 0).sum(axis=(1, 2)))

    @classmethod
    def joined(cls, parts: list[_Spread]) -> _Spread:
        """Return those of all parts together; NaN for a band without values."""
        count, mean, variance, low, high, negative = (
            np.stack([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__
        )
        total = count.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = (count * mean).sum(axis=0) / total
            spread = (count * (variance + (mean - middle) ** 2)).sum(axis=0) / total
        return cls(total, middle, spread, low.min(axis=0), high.max(axis=0), negative.sum(axis=0))
