"""A canvas to paint scenes on, with the material, its strength and the light at every point.

Coordinates run from 0 to 1, x to the right and y down; the light comes from the upper left. The canvas has twice the
resolution of the final image, so that edges are anti-aliased.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "OVERSAMPLING",
    "Canvas",
    "Field",
    "Mask",
    "Patch",
    "Point",
    "Shape",
    "around",
    "blur",
    "ellipse",
    "rectangle",
    "stroke",
    "turned",
]

Field = NDArray[np.floating]
Mask = NDArray[np.bool_]
Shape = Callable[[Field, Field], Mask]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

OVERSAMPLING = 2


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of the canvas and the coordinates of its pixels."""

    slices: tuple[slice, slice]
    x: Field
    y: Field


class Canvas:
    """The material and the light at every point, for the renderer.

    Attributes
    ----------
    first, second
        Numbers of the two materials at a point.
    mix
        Share of the second one, 0 to 1.
    strength
        Amount of pigment: the exponent of the reflectance.
    light
        Shading, 0 to 1.
    gloss
                Specular reflection that is added.
    hue
        Noise about 0 that varies the colour of the pigments from point to point.
    """

    def __init__(self, size: int, materials: Mapping[str, int], seed: int) -> None:
        side = OVERSAMPLING * size
        self.side, self.pixel, self._materials = side, np.float32(1 / size), materials
        self.first = np.zeros((side, side), np.intp)
        self.second = np.zeros((side, side), np.intp)
        self.mix = np.zeros((side, side), np.float32)
        self.strength = np.ones((side, side), np.float32)
        self.light = np.ones((side, side), np.float32)
        self.gloss = np.zeros((side, side), np.float32)
        self._axis = ((np.arange(side) + 0.5) / side).astype(np.float32)
        self._grain = _fractal_noise(side, seed)
        self.hue = self.grain(self.patch((0, 0, 1, 1)), 29)

    def patch(self, box: Box) -> Patch:
        """Return the part of the canvas in `box` (x0, y0, x1, y1)."""
        x0, y0, x1, y1 = (min(max(round(v * self.side), 0), self.side) for v in box)
        return Patch((slice(y0, y1), slice(x0, x1)), self._axis[None, x0:x1], self._axis[y0:y1, None])

    def grain(self, patch: Patch, number: int = 0) -> Field:
        """Return natural-looking noise about 0; each `number` gives a different pattern."""
        rows, columns = (
            np.arange(s.start, s.stop) + number * step for s, step in zip(patch.slices, (311, 173), strict=True)
        )
        return np.asarray(self._grain[np.ix_(rows % self.side, columns % self.side)])

    def ripple(self, coordinate: Field, period: float = 4.0) -> Field:
        """Return a sine along `coordinate` with a period of `period` pixels of the final image."""
        return np.asarray(np.sin(coordinate * np.float32(2 * np.pi / (period * self.pixel))))

    def paint(
        self,
        patch: Patch,
        where: Mask | Shape,
        material: str,
        other: str | None = None,
        mix: Field | float = 0.0,
        *,
        strength: Field | float = 1.0,
        light: Field | float | None = None,
        gloss: Field | float = 0.0,
    ) -> None:
        """Cover a mask or a shape with a mixture of two materials; `light` is kept if None."""
        layers = {"mix": np.clip(mix, 0, 1), "strength": strength, "light": light, "gloss": gloss}
        shape = tuple(s.stop - s.start for s in patch.slices)
        mask = np.broadcast_to(where(patch.x, patch.y) if callable(where) else where, shape)
        self.first[patch.slices][mask] = self._materials[material]
        self.second[patch.slices][mask] = self._materials[other or material]
        for name, value in layers.items():
            if value is not None:
                target = getattr(self, name)[patch.slices]
                np.copyto(target, np.broadcast_to(np.asarray(value, np.float32), shape), where=mask)

    def shadow(self, box: Box, shape: Shape, move: Point, softness: float, depth: float) -> Patch:
        """Darken the canvas under a shape's soft shadow, displaced by `move` (x, y); return the patch of `box`."""
        reach = 3 * softness
        x0, y0, x1, y1 = box
        patch = self.patch((x0 + move[0] - reach, y0 + move[1] - reach, x1 + move[0] + reach, y1 + move[1] + reach))
        inside = shape(patch.x - move[0], patch.y - move[1]).astype(np.float32)
        self.light[patch.slices] *= 1 - depth * blur(inside, softness * self.side)
        return self.patch(box)


def turned(x: Field, y: Field, centre: Point, degrees: float) -> tuple[Field, Field]:
    """Return coordinates along and across an axis through `centre`."""
    c, s = np.float32(np.cos(np.radians(degrees))), np.float32(np.sin(np.radians(degrees)))
    dx, dy = x - centre[0], y - centre[1]
    return c * dx + s * dy, c * dy - s * dx


def ellipse(centre: Point, radii: Point, degrees: float = 0) -> Shape:
    """Return an ellipse, rotated about its centre."""

    def shape(x: Field, y: Field) -> Mask:
        u, v = turned(x, y, centre, degrees)
        return (u / radii[0]) ** 2 + (v / radii[1]) ** 2 < 1

    return shape


def rectangle(centre: Point, sides: Point, degrees: float = 0) -> Shape:
    """Return a rectangle, rotated about its centre."""

    def shape(x: Field, y: Field) -> Mask:
        u, v = turned(x, y, centre, degrees)
        return (np.abs(u) < sides[0] / 2) & (np.abs(v) < sides[1] / 2)

    return shape


def around(centre: Point, radius: float) -> Box:
    """Return the box around a circle."""
    return centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius


def stroke(start: Point, end: Point, width: float) -> Shape:
    """Return a line with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(dx * dx + dy * dy, 1e-12)

    def shape(x: Field, y: Field) -> Mask:
        along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / length, 0, 1)
        return np.asarray((x - start[0] - along * dx) ** 2 + (y - start[1] - along * dy) ** 2 < (width / 2) ** 2)

    return shape


def blur(image: Field, sigma: float) -> Field:
    """Blur approximately like a Gaussian of `sigma` pixels."""
    # Three running means approximate a Gaussian and cost the same at any width.
    width = max(1, round(1.6 * sigma)) | 1
    for _ in range(3):
        image = ndimage.uniform_filter(image, width, mode="nearest")
    return image


def _fractal_noise(side: int, seed: int) -> Field:
    """Return periodic noise with detail at every scale; a larger canvas adds detail to the same coarse pattern."""
    field = np.zeros((side, side), np.float32)
    for octave, cells in enumerate(2**k for k in range(2, 12)):
        if cells > side // OVERSAMPLING:
            break
        grid = np.random.default_rng([seed, 2, octave]).standard_normal((cells, cells)).astype(np.float32)
        place = np.arange(side, dtype=np.float32) * np.float32(cells / side)
        left, part = place.astype(np.intp) % cells, place % 1
        part = (part * part * (3 - 2 * part))[:, None]
        rows = grid[left] * (1 - part) + grid[(left + 1) % cells] * part
        columns = rows.T[left] * (1 - part) + rows.T[(left + 1) % cells] * part
        field += np.float32(0.68**octave) * columns.T
    return np.asarray(field / field.std())
