"""Folders of sharp cubes, the input of training and of the benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_specfusion.arguments import short
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import ModelError, ReadError
from napari_specfusion.files import as_path
from napari_specfusion.io import find_reader, open_cube

__all__ = ["WHITE", "cube_files", "given_cubes", "open_sharp_cubes"]

WHITE = 65535.0
"""Stored integer for reflectance 1 in files that do not state it: the largest 16-bit value."""

CAVE_BANDS = 31
CAVE_WAVELENGTHS = np.linspace(400.0, 700.0, CAVE_BANDS)


def open_sharp_cubes(folder: str | Path, white: float = WHITE) -> list[Cube]:
    """Open the sharp cubes in a folder, one file each, as reflectance.

    Parameters
    ----------
    folder
        The folder; files that are not cubes are skipped.
    white
        Stored integer for reflectance 1 in files that do not state it.

    Returns
    -------
    list of Cube
        Sorted by name. Cubes of 31 bands without wavelengths get those of the CAVE scenes, 400 to 700 nm.

    Raises
    ------
    ReadError
        If the folder holds no cube.
    """
    files = cube_files(as_path(folder))
    if not files:
        raise ReadError(f"{folder} holds no cube; give the folder with the sharp cubes.")
    return [_reflectance(open_cube(file), white).replace(name=file.stem) for file in files]


def given_cubes(scenes: object) -> list[Cube]:
    """Return cubes given as a list.

    Raises
    ------
    ModelError
        If they are not cubes.
    """
    given = list(scenes) if isinstance(scenes, list | tuple) else []
    if not given or not all(isinstance(cube, Cube) for cube in given):
        raise ModelError(f"The scenes are {short(scenes)}; give a list of cubes, or the folder that holds them.")
    return given


def cube_files(folder: str | Path) -> list[Path]:
    """Return what `open_cube` may open in a folder, sorted by name; files that are not cubes are skipped."""
    return [path for path in sorted(Path(folder).glob("*")) if find_reader(path) is not None]


def _reflectance(cube: Cube, white: float) -> Cube:
    if cube.wavelengths is None and cube.bands == CAVE_BANDS:
        cube = cube.replace(wavelengths=CAVE_WAVELENGTHS)
    return cube.replace(scale=1 / white) if cube.dtype.kind in "iu" and cube.is_physical else cube
