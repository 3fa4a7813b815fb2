"""Training-free methods, and wrappers around other methods."""

from __future__ import annotations

from napari_specfusion.methods.guide_adapter import Adapted, GuideAdapter
from napari_specfusion.methods.projected import Projected
from napari_specfusion.methods.registry import METHODS

__all__ = ["METHODS", "Adapted", "GuideAdapter", "Projected"]
