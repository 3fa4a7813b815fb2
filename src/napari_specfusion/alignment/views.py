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

from napari_specfusion.alignment.reading import boxes, read_cube, read_guide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.alignment.reading import Window
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Watch

__all__ = ["CubeView", "GuideView", "Patches", "Views"]

# standard deviation of the PSF in cube pixels to begin with: between a detector's box and a soft lens
PSF_WIDTH = 0.45
# samples of a guide view per cube pixel of its scale
SAMPLES = 4.0
# pixels along the longer side of views of a whole cube, and of a whole guide
WHOLE, FINEST_GUIDE = 256, 4096
# pixels at the border of the cube that are left out
BORDER = 2
# empty rows between the windows of a view
GAP = 8
# blurred guides that are kept
KEPT = 24
# a position counts where at least this much of what it sees was measured
MEASURED = 0.98


@dataclass(frozen=True, eq=False)
class CubeView:
    """The cube's principal components on a grid of averaged pixels.

    Windows of a large cube stand below each other, with empty rows between them.

    Attributes
    ----------
    values
        Whitened components ``(k, h, w)``; 0 where not measured.
    measured
        Boolean ``(h, w)``.
    step
        Cube pixels along a side of each averaged pixel.
    y, x
        Cube coordinates of the averaged pixels, each ``(h, w)``.
    """

    values: NDArray[np.float32]
    measured: NDArray[np.bool_]
    step: int
    y: NDArray[np.float64]
    x: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        parts: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]],
        firsts: Sequence[tuple[int, int]],
        step: int,
    ) -> CubeView:
        """Make a view of windows ``(k, h, w)`` of one size that begin at cube pixels `firsts`."""
        stacks: list[list[NDArray[Any]]] = [[], [], [], []]
        for (values, measured), (top, left) in zip(parts, firsts, strict=True):
            height, width = measured.shape
            y = np.broadcast_to((top + step * np.arange(height) + (step - 1) / 2)[:, None], measured.shape)
            x = np.broadcast_to(left + step * np.arange(width) + (step - 1) / 2, measured.shape)
            gap = GAP if len(parts) > 1 else 0
            for stack, plane in zip(stacks, (values, measured, y, x), strict=True):
                stack.append(np.pad(plane, [(0, 0)] * (plane.ndim - 2) + [(0, gap), (0, 0)]))
        values, measured, y, x = (np.concatenate(stack, axis=-2) for stack in stacks)
        return cls(values, measured, step, y, x)

    @property
    def inner(self) -> NDArray[np.bool_]:
        """Boolean ``(h, w)``: measured pixels off the border, whose PSF does not reach beyond it."""
        if min(self.measured.shape) < 4 * BORDER:
            return self.measured
        inner = np.zeros_like(self.measured)
        inner[BORDER:-BORDER, BORDER:-BORDER] = self.measured[BORDER:-BORDER, BORDER:-BORDER]
        return inner

    def coarser(self, factor: int) -> CubeView:
        """Return the view with `factor` x `factor` pixels averaged into one."""
        if factor == 1:
            return self
        share = boxes(self.measured.astype(np.float32)[None], factor)[0]
        values = boxes(self.values, factor) / np.maximum(share, 1e-6)
        measured = share > 0.5
        y, x = boxes(np.stack([self.y, self.x]), factor)
        return CubeView(np.where(measured, values, 0).astype(np.float32), measured, self.step * factor, y, x)


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
    top, left
        Guide pixel where the view begins.
    """

    values: NDArray[np.float32]
    weight: NDArray[np.float32]
    step: int
    sigma: float
    top: int = 0
    left: int = 0

    @property
    def ground(self) -> float:
        """Number of guide pixels that the view shows."""
        return float(self.weight.size * self.step**2)

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
        return np.stack([(y - self.top - offset) / self.step, (x - self.left - offset) / self.step]).astype(np.float32)

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


@dataclass(frozen=True, eq=False)
class Patches:
    """Views of windows of a large guide; a position belongs to the first window that shows it."""

    parts: tuple[GuideView, ...]

    @property
    def step(self) -> int:
        """Guide pixels along a side of each averaged pixel."""
        return self.parts[0].step

    @property
    def ground(self) -> float:
        """Number of guide pixels that the windows show."""
        return sum(part.ground for part in self.parts)

    def inside(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which guide positions are measured."""
        return self._owners(y, x) >= 0

    def sample(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the blurred guide ``(g, n)`` at guide positions."""
        owners = self._owners(y, x)
        out = np.zeros((len(self.parts[0].values), len(y)), np.float32)
        for number in np.unique(owners[owners >= 0]):
            mine = owners == number
            out[:, mine] = self.parts[number].sample(y[mine], x[mine])
        return out

    def slopes(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return its derivatives ``(2, g, n)`` along y and x, per guide pixel."""
        owners = self._owners(y, x)
        out = np.zeros((2, len(self.parts[0].values), len(y)), np.float32)
        for number in np.unique(owners[owners >= 0]):
            mine = owners == number
            out[:, :, mine] = self.parts[number].slopes(y[mine], x[mine])
        return out

    def _owners(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.intp]:
        owners = np.full(y.shape, -1, np.intp)
        for number, part in enumerate(self.parts):
            # the rest only
            free = owners < 0
            owners[free] = np.where(part.inside(y[free], x[free]), number, -1)
        return owners


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
    windows
        Pairs of windows, of the cube and of the guide, to read instead of the whole images, in full detail. Without
        them, large images are averaged.

    Raises
    ------
    AlignmentError
        If an image is constant, or has too few measured pixels.
    Cancelled
        If `watch` stops it.
    """

    def __init__(
        self,
        hsi: Cube,
        guide: Cube,
        scale: float,
        watch: Watch,
        windows: Sequence[tuple[Window, Window]] | None = None,
    ) -> None:
        self.scale, self.width = scale, PSF_WIDTH
        self.sampled = windows is not None
        low: list[Window] | None = None if windows is None else [pair[0] for pair in windows]
        sharp: list[Window] | None = None if windows is None else [pair[1] for pair in windows]
        self.finest = 1 if low is not None else max(1, math.ceil(max(hsi.shape[1:]) / WHOLE))
        step = max(1, math.floor(scale * self.finest / SAMPLES))
        if sharp is None:
            step = max(step, math.ceil(max(guide.shape[1:]) / FINEST_GUIDE))
        firsts = [(0, 0)] if low is None else [(rows.start, columns.start) for rows, columns in low]
        self._cube = CubeView.of(read_cube(hsi, self.finest, watch, low), firsts, self.finest)
        corners = [(0, 0)] if sharp is None else [(rows.start, columns.start) for rows, columns in sharp]
        sigma = math.sqrt((step**2 - 1) / 12)
        self._guides = tuple(
            GuideView(values, share, step, sigma, *corner)
            for (values, share), corner in zip(read_guide(guide, step, watch, sharp), corners, strict=True)
        )
        self._made: dict[Any, Any] = {}

    def cube(self, level: int) -> CubeView:
        """Return the cube with `level` times the finest view's pixels averaged."""
        key = "cube", level
        if key not in self._made:
            self._made[key] = self._cube.coarser(level)
        found: CubeView = self._made[key]
        return found

    def guide(self, level: int, scale: float | None = None) -> GuideView | Patches:
        """Return the guide as sharp as the cube of the same level sees it, at `scale` guide pixels per cube pixel.

        The PSF is as wide as `width` says, in cube pixels.
        """
        scale = self.scale if scale is None else scale
        # in steps of 5 %, so that a search that drifts does not blur anew at every step
        scale = 1.05 ** round(math.log(scale, 1.05))
        key = "guide", level, scale, self.width
        if key not in self._made:
            # widths are tried once each: only the last ones are kept
            for old in [k for k in self._made if k[0] == "guide"][:-KEPT]:
                del self._made[old]
            pixels = level * self.finest
            sigma = scale * math.sqrt(self.width**2 + (pixels**2 - 1) / 12)
            made = tuple(_blurred(part, sigma, scale * pixels) for part in self._guides)
            self._made[key] = made[0] if len(made) == 1 else Patches(made)
        found: GuideView | Patches = self._made[key]
        return found


# --- averages and blurs -------------------------------------------------------


def _blurred(view: GuideView, sigma: float, pixel: float) -> GuideView:
    """Return a view blurred to `sigma`, averaged first as far as `pixel` guide pixels per cube pixel allow."""
    factor = max(1, math.floor(pixel / SAMPLES / view.step))
    share = boxes(view.weight[None], factor)[0]
    values = boxes(view.values * view.weight, factor) / np.maximum(share, 1e-6)
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


def _central(planes: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the difference of both neighbours along an axis; twice the one-sided one at the border."""
    return np.asarray(2 * np.gradient(planes, axis=axis), np.float32) if planes.shape[axis] > 1 else 0 * planes
