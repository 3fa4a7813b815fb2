"""A sample scene, generated in code."""

from __future__ import annotations

from napari_specfusion.samples.scene import sample_scene

__all__ = ["sample_scene"]
