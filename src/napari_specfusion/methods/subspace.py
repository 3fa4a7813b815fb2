"""Least squares in the cube's spectral subspace on top of GLP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_specfusion.methods.classical import glp
from napari_specfusion.methods.least_squares import Solver, Split, coefficients
from napari_specfusion.methods.moved import MovedGuide

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.methods.linear import LinearPredictor

__all__ = ["Subspace"]


@dataclass(frozen=True)
class Subspace:
    """Subspace least squares on GLP, with weights from the estimated noise; see `methods.least_squares`.

    Attributes
    ----------
    directions
        Dimension p of the subspace, at most. On the 20 CAVE training scenes 8, 10 and 12 reach 48.94, 48.98 and
        48.86 dB at x4 and 46.94, 46.81 and 46.56 dB at x8; on Jasper Ridge (198 bands, RGB guide) 31.1, 31.4 and 31.4.
    iterations
        Conjugate gradient steps, at most.
    tolerance
        Relative residual at which the steps stop.
    """

    directions: int = 10
    iterations: int = 100
    tolerance: float = 1e-4
    name: str = "subspace"

    title = "Subspace least squares"
    summary = "Fits both images in the cube's spectral subspace. Fast."
    reference = "after FUSE, Wei et al. 2015"
    mixed_precision = False

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> LinearPredictor:
        """Compute everything global for a scene.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        split = Split.of(calibrated.moments, self.directions)
        # before GLP, which needs only the measured pixels from the same pass
        cube = coefficients(calibrated, split.leading)
        base = glp(calibrated)
        moved = None if base.terms is None else MovedGuide.of(calibrated, base, split.leading)
        return Solver(self.iterations, self.tolerance).solve(calibrated, split, base, cube, moved)
