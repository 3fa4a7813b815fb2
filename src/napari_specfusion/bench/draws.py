"""Pairs that lie to each other in a known way: random transforms, and the images that they make of sharp cubes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_specfusion.alignment.transform import Field, Transform, frame_matrix, homogeneous
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SceneError
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KINDS", "NOISE", "Draw", "Pair", "draw", "make_pair"]

KINDS = ("affine", "projective", "local", "none", "unrelated")
# SNR (cube, guide) in dB of every third draw
NOISE = 35.0, 40.0
NOISY = 3
# degrees either way, scales, and shifts as a share of the image: 40 and 20 pixels of 512
TURNS = {"affine": 180.0, "projective": 10.0, "local": 3.0}
SCALES = {"affine": (0.9, 1.1), "projective": (0.97, 1.03)}
SHIFTS = {"affine": 40 / 512, "projective": 20 / 512}
# how far corners move, as a share of the image
CORNERS = 0.05
# largest local displacement in cube pixels; its wavelength as a share of the image; the steepest that does not fold
BENT, WAVE, STEEPEST = 3.0, 0.5, 0.6
WAVES = 2
# coefficients of the field of displacements along the image
COEFFICIENTS = 32
INVERSE_STEPS = 40


@dataclass(frozen=True, eq=False)
class Draw:
    """How a guide lies to a cube.

    Attributes
    ----------
    kind
        One of `KINDS`.
    ratio
        Guide pixels per cube pixel before the transform.
    number
        Which draw of its kind and ratio.
    cube, guide
        Which of the sharp cubes they are made of; unrelated pairs are made of two.
    transform
        From cube to guide pixels.
    turn
        Turn of the transform in degrees.
    noise
        SNR (cube, guide) in dB, or None.
    """

    kind: str
    ratio: int
    number: int
    cube: int
    guide: int
    transform: Transform
    turn: float
    noise: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Pair:
    """What a draw makes of a sharp cube.

    Attributes
    ----------
    hsi, guide
        The two images, without a word on how they lie to each other.
    reference
        The sharp cube ``(bands, y, x)``.
    """

    hsi: Cube
    guide: Cube
    reference: NDArray[np.float32]


def draw(kind: str, ratio: int, number: int, *, seed: int, count: int, side: tuple[int, int]) -> Draw:
    """Return one draw; the same for the same arguments.

    Parameters
    ----------
    kind, ratio, number
        See `Draw`.
    seed
        Begins the series.
    count
        Number of sharp cubes.
    side
        Their rows and columns.

    Raises
    ------
    SceneError
        If unrelated pairs are asked for and there is only one cube.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), ratio, number])
    first = int(rng.integers(count))
    if kind == "unrelated" and count < 2:
        raise SceneError("Unrelated pairs are made of two sharp cubes, and there is one; give a folder with more.")
    second = int(first + rng.integers(1, count)) % count if kind == "unrelated" else first
    turn = float(rng.uniform(-1, 1)) * TURNS.get(kind, 0.0)
    scale = float(rng.uniform(*SCALES.get(kind, (1.0, 1.0))))
    shift = rng.uniform(-1, 1, 2) * SHIFTS.get(kind, 0.0) * max(side)
    sharp = _turned(side, math.radians(turn), scale, shift)
    if kind == "projective":
        corners = np.array([[y, x] for y in (0, side[0] - 1) for x in (0, side[1] - 1)], float)
        sharp = sharp @ _homography(corners, corners + rng.uniform(-CORNERS, CORNERS, (4, 2)) * side)
    shape = side[0] // ratio, side[1] // ratio
    field = _bent(rng, shape, ratio) if kind == "local" else None
    noise = NOISE if number % NOISY == NOISY - 1 else None
    return Draw(kind, ratio, number, first, second, Transform(sharp @ frame_matrix(ratio), field), turn, noise)


