"""The bands of a cube along its spectrum: the nearest one, gaps between sensors, and stretches of bad bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["bad_ranges", "band_near", "gaps", "next_good"]

# a step of so many usual ones is a gap between two sensors; usual among so many steps around it, since the steps of one
# sensor may widen along the spectrum
GAP, AROUND = 4.0, 11


def band_near(cube: Cube, wavelength: float) -> int | None:
    """Return the good band nearest to `wavelength` (in `spectral_unit`); None where the cube does not cover it.

    A cube covers half a step beyond its first and last band.
    """
    known = cube.wavelengths
    if known is None:
        return None
    first, last = (0.5 * abs(known[1] - known[0]), 0.5 * abs(known[-1] - known[-2])) if len(known) > 1 else (0.0, 0.0)
    if not known.min() - first <= wavelength <= known.max() + last:
        return None
    return cube.band_at(wavelength)


def next_good(cube: Cube, band: int, *, forward: bool) -> int:
    """Return `band` if it is good, else the next good one in a direction, or in the other one where there is none."""
    good = np.flatnonzero(cube.good)
    if not good.size or cube.good[band]:
        return band
    above, below = good[good > band], good[good < band][::-1]
    first, second = (above, below) if forward else (below, above)
    return int((first if first.size else second)[0])


def gaps(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return after which of the ascending `positions` ``(bands,)`` there is a gap, as between two sensors."""
    steps = np.diff(positions)
    if len(steps) < 2:
        return np.empty(0, np.int64)
    around = min(AROUND, len(steps))
    usual = np.median(np.lib.stride_tricks.sliding_window_view(steps, around), axis=1)
    starts = np.clip(np.arange(len(steps)) - around // 2, 0, len(steps) - around)
    return np.asarray(np.flatnonzero(steps > GAP * usual[starts]), np.int64)


def bad_ranges(cube: Cube) -> list[tuple[float, float]]:
    """Return where bad bands lie, as pairs of wavelengths or, without these, of band numbers."""
    at = np.arange(cube.bands, dtype=np.float64) if cube.wavelengths is None else cube.wavelengths
    if cube.bands < 2:
        return []
    middles = (at[1:] + at[:-1]) / 2
    edges = np.concatenate([[2 * at[0] - middles[0]], middles, [2 * at[-1] - middles[-1]]])
    turns = np.flatnonzero(np.diff(np.concatenate([[False], ~cube.good, [False]]).astype(int)))
    return [(float(edges[start]), float(edges[end])) for start, end in zip(turns[::2], turns[1::2], strict=True)]
