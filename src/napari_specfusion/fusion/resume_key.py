"""The key that identifies a job, so that a second run can continue an interrupted one."""

from __future__ import annotations

import dataclasses
import hashlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["job_key"]

PACKAGE = __name__.partition(".")[0]


def job_key(scene: Scene, method: Any, settings: tuple[Any, ...]) -> str:
    """Return a hash of a job: the method with its weights, a few pixels of the inputs, and the settings."""
    digest = hashlib.sha256()
    for part in (method, settings, scene.factor, scene.shift, scene.psf, scene.srf):
        _add(digest, part)
    for cube in (scene.hsi, scene.guide):
        _add(digest, (cube.shape, str(cube.dtype), cube.wavelengths, cube.nodata, cube.scale, cube.offset))
        for window in _windows(cube):
            _add(digest, window)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    """Add plain values, arrays, networks and the fields of objects of this package; ignore anything else."""
    if hasattr(value, "state_dict"):
        value = sorted(value.state_dict().items())
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif isinstance(value, tuple | list):
        digest.update(f"{len(value)}:".encode())
        for item in value:
            _add(digest, item)
    elif isinstance(value, str | bool | int | float | Fraction | None):
        digest.update(f"{value!r};".encode())
    elif type(value).__module__.startswith(PACKAGE) and not isinstance(value, Cube | Scene):
        kind, parts = _parts(value)
        digest.update(kind.encode())
        for name in sorted(parts):
            _add(digest, (name, parts[name]))


def _parts(value: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of an object of this package; it can define them itself to keep old keys valid."""
    if hasattr(value, "resume_parts"):
        parts: tuple[str, dict[str, Any]] = value.resume_parts()
        return parts
    names = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else vars(value)
    return type(value).__qualname__, {name: getattr(value, name) for name in names}


def _windows(cube: Cube) -> Iterator[NDArray[Any]]:
    """Yield nine small windows of a cube."""
    starts = [sorted({0, max(0, n // 2 - 4), max(0, n - 8)}) for n in cube.shape[1:]]
    for y in starts[0]:
        for x in starts[1]:
            yield cube.read(slice(y, min(y + 8, cube.shape[1])), slice(x, min(x + 8, cube.shape[2])))
