"""Join the bands of several cubes, such as detectors that a file stores separately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.sources import Source

__all__ = ["join_bands"]


@dataclass(frozen=True, eq=False)
class JoinedSource:
    """The bands of several sources, concatenated."""

    sources: tuple[Source, ...]

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the stored values ``(bands,)`` of one pixel."""
        return np.concatenate([source.spectrum(y, x) for source in self.sources])

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the stored values ``(bands, rows, columns)`` of one window."""
        return np.concatenate([source.window(rows, columns) for source in self.sources])


def join_bands(cubes: Sequence[Cube], **fields: Any) -> Cube:
    """Return one cube with the bands of all `cubes`, in that order; `fields` replace fields of the result.

    All cubes must have sources, the same rows and columns and the same described fields.
    """
    if len(cubes) == 1:
        return cubes[0].replace(**fields)
    joined: dict[str, Any] = {}
    for key in ("wavelengths", "fwhm", "good_bands"):
        values = [getattr(cube, key) for cube in cubes]
        joined[key] = None if any(value is None for value in values) else np.concatenate(values)
    for key in ("scale", "offset"):
        joined[key] = np.concatenate([np.broadcast_to(getattr(cube, key), cube.bands) for cube in cubes])
    sources = tuple(cube.source for cube in cubes if cube.source is not None)
    data = da.concatenate([cube.data for cube in cubes], axis=0)
    return cubes[0].replace(data=data, source=JoinedSource(sources), **(joined | fields))
