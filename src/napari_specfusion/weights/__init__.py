"""Weight files: our own, other authors', and those that come with the package."""

from __future__ import annotations

from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import read_weights, write_weights
from napari_specfusion.weights.load import load_weights
from napari_specfusion.weights.shipped import list_weights, shipped_weights, weights_for

__all__ = [
    "ModelCard",
    "list_weights",
    "load_weights",
    "read_weights",
    "shipped_weights",
    "weights_for",
    "write_weights",
]
