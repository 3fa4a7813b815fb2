"""Quality metrics with and without a reference, and maps of errors."""

from __future__ import annotations

from napari_specfusion.quality.judgement import Judgement, judge_pair
from napari_specfusion.quality.metrics import Quality, evaluate, quality_maps
from napari_specfusion.quality.pair_maps import judgement_maps

__all__ = ["Judgement", "Quality", "evaluate", "judge_pair", "judgement_maps", "quality_maps"]
