"""Where a search begins: what the caller, the tags or the sizes of the images say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.alignment import Alignment
from napari_specfusion.alignment.georeference import Placed, pixel_scale, placed_by_tags
from napari_specfusion.alignment.points import matrix_of_points
from napari_specfusion.alignment.transform import Transform, frame_matrix, homogeneous
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import AlignmentError, SceneError

if TYPE_CHECKING:
    from fractions import Fraction

    from napari_specfusion.data.cube import Cube

__all__ = ["Start", "begin_at", "fitting_ratio", "near_parts"]

# of the common ground that the start gives, around it
MARGIN = 0.15


@dataclass(frozen=True, eq=False)
class Start:
    """Where to begin: likely matrices, linear parts to expect, and what is behind them."""

    matrices: tuple[NDArray[np.float64], ...]
    nominals: tuple[NDArray[np.float64], ...]
    kind: Literal["given", "tags", "sizes", "none"]
    displaced: Transform | None = None
    strict: bool = False
    notes: tuple[str, ...] = ()


def fitting_ratio(low: Cube, sharp: Cube, ratio: Fraction | None) -> Fraction | None:
    """Return the ratio at which the two images make a scene as they are, or None."""
    try:
        return Scene(low, sharp, ratio).factor
    except SceneError:
        return None


def begin_at(low: Cube, sharp: Cube, start: Any, ratio: Fraction | None, as_is: Fraction | None) -> Start:
    """Return where a search begins.

    Parameters
    ----------
    low, sharp
        The cube and the guide.
    start
        As `align` takes it.
    ratio
        Guide pixels per cube pixel that are wanted, or None.
    as_is
        The ratio at which the two make a scene as they are, or None.

    Raises
    ------
    AlignmentError
        If the start is not valid, or the guide is no sharper than the cube.
    """
    nominals = _nominals(low, sharp, ratio, as_is)
    if isinstance(start, Alignment):
        start = start.transform
    if isinstance(start, Transform):
        return _given(start.matrix, low, start if start.field is not None or start.lines is not None else None)
    if start is not None and not isinstance(start, str):
        matrix = _numbers(start)
        return _given(matrix if matrix.shape == (3, 3) else matrix_of_points(start), low)
    if start not in (None, "tags", "images"):
        raise AlignmentError(f"The start is {start!r}; give 'tags', 'images', point pairs, a matrix or an Alignment.")
    placed: Placed | None = None if start == "images" else placed_by_tags(low, sharp)
    if placed is not None:
        middle = (low.shape[1] - 1) / 2, (low.shape[2] - 1) / 2
        linear = placed.transform.jacobian(*middle)
        displaced = placed.transform if placed.transform.field is not None else None
        return Start((placed.transform.matrix,), (linear,), "tags", displaced, start == "tags", placed.notes)
    if start == "tags":
        raise AlignmentError(
            "The tags of the two files do not say where they lie: both need an affine. Give start='images' or point "
            "pairs instead."
        )
    expected = float(np.sqrt(abs(np.linalg.det(nominals[0]))))
    if as_is is not None and abs(expected / float(as_is) - 1) < 0.1:
        return Start((frame_matrix(float(as_is)),), nominals, "sizes")
    return Start((), nominals, "none")


def _given(matrix: NDArray[np.float64], low: Cube, displaced: Transform | None = None) -> Start:
    middle = (low.shape[1] - 1) / 2, (low.shape[2] - 1) / 2
    transform = Transform(matrix)
    return Start((transform.matrix,), (transform.jacobian(*middle),), "given", displaced)


def _numbers(start: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(start, dtype=np.float64)
    except Exception:  # arrays of other libraries raise anything
        return np.zeros(0)


def _nominals(
    low: Cube, sharp: Cube, ratio: Fraction | None, as_is: Fraction | None
) -> tuple[NDArray[np.float64], ...]:
    """Return the linear parts ``(2, 2)`` that the ratio, the pixel sizes or the sizes of the images suggest."""
    if ratio is not None:
        return (np.eye(2) * float(ratio),)
    sizes = pixel_scale(low, sharp)
    if sizes is not None and (sizes > 1).all():
        return (np.diag(sizes),)
    if as_is is not None:
        return (np.eye(2) * float(as_is),)
    sides = np.array(sharp.shape[1:]) / np.array(low.shape[1:])
    even = float(np.sqrt(sides.prod()))
    if even <= 1:
        raise AlignmentError(
            f"The guide is {sharp.shape[1]} x {sharp.shape[2]} pixels, the cube {low.shape[1]} x {low.shape[2]}: a "
            "guide must be sharper than the cube. Are the two swapped? If it shows a small part of the cube only, give "
            "the ratio."
        )
    if sides.max() < 1.1 * sides.min():
        return (np.eye(2) * even,)
    # another part of the ground, or pixels that are not square
    return np.eye(2) * even, np.diag(sides)


def near_parts(low: Cube, sharp: Cube, begin: Start) -> tuple[tuple[int, int], tuple[int, int], Cube, Cube]:
    """Return the parts of the two images near the common ground that the start gives, and where they begin."""
    if begin.kind not in ("tags", "given"):
        return (0, 0), (0, 0), low, sharp
    matrix = begin.matrices[0]
    rows, columns = _box(matrix, low.shape[1:], sharp.shape[1:])
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)
    back = _box(inverse, (rows.stop, columns.stop), low.shape[1:], (rows.start, columns.start))
    if 0 in (rows.stop - rows.start, columns.stop - columns.start, back[0].stop - back[0].start):
        source = "tags" if begin.kind == "tags" else "start"
        raise AlignmentError(
            f"The {source} of the two images place them apart: they have no common ground. "
            "Check the files, or search by their content alone (start='images')."
        )
    return (back[0].start, back[1].start), (rows.start, columns.start), low.crop(*back), sharp.crop(rows, columns)


def _box(
    matrix: NDArray[np.float64], size: tuple[int, int], other: tuple[int, int], first: tuple[int, int] = (0, 0)
) -> tuple[slice, slice]:
    """Return the rows and columns of the other image on which a window of one image falls, with a margin."""
    y, x = np.meshgrid([first[0] - 0.5, size[0] - 0.5], [first[1] - 0.5, size[1] - 0.5], indexing="ij")
    down, right = homogeneous(matrix, y, x)
    parts = []
    for places, length in ((down, other[0]), (right, other[1])):
        margin = MARGIN * float(np.ptp(places))
        begin = min(max(0, math.floor(places.min() - margin)), length)
        parts.append(slice(begin, max(begin, min(length, math.ceil(places.max() + margin)))))
    return parts[0], parts[1]
