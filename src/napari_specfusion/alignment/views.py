"""Small views of the two images for the search: principal components of the cube, the guide blurred to its scale.

Each image is read once, in strips, at the finest scale that the search uses; coarser views are made from that one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates, spline_filter

from napari_specfusion import memory
from napari_specfusion.calibration.moments import sample_rows, strips
from napari_specfusion.errors import AlignmentError

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Watch

__all__ = ["CubeView", "GuideView", "Views"]

# principal components of the cube that explain the guide
COMPONENTS = 8
# guide bands that are compared, at most: principal components of more
GUIDE_BANDS = 4
# standard deviation of the PSF in cube pixels to begin with: between a detector's box and a soft lens
PSF_WIDTH = 0.45
# samples of a guide view per cube pixel of its scale
SAMPLES = 4.0
# pixels along the longer side of the finest views
FINEST_CUBE, FINEST_GUIDE = 1024, 4096
# a position counts where at least this much of what it sees was measured
MEASURED = 0.98


@dataclass(frozen=True, eq=False)
class CubeView:
    """The cube's principal components on a grid of averaged pixels.

    Attributes
    ----------
    values
        Whitened components ``(k, h, w)``; 0 where not measured.
    measured
        Boolean ``(h, w)``.
    step
        Cube pixels along a side of each averaged pixel.
    """

    values: NDArray[np.float32]
    measured: NDArray[np.bool_]
    step: int

    @cached_property
    def positions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cube coordinates (y, x) of the averaged pixels, each ``(h, w)``."""
        y, x = (self.step * np.arange(n) + (self.step - 1) / 2 for n in self.measured.shape)
        return np.broadcast_to(y[:, None], self.measured.shape), np.broadcast_to(x, self.measured.shape)

    def coarser(self, factor: int) -> CubeView:
        """Return the view with `factor` x `factor` pixels averaged into one."""
        if factor == 1:
            return self
        share = _boxes(self.measured.astype(np.float32)[None], factor)[0]
        values = _boxes(self.values, factor) / np.maximum(share, 1e-6)
        measured = share > 0.5
        return CubeView(np.where(measured, values, 0).astype(np.float32), measured, self.step * factor)


