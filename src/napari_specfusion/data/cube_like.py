"""`CubeLike`: everything that functions accept as a cube."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any, Protocol, TypeAlias

import dask.array as da
from numpy.typing import ArrayLike

from napari_specfusion.data.cube import Cube

__all__ = ["CubeLike", "ImageLayer", "LabelledArray"]


class LabelledArray(Protocol):
    """The part of ``xarray.DataArray`` that this package uses."""

    @property
    def name(self) -> Hashable:
        """Name of the array, or None."""

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """Names of the axes."""

    @property
    def coords(self) -> Mapping[Any, Any]:
        """Coordinates, labelled arrays themselves, by name."""

    @property
    def attrs(self) -> Mapping[Any, Any]:
        """Other metadata."""

    @property
    def data(self) -> Any:
        """The numbers: a numpy or dask array."""


class ImageLayer(Protocol):
    """The part of ``napari.layers.Image`` that this package uses."""

    @property
    def name(self) -> str:
        """Name of the layer."""

    @property
    def data(self) -> Any:
        """The pixels, or a list of them, finest first."""

    @property
    def metadata(self) -> Mapping[Any, Any]:
        """Other metadata."""


CubeLike: TypeAlias = Cube | str | os.PathLike[str] | ArrayLike | da.Array | LabelledArray | ImageLayer
"""A cube, the path of a file, a numpy or dask array ``(bands, y, x)``, an xarray DataArray or a napari image layer."""
