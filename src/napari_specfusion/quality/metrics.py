"""Quality of a fused cube: the usual metrics, summed block by block, and maps of the errors.

Each metric is a formula over a few sums, which add up over blocks. Only a few blocks are in memory at a time, and the
result does not depend on how the image is cut: the windows of SSIM and UIQI are read across block borders, and each is
counted once.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask.array as da
import numpy as np
from scipy import ndimage

from napari_specfusion.arguments import flag, number, whole
from napari_specfusion.errors import SceneError
from napari_specfusion.progress import Watch
from napari_specfusion.quality.blocks import ImagePair, blockwise, cuts, pair_of, peak_of, side_of
from napari_specfusion.quality.formulas import (
    Floats,
    correlation,
    error_maps,
    gaussian_taps,
    high_pass,
    psnr,
    relative_error,
    similarity,
    spectral_angle,
    windowed,
)
from napari_specfusion.quality.hypercomplex import HypercomplexSum, hypercomplex_sum
from napari_specfusion.quality.table import Measure, Row, format_rows
from napari_specfusion.tiling.tiles import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.progress import Progress, ShouldStop

__all__ = ["MEASURES", "Quality", "evaluate", "format_table", "quality_maps"]

STOPPED = "The comparison was stopped."


MEASURES = (
    Measure("psnr", "PSNR", "dB", "higher", 2, "Error relative to the largest value."),
    Measure("sam", "SAM", "deg", "lower", 2, "Angle between the spectra: shape, without brightness."),
    Measure("ergas", "ERGAS", "", "lower", 2, "Error relative to the mean of each band."),
    Measure("rmse", "RMSE", "", "lower", 5, "Error in the cube's own units."),
    Measure("ssim", "SSIM", "", "higher", 4, "Similarity of structure, band by band."),
    Measure("uiqi", "UIQI", "", "higher", 4, "Similarity of structure, band by band, without constants."),
    Measure("q2n", "Q2n", "", "higher", 4, "Similarity of all bands together."),
    Measure("scc", "SCC", "", "higher", 4, "Correlation of the finest detail."),
)


@dataclass(frozen=True, eq=False)
class Quality:
    """The result of `evaluate`.

    Attributes
    ----------
    psnr
        Peak signal-to-noise ratio in dB, mean over the bands; infinite if the images are equal.
    sam
        Spectral angle in degrees, mean over the pixels.
    ergas
        Relative dimensionless global error, 0 for no error.
    rmse
        Root mean square error over all values, in the cube's own units.
    ssim, uiqi
        Structural similarity and universal quality index, mean over the bands, 1 for no error.
        NaN where no window of 11 x 11 pixels fits.
    q2n
        Hypercomplex quality index of all bands together, mean over windows of 32 x 32 pixels, 1 for no error.
    scc
        Correlation of the fine detail, mean over the bands, 1 for no error.
    bands
        ``"psnr"``, ``"ergas"``, ``"rmse"``, ``"ssim"``, ``"uiqi"`` and ``"scc"`` band by band, each ``(bands,)``; NaN
        for a band that was left out. The overall ERGAS is the quadratic mean of ``"ergas"``.
    wavelengths
        Band centres ``(bands,)`` in `spectral_unit`, or None.
    spectral_unit
        ``"nm"`` or ``"cm-1"``.
    ratio
        High-resolution pixels per low-resolution pixel, as used for ERGAS.
    data_range
        The peak value for PSNR and SSIM, and the upper limit of the clipping.
    coverage
        Share of the values that were compared; the rest were missing.
    """

    psnr: float
    sam: float
    ergas: float
    rmse: float
    ssim: float
    uiqi: float
    q2n: float
    scc: float
    bands: Mapping[str, Floats] = field(repr=False)
    wavelengths: Floats | None = field(repr=False)
    spectral_unit: str
    ratio: float
    data_range: float
    coverage: float

    def table(self) -> list[Row]:
        """Return name, value, unit and better direction of every overall metric."""
        return [Row(m.label, float(getattr(self, m.key)), m.unit, m.better) for m in MEASURES]


def evaluate(
    reference: CubeLike,
    estimate: CubeLike,
    ratio: float | Fraction,
    *,
    data_range: float | None = None,
    clip: bool = True,
    border: int = 0,
    block: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Quality:
    """Compare a cube with its reference, block by block.

    PSNR, SAM and ERGAS follow the CAVE benchmarks: the estimate is clipped to ``[0, data_range]``; PSNR is computed
    band by band and averaged; SAM is averaged over the pixels whose norms' product exceeds 1e-8; ERGAS is ``100 / ratio
    * sqrt(mean over bands of MSE / mean^2)`` (Wald 2000). SSIM (Wang et al. 2004) and UIQI (Wang and Bovik 2002) use a
    Gaussian window of 11 x 11 pixels, sigma 1.5, at every position where it fits into the image. Q2n (Garzelli and
    Nencini 2009) takes windows of 32 x 32 pixels side by side, see `quality.hypercomplex`; those at the edge may be
    smaller and count less. SCC is the correlation of the two images under the Laplacian of Zhou, Civco and Silander (A
    wavelet transform method to merge Landsat TM and SPOT panchromatic data, Int. J. Remote Sensing 19(4), 1998), over
    the whole of each band.

    Values missing (NaN or no-data) in either image are left out, with the windows that touch them, and so are bad
    bands.

    Parameters
    ----------
    reference, estimate
        ``(bands, y, x)``, physical values, as anything that `as_cube` takes; cubes and dask arrays are read lazily.
    ratio
        High-resolution pixels per low-resolution pixel; only ERGAS uses it.
    data_range
        Largest possible value. None takes 1 if nothing in the reference exceeds 1.5, else the reference's maximum.
    clip
        Whether the estimate is clipped to ``[0, data_range]`` first.
    border
        Pixels left out along each edge of the image.
    block
        Side of the blocks in pixels, rounded up to a multiple of 32; None chooses it from the number of bands. The
        result does not depend on it.
    progress
        Called with a `Progress` after each block.
    should_stop
        Called for each band of a block; true stops the comparison.

    Raises
    ------
    SceneError
        If the two differ in shape or have no valid value in common, or a parameter is out of range.
    Cancelled
        If `should_stop` returned true.
    """
    number("The ratio of high to low resolution", ratio, above=0.0, error=SceneError)
    border = whole("border", border, 0, error=SceneError)
    flag("clip", clip, SceneError)
    pair = pair_of(reference, estimate, border)
    watch = Watch(progress, should_stop, STOPPED)
    peak = peak_of(pair, data_range, block, watch)
    limit = peak if clip else None
    taps = gaussian_taps()

    def compute(box: Box, core: Box) -> _Sums:
        return _sums(*pair.read(box, limit), core, taps, peak, watch)

    sums = reduce(operator.add, blockwise(pair, block, compute, watch, "Comparing the two images"))
    if sums.count.sum() == 0:
        raise SceneError("The two images have no valid value in common; check their no-data values and their crop.")
    return _quality(sums, pair, float(ratio), peak)


def quality_maps(
    reference: CubeLike,
    estimate: CubeLike,
    *,
    data_range: float | None = None,
    clip: bool = True,
    block: int | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, da.Array]:
    """Return lazy maps of the estimate's errors.

    Parameters
    ----------
    reference, estimate, data_range, clip, block
        As in `evaluate`. With `clip` and no `data_range`, the reference is read once to find its maximum.
    should_stop
        Called for each block, here and when the maps are computed; true stops that with `Cancelled`.

    Returns
    -------
    dict
        ``"sam"``, degrees; ``"rmse"`` over the bands and ``"error"``, the mean over the bands of estimate minus
        reference, both in the cube's own units. Each is float32 ``(y, x)``; NaN where values are missing.

    Raises
    ------
    SceneError
        As `evaluate` does.
    """
    flag("clip", clip, SceneError)
    pair = pair_of(reference, estimate, 0)
    watch = Watch(None, should_stop, STOPPED)
    limit = peak_of(pair, data_range, block, watch) if clip else None

    def compute(block_info: dict[Any, Any]) -> NDArray[np.float32]:
        watch.check()
        (_, (y0, y1), (x0, x1)) = block_info[None]["array-location"]
        truth, guess = pair.read(Box(y0, y1, x0, x1), limit)
        return error_maps(truth, guess).astype(np.float32)

    side = side_of(pair, block)
    rows, columns = (cuts(n, side) for n in pair.shape)
    name = f"quality-maps-{uuid4().hex}"
    maps = da.map_blocks(
        compute, name=name, chunks=((3,), rows, columns), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
    )
    return {"sam": maps[0], "rmse": maps[1], "error": maps[2]}


def format_table(rows: Mapping[str, Quality]) -> str:
    """Return the quality of several methods side by side as plain text; a star marks the best of each column."""
    return format_rows(rows, MEASURES)


# --- sums over blocks --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over a block for the formulas, per band ``(bands,)`` except the last four; blocks add up."""

    count: NDArray[np.int64]
    squared_error: Floats
    truth: Floats
    windows: NDArray[np.int64]
    ssim: Floats
    uiqi: Floats
    details: NDArray[np.int64]
    detail: Floats
    angle: float
    angles: int
    hypercomplex: float
    hypercomplex_weight: int

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def _sums(truth: Floats, guess: Floats, core: Box, taps: Floats, peak: float, watch: Watch) -> _Sums:
    """Return the sums of a block, read with a margin around its `core` for the windows."""
    missing = np.isnan(truth)
    inside = (slice(None), *core.slices)
    hypercomplex = hypercomplex_sum(truth[inside], guess[inside])
    truth, guess = np.where(missing, 0, truth), np.where(missing, 0, guess)
    windows, ssim, uiqi = np.zeros(len(truth), np.int64), np.zeros(len(truth)), np.zeros(len(truth))
    if min(truth.shape[1:]) >= taps.size:
        for i, gaps in enumerate(missing):
            watch.check()
            if gaps.all():
                continue
            maps = similarity(truth[i], guess[i], taps, peak)
            whole = windowed(gaps.astype(np.float64), np.ones_like(taps)) < 0.5
            windows[i], ssim[i], uiqi[i] = whole.sum(), *(np.sum(m, where=whole) for m in maps)
    details, detail = _details(truth, guess, missing, core)
    truth, guess, present = truth[inside], guess[inside], ~missing[inside]
    angles = spectral_angle(truth, guess)
    return _Sums(
        count=present.sum(axis=(1, 2)),
        squared_error=np.sum((guess - truth) ** 2, axis=(1, 2)),
        truth=truth.sum(axis=(1, 2)),
        windows=windows,
        ssim=ssim,
        uiqi=uiqi,
        details=details,
        detail=detail,
        angle=float(np.nansum(angles)),
        angles=int(np.sum(~np.isnan(angles))),
        hypercomplex=hypercomplex.total,
        hypercomplex_weight=hypercomplex.weight,
    )


