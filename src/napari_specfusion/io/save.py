"""Cubes to files: whole or not at all, never held in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import OutputError
from napari_specfusion.io.arrays.blocks import SaveProgress, Watch, file_arrays
from napari_specfusion.io.atomic import check_targets, explained, replacing_all
from napari_specfusion.io.registry import WRITERS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from napari_specfusion.data.cube import Cube

__all__ = ["SaveProgress", "Saved", "find_writer", "save_cube"]


@dataclass(frozen=True)
class Saved:
    """What a save wrote.

    Attributes
    ----------
    paths
        The files or the folder; the last one is the one to open.
    notes
        What the format holds otherwise than the cube did, in words; empty where nothing is lost.
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
    """Write a cube to a file or folder: its stored values bit by bit, and what they mean.

    Block by block, in memory that does not grow with the cube. What lies at `path` is replaced when all is written,
    and untouched where the save fails or is stopped.

    Parameters
    ----------
    cube
        The cube.
    path
        Where to: ``.hdr`` (ENVI, with the data beside it), ``.tif``, ``.ome.tif``, ``.zarr``, ``.npz`` or ``.mat``.
    writer
        A key of `WRITERS`; None chooses by the ending of `path`.
    overwrite
        Whether to replace what lies there.
    progress
        Called with a `SaveProgress` first and after every block.
    should_stop
        Asked before every block; true ends the save.
    **options
        Options of that writer: ``interleave="bip"`` for ENVI, ``version="7.3"`` for MATLAB.

    Returns
    -------
    Saved
        The paths that were written, and what to know about them.

    Raises
    ------
    OutputError
        If the format is unknown or cannot hold the cube, or the files cannot be written.
    Cancelled
        If the save was stopped.
    """
    path = Path(path)
    key = find_writer(path) if writer is None else writer
    if key not in WRITERS:
        asked = f"{path} has no known ending" if writer is None else f"no writer is called {writer!r}"
        known = ", ".join(f"{name} ({w.suffixes[0]})" for name, w in WRITERS.items())
        raise OutputError(f"{asked}; choose one of {known}.")
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
            # what its pixels hold: in a wider type of the file they no longer equal the number that was rounded
            with np.errstate(over="ignore"):
                cube = cube.replace(nodata=float(np.float16(cube.nodata)))
        with replacing_all(targets) as parts:
            notes = chosen.write(cube, parts, targets, Watch(size, progress, should_stop), **options)
            if not overwrite:
                # another save may have been faster
                check_targets(targets, overwrite, 0)
    return Saved(targets, tuple(notes))


def find_writer(path: str | os.PathLike[str]) -> str | None:
    """Return the key in `WRITERS` of the writer for `path`, by the longest ending that fits; or None."""
    name = Path(path).name.lower()
    fitting = [(len(suffix), key) for key, w in WRITERS.items() for suffix in w.suffixes if name.endswith(suffix)]
    return max(fitting)[1] if fitting else None


def _check_source(cube: Cube, targets: tuple[Path, ...]) -> None:
    """Refuse to replace the file that the cube is read from: the cube would read the new one as the old."""
    # a fused result names its folder in the metadata
    layers = getattr(cube.data.dask, "layers", {})
    # what was computed of a file keeps the array it came from in a layer of its own
    made_of = [array for name in layers if name.startswith("original-") for array in layers[name].values()]
    paths = [cube.metadata.get("store"), *(getattr(array, "path", None) for array in (*file_arrays(cube), *made_of))]
    sources = {str(Path(found).resolve()) for found in paths if isinstance(found, str) and found}
    for target in targets:
        if str(target.resolve()) in sources:
            raise OutputError(f"{cube.name} is read from {target} itself; save it under another name.")
