"""Calibration: PSF, shift, SRF and noise estimated from a pair itself."""

from __future__ import annotations

from napari_specfusion.calibration.calibrated import CalibratedScene, calibrate
from napari_specfusion.calibration.estimate import Calibration
from napari_specfusion.calibration.misfit import misfit_map

__all__ = ["CalibratedScene", "Calibration", "calibrate", "misfit_map"]
