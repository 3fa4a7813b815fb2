"""Fusing a scene, and choosing how."""

from __future__ import annotations

from napari_specfusion.fusion.auto import Choice, choose
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.fusion.resolve import as_method

__all__ = ["Choice", "FusionProgress", "as_method", "choose", "fuse"]
