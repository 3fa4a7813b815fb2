"""A small displacement, magnification and blur of an image, to second order.

A band that lies ``d`` beside the guide, about a centre that is magnified by ``e``, and has a PSF of ``2 v`` more
variance, follows the guide M at the pixel with coordinates (y, x) as

    M + d . grad M + d' (hess M) d / 2 + v lap M,        d = (dy + e y, dx + e x)

with differences in place of derivatives, which makes it exact at whole steps. It is linear in eleven images, the
*terms*, that are the same for all bands. Each is a product of a difference and powers of y and x, so that it can be
computed from one tile, and at low resolution from the differences as the cube sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_specfusion.sensor.sampling import Matrix, Sampling, apply_columns, apply_rows

__all__ = ["DIFFERENCES", "PARAMETERS", "TERMS", "Expansion", "factors", "seen_differences", "slopes"]

# orders of difference along y and x
DIFFERENCES = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
# dy, dx, e, v
PARAMETERS = 4
TERMS = 11


def factors(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factors ``(B, TERMS)`` of the terms at `parameters` ``(B, 4)``: dy, dx, e, v of each band."""
    y, x, e, v = parameters.T
    one = np.ones_like(y)
    return np.stack([one, y, x, e, v, y * y / 2, x * x / 2, y * x, y * e, x * e, e * e / 2], axis=1)


def slopes(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivatives ``(B, TERMS, 4)`` of the factors by the parameters."""
    y, x, e, _ = parameters.T
    found = np.zeros((len(parameters), TERMS, PARAMETERS))
    found[:, [1, 2, 3, 4], [0, 1, 2, 3]] = 1
    found[:, [5, 7, 8], 0] = np.stack([y, x, e], axis=1)
    found[:, [6, 7, 9], 1] = np.stack([x, y, e], axis=1)
    found[:, [8, 9, 10], 2] = np.stack([y, x, e], axis=1)
    return found


@dataclass(frozen=True)
class Expansion:
    """The differences of an image, and its terms.

    Attributes
    ----------
    step
        Pixels from a pixel to the neighbours that a difference takes.
    centre
        (y, x) of the origin of the coordinates, in HR pixels.
    unit
        HR pixels that count as 1 in the coordinates, so that a magnification is a displacement in pixels there.
    """

    step: int
    centre: tuple[float, float]
    unit: float

    @classmethod
    def of(cls, shape: tuple[int, int], step: int) -> Expansion:
        """Return the expansion of an image of `shape` about its middle; the unit is half its longer side."""
        height, width = shape
        return cls(step, ((height - 1) / 2, (width - 1) / 2), max(height, width) / 2)

    def coordinate(self, position: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Return the coordinates of positions in HR pixels along axis 0 (y) or 1 (x)."""
        return (position - self.centre[axis]) / self.unit

    def seen_matrices(self, sampling: Sampling, coarse: int, sharp: int, axis: int) -> list[Matrix]:
        """Return the matrices ``(coarse, sharp)`` that take differences of order 0, 1 and 2, blur and decimate."""
        down = sampling.blur_matrix(coarse, sharp, axis)
        index, one = np.arange(sharp), np.ones(sharp)

        def moved(by: int) -> Matrix:
            # beyond the border the last pixel is repeated
            return sparse.csr_array((one, (index, (index + by).clip(0, sharp - 1))), shape=(sharp, sharp))

        after, before = moved(self.step), moved(-self.step)
        first = (after - before) / (2 * self.step)
        second = (after + before - 2 * moved(0)) / self.step**2
        return [m.astype(np.float32).tocsr() for m in (down, down @ first, down @ second)]

    def differences(self, padded: Any) -> list[Any]:
        """Return the six differences of an image ``(G, H, W)``, given with `step` pixels more on each side."""
        step = self.step
        start, middle, end = slice(None, -2 * step), slice(step, -step), slice(2 * step, None)

        def at(rows: slice, columns: slice) -> Any:
            return padded[:, rows, columns]

        here = at(middle, middle)
        up, down, left, right = at(start, middle), at(end, middle), at(middle, start), at(middle, end)
        corners = at(end, end) - at(end, start) - at(start, end) + at(start, start)
        return [
            here,
            (down - up) / (2 * step),
            (right - left) / (2 * step),
            (down + up - 2 * here) / step**2,
            (right + left - 2 * here) / step**2,
            corners / (4 * step**2),
        ]

    @staticmethod
    def terms(differences: Any, y: Any, x: Any) -> list[Any]:
        """Return the eleven terms from six differences, at coordinates `y` and `x` that broadcast with them.

        Works on arrays and on tensors.
        """
        m, my, mx, myy, mxx, myx = differences
        return [
            m,
            my,
            mx,
            y * my + x * mx,
            myy + mxx,
            myy,
            mxx,
            myx,
            y * myy + x * myx,
            x * mxx + y * myx,
            y * y * myy + 2 * y * x * myx + x * x * mxx,
        ]


def seen_differences(rows: list[Matrix], columns: list[Matrix], image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the six differences ``(6, G, h, w)`` of an image ``(G, H, W)`` as the cube sees them."""
    partly = [apply_rows(matrix, image) for matrix in rows]
    return np.stack([apply_columns(columns[x], partly[y]) for y, x in DIFFERENCES])
