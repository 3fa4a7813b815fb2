"""The models of a transform: which ways a matrix may change.

A step multiplies the matrix from the left, in guide coordinates centred on the common ground and scaled to about one at
its edge: every parameter then is a displacement at the edge, in guide pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MODELS", "Frame", "generators"]

_SHIFT_Y, _SHIFT_X, _TURN, _GROW, _STRETCH, _SHEAR, _TILT_Y, _TILT_X = range(8)
_GENERATORS = np.zeros((8, 3, 3))
_GENERATORS[_SHIFT_Y, 0, 2] = _GENERATORS[_SHIFT_X, 1, 2] = 1
_GENERATORS[_TURN, 0, 1], _GENERATORS[_TURN, 1, 0] = -1, 1
_GENERATORS[_GROW, 0, 0] = _GENERATORS[_GROW, 1, 1] = 1
_GENERATORS[_STRETCH, 0, 0], _GENERATORS[_STRETCH, 1, 1] = 1, -1
_GENERATORS[_SHEAR, 0, 1] = _GENERATORS[_SHEAR, 1, 0] = 1
_GENERATORS[_TILT_Y, 2, 0] = _GENERATORS[_TILT_X, 2, 1] = -1

# number of free parameters, the simplest model first
MODELS: Mapping[str, int] = MappingProxyType({"shift": 2, "rigid": 3, "similarity": 4, "affine": 6, "projective": 8})


def generators(model: str) -> NDArray[np.float64]:
    """Return the directions ``(k, 3, 3)`` in which a model may change the matrix."""
    return _GENERATORS[: MODELS[model]]


@dataclass(frozen=True)
class Frame:
    """Centre (y, x) and size, in guide pixels, of the coordinates in which a matrix changes."""

    y: float
    x: float
    size: float

    @property
    def matrix(self) -> NDArray[np.float64]:
        """From frame to guide coordinates."""
        return np.array([[self.size, 0.0, self.y], [0.0, self.size, self.x], [0.0, 0.0, 1.0]])

    def moved(self, matrix: NDArray[np.float64], model: str, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the matrix after a step ``(k,)`` in guide pixels at the frame's edge."""
        change = np.eye(3) + np.tensordot(step / self.size, generators(model), axes=1)
        out = self.matrix @ change @ np.linalg.inv(self.matrix) @ matrix
        return np.asarray(out / out[2, 2])

    def directions(self, y: NDArray[np.float64], x: NDArray[np.float64], model: str) -> NDArray[np.float64]:
        """Return how guide positions ``(n,)`` move with each parameter: ``(2, k, n)``."""
        v, u = (y - self.y) / self.size, (x - self.x) / self.size
        one, none = np.ones_like(v), np.zeros_like(v)
        down = [one, none, -u, v, v, u, v * v, v * u]
        right = [none, one, v, u, -u, v, v * u, u * u]
        count = MODELS[model]
        return np.stack([np.stack(down[:count]), np.stack(right[:count])])
