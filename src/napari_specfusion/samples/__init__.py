"""A scene made by the package itself."""

from __future__ import annotations

from napari_specfusion.samples.scene import sample_scene

__all__ = ["sample_scene"]
