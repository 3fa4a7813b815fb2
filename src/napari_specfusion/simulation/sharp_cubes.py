"""A folder of sharp cubes: what training and the benchmark start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.errors import ReadError
from napari_specfusion.io import find_reader, open_cube

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["WHITE", "open_sharp_cubes"]

WHITE = 65535.0
"""Stored integer that stands for reflectance 1 where a file does not say so: the largest of 16 bits."""

CAVE_BANDS = 31
CAVE_WAVELENGTHS = np.linspace(400.0, 700.0, CAVE_BANDS)


def open_sharp_cubes(folder: str | Path, white: float = WHITE) -> list[Cube]:
    """Open the sharp cubes in a folder, one file each, as reflectance.

    Parameters
    ----------
    folder
        Where they are; what is no cube is passed over.
    white
        Stored integer that stands for reflectance 1, where a file does not say so itself.

    Returns
    -------
    list of Cube
        By name. Cubes of 31 bands that carry no wavelengths get those of the CAVE scenes, 400 to 700 nm.

    Raises
    ------
    ReadError
        If there is none.
    """
    files = [path for path in sorted(Path(folder).glob("*")) if find_reader(path) is not None]
    if not files:
        raise ReadError(f"There is no cube in {folder}; give the folder that holds the scenes.")
    return [_reflectance(open_cube(file), white).replace(name=file.stem) for file in files]


def _reflectance(cube: Cube, white: float) -> Cube:
    if cube.wavelengths is None and cube.bands == CAVE_BANDS:
        cube = cube.replace(wavelengths=CAVE_WAVELENGTHS)
    return cube.replace(scale=1 / white) if cube.dtype.kind in "iu" and cube.is_physical else cube
