"""What a pair says about how it was taken."""

from __future__ import annotations

from napari_specfusion.calibration.calibrated import CalibratedScene, calibrate
from napari_specfusion.calibration.estimate import Calibration

__all__ = ["CalibratedScene", "Calibration", "calibrate"]
