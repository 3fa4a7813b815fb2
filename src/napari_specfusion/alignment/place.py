"""What a transform means for the pixels: whether the guide is kept as it is, cropped or resampled."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.transform import Transform, frame_matrix, homogeneous
from napari_specfusion.data.scene import MAX_RATIO
from napari_specfusion.errors import AlignmentError

if TYPE_CHECKING:
    from napari_specfusion.alignment.alignment import Placement

__all__ = ["Place", "place"]

# guide pixels by which a map may differ from whole pixels before it is worth to resample
EXACT = 0.1
# shift in cube pixels that is left to calibration
CALIBRATED = 1.2
# scales along the two axes that differ by more make the sharper one count
UNEQUAL = 1.15
# rows and columns that a scene needs
SMALLEST = 4


@dataclass(frozen=True, eq=False)
class Place:
    """Where the pixels of a scene come from; the fields are those of `Alignment`."""

    transform: Transform
    ratio: Fraction
    window: tuple[int, int, int, int]
    placement: Placement


def place(
    transform: Transform,
    cube: tuple[int, int],
    guide: tuple[int, int],
    ratio: Fraction | None,
    *,
    fits: bool,
) -> Place:
    """Return how to make a scene by a transform.

    Parameters
    ----------
    transform
        From cube to guide pixels.
    cube, guide
        Rows and columns of the two images.
    ratio
        The ratio that is wanted; None takes the whole number next to the transform's scale.
    fits
        Whether the two images make a scene of that ratio as they are.

    Raises
    ------
    AlignmentError
        If the two have no common ground.
    """
    whole = 0, cube[0], 0, cube[1]
    bent = transform.field is not None or transform.lines is not None
    if ratio is not None and fits and not bent:
        shift = _shift(transform.matrix, float(ratio), whole)
        if shift is not None and np.abs(shift).max() <= CALIBRATED * float(ratio):
            return Place(transform, ratio, whole, "as is")
    chosen = _whole_ratio(transform, cube) if ratio is None or ratio.denominator > 1 else int(ratio)
    window = _seen(transform, cube, guide)
    if not bent and _shift(transform.matrix, chosen, window) is not None:
        cells = _cells(transform.matrix, chosen, window, guide)
        _check(cells)
        return Place(transform, Fraction(chosen), cells, "cropped")
    if not bent:
        transform = replace(transform, matrix=_snapped(transform.matrix, chosen, window))
    _check(window)
    return Place(transform, Fraction(chosen), window, "resampled")


def _check(window: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = window
    if bottom - top < SMALLEST or right - left < SMALLEST:
        raise AlignmentError(
            f"The guide shows {max(0, bottom - top)} x {max(0, right - left)} pixels of the cube; at least "
            f"{SMALLEST} x {SMALLEST} are needed. Check that both show the same place, or give point pairs (start=)."
        )


def _corners(window: tuple[int, int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    top, bottom, left, right = window
    y, x = np.meshgrid([top, bottom - 1.0], [left, right - 1.0], indexing="ij")
    return y.ravel(), x.ravel()


def _shift(matrix: NDArray[np.float64], ratio: float, window: tuple[int, int, int, int]) -> NDArray[np.float64] | None:
    """Return the shift (y, x) in guide pixels if a matrix is nothing else at a ratio, or None."""
    points = _corners(window)
    moved = np.stack(homogeneous(matrix, *points)) - np.stack(homogeneous(frame_matrix(ratio), *points))
    shift = moved.mean(axis=1)
    return shift if np.abs(moved - shift[:, None]).max() <= EXACT else None


def _whole_ratio(transform: Transform, cube: tuple[int, int]) -> int:
    sizes = np.linalg.svd(transform.jacobian((cube[0] - 1) / 2, (cube[1] - 1) / 2), compute_uv=False)
    scale = sizes[0] if sizes[0] > UNEQUAL * sizes[1] else math.sqrt(sizes[0] * sizes[1])
    return int(min(MAX_RATIO, max(2, round(float(scale)))))


def _seen(transform: Transform, cube: tuple[int, int], guide: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the rows and columns of the cube whose pixels have their centre in the guide."""
    # a large cube is looked at on a grid, and the answer is rounded outwards
    steps = [max(1, n // 1024) for n in cube]
    rows, columns = (np.arange(0, n, step) for n, step in zip(cube, steps, strict=True))
    y, x = transform.to_guide(rows[:, None].astype(float), columns[None, :].astype(float))
    inside = (y >= -0.5) & (y <= guide[0] - 0.5) & (x >= -0.5) & (x <= guide[1] - 0.5)
    if not inside.any():
        raise AlignmentError(
            "The two images have no common ground. Check that both show the same place, or search by their content "
            "alone (start='images')."
        )
    down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return (
        int(max(0, rows[down[0]] - steps[0] + 1)),
        int(min(cube[0], rows[down[-1]] + steps[0])),
        int(max(0, columns[across[0]] - steps[1] + 1)),
        int(min(cube[1], columns[across[-1]] + steps[1])),
    )


def _cells(
    matrix: NDArray[np.float64], ratio: int, window: tuple[int, int, int, int], guide: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the rows and columns of the cube whose cells lie in the guide, with the shift rounded to whole pixels."""
    top, bottom, left, right = window
    first = homogeneous(matrix, np.float64(top), np.float64(left))
    edges = []
    for place_, (start, stop), size in zip(first, ((top, bottom), (left, right)), guide, strict=True):
        offset = round(float(place_) - (ratio - 1) / 2)
        skipped = max(0, math.ceil(-offset / ratio))
        kept = min(stop - start, (size - offset) // ratio)
        edges += [start + skipped, max(start + skipped, start + kept)]
    return edges[0], edges[1], edges[2], edges[3]


def _snapped(matrix: NDArray[np.float64], ratio: int, window: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """Return a matrix that turns by right angles only, or mirrors, moved to whole pixels: they are copied then."""
    y, x = _corners(window)
    middle = float(y.mean()), float(x.mean())
    linear = Transform(matrix).jacobian(*middle) / ratio
    turned = np.rint(linear)
    if not np.array_equal(np.abs(turned).sum(axis=0), [1, 1]) or abs(np.linalg.det(turned)) != 1:
        return matrix
    snapped = np.eye(3)
    snapped[:2, :2] = turned * ratio
    centre = np.array(homogeneous(matrix, np.float64(middle[0]), np.float64(middle[1])))
    # the fine pixel (0, 0) lies at coarse (1 / ratio - 1) / 2, and goes to a whole pixel
    origin = np.full(2, (1 / ratio - 1) / 2)
    offset = centre - turned @ np.array(middle) * ratio
    snapped[:2, 2] = np.rint(offset + turned @ origin * ratio) - turned @ origin * ratio
    moved = np.stack(homogeneous(matrix, y, x)) - np.stack(homogeneous(snapped, y, x))
    return snapped if np.abs(moved - moved.mean(axis=1, keepdims=True)).max() <= EXACT else matrix