@dataclass(frozen=True, eq=False)
class GuideView:
    """The guide, averaged and blurred.

    Attributes
    ----------
    values
        ``(g, h, w)``, in units of each band's standard deviation; 0 where not measured.
    weight
        ``(h, w)``: share of each pixel that was measured.
    step
        Guide pixels along a side of each averaged pixel.
    sigma
        Standard deviation of the whole blur in guide pixels.
    """

    values: NDArray[np.float32]
    weight: NDArray[np.float32]
    step: int
    sigma: float

    @cached_property
    def _spline(self) -> NDArray[np.float32]:
        return np.stack([spline_filter(plane, 3, np.float32, mode="mirror") for plane in self.values])

    @cached_property
    def _slopes(self) -> NDArray[np.float32]:
        down, right = (_central(self.values, axis) / (2 * self.step) for axis in (1, 2))
        return np.stack([down, right])

    @cached_property
    def _whole(self) -> bool:
        return bool((self.weight > MEASURED).all())

    def _places(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        offset = (self.step - 1) / 2
        return np.stack([(y - offset) / self.step, (x - offset) / self.step]).astype(np.float32)

    def inside(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which guide positions are measured."""
        at = self._places(y, x)
        _, height, width = self.values.shape
        ok = (at[0] >= 0) & (at[0] <= height - 1) & (at[1] >= 0) & (at[1] <= width - 1)
        if not self._whole:
            ok &= map_coordinates(self.weight, at, order=1, mode="nearest") > MEASURED
        return np.asarray(ok)

    def sample(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the blurred guide ``(g, n)`` at guide positions."""
        at = self._places(y, x)
        return np.stack([map_coordinates(p, at, order=3, prefilter=False, mode="mirror") for p in self._spline])

    def slopes(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return its derivatives ``(2, g, n)`` along y and x, per guide pixel."""
        at = self._places(y, x)
        return np.stack([[map_coordinates(p, at, order=1, mode="nearest") for p in planes] for planes in self._slopes])


class Views:
    """The views of a pair.

    Parameters
    ----------
    hsi, guide
        The two images.
    scale
        Guide pixels per cube pixel, roughly.
    watch
        Told about the reading; may stop it.

    Raises
    ------
    AlignmentError
        If an image is constant, or has too few measured pixels.
    Cancelled
        If `watch` stops it.
    """

    def __init__(self, hsi: Cube, guide: Cube, scale: float, watch: Watch) -> None:
        self.scale, self.width = scale, PSF_WIDTH
        self.finest = max(1, math.ceil(max(hsi.shape[1:]) / FINEST_CUBE))
        step = max(1, math.floor(scale * self.finest / SAMPLES), math.ceil(max(guide.shape[1:]) / FINEST_GUIDE))
        self._cube = _read_cube(hsi, self.finest, watch)
        self._guide = _read_guide(guide, step, watch)
        self._made: dict[Any, Any] = {}

    def cube(self, level: int) -> CubeView:
        """Return the cube with `level` times the finest view's pixels averaged."""
        key = "cube", level
        if key not in self._made:
            self._made[key] = self._cube.coarser(level)
        found: CubeView = self._made[key]
        return found

    def guide(self, level: int, scale: float | None = None) -> GuideView:
        """Return the guide as sharp as the cube of the same level sees it, at `scale` guide pixels per cube pixel.

        The PSF is as wide as `width` says, in cube pixels.
        """
        scale = self.scale if scale is None else scale
        # in steps of 5 %, so that a search that drifts does not blur anew at every step
        scale = 1.05 ** round(math.log(scale, 1.05))
        key = "guide", level, scale, self.width
        if key not in self._made:
            pixels = level * self.finest
            sigma = scale * math.sqrt(self.width**2 + (pixels**2 - 1) / 12)
            self._made[key] = _blurred(self._guide, sigma, scale * pixels)
        found: GuideView = self._made[key]
        return found


# --- reading ------------------------------------------------------------------


def _read_cube(hsi: Cube, step: int, watch: Watch) -> CubeView:
    """Return the cube's components, `step` x `step` pixels averaged."""
    _, height, width = hsi.shape
    good = hsi.good if hsi.good.any() else np.ones(hsi.bands, np.bool_)
    live, mean, directions = _directions(hsi, good, watch)
    rows = height // step
    found = np.zeros((directions.shape[1], rows, width // step), np.float32)
    share = np.zeros(found.shape[1:], np.float32)
    # whole blocks of rows in each strip
    size = max(step, memory.STRIP // (8 * hsi.bands * width) // step * step)
    basis = directions.T.astype(np.float32)
    for start in range(0, rows * step, size):
        watch.tell(start, height, "Reading the cube")
        part = slice(start, min(start + size, rows * step))
        values = hsi.read(part)[live]
        ok = np.isfinite(values).all(axis=0)
        centred = np.where(ok, values - mean[:, None, None], 0).astype(np.float32)
        planes = np.tensordot(basis, centred, axes=1)
        target = slice(start // step, part.stop // step)
        share[target] = _boxes(ok.astype(np.float32)[None], step)[0]
        found[:, target] = _boxes(planes, step) / np.maximum(share[target], 1e-6)
    measured = share > 0.5
    if np.count_nonzero(measured) < 4 * COMPONENTS:
        raise AlignmentError(
            f"Only {np.count_nonzero(measured)} pixels of the cube hold values in all bands; at least "
            f"{4 * COMPONENTS} are needed to align it. Check its no-data value."
        )
    return CubeView(np.where(measured, found, 0), measured, step)


def _directions(
    hsi: Cube, good: NDArray[np.bool_], watch: Watch
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return the bands used, their means, and whitening directions ``(bands, k)``."""
    bands, height, width = hsi.shape
    parts = []
    for rows in sample_rows(height, width, bands):
        watch.tell(rows.start, height, "Reading the cube")
        values = hsi.read(rows)[good].reshape(np.count_nonzero(good), -1)
        parts.append(values[:, :: max(1, height * width // 65_536 // 4)])
    pixels = np.concatenate(parts, axis=1).astype(np.float64)
    some = np.isfinite(pixels).any(axis=1)
    pixels = pixels[some]
    pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
    if pixels.shape[1] < 4 * COMPONENTS:
        raise AlignmentError(
            f"Only {pixels.shape[1]} pixels of the cube hold values in all bands; at least {4 * COMPONENTS} are needed "
            "to align it. Check its no-data value."
        )
    mean = pixels.mean(axis=1)
    pixels -= mean[:, None]
    variance, vectors = np.linalg.eigh(pixels @ pixels.T / pixels.shape[1])
    if not variance[-1] > 1e-12 * float(np.mean(mean**2)):
        raise AlignmentError("The cube is constant: nothing in it can be compared with the guide. Check the file.")
    count = min(COMPONENTS, len(mean), max(1, pixels.shape[1] // 30))
    kept = variance[-count:][::-1] > 1e-10 * variance[-1]
    directions = vectors[:, -count:][:, ::-1][:, kept] / np.sqrt(variance[-count:][::-1][kept])
    return np.flatnonzero(good)[some], mean, directions


def _read_guide(guide: Cube, step: int, watch: Watch) -> GuideView:
    """Return the guide with `step` x `step` pixels averaged, its contrast about 1."""
    bands, height, width = guide.shape
    rows = max(1, height // step)
    found = np.zeros((bands, rows, max(1, width // step)), np.float32)
    share = np.zeros(found.shape[1:], np.float32)
    for part in strips(height, bands * width):
        # whole blocks of rows in each strip
        first, last = part.start // step, rows if part.stop == height else part.stop // step
        if first >= last:
            continue
        watch.tell(part.start, height, "Reading the guide")
        values = guide.read(slice(first * step, last * step)).astype(np.float32, copy=False)
        ok: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=0))
        if not ok.all():
            values = np.where(ok, values, 0)
        share[first:last] = _boxes(ok.astype(np.float32)[None], step)[0]
        found[:, first:last] = _boxes(values, step) / np.maximum(share[first:last], 1e-6)
    measured = share > 0.5
    if np.count_nonzero(measured) < 4 * COMPONENTS:
        raise AlignmentError("The guide holds hardly any valid pixel. Check its no-data value.")
    pixels = found[:, measured].astype(np.float64)
    mean, spread = pixels.mean(axis=1), pixels.std(axis=1)
    varied = spread > 1e-6 * np.maximum(np.abs(mean), 1e-30)
    if not varied.any():
        raise AlignmentError("The guide is constant: nothing in it can be compared with the cube. Check the file.")
    found = (found[varied] - mean[varied, None, None]) / spread[varied, None, None]
    if len(found) > GUIDE_BANDS:
        inner = found[:, measured]
        _, vectors = np.linalg.eigh(inner @ inner.T)
        found = np.tensordot(vectors[:, : -GUIDE_BANDS - 1 : -1].T, found, axes=1)
    return GuideView(np.where(measured, found, 0).astype(np.float32), share, step, math.sqrt((step**2 - 1) / 12))


def _blurred(view: GuideView, sigma: float, pixel: float) -> GuideView:
    """Return a view blurred to `sigma`, averaged first as far as `pixel` guide pixels per cube pixel allow."""
    factor = max(1, math.floor(pixel / SAMPLES / view.step))
    share = _boxes(view.weight[None], factor)[0]
    values = _boxes(view.values * view.weight, factor) / np.maximum(share, 1e-6)
    step = view.step * factor
    more = math.sqrt(max(sigma**2 - (step**2 - 1) / 12, 0.0)) / step
    if more > 0.1:
        if (share < 1).any():
            weight = _gauss(share[None], more)[0]
            values = _gauss(values * share, more) / np.maximum(weight, 1e-6)
            share = weight
        else:
            values = _gauss(values, more)
    return replace(view, values=values.astype(np.float32), weight=share, step=step, sigma=sigma)


def _gauss(planes: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    for axis in (1, 2):
        planes = gaussian_filter1d(planes, sigma, axis=axis, mode="nearest", truncate=3.5)
    return planes


def _boxes(planes: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the means of `factor` x `factor` boxes of planes ``(p, h, w)``; what is left over is dropped."""
    if factor == 1:
        return planes
    count, height, width = planes.shape
    rows, columns = height // factor, width // factor
    whole = planes[:, : rows * factor, : columns * factor]
    return np.asarray(whole.reshape(count, rows, factor, columns, factor).mean(axis=(2, 4)))


def _central(planes: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the difference of both neighbours along an axis; twice the one-sided one at the border."""
    return np.asarray(2 * np.gradient(planes, axis=axis), np.float32) if planes.shape[axis] > 1 else 0 * planes
