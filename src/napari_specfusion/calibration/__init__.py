"""What a pair says about how it was taken."""

from __future__ import annotations

from napari_specfusion.calibration.estimate import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
