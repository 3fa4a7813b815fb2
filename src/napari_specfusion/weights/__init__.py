"""Weight files: ours, the authors', and those that come with the package."""

from __future__ import annotations

from napari_specfusion.weights.checkpoint import load_checkpoint, save_checkpoint
from napari_specfusion.weights.shipped import list_weights, load_weights, shipped_weights, weights_for

__all__ = ["list_weights", "load_checkpoint", "load_weights", "save_checkpoint", "shipped_weights", "weights_for"]
