"""What calibration leaves of the guide: where a pair does not fit, seen as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.calibration.moments import strips
from napari_specfusion.data.cube import Cube

if TYPE_CHECKING:
    from napari_specfusion.calibration.calibrated import CalibratedScene

__all__ = ["misfit_map", "misfit_of"]


def misfit_of(calibrated: CalibratedScene) -> Cube:
    """Return the degraded guide less what the response predicts of it from the cube; see `CalibratedScene.misfit`."""
    scene, guide, response = calibrated.scene, calibrated.guide, calibrated.calibration.srf
    bands, height, width = scene.hsi.shape
    live = calibrated.moments.live
    levels = [(np.ones(n), np.zeros(n)) for n in (bands, scene.guide.bands)]
    if calibrated.cleaning is not None:
        levels = [
            (part.unit, part.level) if part.moves else own
            for part, own in zip(calibrated.cleaning, levels, strict=True)
        ]
    (unit, level), (guide_unit, guide_level) = ([column[:, None, None] for column in pair] for pair in levels)
    found = np.empty((scene.guide.bands, height, width), np.float32)
    parts = strips(height, bands * width)
    for number, rows in enumerate(parts):
        calibrated.watch.tell(number, len(parts), "Predicting the guide")
        values = scene.hsi.read(rows).astype(np.float64) * unit + level
        # an empty band has no weight
        predicted = np.tensordot(response.matrix[:, live], values[live], axes=1) + response.offset[:, None, None]
        found[:, rows] = guide.values[:, rows] * guide_unit + guide_level - predicted
    found[:, ~(guide.inside & guide.measured)] = np.nan
    low, sharp = calibrated.stated.hsi, calibrated.stated.guide
    spectral = {key: getattr(sharp, key) for key in ("wavelengths", "spectral_unit", "fwhm", "good_bands")}
    place = {key: getattr(low, key) for key in ("pixel_size", "affine", "crs")}
    return Cube.from_array(found, name=f"misfit of {low.name} and {sharp.name}", **spectral, **place)


def misfit_map(calibrated: CalibratedScene) -> NDArray[np.float32]:
    """Return how much of the guide its calibration leaves unexplained, pixel by pixel.

    Parameters
    ----------
    calibrated
        The pair.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` on the cube's grid: root mean square of `CalibratedScene.misfit` over the guide's bands, each in
        units of the standard deviation of the degraded guide. NaN where values are missing.

    Raises
    ------
    CalibrationError
        If the pair cannot be calibrated.
    """
    misfit, guide = calibrated.misfit.read(), calibrated.guide
    cleaning = calibrated.cleaning
    unit = np.ones(len(misfit)) if cleaning is None or not cleaning[1].moves else cleaning[1].unit
    spread = np.nanstd(guide.values[:, guide.inside & guide.measured], axis=1) * unit
    known = spread > 0
    if not known.any():
        return np.full(misfit.shape[1:], np.nan, np.float32)
    share = misfit[known] / spread[known, None, None]
    return np.asarray(np.sqrt(np.mean(share**2, axis=0)), np.float32)
