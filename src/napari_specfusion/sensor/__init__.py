"""Sensor models: point spread function, sampling, spectral response."""

from __future__ import annotations

from napari_specfusion.sensor.sampling import Psf, Sampling
from napari_specfusion.sensor.srf import Srf

__all__ = ["Psf", "Sampling", "Srf"]
