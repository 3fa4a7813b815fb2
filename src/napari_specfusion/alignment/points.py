"""A transform from pairs of points that show the same place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import AlignmentError

__all__ = ["matrix_of_points"]

LEAST = 3


def matrix_of_points(pairs: Any) -> NDArray[np.float64]:
    """Return the matrix ``(3, 3)`` from cube to guide pixels that fits pairs of points best.

    Three pairs give a similarity, which may be mirrored; four and more an affine map, by least squares.

    Parameters
    ----------
    pairs
        ``(n, 2, 2)``: for each pair, the point (y, x) in the cube and that in the guide, in pixels.

    Raises
    ------
    AlignmentError
        If there are fewer than three pairs, or the points lie on a line.
    """
    try:
        points = np.asarray(pairs, dtype=np.float64)
    except Exception:  # arrays of other libraries raise anything
        points = np.zeros(0)
    if points.ndim != 3 or points.shape[1:] != (2, 2) or not np.isfinite(points).all():
        raise AlignmentError(
            f"The point pairs have the shape {points.shape}; give (n, 2, 2): for each pair the point (y, x) in the "
            "cube, then that in the guide."
        )
    if len(points) < LEAST:
        raise AlignmentError(f"There are {len(points)} point pairs; at least {LEAST} are needed.")
    low, sharp = points[:, 0], points[:, 1]
    for name, found in (("cube", low), ("guide", sharp)):
        extent = np.linalg.svd(found - found.mean(axis=0), compute_uv=False)
        if not extent[-1] > 0.02 * extent[0]:
            raise AlignmentError(f"The points in the {name} lie on a line; choose points that span the image.")
    if len(points) == LEAST:
        return _similarity(low, sharp)
    known = np.column_stack([low, np.ones(len(low))])
    fitted = np.linalg.lstsq(known, sharp, rcond=None)[0]
    return np.vstack([fitted.T, [0.0, 0.0, 1.0]])


def _similarity(low: NDArray[np.float64], sharp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the similarity that fits best (Umeyama 1991), with a mirror where that fits better."""
    middle_low, middle_sharp = low.mean(axis=0), sharp.mean(axis=0)
    centred_low, centred_sharp = low - middle_low, sharp - middle_sharp
    left, strengths, right = np.linalg.svd(centred_sharp.T @ centred_low)
    linear: NDArray[np.float64] = float(strengths.sum() / np.sum(centred_low**2)) * left @ right
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, middle_sharp - linear @ middle_low
    return matrix
