"""Looking at the values of a cube for no-data values that nobody declared, outliers, constant and saturated bands.

Everything is decided for each band by itself, in the stored numbers. A value counts as a no-data value only if it is
one that files use for that and lies apart from all others: real data may well reach down to -9999.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.data.survey import Marker, ValueSurvey
from napari_specfusion.data.values import stored_window
from napari_specfusion.progress import Watch

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["survey_values"]

# stored values that files use for "nothing measured", beside the lowest value of a signed type
MARKERS = (-999, -9999, -99999, -32767, -32768, -2147483648, 1e20, -1e20, 1e30, -1e30, 9.969209968386869e36)
# pixels of a large cube that are looked at, rows that are read at one place, and pixels that quantiles are taken from
SAMPLE_PIXELS, SAMPLE_ROWS, QUANTILE_PIXELS = 65_536, 8, 4096
# Least distance of a no-data value from the nearest other value, as a share of the range of the others; and where it
# was not seen in the sample, but must be left out if it turns up.
APART, APART_UNSEEN = 0.1, 1.0
# A value is implausible if it is so many times larger than the 99.9th percentile of the magnitudes, and so many times
# larger than the largest value below that limit. Real data do neither: 24 bits span 1.7e7, but without a gap.
IMPLAUSIBLE, GAP = 1e4, 100.0
# magnitudes this many times the median belong to no distribution that quantiles could be taken of
WILD = 1e6
# share of a band at its highest value from which it counts as saturated, and distinct values that it must have
SATURATED, DISTINCT = 0.01, 64


def survey_values(cube: Cube, *, whole: bool, watch: Watch | None = None) -> ValueSurvey:
    """Look at the values of a cube, in strips.

    Parameters
    ----------
    cube
        The cube.
    whole
        Whether to look at every value; otherwise at a sample of 65 536 pixels. A value that was not in the sample, but
        that would have been left out, is left out as well when it turns up.
    watch
        Can stop it.

    Raises
    ------
    Cancelled
        If `watch` stops it.
    """
    watch = watch or Watch()
    bands, height, width = cube.shape
    parts = _parts(cube, whole)
    pixels = width * sum(rows.stop - rows.start for rows in parts)
    stride = max(1, round((pixels / QUANTILE_PIXELS) ** 0.5))
    low, high = np.full(bands, np.nan), np.full(bands, np.nan)
    drawn = []
    for rows in parts:
        watch.check()
        stored = stored_window(cube, rows, slice(0, width))
        least, most = _extremes(cube, stored)
        low, high = np.fmin(low, least), np.fmax(high, most)
        drawn.append(stored[:, ::stride, ::stride].reshape(bands, -1).astype(np.float64))
        drawn[-1][_declared(cube, stored[:, ::stride, ::stride]).reshape(bands, -1)] = np.nan
    watch.check()
    known = _markers(cube.dtype)
    typical = _Typical.of(np.concatenate(drawn, axis=1), known, wide=cube.dtype.kind == "f" or cube.dtype.itemsize > 2)
    return _judge(cube, parts, pixels == height * width, known, typical, low, high, watch)


@dataclass(frozen=True, eq=False)
class _Typical:
    """A band's values without markers and wild ones: sorted ``(B, n)``, how many of each count, limits, percentiles."""

    values: NDArray[np.float64]
    count: NDArray[np.int64]
    limit: NDArray[np.float64]

    @classmethod
    def of(cls, drawn: NDArray[np.float64], known: NDArray[Any], wide: bool) -> _Typical:
        drawn[~np.isfinite(drawn) | np.isin(drawn, known.astype(np.float64))] = np.nan
        limit = np.full(len(drawn), np.inf)
        if wide:
            sizes = np.abs(drawn)
            sizes[sizes == 0] = np.nan
            middle = _at(np.sort(sizes, axis=1), np.isfinite(sizes).sum(axis=1), 0.5)
            with np.errstate(over="ignore"):
                drawn[np.abs(drawn) > WILD * np.nan_to_num(middle, nan=np.inf)[:, None]] = np.nan
        values = np.sort(drawn, axis=1)
        count = np.isfinite(values).sum(axis=1)
        found = cls(values, count, limit)
        if wide:
            size = np.fmax(np.fmax(np.abs(found.at(0.001)), np.abs(found.at(0.999))), middle)
            # a band with little in it is measured by the others
            size = np.fmax(size, np.nanmedian(size)) if np.isfinite(size).any() else size
            with np.errstate(over="ignore"):
                limit[:] = np.where(size > 0, IMPLAUSIBLE * size, np.inf)
        return found

    def at(self, share: float) -> NDArray[np.float64]:
        return _at(self.values, self.count, share)


