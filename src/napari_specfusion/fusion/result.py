"""What the engine writes tiles to, and the one in memory; the one on disk is `ResultStore`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.encoding import Encoding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.data.scene import Scene
    from napari_specfusion.tiling.tiles import Box

__all__ = ["MemoryStore", "Result", "result_bytes"]


def result_bytes(scene: Scene, dtype: DTypeLike = np.float32) -> int:
    """Return the size of the fused image of a scene in bytes."""
    return int(scene.hsi.bands * math.prod(scene.shape) * np.dtype(dtype).itemsize)


class Result(Protocol):
    """A store that the engine writes tiles to."""

    @property
    def done(self) -> NDArray[np.bool_]:
        """Boolean ``(tiles,)``: which tiles are written."""

    def write(self, index: int, box: Box, values: NDArray[Any], checksum: int = 1) -> None:
        """Keep the `values` ``(bands, height, width)`` of tile `index`, which covers `box`."""

    def levels(self) -> list[da.Array]:
        """Return the image lazily, ``(bands, y, x)``, at full size and, if there are any, at halved sizes."""

    def cube(self) -> Cube:
        """Return the result as a cube; it always shows the tiles written so far."""

    def finish(self) -> None:
        """Put the complete result in its place."""

    def discard(self) -> None:
        """Remove what was written."""


class MemoryStore:
    """A result in memory.

    Parameters
    ----------
    shape
        Bands, rows, columns.
    tiles
        Number of tiles to come.
    fields
        Fields of the `Cube` to return, all but the data.
    dtype
        Floating type of the values.
    encoding
        How they are kept.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        tiles: int,
        fields: Mapping[str, Any],
        dtype: DTypeLike = np.float32,
        encoding: Encoding | None = None,
    ) -> None:
        self._encoding = encoding = encoding or Encoding()
        dtype = encoding.dtype(np.dtype(dtype))
        try:
            self._values = np.full(shape, encoding.fill, dtype)
        except MemoryError as error:
            size = math.prod(shape) * np.dtype(dtype).itemsize / 1e9
            raise OutputError(
                f"A result of {size:.1f} GB does not fit into memory; write it to a folder instead: out='result.zarr'."
            ) from error
        self.done: NDArray[np.bool_] = np.zeros(tiles, bool)
        live = da.from_array(_Live(self._values), chunks=(1, *shape[1:]), name=False, meta=self._values[:0, :0, :0])
        self._cube = Cube(live, source=ArraySource(self._values), **fields, **encoding.fields)

    def write(self, index: int, box: Box, values: NDArray[Any], checksum: int = 1) -> None:
        """Keep the `values` ``(bands, height, width)`` of tile `index`, which covers `box`."""
        self._values[:, *box.slices] = self._encoding.stored(values)
        self.done[index] = True

    def levels(self) -> list[da.Array]:
        """Return the image lazily, ``(bands, y, x)``."""
        return [self._cube.data]

    def cube(self) -> Cube:
        """Return the result as a cube; it shows the tiles written so far."""
        return self._cube

    def finish(self) -> None:
        """Do nothing: it is in its place."""

    def discard(self) -> None:
        """Do nothing: the memory is freed with its last reference."""


class _Live:
    """An array that dask slices when it computes; it would copy a plain one at once, and miss later writes."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return np.array(self._array[index])
