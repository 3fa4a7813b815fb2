"""The key that identifies a job, so that a second run can continue an interrupted one."""

from __future__ import annotations

import dataclasses
import hashlib
from fractions import Fraction
from typing import Any

import numpy as np

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene

__all__ = ["job_key"]

PACKAGE = __name__.partition(".")[0]


def job_key(scene: Scene, method: Any, settings: tuple[Any, ...]) -> str:
    """Return a hash of a job: the method with its weights, what is known of the inputs, and the settings."""
    digest = hashlib.sha256()
    for part in (method, settings, scene.factor, scene.shift, scene.psf, scene.srf):
        _add(digest, part)
    for cube in (scene.hsi, scene.guide):
        _add(digest, (cube.shape, str(cube.dtype), cube.wavelengths, cube.nodata, cube.scale, cube.offset))
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
        names = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else list(vars(value))
        digest.update(type(value).__qualname__.encode())
        for name in sorted(names):
            _add(digest, (name, getattr(value, name)))
