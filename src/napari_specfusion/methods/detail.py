"""Subspace least squares on detail regression: the best without training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion import memory
from napari_specfusion.methods.classical import glp
from napari_specfusion.methods.features import Draws, Features
from napari_specfusion.methods.learned import learn
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
# Bands that lie closer together than this, in HR pixels, are left to the features, which allow for it to first order;
# on CAVE training scenes as they are, the geometry of each band costs up to 0.5 dB beside them.
FAR_APART = 1.0


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
    reference = "random features after Rahimi and Recht 2007; FUSE, Wei et al. 2015"
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
        base, moved = _in_place(calibrated, split)
        features = Features.of(moments, (base.sharp[0], base.sharp[1]), self.draws)
        terms = learn(calibrated, features, _rest(base, cube, axes), base.terms, device)
        mixing = np.concatenate([base.mixing, axes], axis=1)
        base = replace(base, mixing=mixing, coarse_guide=mixing, terms=terms)
        return self.solver.solve(calibrated, split, base, cube[: split.leading.shape[1]], moved)


def _planes(calibrated: CalibratedScene, split: Split) -> int:
    """Return how many spectral directions to learn."""
    bands, height, width = calibrated.stated.hsi.shape
    fits = int(memory.LEARNED // (4 * height * width))
    return min(bands, MOST_LEARNED, max(fits, int(split.leading.shape[1])))


def _in_place(calibrated: CalibratedScene, split: Split) -> tuple[LinearPredictor, MovedGuide | None]:
    """Return the GLP result, in the geometry of each band if they lie far apart, and the guide moved to it."""
    bands = calibrated.bands
    if bands and bands.spread()[0] >= FAR_APART:
        base = glp(calibrated)
        moved = MovedGuide.of(calibrated, base, split.leading)
        if moved is not None:
            return base, moved
    return glp(calibrated, by_band=False), None


def _rest(base: LinearPredictor, cube: NDArray[np.float32], axes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the cube's coefficients ``(p, h, w)`` along `axes` without what GLP says of them; 0 where not measured."""
    left = cube - base.seen(axes.T @ base.mixing)
    left -= (axes.T @ base.constant).astype(np.float32)[:, None, None]
    return np.asarray(left * base.valid)
