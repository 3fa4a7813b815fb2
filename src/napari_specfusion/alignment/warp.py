"""An image resampled onto another one's grid, window by window, never whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter1d, map_coordinates, spline_filter

if TYPE_CHECKING:
    from napari_specfusion.alignment.transform import Transform
    from napari_specfusion.data.cube import Cube

__all__ = ["WarpedSource", "warped"]

# pixels around a window that a cubic spline needs: what it leaves out is below 1e-8
MARGIN = 16
# side of the windows that are resampled at once: each reads the box of the image that it falls on
WINDOW = 512
# a sampling step above this many pixels is blurred against aliasing
DENSE = 1.3


@dataclass(frozen=True, eq=False)
class WarpedSource:
    """Reads windows of an image on another grid, by cubic splines.

    Attributes
    ----------
    image
        What is resampled ``(bands, y, x)``.
    transform
        From pixels of the coarse grid to pixels of the image.
    ratio
        Pixels of the fine grid per coarse pixel.
    height, width
        Size of the fine grid.
    """

    image: Cube
    transform: Transform
    ratio: float
    height: int
    width: int

    def spectrum(self, y: int, x: int) -> NDArray[Any]:
        """Return the values ``(bands,)`` of one pixel."""
        return self.window(slice(y, y + 1), slice(x, x + 1))[:, 0, 0]

    def window(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the values ``(bands, rows, columns)`` of one window; NaN where the image shows nothing."""
        (top, bottom, down), (left, right, across) = rows.indices(self.height), columns.indices(self.width)
        if (down, across) != (1, 1):
            return self.window(slice(top, bottom), slice(left, right))[:, ::down, ::across]
        out = np.empty((self.image.bands, max(0, bottom - top), max(0, right - left)), np.float32)
        # blocks of a fixed grid: a pixel has the same value in whatever window it is read
        for y0, x0 in product(_edges(top, bottom), _edges(left, right)):
            y1, x1 = min(bottom, y0 // WINDOW * WINDOW + WINDOW), min(right, x0 // WINDOW * WINDOW + WINDOW)
            out[:, y0 - top : y1 - top, x0 - left : x1 - left] = self._block(slice(y0, y1), slice(x0, x1))
        return out

    def _block(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        y, x = ((np.arange(part.start, part.stop) - (self.ratio - 1) / 2) / self.ratio for part in (rows, columns))
        down, right = self.transform.to_guide(y[:, None], x[None, :])
        bands, height, width = self.image.shape
        inside = (down >= -0.5) & (down <= height - 0.5) & (right >= -0.5) & (right <= width - 0.5)
        if not inside.any():
            return np.full((bands, *down.shape), np.nan, np.float32)
        step = self._step(rows.start // WINDOW, columns.start // WINDOW)
        blur = 0.5 * math.sqrt(step**2 - 1) if step > DENSE else 0.0
        margin = MARGIN + math.ceil(4 * blur)
        top, left = (max(0, math.floor(c[inside].min()) - margin) for c in (down, right))
        bottom, end = (min(n, math.ceil(c[inside].max()) + margin + 1) for c, n in ((down, height), (right, width)))
        values: Any = self.image.read(slice(top, bottom), slice(left, end)).astype(np.float64)
        missing: Any = ~np.isfinite(values).all(axis=0)
        at: Any = np.stack([down - top, right - left])
        if missing.all():
            return np.full((bands, *down.shape), np.nan, np.float32)
        if missing.any():
            # the nearest value, so that a hole does not ring
            nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
            values = values[:, nearest[0], nearest[1]]
            inside &= map_coordinates(missing.astype(np.float32), at, order=1, mode="nearest") < 1e-3
        if blur:
            for axis in (1, 2):
                values = gaussian_filter1d(values, blur, axis=axis, mode="nearest")
        out = np.empty((bands, *down.shape), np.float32)
        for band, plane in enumerate(values):
            spline: Any = spline_filter(plane, 3, np.float64, mode="mirror")
            out[band] = map_coordinates(spline, at, order=3, prefilter=False, mode="mirror")
        out[:, ~inside] = np.nan
        return out

    def _step(self, row: int, column: int) -> float:
        """Return the image's pixels per pixel of the fine grid where they are most, in a block of the fixed grid."""
        y, x = ((n + 0.5) * WINDOW / self.ratio for n in (row, column))
        jacobian = self.transform.jacobian(y, x)
        return float(np.linalg.svd(jacobian, compute_uv=False)[0]) / self.ratio


class _Lazy:
    """What dask needs to know of a source."""

    def __init__(self, source: WarpedSource) -> None:
        self.source = source
        self.shape = (source.image.bands, source.height, source.width)
        self.dtype = np.dtype(np.float32)
        self.ndim = 3

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[Any]:
        bands, rows, columns = key
        return self.source.window(rows, columns)[bands]


def warped(image: Cube, transform: Transform, ratio: float, shape: tuple[int, int], **fields: Any) -> Cube:
    """Return an image on another grid, as a lazy cube of float32.

    Parameters
    ----------
    image
        What is resampled.
    transform
        From pixels of a coarse grid, such as a low-resolution cube's, to pixels of the image.
    ratio
        Pixels of the new grid per coarse pixel.
    shape
        Rows and columns of the new grid.
    **fields
        Fields of the result, such as its geometry.
    """
    source = WarpedSource(image, transform, ratio, *shape)
    chunks = (image.bands, min(WINDOW, shape[0]), min(WINDOW, shape[1]))
    data = da.from_array(_Lazy(source), chunks=chunks, name=False, meta=np.empty((0, 0, 0), np.float32))
    plain: dict[str, Any] = {"scale": 1.0, "offset": 0.0, "nodata": None, "affine": None, "crs": None}
    return image.replace(**(plain | {"pixel_size": None} | fields | {"data": data, "source": source}))


def _edges(start: int, stop: int) -> list[int]:
    """Return where the windows of a fixed grid begin between two pixels."""
    return [start, *range((start // WINDOW + 1) * WINDOW, stop, WINDOW)] if start < stop else []
