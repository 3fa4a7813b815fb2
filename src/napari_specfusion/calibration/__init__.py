"""Calibration: PSF, shift, SRF and noise estimated from a pair itself."""

from __future__ import annotations

from napari_specfusion.calibration.calibrated import CalibratedScene, calibrate
from napari_specfusion.calibration.estimate import Calibration

__all__ = ["CalibratedScene", "Calibration", "calibrate"]
