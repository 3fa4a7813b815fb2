"""Read world files: six lines of georeferencing in a file next to a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion import memory
from napari_specfusion.files import bytes_of, check_inside
from napari_specfusion.io.metadata.units import numbers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["world_fields"]


def world_fields(path: Path) -> dict[str, Any]:
    """Return affine and pixel size from a picture's world file (``.tfw`` for ``.tif``, ``.wld``), if there is one.

    Its lines are a, d, b and e of the affine, and the coordinates of the first pixel's centre.
    """
    suffix = path.suffix.lower()
    endings = {f".{suffix[1:2]}{suffix[-1:]}w", f"{suffix}w", ".wld"}
    found = [p for p in path.parent.glob("*") if p.stem == path.stem and p.suffix.lower() in endings and p.is_file()]
    for file in sorted(found):
        if file.stat().st_size > memory.LONGEST_WORLD_FILE:
            continue
        check_inside(file, path)
        values = numbers(bytes_of(file, memory.LONGEST_WORLD_FILE).decode("ascii", "replace").split())
        if values is None or values.size != 6 or values[0] * values[3] == values[1] * values[2]:
            continue
        a, d, b, e, x, y = (float(value) for value in values)
        affine = (a, b, x - 0.5 * (a + b), d, e, y - 0.5 * (d + e))
        return {"affine": affine, "pixel_size": (float(np.hypot(b, e)), float(np.hypot(a, d)))}
    return {}
