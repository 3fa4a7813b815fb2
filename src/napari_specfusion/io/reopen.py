"""Layers that a viewer's own reader opened, without what their file says about the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.data.layers import METADATA_KEY
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.io.open import find_reader, open_cube

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import ImageLayer

__all__ = ["cube_of_file", "plain_file", "what_is_told"]


def plain_file(layer: ImageLayer) -> Path | None:
    """Return the file of a layer that was opened by another reader than this package's; None for any other layer."""
    if METADATA_KEY in layer.metadata:
        return None
    told = getattr(getattr(layer, "source", None), "path", None)
    if not isinstance(told, str) or "://" in told:
        return None
    path = Path(told)
    try:
        return path if path.exists() and find_reader(path) not in (None, "picture") else None
    except (OSError, SpecFusionError):
        return None


def cube_of_file(layer: ImageLayer) -> Cube | None:
    """Open the file of a layer as a cube, if it says more about the numbers than the layer does.

    Parameters
    ----------
    layer
        An image layer. Only one that another reader opened is looked at.

    Returns
    -------
    Cube or None
        None if the layer was opened as a cube already, has no file, or its file adds nothing: see `what_is_told`.
    """
    path = plain_file(layer)
    if path is None:
        return None
    try:
        cube = open_cube(path)
    except SpecFusionError:
        return None
    return cube if what_is_told(cube, layer) else None


def what_is_told(cube: Cube, layer: ImageLayer) -> tuple[str, ...]:
    """Return what a cube knows that a layer of plain numbers does not, in a few words each."""
    told = []
    if cube.wavelengths is not None:
        told.append(f"{cube.bands} wavelengths")
    if cube.nodata is not None and not np.isnan(cube.nodata):
        told.append(f"the no-data value {cube.nodata:g}")
    if np.any(np.asarray(cube.scale) != 1) or np.any(np.asarray(cube.offset) != 0):
        told.append("the scale of the values")
    if bad := int((~cube.good).sum()):
        told.append(f"{bad} bad bands")
    shape = _shape(layer)
    if cube.bands > 1 and shape != cube.shape and sorted(shape) == sorted(cube.shape):
        told.append("which axis holds the bands")
    return tuple(told)


def _shape(layer: Any) -> tuple[int, ...]:
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    shape = tuple(int(n) for n in data.shape)
    return (shape[-1], *shape[:-1]) if getattr(layer, "rgb", False) else shape
