"""Pairs whose geometry is known: the sample scene under a transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_specfusion.alignment.transform import frame_matrix, homogeneous
from napari_specfusion.data.cube import Cube
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate

RATIO = 4


@dataclass(frozen=True, eq=False)
class Pair:
    """A cube and a guide that lies otherwise; `matrix` goes from cube to guide pixels."""

    hsi: Cube
    guide: Cube
    matrix: NDArray[np.float64]


def _similarity(
    turn: float, scale: float, shift: tuple[float, float], size: int, *, mirrored: bool = False
) -> NDArray[np.float64]:
    """Return a matrix (3, 3) about the middle of an image of `size` pixels."""
    angle, middle = math.radians(turn), (size - 1) / 2
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = linear @ np.diag([1.0, -1.0 if mirrored else 1.0])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array([middle, middle]) + shift - linear @ [middle, middle]
    return matrix


def warp(image: NDArray[Any], matrix: NDArray[np.float64], extra: Any = None) -> NDArray[np.float32]:
    """Return an image (bands, y, x) resampled; pixel p of it is seen at ``matrix @ p`` (and moved by `extra`)."""
    y, x = np.mgrid[0 : image.shape[1], 0 : image.shape[2]].astype(float)
    if extra is not None:
        down, right = extra(y, x)
        y, x = y - down, x - right
    y, x = homogeneous(np.linalg.inv(matrix), y, x)
    out = np.stack([map_coordinates(plane.astype(float), [y, x], order=3, mode="mirror") for plane in image])
    out[:, (y < 0) | (x < 0) | (y > image.shape[1] - 1) | (x > image.shape[2] - 1)] = np.nan
    return out.astype(np.float32)


@pytest.fixture(scope="session")
def sharp() -> Cube:
    """Return a sharp cube of 192 x 192 pixels."""
    return sample_reference(192)


@pytest.fixture(scope="session")
def make_pair(sharp: Cube) -> Callable[..., Pair]:
    """Return a function that makes a pair whose guide lies by a matrix between guide pixels."""

    def make(matrix: Any = None, noise: Any = None, extra: Any = None) -> Pair:
        if isinstance(matrix, tuple):
            matrix = _similarity(*matrix[:3], 192, mirrored=len(matrix) > 3)
        scene = simulate(sharp, RATIO, protocol=Psf(RATIO / 2), noise=noise)
        guide = scene.guide.read()
        if matrix is not None or extra is not None:
            guide = warp(guide, np.eye(3) if matrix is None else matrix, extra)
        whole = np.eye(3) if matrix is None else matrix
        cube = Cube.from_array(scene.hsi.read(), wavelengths=sharp.wavelengths, name="cube")
        return Pair(cube, Cube.from_array(guide, name="guide"), whole @ frame_matrix(RATIO))

    return make


def _corner_error(found: NDArray[np.float64], true: NDArray[np.float64], shape: tuple[int, int]) -> float:
    """Return the largest distance of two transforms at the cube's corners, in guide pixels."""
    y, x = np.meshgrid([0.0, shape[0] - 1.0], [0.0, shape[1] - 1.0], indexing="ij")
    here, there = (np.stack(homogeneous(matrix, y, x)) for matrix in (found, true))
    return float(np.hypot(*(here - there)).max())


@pytest.fixture(scope="session")
def similarity() -> Callable[..., NDArray[np.float64]]:
    """Return the function that makes a matrix of a turn, a scale and a shift."""
    return _similarity


@pytest.fixture(scope="session")
def corner_error() -> Callable[..., float]:
    """Return the function that compares two matrices."""
    return _corner_error
