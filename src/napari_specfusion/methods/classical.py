"""Training-free methods that need no subspace: bicubic, GSA and GLP hypersharpening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.methods.expanded import GuideTerms
from napari_specfusion.methods.linear import LinearPredictor
from napari_specfusion.tiling.tiles import Footprint

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from napari_specfusion.calibration.bands import BandGeometry
    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.tiling.tiles import Tile

__all__ = ["Bicubic", "Glp", "Gsa"]


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation, which ignores the guide: the baseline of the literature.

    The kernel and the alignment are those of ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)``,
    which assumes that an LR pixel covers its cell, whatever the pair's shift.
    """

    name: str = "bicubic"

    title = "Bicubic interpolation (no fusion)"
    summary = "Only enlarges the cube; the baseline for every method."
    reference = "Keys 1981"
    mixed_precision = False

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> BicubicPredictor:
        """Return the predictor; only the sizes matter."""
        scene = calibrated.stated
        return BicubicPredictor(scene.hsi.bands, -(-3 * scene.factor.numerator // scene.factor.denominator))


@dataclass(frozen=True)
class BicubicPredictor:
    """Bicubic interpolation of `bands` bands; `reach` is three LR pixels, in HR pixels."""

    bands: int
    reach: int

    @property
    def footprint(self) -> Footprint:
        """The kernel reaches two LR pixels."""
        return Footprint(halo=self.reach)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Interpolate one tile; see `Predictor.predict`."""
        import torch

        return torch.nn.functional.interpolate(hsi[None], size=guide.shape[-2:], mode="bicubic", align_corners=False)[0]


@dataclass(frozen=True)
class Gsa:
    """Gram-Schmidt adaptive (Aiazzi et al. 2007) with one intensity.

    The mean of the guide's bands is the intensity; its low-resolution counterpart is regressed from the cube, and each
    band takes the intensity's detail by its covariance with it.
    """

    name: str = "gsa"

    title = "GSA"
    summary = "Component substitution; a classic to compare with."
    reference = "Aiazzi et al. 2007"
    mixed_precision = False

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> LinearPredictor:
        """Regress the intensity on the cube and the cube on the intensity.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        moments = calibrated.moments
        power, directions = moments.principal_directions()
        # no more directions than the pixels support, and none below the rounding of single precision
        count = min(max(1, moments.count // 10), int(np.sum(power > 1e-8 * power[0])))
        directions = directions[:, :count]
        weights, offset = moments.guide_from_cube(directions)
        mean = np.full(len(weights), 1 / len(weights))
        intensity, constant = directions @ (mean @ weights), float(mean @ offset)
        shared = moments.covariance @ intensity
        gain = shared / max(float(intensity @ shared), np.finfo(np.float64).tiny)
        # band + gain * (intensity of the guide - intensity of the interpolated cube)
        mixing, bands = np.outer(gain, mean), calibrated.bands
        return LinearPredictor(
            calibrated.sampling,
            mixing=bands.displaced(mixing) if bands else mixing,
            constant=-gain * constant,
            sharp=calibrated.stated.guide.shape[1:],
            guide=calibrated.guide.values,
            valid=calibrated.read_cube().measured,
            coarse_mixing=np.eye(moments.bands) - np.outer(gain, intensity),
            terms=GuideTerms.of(calibrated, bands.expansion) if bands else None,
        )


@dataclass(frozen=True)
class Glp:
    """GLP hypersharpening (Selva et al. 2015) with a calibrated low-pass.

    Each band is regressed on the degraded guide; the sharp guide gives the synthetic sharp band, and the residual of
    the regression at low resolution is interpolated and added.
    """

    name: str = "glp"

    title = "GLP hypersharpening"
    summary = "Adds the guide's detail to each band, weighted by regression. Fast and steady."
    reference = "Selva et al. 2015"
    mixed_precision = False

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> LinearPredictor:
        """Regress the cube on the degraded guide.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        return glp(calibrated)


def glp(calibrated: CalibratedScene, *, by_band: bool = True) -> LinearPredictor:
    """Return the GLP predictor of a pair; `by_band` with the guide in each band's geometry where that differs."""
    weights, constant = calibrated.moments.cube_from_guide()
    bands = calibrated.bands if by_band else None
    if bands:
        return _glp_by_band(calibrated, bands, weights)
    return LinearPredictor(
        calibrated.sampling,
        mixing=weights,
        constant=constant,
        sharp=calibrated.stated.guide.shape[1:],
        guide=calibrated.guide.values,
        valid=calibrated.read_cube().measured,
        coarse_guide=weights,
        coarse_constant=constant,
    )


def _glp_by_band(calibrated: CalibratedScene, bands: BandGeometry, weights: NDArray[np.float64]) -> LinearPredictor:
    """Return the GLP predictor with the guide in each band's geometry; `weights` ``(B, G)`` are those without."""
    terms = GuideTerms.of(calibrated, bands.expansion)
    mixing = bands.mixing(weights)
    moments = calibrated.moments
    constant = moments.cube_mean - mixing @ np.append(
        moments.guide_mean, terms.means(calibrated.valid)[len(moments.guide_mean) :]
    )
    return LinearPredictor(
        calibrated.sampling,
        mixing=mixing,
        constant=constant,
        sharp=calibrated.stated.guide.shape[1:],
        guide=calibrated.guide.values,
        valid=calibrated.read_cube().measured,
        coarse_guide=mixing,
        coarse_constant=constant,
        terms=terms,
    )
