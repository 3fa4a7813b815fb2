"""Save cubes to files atomically, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.arguments import flag
from napari_specfusion.errors import OutputError
from napari_specfusion.files import as_path
from napari_specfusion.io.arrays.blocks import SaveProgress, Watch
from napari_specfusion.io.arrays.paths import source_paths
from napari_specfusion.io.atomic import check_targets, explained, replacing_all
from napari_specfusion.io.registry import WRITERS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from napari_specfusion.data.cube import Cube

__all__ = ["SaveProgress", "Saved", "find_writer", "save_cube"]


@dataclass(frozen=True)
class Saved:
    """The result of a save.

    Attributes
    ----------
    paths
        The files or the folder written; open the last one.
    notes
        What the format could not store exactly; empty if nothing is lost.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def save_cube(
    cube: Cube,
    path: str | os.PathLike[str],
    *,
    writer: str | None = None,
    overwrite: bool = False,
    progress: Callable[[SaveProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    **options: Any,
) -> Saved:
    """Save a cube to a file or folder: its exact stored values and their description.

    The cube is written block by block, with memory use independent of its size. An existing file at `path` is replaced
    only when everything is written, and is untouched if the save fails or is stopped.

    Parameters
    ----------
    cube
        The cube.
    path
        Target: ``.hdr`` (ENVI, plus its data file), ``.tif``, ``.ome.tif``, ``.zarr``, ``.npz`` or ``.mat``.
    writer
        A key of `WRITERS`; None chooses by the ending of `path`.
    overwrite
        Whether to replace an existing file.
    progress
        Called with a `SaveProgress` at the start and after every block.
    should_stop
        Called before every block; a true result stops the save.
    **options
        Options of the writer: ``interleave="bip"`` for ENVI, ``version="7.3"`` for MATLAB.

    Returns
    -------
    Saved
        The paths written, and notes on them.

    Raises
    ------
    OutputError
        If the format is unknown or cannot hold the cube, or the files cannot be written.
    Cancelled
        If the save was stopped.
    """
    path = as_path(path, OutputError)
    key = find_writer(path) if writer is None else writer
    if not isinstance(key, str) or key not in WRITERS:
        problem = f"{path} has no known ending" if writer is None else f"there is no writer {writer!r}"
        known = ", ".join(f"{name} ({w.suffixes[0]})" for name, w in WRITERS.items())
        raise OutputError(f"{problem}; choose one of {known}.")
    flag("overwrite", overwrite, OutputError)
    chosen = WRITERS[key]
    unknown = [option for option in options if option not in chosen.options]
    if unknown:
        raise OutputError(
            f"The {chosen.title} writer takes no option {', '.join(unknown)}; it takes "
            f"{', '.join(chosen.options) or 'none'}."
        )
    with explained(path):
        targets = chosen.targets(path, overwrite)
        size = math.prod(cube.shape) * cube.dtype.itemsize
        check_targets(targets, overwrite, chosen.room * size)
        _check_source(cube, targets)
        if cube.nodata is not None and cube.dtype.itemsize == 2 and cube.dtype.kind == "f":
            # no-data as the pixels store it: in a wider file type they would no longer equal the unrounded number
            with np.errstate(over="ignore"):
                cube = cube.replace(nodata=float(np.float16(cube.nodata)))
        with replacing_all(targets) as parts:
            notes = chosen.write(cube, parts, targets, Watch(size, progress, should_stop), **options)
            if not overwrite:
                # another save may have finished meanwhile
                check_targets(targets, overwrite, 0)
    return Saved(targets, tuple(notes))


def find_writer(path: str | os.PathLike[str]) -> str | None:
    """Return the key in `WRITERS` for `path`, by the longest matching ending; or None."""
    name = as_path(path, OutputError).name.lower()
    fitting = [(len(suffix), key) for key, w in WRITERS.items() for suffix in w.suffixes if name.endswith(suffix)]
    return max(fitting)[1] if fitting else None


def _check_source(cube: Cube, targets: tuple[Path, ...]) -> None:
    """Refuse to replace a file that the cube is read from, because the lazy cube would then read the new file."""
    sources = source_paths(cube)
    for target in targets:
        if target.resolve() in sources:
            raise OutputError(f"{cube.name} is read from {target} itself; save it under another name.")
