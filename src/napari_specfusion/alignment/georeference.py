"""Where the tags of two files place the cube in the guide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.local import spline_basis
from napari_specfusion.alignment.transform import Field, Transform, homogeneous
from napari_specfusion.errors import AlignmentError, needs_extra

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["Placed", "grid_matrix", "pixel_scale", "placed_by_tags"]

# points along each side at which a reprojection is computed
POINTS = 25
# reprojections that a plane projective map follows to this many guide pixels need no field
PLANE = 0.02


@dataclass(frozen=True, eq=False)
class Placed:
    """What the tags say: a transform, and remarks about it."""

    transform: Transform
    notes: tuple[str, ...] = ()


def grid_matrix(affine: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the matrix from pixel coordinates (y, x), centres at whole numbers, to ground coordinates (y, x)."""
    a, b, c, d, e, f = affine
    return np.array([[e, d, f + (d + e) / 2], [b, a, c + (a + b) / 2], [0.0, 0.0, 1.0]])


def placed_by_tags(hsi: Cube, guide: Cube) -> Placed | None:
    """Return where the affines and reference systems of two images place one in the other; None without two affines.

    Raises
    ------
    AlignmentError
        If the two are in different reference systems and one of them cannot be understood.
    """
    if hsi.affine is None or guide.affine is None:
        return None
    low, sharp = grid_matrix(hsi.affine), grid_matrix(guide.affine)
    if abs(np.linalg.det(sharp)) == 0 or abs(np.linalg.det(low)) == 0:
        return None
    if hsi.crs is None or guide.crs is None or _same(hsi.crs, guide.crs):
        notes: tuple[str, ...] = ()
        if (hsi.crs is None) != (guide.crs is None):
            bare = "cube" if hsi.crs is None else "guide"
            notes = (f"The {bare} names no reference system; it was taken to be the other image's.",)
        return Placed(Transform(np.linalg.inv(sharp) @ low), notes)
    return Placed(_reprojected(hsi, guide, low, sharp), ("The two images are in different reference systems.",))


def pixel_scale(hsi: Cube, guide: Cube) -> NDArray[np.float64] | None:
    """Return the guide pixels per cube pixel (y, x) that the pixel sizes imply, or None."""
    if hsi.pixel_size is None or guide.pixel_size is None:
        return None
    scale = np.abs(np.array(hsi.pixel_size) / np.array(guide.pixel_size))
    return scale if np.isfinite(scale).all() and (scale > 0).all() else None


def _same(one: str, other: str) -> bool:
    """Whether two reference systems are the same, by name or by what pyproj knows of them."""
    if one.strip().lower() == other.strip().lower():
        return True
    try:
        from pyproj import CRS
    except ImportError:
        return False
    try:
        return bool(CRS.from_user_input(one).equals(CRS.from_user_input(other), ignore_axis_order=True))
    except Exception:
        return False


def _reprojected(hsi: Cube, guide: Cube, low: NDArray[np.float64], sharp: NDArray[np.float64]) -> Transform:
    try:
        from pyproj import Transformer
        from pyproj.exceptions import ProjError
    except ImportError:
        raise AlignmentError(
            f"The cube is in {_named(hsi.crs)}, the guide in {_named(guide.crs)}: converting one to the other "
            f"{needs_extra('pyproj')}."
        ) from None
    try:
        convert = Transformer.from_crs(hsi.crs, guide.crs, always_xy=True)
    except ProjError as error:
        raise AlignmentError(
            f"The reference systems {_named(hsi.crs)} and {_named(guide.crs)} cannot be converted: {error}. "
            "Correct them with replace(crs=...), or remove them with replace(crs=None, affine=None)."
        ) from error
    shape = hsi.shape[1:]
    y, x = (c.ravel() for c in np.meshgrid(*(np.linspace(-0.5, n - 0.5, POINTS) for n in shape), indexing="ij"))
    north, east = homogeneous(low, y, x)
    east, north = convert.transform(east, north)
    back = np.asarray(np.linalg.inv(sharp), np.float64)
    down, right = homogeneous(back, np.asarray(north), np.asarray(east))
    if not (np.isfinite(down).all() and np.isfinite(right).all()):
        raise AlignmentError(
            f"Parts of the cube have no coordinates in {_named(guide.crs)}. Check the cube's affine and crs."
        )
    matrix = _plane(y, x, down, right)
    flat_down, flat_right = homogeneous(matrix, y, x)
    rest = np.stack([down - flat_down, right - flat_right])
    if np.abs(rest).max() < PLANE:
        return Transform(matrix)
    field = Field.flat((int(shape[0]), int(shape[1])), max(max(shape) / 8, 1.0))
    basis = spline_basis(field, y, x).toarray()
    control = np.linalg.lstsq(basis, rest.T, rcond=1e-9)[0].T
    return Transform(matrix, Field(control.reshape(field.control.shape), field.origin, field.spacing))


def _plane(
    y: NDArray[np.float64], x: NDArray[np.float64], down: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the affine matrix that maps points (y, x) to others best."""
    known = np.column_stack([y, x, np.ones_like(y)])
    found = np.linalg.lstsq(known, np.column_stack([down, right]), rcond=None)[0]
    return np.vstack([found.T, [0.0, 0.0, 1.0]])


def _named(crs: str | None) -> str:
    text = " ".join((crs or "an unnamed system").split())
    return text if len(text) <= 40 else f"{text[:37]}..."
