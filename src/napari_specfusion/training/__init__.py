"""Training a network on sharp cubes: scenes in, weights out.

A training lives in a folder. Its state is written often, under another name first, and every step draws its crops from
the seed and its own number: one that was killed goes on from the last state and ends with the same weights.
"""

from __future__ import annotations

from napari_specfusion.training._train import train
from napari_specfusion.training.fitting import FitProgress, fit
from napari_specfusion.training.options import TrainingOptions, TrainingProgress

__all__ = ["FitProgress", "TrainingOptions", "TrainingProgress", "fit", "train"]
