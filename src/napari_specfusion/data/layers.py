"""Cubes as napari layers and back, without importing napari."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from napari_specfusion import memory

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import ImageLayer

__all__ = ["METADATA_KEY", "from_layer", "layer_data"]

METADATA_KEY = "specfusion"


def layer_data(
    cube: Cube, limits: tuple[float, float] | None = None
) -> tuple[da.Array | list[da.Array], dict[str, Any], str]:
    """Return the layer-data tuple of `cube`, as `Cube.layer_data` describes it.

    With display `limits`, no value is read.
    """
    keywords: dict[str, Any] = {
        "name": cube.name,
        "rgb": False,
        "contrast_limits": limits or cube.contrast_limits(),
        "axis_labels": ("wavelength", "y", "x"),
        "units": ("pixel", "pixel", "pixel"),
        "metadata": {METADATA_KEY: cube.describe() | {"cube": cube}},
        "cache": False,
    }
    levels = _shown_levels(cube)
    if len(levels) == 1:
        return levels[0], keywords, "image"
    return levels, keywords | {"multiscale": True}, "image"


def _shown_levels(cube: Cube) -> list[da.Array]:
    """Return the physical values of a cube, lazy ``(bands, y, x)``, and of coarser copies where napari should use them.

    A band of a large file takes seconds to read; a window shows no more of it than it has pixels. Smaller cubes, and
    those without copies, have their values alone.
    """
    levels, coarser = [cube.values], getattr(cube.source, "coarser", ())
    if cube.shape[1] * cube.shape[2] > memory.SHOWN_WHOLE:
        for level in coarser:
            copy = da.from_array(level, chunks=getattr(level, "chunks", "auto"), name=False)
            levels.append(cube.replace(data=copy, source=None).values)
    return levels


def from_layer(cls: type[Cube], layer: ImageLayer) -> Cube:
    """Return the cube behind `layer`, as `Cube.from_layer` describes it."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    known = dict(layer.metadata.get(METADATA_KEY, {}))
    cube = known.pop("cube", None)
    if isinstance(cube, cls) and cube.shape == tuple(data.shape):
        shown = cube.values
        if data is shown or getattr(data, "name", None) == shown.name:
            return cube
    array = data if isinstance(data, np.ndarray) else da.asarray(data)
    if getattr(layer, "rgb", False):
        array = np.moveaxis(array[..., :3], -1, 0)
    fields: dict[str, Any] = {}
    if array.ndim == 3 and known.get("wavelengths") is not None and len(known["wavelengths"]) == array.shape[0]:
        names = {f.name for f in dataclasses.fields(cls)} - {"data", "source", "scale", "offset", "nodata", "name"}
        fields = {key: value for key, value in known.items() if key in names}
    return cls.from_array(array, name=str(layer.name), **fields)