def _at(values: NDArray[np.float64], count: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """Return a quantile ``(B,)`` of the first `count` of sorted values ``(B, n)``; NaN where there are none."""
    where = (share * (count - 1)).clip(0).astype(np.intp)
    return np.where(count > 0, np.take_along_axis(values, where[:, None], axis=1)[:, 0], np.nan)


def _judge(
    cube: Cube,
    parts: list[slice],
    whole: bool,
    known: NDArray[Any],
    typical: _Typical,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    watch: Watch,
) -> ValueSurvey:
    """Decide what the values of each band are, from their extremes and a sample; look again only where one is odd."""
    bands, pixels = cube.bands, cube.shape[2] * sum(rows.stop - rows.start for rows in parts)
    bottom, top, limit = typical.at(0.001), typical.at(0.999), typical.limit
    lacking = typical.count == 0
    values = known.astype(np.float64)[:, None]
    outside = (values >= low) & (values <= high) & ((values < bottom) | (values > top) | lacking)
    largest = np.fmax(np.abs(low), np.abs(high))
    odd = np.flatnonzero(outside.any(axis=0) | (largest > limit))
    counts, outliers = np.zeros((len(known), bands), np.int64), np.zeros(bands, np.int64)
    if odd.size:
        again = _Again.of(cube, parts, odd, known, limit[odd], watch)
        counts[:, odd], outliers[odd] = again.counts, again.outliers
        # real values beyond the limit come without a gap
        real = np.isfinite(again.beyond) & ~(again.beyond > GAP * again.within)
        outliers[odd[real]], limit[odd[real]] = 0, np.inf
        low[odd], high[odd] = again.low, again.high
        low[odd[real]], high[odd[real]] = again.low_all[real], again.high_all[real]
    left = np.isfinite(low)
    spread = np.where(top > bottom, top - bottom, high - low)
    gap = np.fmax(low - values, values - high)
    tail = np.where(values < low, typical.at(0.01) - low, high - typical.at(0.99))
    with np.errstate(invalid="ignore"):
        apart = (gap > 0) & (gap >= np.fmax(APART * spread, np.nan_to_num(tail)))
        seen = (counts > 0) & (apart | ~left)
        unseen = (counts == 0) & (gap > 0) & (gap >= APART_UNSEEN * spread) & left & (not whole)
    # a marker that is no marker is a value like others
    for number, value in enumerate(values[:, 0]):
        kept = (counts[number] > 0) & ~seen[number]
        low[kept], high[kept] = np.fmin(low[kept], value), np.fmax(high[kept], value)
    masks = seen | unseen
    if whole:
        limit = np.where(outliers > 0, limit, np.inf)
    else:
        limit = np.where(np.fmax(np.abs(low), np.abs(high)) <= limit, limit, np.inf)
    empty = ~np.isfinite(low)
    scale, offset = (np.broadcast_to(np.asarray(v, np.float64), (bands,)) for v in (cube.scale, cube.offset))
    constant = (low == high) & (typical.count > 1)
    share, end = _saturation(typical, high, constant), np.nan_to_num(high)
    if cube.dtype.kind == "i":
        # the lowest value of the type, if it is no marker
        floor = np.where(seen[0], 0, counts[0]) / pixels
        spikes = ~constant & (floor >= SATURATED)
        share[spikes], end[spikes] = floor[spikes], float(known[0])
    bottom, top = np.where(constant | lacking, low, bottom), np.where(constant | lacking, high, top)
    ends = np.stack([bottom * scale + offset, top * scale + offset])
    return ValueSurvey(
        whole,
        pixels,
        ends.min(axis=0),
        ends.max(axis=0),
        tuple(
            Marker(value, masks[number], np.where(seen[number], counts[number], 0))
            for number, value in enumerate(known)
            if masks[number].any()
        ),
        limit,
        outliers,
        np.nan_to_num(largest),
        empty,
        constant,
        share,
        end,
    )


@dataclass(frozen=True, eq=False)
class _Again:
    """A second look at b bands: markers and outliers counted, and the extremes without markers (and outliers)."""

    counts: NDArray[np.int64]
    outliers: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    low_all: NDArray[np.float64]
    high_all: NDArray[np.float64]
    within: NDArray[np.float64]
    beyond: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        cube: Cube,
        parts: list[slice],
        odd: NDArray[np.intp],
        known: NDArray[Any],
        limit: NDArray[np.float64],
        watch: Watch,
    ) -> _Again:
        few = cube.select(odd)
        count = len(odd)
        counts, outliers = np.zeros((len(known), count), np.int64), np.zeros(count, np.int64)
        low, high, low_all, high_all, beyond = (np.full(count, np.nan) for _ in range(5))
        for rows in parts:
            watch.check()
            stored = stored_window(few, rows, slice(0, cube.shape[2]))
            values = stored.astype(np.float64)
            values[_declared(few, stored)] = np.nan
            for place, value in enumerate(known):
                here = stored == value
                counts[place] += here.sum(axis=(1, 2))
                values[here] = np.nan
            low_all = np.fmin(low_all, np.fmin.reduce(values, axis=(1, 2)))
            high_all = np.fmax(high_all, np.fmax.reduce(values, axis=(1, 2)))
            far = np.abs(values) > limit[:, None, None]
            if far.any():
                outliers += far.sum(axis=(1, 2))
                beyond = np.fmin(beyond, np.fmin.reduce(np.where(far, np.abs(values), np.nan), axis=(1, 2)))
                values[far] = np.nan
            low = np.fmin(low, np.fmin.reduce(values, axis=(1, 2)))
            high = np.fmax(high, np.fmax.reduce(values, axis=(1, 2)))
        within = np.fmax(np.abs(low), np.abs(high))
        return cls(counts, outliers, low, high, low_all, high_all, within, beyond)


