"""Quality metrics, and maps of errors."""

from __future__ import annotations

from napari_specfusion.quality.metrics import Quality, evaluate

__all__ = ["Quality", "evaluate"]
