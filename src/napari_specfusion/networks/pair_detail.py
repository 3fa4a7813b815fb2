"""The detail of a pair on the cube's grid: what the cube and its guide have in common, and what the guide leaves over.

Networks in units of the pair get their units from here, see `networks.planes` and `networks.pair_units`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_specfusion.calibration.moments import sample_rows

if TYPE_CHECKING:
    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.calibration.moments import PairMoments
    from napari_specfusion.methods.guide_adapter import GuideAdapter

__all__ = ["PairDetail"]


@dataclass(frozen=True, eq=False)
class PairDetail:
    """Second moments of a pair, and mean products of the detail in its images.

    Attributes
    ----------
    moments
        The moments of the values.
    cube, cross, guide
        Mean products of the detail: of the cube with itself ``(B, B)``, of the cube with the degraded guide ``(B, G)``,
        and of that with itself ``(G, G)``.
    ratio
        HR pixels per LR pixel.
    """

    moments: PairMoments
    cube: NDArray[np.float64]
    cross: NDArray[np.float64]
    guide: NDArray[np.float64]
    ratio: float

    @classmethod
    def of(cls, calibrated: CalibratedScene) -> PairDetail:
        """Measure a pair, on a sample of the cube's rows.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        total, count = _products(calibrated, alone=False)
        if not count:
            total, count = _products(calibrated, alone=True)
        # a calibrated pair has valid pixels
        mean, bands = total / max(count, 1), calibrated.scene.hsi.bands
        ratio = float(calibrated.stated.factor)
        return cls(calibrated.moments, mean[:bands, :bands], mean[:bands, bands:], mean[bands:, bands:], ratio)

    def seen_by(self, adapter: GuideAdapter) -> PairDetail:
        """Return the same for the guide of another camera, which `adapter` makes from this one."""
        turn, moments = adapter.matrix, self.moments
        return replace(
            self,
            moments=replace(
                moments,
                guide_mean=turn @ moments.guide_mean + adapter.offset,
                cross=moments.cross @ turn.T,
                guide_covariance=turn @ moments.guide_covariance @ turn.T,
            ),
            cross=self.cross @ turn.T,
            guide=turn @ self.guide @ turn.T,
        )

    def left_over(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the regression of the cube on the guide ``(B, G)``, and mean products of what it leaves over."""
        weights, _ = self.moments.cube_from_guide()
        left = self.cube - weights @ self.cross.T - self.cross @ weights.T + weights @ self.guide @ weights.T
        return weights, left


def _products(calibrated: CalibratedScene, *, alone: bool) -> tuple[NDArray[np.float64], int]:
    """Return the sum of the detail's products ``(B + G, B + G)`` over the valid pixels, and their number.

    Beside a missing pixel, whose value is unknown, the detail is too; such pixels count only if `alone`.
    """
    hsi, coarse, valid = calibrated.scene.hsi, calibrated.guide, calibrated.valid
    bands, height, width = hsi.shape
    total, count = np.zeros((bands + len(coarse.values),) * 2), 0
    for rows in sample_rows(height, width, bands):
        calibrated.watch.check()
        ok = valid[rows]
        images = np.concatenate([hsi.read(rows).astype(np.float64), coarse.values[:, rows]])
        detail = _without_mean(np.where(ok & np.isfinite(images), images, 0))
        if not alone:
            ok = np.asarray(sliding_window_view(np.pad(ok, 1, mode="edge"), (3, 3)).all(axis=(2, 3)))
        total += detail[:, ok] @ detail[:, ok].T
        count += int(np.count_nonzero(ok))
    return total, count


def _without_mean(images: NDArray[Any]) -> NDArray[Any]:
    """Return `images` ``(k, h, w)`` minus their mean over 3 x 3 pixels with weights 1, 2, 1 along each axis."""
    mean = images
    for axis in (1, 2):
        padded = np.pad(mean, [(1, 1) if n == axis else (0, 0) for n in range(3)], mode="edge")
        size = images.shape[axis]
        before, after = (np.take(padded, np.arange(start, start + size), axis) for start in (0, 2))
        mean = (before + 2 * mean + after) / 4
    return np.asarray(images - mean)
