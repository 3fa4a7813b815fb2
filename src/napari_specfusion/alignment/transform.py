"""The geometry between two images: from cube pixels to guide pixels, and back.

Coordinates are (y, x) with pixel centres at whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_specfusion.arguments import short
from napari_specfusion.errors import AlignmentError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Field", "Transform", "frame_matrix", "homogeneous"]

Points = NDArray[np.float64]
# steps of the inverse: each gains more than a digit for fields that do not fold
INVERSE_STEPS = 12


@dataclass(frozen=True, eq=False)
class Field:
    """A smooth displacement: a cubic B-spline on a coarse grid over the cube.

    Attributes
    ----------
    control
        Spline coefficients ``(2, ny, nx)``: displacement (y, x) in guide pixels.
    origin
        Cube coordinates (y, x) of the first coefficient.
    spacing
        Distance of two coefficients in cube pixels.
    """

    control: NDArray[np.float64]
    origin: tuple[float, float]
    spacing: float

    @classmethod
    def flat(cls, shape: tuple[int, int], spacing: float) -> Self:
        """Return a field of zeros over a cube of `shape` (h, w) pixels."""
        count = [math.ceil(max(n - 1, 1) / spacing) + 3 for n in shape]
        return cls(np.zeros((2, *count)), (-spacing, -spacing), spacing)

    def at(self, y: Points, x: Points) -> tuple[Points, Points]:
        """Return the displacement (y, x) at cube coordinates, continued as it is at the border beyond it."""
        top, left = self.origin
        # scipy takes no single numbers
        shape = np.shape(y)
        where = np.stack([(np.atleast_1d(y) - top) / self.spacing, (np.atleast_1d(x) - left) / self.spacing])
        for axis, count in enumerate(self.control.shape[1:]):
            where[axis] = np.clip(where[axis], 1.0, count - 2.0)
        down, right = (map_coordinates(part, where, order=3, prefilter=False, mode="nearest") for part in self.control)
        return np.reshape(down, shape), np.reshape(right, shape)

    @property
    def largest(self) -> float:
        """Largest displacement in guide pixels."""
        return float(np.hypot(*self.control).max(initial=0.0))


# larger numbers lose all precision of a pixel, and decompositions may not converge
FARTHEST = 1e9


@dataclass(frozen=True, eq=False)
class Transform:
    """From cube pixels to guide pixels: a plane projective map, then displacements.

    Attributes
    ----------
    matrix
        ``(3, 3)``: ``(y, x, 1)`` of the cube to homogeneous ``(y, x, 1)`` of the guide.
    field
        Smooth displacement in guide pixels, or None.
    lines
        Displacement (y, x) in guide pixels of each line of the cube ``(h, 2)``, as push-broom scanners have it; None
        for none.
    """

    matrix: NDArray[np.float64]
    field: Field | None = None
    lines: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.shape != (3, 3) or not (np.abs(matrix) < FARTHEST).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise AlignmentError(f"The matrix is {short(matrix.tolist())}; it must be 3 x 3, finite and invertible.")
        object.__setattr__(self, "matrix", matrix / matrix[2, 2] if matrix[2, 2] else matrix)

    def to_guide(self, y: Any, x: Any) -> tuple[Points, Points]:
        """Return guide coordinates (y, x) of cube coordinates; both may be arrays of one shape."""
        y, x = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
        down, right = homogeneous(self.matrix, y, x)
        for extra in self._displacements(y, x):
            down, right = down + extra[0], right + extra[1]
        return down, right

    def to_cube(self, y: Any, x: Any) -> tuple[Points, Points]:
        """Return cube coordinates (y, x) of guide coordinates."""
        y, x = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
        back: NDArray[np.float64] = np.asarray(np.linalg.inv(self.matrix), np.float64)
        down, right = homogeneous(back, y, x)
        if self.field is None and self.lines is None:
            return down, right
        for _ in range(INVERSE_STEPS):
            extras = self._displacements(down, right)
            down, right = homogeneous(back, y - sum(e[0] for e in extras), x - sum(e[1] for e in extras))
        return down, right

    def cropped(self, row: int, column: int) -> Transform:
        """Return the transform of the cube without its first `row` rows and `column` columns."""
        if row == 0 and column == 0:
            return self
        move = np.array([[1.0, 0.0, row], [0.0, 1.0, column], [0.0, 0.0, 1.0]])
        field = self.field
        if field is not None:
            field = Field(field.control, (field.origin[0] - row, field.origin[1] - column), field.spacing)
        return Transform(self.matrix @ move, field, None if self.lines is None else self.lines[row:])

    def jacobian(self, y: float, x: float) -> NDArray[np.float64]:
        """Return the derivative ``(2, 2)`` of the projective part at a cube position."""
        scaled = self.matrix @ [y, x, 1.0]
        place = scaled[:2] / scaled[2]
        return np.asarray((self.matrix[:2, :2] - np.outer(place, self.matrix[2, :2])) / scaled[2])

    def scale_at(self, y: float, x: float) -> float:
        """Return the guide pixels per cube pixel at a cube position, the same area counted along both axes."""
        return math.sqrt(abs(float(np.linalg.det(self.jacobian(y, x)))))

    def scale_of(self, shape: tuple[int, int]) -> float:
        """Return the guide pixels per cube pixel in the middle of a cube of `shape` (h, w) pixels."""
        return self.scale_at((shape[0] - 1) / 2, (shape[1] - 1) / 2)

    def _displacements(self, y: Points, x: Points) -> list[tuple[Points, Points]]:
        extras = [] if self.field is None else [self.field.at(y, x)]
        if self.lines is not None:
            row = np.arange(len(self.lines))
            extras.append((np.interp(y, row, self.lines[:, 0]), np.interp(y, row, self.lines[:, 1])))
        return extras


def homogeneous(matrix: NDArray[np.float64], y: Any, x: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Apply a projective matrix to coordinates (y, x), arrays of one shape or numbers."""
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    a, b, c = matrix
    below = c[0] * y + c[1] * x + c[2]
    return (a[0] * y + a[1] * x + a[2]) / below, (b[0] * y + b[1] * x + b[2]) / below


def frame_matrix(ratio: float) -> NDArray[np.float64]:
    """Return the matrix from cube pixels to the pixels of an image `ratio` times finer over the same ground."""
    return np.array([[ratio, 0.0, (ratio - 1) / 2], [0.0, ratio, (ratio - 1) / 2], [0.0, 0.0, 1.0]])