def _saturation(typical: _Typical, high: NDArray[np.float64], constant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share ``(B,)`` of values at a band's highest one, where that many are unusual."""
    found = np.zeros(len(high))
    for band in np.flatnonzero(~constant & (typical.count > 1)):
        values = typical.values[band, : typical.count[band]]
        # this sample holds the highest value, unless it is rare
        share = float(np.mean(values == high[band]))
        if share < SATURATED:
            continue
        near = values[(values >= high[band] - 0.1 * (high[band] - values[0])) & (values < high[band])]
        if len(near) < 0.5 * share * len(values) and len(np.unique(values)) >= DISTINCT:
            found[band] = share
    return found


def _parts(cube: Cube, whole: bool) -> list[slice]:
    """Return the rows to look at."""
    bands, height, width = cube.shape
    if not whole:
        count = max(2, SAMPLE_PIXELS // (width * SAMPLE_ROWS))
        if count * SAMPLE_ROWS < height:
            starts = np.linspace(0, height - SAMPLE_ROWS, count).astype(int)
            return [slice(int(start), int(start) + SAMPLE_ROWS) for start in starts]
    if cube.source is None and whole:
        # in one computation, so that a chunk shared by several strips is not computed twice
        return [slice(0, height)]
    step = max(SAMPLE_ROWS, memory.STRIP // (8 * bands * width))
    return [slice(start, min(start + step, height)) for start in range(0, height, step)]


def _declared(cube: Cube, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where stored values are missing as far as the cube says."""
    missing = np.zeros(stored.shape, np.bool_) if stored.dtype.kind != "f" else ~np.isfinite(stored)
    if cube.nodata is not None and np.isfinite(cube.nodata):
        missing |= stored == (stored.dtype.type(cube.nodata) if stored.dtype.kind == "f" else cube.nodata)
    return missing


def _extremes(cube: Cube, stored: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the largest value ``(B,)`` of each band, NaN where there is none."""
    if stored.dtype.kind == "b":
        stored = stored.astype(np.uint8)
    plain = cube.nodata is None or not np.isfinite(cube.nodata)
    if plain and stored.dtype.kind != "f":
        return stored.min(axis=(1, 2)).astype(np.float64), stored.max(axis=(1, 2)).astype(np.float64)
    if plain:
        least, most = np.fmin.reduce(stored, axis=(1, 2)), np.fmax.reduce(stored, axis=(1, 2))
        if not (np.isinf(least).any() or np.isinf(most).any()):
            return least.astype(np.float64), most.astype(np.float64)
    values = np.where(_declared(cube, stored), np.nan, stored)
    return np.fmin.reduce(values, axis=(1, 2)).astype(np.float64), np.fmax.reduce(values, axis=(1, 2)).astype(
        np.float64
    )


def _markers(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the no-data values that a type can hold and that files use."""
    if dtype.kind == "f":
        ends = np.finfo(dtype)
        with np.errstate(over="ignore"):
            values = np.array([*MARKERS, ends.min, ends.max]).astype(dtype)
        return np.unique(values[np.isfinite(values)])
    if dtype.kind != "i":
        return np.zeros(0, dtype)
    bounds = np.iinfo(dtype)
    whole = [int(value) for value in MARKERS if abs(value) < 1e10]
    return np.array(sorted({bounds.min, *(v for v in whole if v >= bounds.min)}), dtype)
