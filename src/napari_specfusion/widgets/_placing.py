"""Where the layers of an aligned pair lie, as matrices onto the pixels of the guide's layer."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.transform import frame_matrix, homogeneous
from napari_specfusion.widgets._layers import cell_transform, is_unplaced, plane_matrix, plane_shape

if TYPE_CHECKING:
    from napari_specfusion.alignment import Alignment
    from napari_specfusion.data.scene import Scene

__all__ = ["at_middle", "cube_matrix", "first_matrix", "fused_matrix", "grid_matrix"]

Matrix = NDArray[np.float64]


def fused_matrix(alignment: Alignment | None) -> Matrix:
    """Return the affine matrix ``(3, 3)`` from pixels of the fused image to pixels of the guide as it came.

    Of a projective or local map it is the affine part in the middle.
    """
    if alignment is None or alignment.placement == "as is":
        return np.eye(3)
    top, bottom, left, right = alignment.window
    part = alignment.transform.cropped(top, left)
    middle = np.array([bottom - top - 1, right - left - 1]) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = part.jacobian(*middle)
    there = np.concatenate(part.to_guide(middle[:1], middle[1:]))
    matrix[:2, 2] = there - matrix[:2, :2] @ middle
    matrix = matrix @ np.linalg.inv(frame_matrix(float(alignment.ratio)))
    if alignment.placement == "cropped":
        # whole pixels of the guide
        matrix = np.rint(matrix)
    return np.asarray(matrix, np.float64)


def cube_matrix(scene: Scene, shift: tuple[float, float] | None) -> Matrix:
    """Return the affine matrix ``(3, 3)`` from pixels of the whole cube to pixels of the guide as it came.

    Parameters
    ----------
    scene
        The pair, aligned or not.
    shift
        What calibration found to be left, in pixels of the fused image; None counts as zero.
    """
    alignment = scene.alignment
    cells = grid_matrix(*cell_transform(scene.factor, shift))
    if alignment is None or alignment.placement == "as is":
        return cells
    window = np.eye(3)
    window[:2, 2] = -alignment.window[0], -alignment.window[2]
    return np.asarray(fused_matrix(alignment) @ cells @ window, np.float64)


def first_matrix(low: Any, guide: Any) -> Matrix:
    """Return the matrix from cube to guide pixels that two layers show, or equal corners where nobody placed the cube.

    Parameters
    ----------
    low, guide
        The layers.
    """
    (_, height, width), (_, high, wide) = plane_shape(low), plane_shape(guide)
    if is_unplaced(low):
        ratio = Fraction(high * wide, height * width)
        return frame_matrix(float(ratio) ** 0.5)
    return np.asarray(np.linalg.inv(plane_matrix(guide)) @ plane_matrix(low), np.float64)


def grid_matrix(scale: Any, translate: Any) -> Matrix:
    """Return the matrix ``(3, 3)`` of a scale and a translation (y, x)."""
    matrix = np.eye(3)
    matrix[[0, 1], [0, 1]] = scale
    matrix[:2, 2] = translate
    return matrix


def at_middle(matrix: Matrix, shape: tuple[int, int]) -> Matrix:
    """Return the affine part of a projective matrix in the middle of an image of `shape` (y, x)."""
    if not np.any(matrix[2, :2]):
        return matrix
    middle = np.array([shape[0] - 1, shape[1] - 1]) / 2
    scaled = matrix @ [*middle, 1.0]
    linear = (matrix[:2, :2] - np.outer(scaled[:2] / scaled[2], matrix[2, :2])) / scaled[2]
    affine = np.eye(3)
    affine[:2, :2] = linear
    affine[:2, 2] = np.stack(homogeneous(matrix, *middle)) - linear @ middle
    return affine
