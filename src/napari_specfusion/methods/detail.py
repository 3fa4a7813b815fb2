"""Subspace least squares on detail regression: the best without training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion import memory
from napari_specfusion.methods.classical import glp
from napari_specfusion.methods.features import Draws, Features
from napari_specfusion.methods.learned import learned_terms, regress
from napari_specfusion.methods.least_squares import Solver, Split, coefficients
from napari_specfusion.methods.moved import MovedGuide

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.methods.linear import LinearPredictor

__all__ = ["Detail"]

# spectral directions that are learned, at most: fewer for large scenes, but no fewer than the subspace has
MOST_LEARNED = 32
# Most that the geometry of each band may leave unexplained, relative to without, to be used: the features allow for
# displacements too, to first order. On four CAVE training scenes at x4 it leaves 0.95 to 1.01 as they are, and 0.51 to
# 0.78 with a keystone of one pixel.
MOST_LEFT = 0.8


@dataclass(frozen=True)
class Detail:
    """Subspace least squares on a prior image that is learned from the pair.

    The prior image is GLP's, with the detail that a regression on many features of the guide adds to it; see
    `methods.learned`.

    Attributes
    ----------
    draws
        Random frequencies of the features.
    directions
        Dimension p of the subspace, at most.
    solver
        The least squares in it.
    """

    draws: Draws = field(default_factory=Draws)
    directions: int = 10
    solver: Solver = field(default_factory=lambda: Solver(response_ridge=30.0))
    name: str = "detail"

    title = "Detail regression"
    summary = (
        "Learns the cube's detail from many features of the guide, then fits both images. The best without training."
    )
    reference = "after Rahimi and Recht 2007"
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
        moments = calibrated.moments
        split = Split.of(moments, self.directions)
        axes = moments.principal_directions()[1][:, : _planes(calibrated, split)]
        # before GLP, which needs only the measured pixels from the same pass
        cube = coefficients(calibrated, axes)
        bases = [glp(calibrated, by_band=False)]
        if calibrated.bands:
            bases.append(glp(calibrated))
        features = Features.of(moments, (bases[0].sharp[0], bases[0].sharp[1]), self.draws)
        found = regress(calibrated, features, partial(_rest, bases, cube, axes), device)
        left, weights = found.left.reshape(len(bases), -1), np.split(found.weights, len(bases), axis=1)
        # rounding may leave less than nothing of images that are predicted whole
        which = int(len(bases) > 1 and left[-1].sum() < MOST_LEFT * left[0].sum())
        base = bases[which]
        moved = MovedGuide.of(calibrated, base, split.leading) if which else None
        terms = learned_terms(calibrated, features, weights[which], base, device)
        mixing = np.concatenate([base.mixing, axes], axis=1)
        base = replace(base, mixing=mixing, coarse_guide=mixing, terms=terms)
        return self.solver.solve(calibrated, split, base, cube[: split.leading.shape[1]], moved)


def _planes(calibrated: CalibratedScene, split: Split) -> int:
    """Return how many spectral directions to learn."""
    bands, height, width = calibrated.stated.hsi.shape
    fits = int(memory.LEARNED // (4 * height * width))
    return min(bands, MOST_LEARNED, max(fits, int(split.leading.shape[1])))


def _rest(
    bases: list[LinearPredictor], cube: NDArray[np.float32], axes: NDArray[np.float64], rows: slice, columns: slice
) -> NDArray[np.float32]:
    """Return what each GLP result leaves of the cube's coefficients along `axes`, one after the other."""
    y, x = (np.arange(part.start, part.stop) for part in (rows, columns))
    here, left = cube[:, rows, columns], []
    for base in bases:
        explained = np.tensordot((axes.T @ base.mixing).astype(np.float32), base.seen_at(y, x), axes=1)
        left.append(here - explained - (axes.T @ base.constant).astype(np.float32)[:, None, None])
    return np.concatenate(left)
