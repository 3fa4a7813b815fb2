"""Fusion methods: networks by name, weight files, and training-free ones; torch is imported when one is used."""

from __future__ import annotations

from napari_specfusion.models.checkpoint import load_checkpoint, save_checkpoint
from napari_specfusion.models.methods import METHODS, as_method
from napari_specfusion.models.registry import NETWORKS, create_model, list_models
from napari_specfusion.models.weights import list_weights, load_weights, shipped_weights, weights_for

__all__ = [
    "METHODS",
    "NETWORKS",
    "as_method",
    "create_model",
    "list_models",
    "list_weights",
    "load_checkpoint",
    "load_weights",
    "save_checkpoint",
    "shipped_weights",
    "weights_for",
]
