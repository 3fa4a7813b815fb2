"""Alignments in files: plain JSON, in which nothing can run."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion import memory
from napari_specfusion.alignment.transform import Field, Transform
from napari_specfusion.data.scene import Finding
from napari_specfusion.errors import AlignmentError, OutputError, ReadError
from napari_specfusion.files import as_path, text_of
from napari_specfusion.io.atomic import replacing

if TYPE_CHECKING:
    import os

__all__ = ["read_record", "write_record"]

_LARGEST_RATIO, _LONGEST_SIDE = 10_000, 1 << 31
KEY, VERSION = "napari_specfusion_alignment", 1


def write_record(path: str | os.PathLike[str], values: dict[str, Any], *, overwrite: bool) -> None:
    """Write the fields of an alignment to a JSON file.

    Raises
    ------
    OutputError
        If the file exists and `overwrite` is false, or it cannot be written.
    """
    path = as_path(path, OutputError)
    if not overwrite and path.exists():
        raise OutputError(f"{path} exists; give another file, or overwrite=True to replace it.")
    transform: Transform = values["transform"]
    bent = transform.field
    stored = {
        KEY: VERSION,
        **values,
        "transform": {
            "matrix": transform.matrix.tolist(),
            "field": None
            if bent is None
            else {"control": bent.control.tolist(), "origin": list(bent.origin), "spacing": bent.spacing},
            "lines": None if transform.lines is None else transform.lines.tolist(),
        },
        "ratio": [values["ratio"].numerator, values["ratio"].denominator],
        "certainty": dict(values["certainty"]),
        "notes": [[note.level, note.topic, note.message] for note in values["notes"]],
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(stored, indent=1), encoding="utf-8")


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the fields of an alignment from a file that `write_record` wrote.

    Raises
    ------
    AlignmentError
        If the file is missing, or is not an alignment.
    """
    path = as_path(path, AlignmentError)
    try:
        text = text_of(path, memory.LARGEST_ALIGNMENT)
    except ReadError as error:
        raise AlignmentError(str(error)) from error
    try:
        stored = json.loads(text)
        if stored.get(KEY) != VERSION:
            raise ValueError("it has another version, or none")
        return _restored(stored)
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise AlignmentError(
            f"{path} is not an alignment that this version wrote ({error}). Align the two images again."
        ) from error


def _restored(stored: dict[str, Any]) -> dict[str, Any]:
    moved = stored["transform"]
    bent = moved["field"]
    smooth = None
    if bent is not None:
        control = np.array(bent["control"], dtype=np.float64)
        if control.ndim != 3 or len(control) != 2 or min(control.shape[1:]) < 4 or not np.isfinite(control).all():
            raise ValueError("its field is damaged")
        smooth = Field(control, (float(bent["origin"][0]), float(bent["origin"][1])), float(bent["spacing"]))
        if not (0 < smooth.spacing < math.inf and all(map(math.isfinite, smooth.origin))):
            raise ValueError("its field is damaged")
    lines = None if moved["lines"] is None else np.array(moved["lines"], dtype=np.float64)
    cube_shape = int(stored["cube_shape"][0]), int(stored["cube_shape"][1])
    if lines is not None and (lines.shape != (cube_shape[0], 2) or not np.isfinite(lines).all()):
        raise ValueError("its lines are damaged")
    guide_shape = int(stored["guide_shape"][0]), int(stored["guide_shape"][1])
    if not all(0 < side <= _LONGEST_SIDE for side in (*cube_shape, *guide_shape)):
        raise ValueError(f"its images have the sizes {cube_shape} and {guide_shape}")
    top, bottom, left, right = (int(n) for n in stored["window"])
    if not (0 <= top < bottom <= cube_shape[0] and 0 <= left < right <= cube_shape[1]):
        raise ValueError("its window lies outside the cube")
    ratio = Fraction(int(stored["ratio"][0]), int(stored["ratio"][1]))
    if not 1 / _LARGEST_RATIO <= ratio <= _LARGEST_RATIO:
        raise ValueError(f"its ratio is {float(ratio):g}")
    if stored["placement"] not in ("as is", "cropped", "resampled"):
        raise ValueError(f"its placement is {stored['placement']!r}")
    if stored["verdict"] not in ("good", "doubtful", "unrelated"):
        raise ValueError(f"its verdict is {stored['verdict']!r}")
    return {
        "transform": Transform(np.array(moved["matrix"], dtype=np.float64), smooth, lines),
        "ratio": ratio,
        "cube_shape": cube_shape,
        "guide_shape": guide_shape,
        "window": (top, bottom, left, right),
        "placement": stored["placement"],
        "model": str(stored["model"]),
        "local": tuple(map(str, stored["local"])),
        "before": None if stored["before"] is None else float(stored["before"]),
        "after": float(stored["after"]),
        "detail": float(stored["detail"]),
        "certainty": {str(key): float(value) for key, value in stored["certainty"].items()},
        "verdict": stored["verdict"],
        "notes": tuple(Finding(*map(str, note)) for note in stored["notes"]),  # type: ignore[arg-type]
    }
