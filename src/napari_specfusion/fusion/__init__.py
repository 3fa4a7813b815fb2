"""Fusing a scene, and choosing the method."""

from __future__ import annotations

from napari_specfusion.fusion.auto import Choice, choose
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.fusion.error_map import expected_error
from napari_specfusion.fusion.judging import evaluate_reduced, judge
from napari_specfusion.fusion.previewing import PREVIEW_MEASURES, Preview, preview
from napari_specfusion.fusion.resolve import MethodInfo, as_method, list_methods

__all__ = [
    "PREVIEW_MEASURES",
    "Choice",
    "FusionProgress",
    "MethodInfo",
    "Preview",
    "as_method",
    "choose",
    "evaluate_reduced",
    "expected_error",
    "fuse",
    "judge",
    "list_methods",
    "preview",
]
