"""Arrays that lie beside a cube in its file, and may be its guide."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from napari_specfusion.io.metadata.axes import find_band_axis
from napari_specfusion.io.open import as_cube, list_arrays, open_cube

if TYPE_CHECKING:
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.io.metadata.variables import Variable

__all__ = ["list_guides"]

# share by which the ratios along the two axes may differ
ALIKE = 0.1


def list_guides(
    path: str | os.PathLike[str], cube: CubeLike | None = None, *, reader: str | None = None
) -> tuple[Variable, ...]:
    """List the arrays in the file of a cube that can be its guide: they have fewer bands, more pixels, and its outline.

    Parameters
    ----------
    path
        An HDF5, MATLAB, NPZ or Zarr file.
    cube
        The cube that was opened from it, if not the one that ``open_cube(path)`` gives.
    reader
        A key of `READERS`; None chooses by the name, then by the first bytes.

    Returns
    -------
    tuple of Variable
        Name and shape of each, those of fewest bands first and the sharpest of these first; empty for formats of one
        array. Pass the name to `open_cube` as ``array``.

    Raises
    ------
    ReadError
        If the file cannot be read.
    CubeError
        If `cube` cannot be a cube.
    """
    arrays = list_arrays(path, reader=reader)
    if not arrays:
        return ()
    if cube is None:
        cube = open_cube(path, reader=reader)
    shape = as_cube(cube).shape
    fitting = [(found, variable) for variable in arrays if (found := _as_guide(variable.shape, shape)) is not None]
    return tuple(variable for _, variable in sorted(fitting, key=lambda pair: (pair[0][0], -pair[0][1])))


def _as_guide(shape: tuple[int, ...], cube: tuple[int, int, int]) -> tuple[int, int] | None:
    """Return bands and pixels of an array that can be the guide of a cube; None if it cannot."""
    bands, height, width = cube
    if len(shape) == 3:
        axis = find_band_axis(shape).axis
        own, (high, wide) = shape[axis], (n for index, n in enumerate(shape) if index != axis)
    else:
        own, (high, wide) = 1, shape
    if own >= bands or high <= height or wide <= width:
        return None
    ratio = math.sqrt((high / height) * (wide / width))
    return (own, high * wide) if abs(high / height - wide / width) < ALIKE * ratio else None
