"""What a fusion was begun with, so that it is never continued with something else.

Images that are in memory, or small enough to be read there, are known by their whole content. Larger files are known by
size and time of modification, and each finished tile by a checksum of what was read for it.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import OutputError, ReadError
from napari_specfusion.io.arrays.paths import source_paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Watch
    from napari_specfusion.tiling.tile_reader import TileReader
    from napari_specfusion.tiling.tiles import TileGrid

__all__ = ["check_finished_tiles", "describe_inputs", "what_changed"]

ROLES = {"hsi": "cube", "guide": "guide"}
# tiles that are compared before the next look at whether to stop; their input is in memory
AT_ONCE = 4


def describe_inputs(calibrated: CalibratedScene) -> dict[str, dict[str, Any]]:
    """Return the identity of both images, for `what_changed`; it can be written as JSON."""
    return {role: _described(getattr(calibrated.given, role), calibrated.watch) for role in ROLES}


def what_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return which image is not the one it was, and why; an empty string if both are."""
    for role, name in ROLES.items():
        was, is_now = before.get(role, {}), now[role]
        if was.get("content") or is_now["content"]:
            # the file may have been copied since
            if was.get("content") != is_now["content"]:
                return f"the pixels of the {name} differ"
        elif was.get("files") != is_now["files"]:
            return f"size or time of modification of the {name}'s file differ"
        elif was.get("windows") != is_now["windows"]:
            return f"the pixels of the {name} differ"
    return ""


def check_finished_tiles(
    path: Path, recorded: NDArray[np.uint64], reader: TileReader, grid: TileGrid, watch: Watch
) -> None:
    """Read the input of the finished tiles again, and compare it with what was recorded.

    Parameters
    ----------
    path
        The result.
    recorded
        Checksums ``(tiles,)``, 0 where a tile is not finished.

    Raises
    ------
    OutputError
        If the input of one has changed.
    """
    finished = [tile for tile in grid if recorded[tile.index]]
    with ThreadPoolExecutor(2, "specfusion-check") as pool:
        for start in range(0, len(finished), AT_ONCE):
            some = finished[start : start + AT_ONCE]
            watch.tell(start, len(finished), "Comparing the images with the finished tiles")
            for tile, checksum in zip(some, pool.map(lambda each: reader.read(each).checksum, some), strict=True):
                if checksum != recorded[tile.index]:
                    box = tile.core.clip(reader.scene.shape)
                    raise OutputError(
                        f"The pair has changed since {path} was begun: the pixels under rows {box.y0}-{box.y1 - 1}, "
                        f"columns {box.x0}-{box.x1 - 1} differ. Give another path, or overwrite=True to start afresh."
                    )


def _described(cube: Cube, watch: Watch) -> dict[str, Any]:
    array = getattr(cube.source, "array", None)
    content = ""
    if isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        digest = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=16)
        for number, band in enumerate(array):
            watch.tell(number, len(array), f"Computing the checksum of {cube.name}")
            digest.update(np.ascontiguousarray(band).data)
        content = digest.hexdigest()
    windows = "" if content else _windows(cube)
    return {"content": content, "files": [_state(path) for path in source_paths(cube)], "windows": windows}


def _state(path: Path) -> list[int]:
    """Return number, size and latest time of modification of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    try:
        found = [file.stat() for file in files]
    except OSError as error:
        raise ReadError(f"{path} can no longer be read ({error}); it was moved or deleted. Open it again.") from error
    return [len(found), sum(stat.st_size for stat in found), max((stat.st_mtime_ns for stat in found), default=0)]


def _windows(cube: Cube) -> str:
    """Return a checksum of nine small windows of a cube."""
    digest = hashlib.blake2b(digest_size=16)
    starts = [sorted({0, max(0, n // 2 - 4), max(0, n - 8)}) for n in cube.shape[1:]]
    for y in starts[0]:
        for x in starts[1]:
            values = cube.read(slice(y, min(y + 8, cube.shape[1])), slice(x, min(x + 8, cube.shape[2])))
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
