"""Measures of quality, and maps of them."""

from __future__ import annotations

from napari_specfusion.quality.metrics import Quality, evaluate

__all__ = ["Quality", "evaluate"]