def make_pair(drawn: Draw, cubes: Sequence[Cube], srf: str, seed: int = 0) -> Pair:
    """Return the two images of a draw.

    The cube's pixels cover their cells, through a Gaussian PSF with a standard deviation of half a cube pixel. The
    guide, of the size of the sharp cube, is resampled by splines of order 5; NaN where it shows nothing.
    """
    ratio = drawn.ratio
    scene = simulate(cubes[drawn.cube], ratio, srf=srf, protocol=Psf(ratio / 2), noise=drawn.noise, seed=seed)
    other = scene
    if drawn.guide != drawn.cube:
        other = simulate(cubes[drawn.guide], ratio, srf=srf, protocol=Psf(ratio / 2), noise=drawn.noise, seed=seed)
    assert scene.reference is not None
    sharp = other.guide.read()
    if drawn.kind not in ("none", "unrelated"):
        sharp = _resampled(sharp, drawn.transform, ratio)
    hsi = Cube.from_array(scene.hsi.read(), wavelengths=scene.hsi.wavelengths, name=scene.hsi.name)
    return Pair(hsi, Cube.from_array(sharp, name=other.guide.name), scene.reference.read().astype(np.float32))


def _turned(side: tuple[int, int], turn: float, scale: float, shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that turns and scales about the middle, then shifts."""
    middle = (np.array(side) - 1) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix[:2, 2] = middle + shift - matrix[:2, :2] @ middle
    return matrix


def _homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix ``(3, 3)`` that maps four points (y, x) to four others."""
    rows, known = [], []
    for (y, x), place in zip(source, target, strict=True):
        for axis, goal in enumerate(place):
            row = np.zeros(8)
            row[3 * axis : 3 * axis + 3] = y, x, 1
            row[6:] = -goal * y, -goal * x
            rows.append(row)
            known.append(goal)
    return np.append(np.linalg.solve(np.array(rows), np.array(known)), 1.0).reshape(3, 3)


def _bent(rng: np.random.Generator, shape: tuple[int, int], ratio: int) -> Field:
    """Return a field of a few waves over a cube of `shape` pixels."""
    size = max(shape)
    wave = WAVE * size
    flat = Field.flat(shape, size / COEFFICIENTS)
    y, x = np.meshgrid(*(flat.spacing * (np.arange(n) - 1) for n in flat.control.shape[1:]), indexing="ij")
    control = np.zeros_like(flat.control)
    for axis in (0, 1):
        for way, phase, strength in zip(
            rng.uniform(0, math.pi, WAVES), rng.uniform(0, 2 * math.pi, WAVES), rng.uniform(0.5, 1, WAVES), strict=True
        ):
            along = math.cos(way) * y + math.sin(way) * x
            control[axis] += strength * np.cos(2 * math.pi * along / wave + phase)
    largest = ratio * min(BENT, STEEPEST * wave / (2 * math.pi))
    return Field(control * (largest / np.hypot(*control).max()), flat.origin, flat.spacing)


def _resampled(sharp: NDArray[Any], transform: Transform, ratio: int) -> NDArray[np.float32]:
    """Return the guide that lies to the cube as the transform says."""
    bands, height, width = sharp.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    back = np.asarray(np.linalg.inv(transform.matrix), np.float64)
    low = homogeneous(back, rows, columns)
    if transform.field is not None:
        # more steps than Transform.to_cube takes: what is known must be exact
        for _ in range(INVERSE_STEPS):
            down, right = transform.field.at(*low)
            low = homogeneous(back, rows - down, columns - right)
    y, x = homogeneous(frame_matrix(ratio), *low)
    out = np.empty((bands, height, width), np.float32)
    for band, plane in enumerate(sharp):
        out[band] = map_coordinates(plane.astype(np.float64), np.stack([y, x]), order=5, mode="mirror")
    out[:, (y < 0) | (y > height - 1) | (x < 0) | (x > width - 1)] = np.nan
    return out