def _details(truth: Floats, guess: Floats, missing: NDArray[np.bool_], core: Box) -> tuple[NDArray[np.int64], Floats]:
    """Return number ``(bands,)`` and sums ``(5, bands)`` of the detail of both images, as `correlation` takes them.

    Pixels of the `core` count that have all their neighbours.
    """
    counts, sums = np.zeros(len(truth), np.int64), np.zeros((5, len(truth)))
    # the pixels of the core and one more around it, as far as the block goes
    near = core.grow(1).clip(truth[0].shape)
    if min(near.shape) < 3:
        return counts, sums
    for band, gaps in enumerate(missing):
        if gaps.all():
            continue
        whole = ~ndimage.maximum_filter(gaps[near.slices], 3)[1:-1, 1:-1]
        x, y = (high_pass(image[band][near.slices])[whole] for image in (truth, guess))
        counts[band] = len(x)
        sums[:, band] = x.sum(), y.sum(), x @ x, y @ y, x @ y
    return counts, sums


def _quality(sums: _Sums, pair: ImagePair, ratio: float, peak: float) -> Quality:
    with np.errstate(invalid="ignore"):
        mse, mean = sums.squared_error / sums.count, sums.truth / sums.count
        bands = {
            "psnr": psnr(mse, peak),
            "ergas": relative_error(mse, mean, ratio),
            "rmse": np.sqrt(mse),
            "ssim": sums.ssim / sums.windows,
            "uiqi": sums.uiqi / sums.windows,
            "scc": correlation(sums.details.astype(np.float64), sums.detail),
        }
    return Quality(
        psnr=_mean(bands["psnr"]),
        sam=sums.angle / sums.angles if sums.angles else math.nan,
        ergas=math.sqrt(_mean(bands["ergas"] ** 2)),
        rmse=math.sqrt(sums.squared_error.sum() / sums.count.sum()),
        ssim=_mean(bands["ssim"]),
        uiqi=_mean(bands["uiqi"]),
        q2n=HypercomplexSum(sums.hypercomplex, sums.hypercomplex_weight).mean,
        scc=_mean(bands["scc"]),
        bands=bands,
        wavelengths=pair.described.wavelengths,
        spectral_unit=pair.described.spectral_unit,
        ratio=ratio,
        data_range=peak,
        coverage=float(sums.count.sum() / (len(pair.good) * math.prod(pair.shape))),
    )


def _mean(values: Floats) -> float:
    """Mean over the bands that were compared."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
