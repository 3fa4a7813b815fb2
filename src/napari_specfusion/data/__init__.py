"""Cubes and scenes."""

from __future__ import annotations

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.cube_like import CubeLike
from napari_specfusion.data.scene import Finding, Scene

__all__ = ["Cube", "CubeLike", "Finding", "Scene"]
