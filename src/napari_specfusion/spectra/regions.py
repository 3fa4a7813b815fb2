"""Mean and spread of the pixels of regions, read strip by strip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.arguments import numbers, short, whole
from napari_specfusion.errors import SpectrumError
from napari_specfusion.io import as_cube
from napari_specfusion.progress import ShouldStop, Watch
from napari_specfusion.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.progress import Progress

__all__ = ["polygon_mask", "region_spectra"]

Floats = NDArray[np.float64]

# bytes of the sums of all regions, at most
LARGEST_SUMS = 1 << 30
# of a mask
LONGEST_SIDE, MOST_PIXELS = 1 << 31, 1 << 30


def region_spectra(
    cube: CubeLike,
    labels: ArrayLike,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> tuple[Spectrum, ...]:
    """Return the mean spectrum of each region of a cube, with the standard deviation as its spread.

    Parameters
    ----------
    cube
        A cube, or what `as_cube` makes one of. Only the rows and columns around the regions are read, in strips.
    labels
        Whole numbers ``(y, x)``, one for each region, 0 elsewhere; or a mask, which is one region.
    progress, should_stop
        As `fuse` takes them.

    Returns
    -------
    tuple of Spectrum
        One for each region, by ascending number, with ``label`` and ``pixels`` in the metadata. Missing values do not
        count. Bad bands, and bands without a value, are NaN. The spread of a single pixel is 0.

    Raises
    ------
    SpectrumError
        If the labels do not fit the cube, or there is no region.
    Cancelled
        If `should_stop` says so.
    """
    cube = as_cube(cube)
    watch = Watch(progress, should_stop, "Stopped; no region was averaged.")
    regions = _checked(cube, labels)
    rows = np.flatnonzero(regions.any(axis=1))
    if not rows.size:
        raise SpectrumError(f"No pixel of {cube.name} lies in a region; draw one over the cube.")
    columns = np.flatnonzero(regions.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    window = regions[rows[0] : rows[-1] + 1, left:right]
    found, pixels = np.unique(window[window != 0], return_counts=True)
    if 3 * 8 * len(found) * cube.bands > LARGEST_SUMS:
        raise SpectrumError(f"There are {len(found)} regions; give fewer, for example those of one class at a time.")
    sums = _Sums(len(found), cube.bands)
    step = max(1, memory.STRIP // (2 * 8 * cube.bands * (right - left)))
    starts = range(int(rows[0]), int(rows[-1]) + 1, step)
    for done, start in enumerate(starts):
        watch.tell(done, len(starts), "Averaging regions")
        strip = regions[start : min(start + step, rows[-1] + 1), left:right]
        inside = strip != 0
        if inside.any():
            ends = slice(*(int(n) for n in np.flatnonzero(inside.any(axis=0))[[0, -1]] + [0, 1]))
            values = cube.read(slice(start, start + strip.shape[0]), slice(left + ends.start, left + ends.stop))
            strip, inside = strip[:, ends], inside[:, ends]
            sums.add(np.searchsorted(found, strip[inside]), values[:, inside])
    return tuple(
        Spectrum(
            np.where(cube.good, mean, np.nan),
            cube.wavelengths,
            cube.spectral_unit,
            cube.fwhm,
            np.where(cube.good, spread, np.nan),
            f"{cube.name} region {label}",
            {"label": int(label), "pixels": int(count)},
        )
        for label, count, mean, spread in zip(found, pixels, sums.means, sums.spreads(), strict=True)
    )


def _checked(cube: Cube, labels: ArrayLike) -> NDArray[np.integer]:
    try:
        found = np.asarray(labels)
    except Exception as problem:  # arrays of other libraries raise anything
        raise SpectrumError(f"The labels are {short(labels)}; give whole numbers (y, x).") from problem
    if found.dtype.kind not in "biu":
        raise SpectrumError(f"The labels are {found.dtype}; give whole numbers (y, x), or a mask.")
    if found.shape != cube.shape[1:]:
        raise SpectrumError(
            f"The labels have shape {found.shape}, {cube.name} has {cube.shape[1]} rows and {cube.shape[2]} columns; "
            "give one label for each pixel."
        )
    return found.view(np.uint8) if found.dtype.kind == "b" else found


class _Sums:
    """Counts, means and squared deviations of groups, that grow part by part (T. F. Chan et al., 1979)."""

    def __init__(self, groups: int, bands: int) -> None:
        self.counts = np.zeros((groups, bands))
        self.means = np.full((groups, bands), np.nan)
        self.squares = np.zeros((groups, bands))

    def add(self, groups: NDArray[np.intp], values: NDArray[np.floating]) -> None:
        """Add values ``(bands, n)`` of pixels in these groups ``(n,)``."""
        present, starts, sizes = np.unique(groups, return_index=True, return_counts=True)
        if len(present) > 1:
            order = np.argsort(groups, kind="stable")
            values, starts = values[:, order], np.cumsum(sizes) - sizes
        known = np.isfinite(values)
        whole = bool(known.all())
        held = values if whole else np.where(known, values, 0)
        counts = (
            _sums(known, starts)
            if not whole
            else np.broadcast_to(sizes.astype(np.float64)[:, None], (len(sizes), len(values)))
        )
        means = _sums(held, starts) / np.maximum(counts, 1)
        away = held - (means.T if len(present) == 1 else np.repeat(means.T, sizes, axis=1))
        if not whole:
            away[~known] = 0
        squares = _sums(np.square(away, out=away), starts)
        before, old = self.counts[present], np.nan_to_num(self.means[present])
        total = before + counts
        step, divisor = means - old, np.maximum(total, 1)
        self.squares[present] += squares + step**2 * before * counts / divisor
        self.means[present] = np.where(total > 0, old + step * counts / divisor, np.nan)
        self.counts[present] = total

    def spreads(self) -> Floats:
        """Return the standard deviations, NaN where nothing is known."""
        spreads = np.sqrt(self.squares / np.maximum(self.counts - 1, 1))
        return np.asarray(np.where(self.counts > 0, spreads, np.nan))


def _sums(values: NDArray[Any], starts: NDArray[np.intp]) -> Floats:
    """Return the sums ``(groups, bands)`` of values ``(bands, n)`` in groups that start at these columns."""
    if len(starts) == 1:
        return np.asarray(values.sum(axis=1, dtype=np.float64))[None]
    return np.asarray(np.add.reduceat(values, starts, axis=1, dtype=np.float64).T)


def polygon_mask(corners: ArrayLike, height: int, width: int) -> NDArray[np.bool_]:
    """Return which pixels of an image have their centres in a polygon.

    Parameters
    ----------
    corners
        Corners (y, x) ``(n, 2)`` in pixels, whose centres are whole numbers. The last one joins the first.
    height, width
        Size of the image.

    Returns
    -------
    ndarray
        Boolean ``(height, width)``. Where the outline crosses itself, what it goes around twice is outside. Polygons
        that share an edge share no pixel.

    Raises
    ------
    SpectrumError
        If there are fewer than three corners.
    """
    try:
        count = len(corners)  # type: ignore[arg-type]
    except Exception:  # not a list; arrays of other libraries raise anything
        count = 0
    high, wide = (whole(name, n, 1, LONGEST_SIDE, SpectrumError) for name, n in (("height", height), ("width", width)))
    if high * wide > MOST_PIXELS:
        raise SpectrumError(f"An image of {high} x {wide} pixels is too large for a mask; give one of a part of it.")
    if count < 3:
        raise SpectrumError(f"The corners are {short(corners)}; a polygon needs at least three (y, x).")
    points = numbers("corners", corners, (count, 2), SpectrumError)
    mask = np.zeros((high, wide), bool)
    first = max(0, int(np.ceil(np.clip(points[:, 0].min(), -1, height))))
    last = min(height - 1, int(np.floor(np.clip(points[:, 0].max(), -1, height))))
    starts, ends = points, np.roll(points, -1, axis=0)
    # from the same end in both polygons that share an edge, so that both round alike
    turned = (starts[:, 0] > ends[:, 0])[:, None]
    starts, ends = np.where(turned, ends, starts), np.where(turned, starts, ends)
    for row in range(first, last + 1):
        # edges that begin or end on the row count once: they belong to the rows below their upper end
        crosses = (starts[:, 0] <= row) != (ends[:, 0] <= row)
        (y0, x0), (y1, x1) = starts[crosses].T, ends[crosses].T
        at = np.sort(x0 + (row - y0) / (y1 - y0) * (x1 - x0))
        edges = np.clip(np.ceil(at), 0, width).astype(int)
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            mask[row, begin:end] = True
    return mask
