"""Training a network on sharp cubes, and fitting one on a pair.

A training run has a folder, where its state is saved at every validation. Each step draws its crops from the seed and
the step number, so an interrupted run resumes from the last state and ends with the same weights.
"""

from __future__ import annotations

from napari_specfusion.training._train import train
from napari_specfusion.training.any_sensor import AnySensorOptions, train_any_sensor
from napari_specfusion.training.fitting import FitProgress, fit
from napari_specfusion.training.options import TrainingOptions, TrainingProgress

__all__ = [
    "AnySensorOptions",
    "FitProgress",
    "TrainingOptions",
    "TrainingProgress",
    "fit",
    "train",
    "train_any_sensor",
]
