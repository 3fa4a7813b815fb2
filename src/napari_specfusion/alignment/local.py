"""Local displacements: a smooth field, and a shift of each line of the cube.

Both are linear in their parameters, and are fitted by the residual of the whole pair with a penalty on roughness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_specfusion.alignment.fit import match
from napari_specfusion.alignment.transform import Field, Transform

if TYPE_CHECKING:
    from napari_specfusion.alignment.fit import Level, Match

__all__ = ["Lines", "Smooth", "fit_local", "spline_basis"]

STEPS, TRIES = 12, 4
CONVERGED = 5e-3


@dataclass(frozen=True)
class Smooth:
    """A smooth field with a coefficient every `spacing` cube pixels."""

    spacing: float

    def basis(self, y: NDArray[np.float64], x: NDArray[np.float64], shape: tuple[int, int]) -> sparse.csr_array:
        """Return what each coefficient adds at cube positions ``(n, p)``."""
        return spline_basis(Field.flat(shape, self.spacing), y, x)

    def roughness(self, shape: tuple[int, int]) -> sparse.csr_array:
        """Return the quadratic form ``(p, p)`` of the field's bending."""
        rows, columns = Field.flat(shape, self.spacing).control.shape[1:]
        down, across = (_second_differences(n) for n in (rows, columns))
        one_down, one_across = sparse.eye_array(rows), sparse.eye_array(columns)
        return sparse.csr_array(sparse.kron(down, one_across) + sparse.kron(one_down, across))

    def start(self, transform: Transform, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the coefficients ``(2, p)`` of the transform's own field, which may be coarser."""
        field = Field.flat(shape, self.spacing)
        if transform.field is None:
            return np.zeros((2, field.control[0].size))
        y, x = (
            first + self.spacing * np.arange(n) for first, n in zip(field.origin, field.control.shape[1:], strict=True)
        )
        down, right = transform.field.at(*np.meshgrid(y, x, indexing="ij"))
        return np.stack([down.ravel(), right.ravel()])

    def added(self, transform: Transform, values: NDArray[np.float64], shape: tuple[int, int]) -> Transform:
        """Return the transform with the field of the coefficients ``(2, p)`` in place of its own."""
        field = Field.flat(shape, self.spacing)
        control = values.reshape(field.control.shape)
        return Transform(transform.matrix, Field(control, field.origin, field.spacing), transform.lines)


@dataclass(frozen=True)
class Lines:
    """A shift of each line of the cube, as push-broom scanners have it."""

    def basis(self, y: NDArray[np.float64], x: NDArray[np.float64], shape: tuple[int, int]) -> sparse.csr_array:
        """Return how much of each line's shift a cube position takes ``(n, h)``."""
        low = np.clip(np.floor(y).astype(int), 0, max(shape[0] - 2, 0))
        part = np.clip(y - low, 0, 1)
        place = np.arange(len(y))
        high = np.minimum(low + 1, shape[0] - 1)
        weights = np.concatenate([1 - part, part])
        columns = np.concatenate([low, high])
        return sparse.csr_array((weights, (np.tile(place, 2), columns)), shape=(len(y), shape[0]))

    def roughness(self, shape: tuple[int, int]) -> sparse.csr_array:
        """Return the quadratic form ``(h, h)`` of the differences between lines, and a little of the shifts."""
        first = np.diff(np.eye(shape[0]), axis=0)
        return sparse.csr_array(first.T @ first + 0.01 * np.eye(shape[0]))

    def start(self, transform: Transform, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the transform's own shifts ``(2, h)``."""
        return np.zeros((2, shape[0])) if transform.lines is None else transform.lines.T.copy()

    def added(self, transform: Transform, values: NDArray[np.float64], shape: tuple[int, int]) -> Transform:
        """Return the transform with the shifts ``(2, h)`` of the lines in place of its own."""
        return Transform(transform.matrix, transform.field, values.T.copy())


def fit_local(
    levels: list[Level],
    transform: Transform,
    kind: Smooth | Lines,
    shape: tuple[int, int],
    stiffness: float,
    check: Callable[[], None] | None = None,
) -> Transform:
    """Add local displacements to a transform, from the coarsest to the finest of some levels.

    Parameters
    ----------
    levels
        Views of the pair, the coarsest first.
    transform
        What is added to; its matrix is kept, and its own displacements of this kind are where the fit starts.
    kind
        Which displacements.
    shape
        Rows and columns of the cube.
    stiffness
        Weight of the roughness against the images.
    check
        Called before each step; may raise to stop.
    """
    values = kind.start(transform, shape)
    penalty = kind.roughness(shape)
    for level in levels:
        y, x = level.positions
        basis = kind.basis(y, x, shape)

        def at(trial: NDArray[np.float64], level: Level = level) -> Match | None:
            return match(level, *kind.added(transform, trial, shape).to_guide(*level.positions))

        now = at(values)
        if now is None:
            continue
        damping = 1e-3
        pixel = level.guide.step * 2.0
        for _ in range(STEPS):
            if check is not None:
                check()
            normal, slope = _normal_equations(level, now, basis)
            weight = stiffness * float(np.trace(normal)) / len(normal)
            rough = weight * sparse.block_diag([penalty, penalty], format="csr")
            flat = values.ravel()
            cost = _cost(now, flat, rough)
            slope = slope + rough @ flat
            for _ in range(TRIES):
                curved = normal + rough.toarray()
                curved[np.diag_indices_from(curved)] += damping * weight / stiffness + 1e-12
                step = -np.linalg.solve(curved, slope)
                step *= min(1.0, 2 * pixel / max(float(np.abs(step).max()), 1e-12))
                trial = (flat + step).reshape(2, -1)
                then = at(trial)
                if then is not None and _cost(then, trial.ravel(), rough) < cost:
                    break
                damping *= 10
            else:
                break
            values, now, damping = trial, then, damping / 5
            if float(np.abs(step).max()) < CONVERGED * pixel:
                break
    return kind.added(transform, values, shape)


def _cost(now: Match, flat: NDArray[np.float64], rough: sparse.csr_array) -> float:
    return float(np.sum(now.left**2)) / 2 + float(flat @ (rough @ flat)) / 2


def _normal_equations(
    level: Level, now: Match, basis: sparse.csr_array
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Gauss-Newton matrix ``(2 p, 2 p)`` and the gradient ``(2 p,)`` of half the squared residual."""
    inside = basis[np.flatnonzero(now.inside)]
    slopes = level.guide.slopes(now.y, now.x).astype(np.float64) * (now.weight / now.contrast[:, None])
    count = inside.shape[1]
    normal = np.zeros((2 * count, 2 * count))
    parts = slice(0, count), slice(count, 2 * count)
    for one, other in ((0, 0), (0, 1), (1, 1)):
        # all bands at once
        both = np.sum(slopes[one] * slopes[other], axis=0)
        block = (inside.T @ (sparse.diags_array(both) @ inside)).toarray()
        normal[parts[one], parts[other]] = block
        normal[parts[other], parts[one]] = block.T
    for band in range(len(now.left)):
        explained = np.concatenate([inside.T @ (lines[band][:, None] * now.basis) for lines in slopes])
        normal -= explained @ explained.T
    slope = np.concatenate([inside.T @ np.sum(lines * now.left, axis=0) for lines in slopes])
    return normal, slope


def spline_basis(field: Field, y: NDArray[np.float64], x: NDArray[np.float64]) -> sparse.csr_array:
    """Return what each coefficient of a field adds at cube positions ``(n, ny nx)``."""
    rows, columns = field.control.shape[1:]
    down = _cubic((y - field.origin[0]) / field.spacing, rows)
    across = _cubic((x - field.origin[1]) / field.spacing, columns)
    places, weights = [], []
    for i in range(4):
        for j in range(4):
            places.append(down[0][i] * columns + across[0][j])
            weights.append(down[1][i] * across[1][j])
    count = len(y)
    return sparse.csr_array(
        (np.concatenate(weights), (np.tile(np.arange(count), 16), np.concatenate(places))),
        shape=(count, rows * columns),
    )


def _cubic(where: NDArray[np.float64], count: int) -> tuple[list[NDArray[np.intp]], list[NDArray[np.float64]]]:
    """Return the four coefficients that a cubic B-spline uses at each place, and their weights."""
    where = np.clip(where, 1.0, count - 2.0)
    first = np.minimum(np.floor(where).astype(np.intp), count - 3)
    t = where - first
    weights = [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6]
    return [first + step for step in (-1, 0, 1, 2)], weights


def _second_differences(count: int) -> NDArray[np.float64]:
    if count < 3:
        return np.zeros((count, count))
    second = np.diff(np.eye(count), 2, axis=0)
    return np.asarray(second.T @ second)
