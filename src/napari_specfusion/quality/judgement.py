"""Quality of a fused cube without a reference: what the cube and the guide that it was made of say about it."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.io import as_cube
from napari_specfusion.progress import Watch
from napari_specfusion.quality.blocks import pieces
from napari_specfusion.quality.distortion import GuideMatch, IndexSums, WindowMoments, d_lambda, d_s
from napari_specfusion.quality.formulas import Floats, spectral_angle
from napari_specfusion.quality.full_scale import FullScale, Piece
from napari_specfusion.quality.hypercomplex import HypercomplexSum, hypercomplex_sum, windows_of
from napari_specfusion.quality.levels import Levels
from napari_specfusion.quality.metrics import MEASURES, Quality
from napari_specfusion.quality.table import Measure, Row, format_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.progress import Progress, ShouldStop

__all__ = ["JUDGEMENTS", "STOPPED", "Judgement", "format_judgements", "judge_pair"]

STOPPED = "The judgement was stopped."
# share of a window's pixels that must be there
LEAST_SHARE = 0.5

# those that order methods best come first
JUDGEMENTS = (
    Measure("cube_residual", "Cube error", "%", "lower", 2, "What of the cube's contrast the blurred result misses."),
    Measure("cube_angle", "Cube angle", "deg", "lower", 2, "Angle between the blurred result and the cube."),
    Measure("guide_residual", "Guide error", "%", "lower", 2, "What of the guide's contrast the result misses."),
    Measure("hqnr", "HQNR", "", "higher", 4, "Quality without a reference: the product of 1 - D_lambda K and 1 - D_s."),
    Measure("qnr", "QNR", "", "higher", 4, "Quality without a reference: the product of 1 - D_lambda and 1 - D_s."),
    Measure("d_lambda_k", "D_lambda K", "", "lower", 4, "How far the result, blurred like the cube, is from the cube."),
    Measure("d_lambda", "D_lambda", "", "lower", 4, "How much the bands go together otherwise than in the cube."),
    Measure("d_s", "D_s", "", "lower", 4, "How much the bands follow the guide otherwise than in the cube."),
    Measure("negative", "Negative", "%", "lower", 2, "Values below 0."),
    Measure("outside", "Out of range", "%", "lower", 2, "Values that no pixel of the cube reaches in their band."),
    Measure("excess", "Overshoot", "%", "lower", 2, "How far these are out, as a share of the band's range."),
)
REDUCED = tuple(
    m._replace(key=f"reduced_{m.key}", label=f"Trial {m.label}", tip=f"One scale down, against the cube. {m.tip}")
    for m in MEASURES[:3]
)


@dataclass(frozen=True, eq=False)
class Judgement:
    """The result of `judge`.

    Attributes
    ----------
    hqnr, qnr
        ``(1 - d_lambda_k) (1 - d_s)`` and ``(1 - d_lambda) (1 - d_s)``, 1 at best.
    d_lambda_k, d_lambda, d_s
        Distortions, 0 at best; NaN where no window fits.
    cube_residual
        Root mean square difference of the degraded result and the cube, in % of the cube's standard deviation.
    cube_angle
        Spectral angle between the two in degrees, mean over the pixels.
    guide_residual
        The same as `cube_residual` for the guide and what the result predicts of it through the response.
    guide_floor
        That of the cube itself and the degraded guide, in %: the response explains no more.
    negative, cube_negative
        Values below 0 in the result and in the cube, in %.
    outside
        Values of the result beyond the smallest or the largest value of their band in the cube, in %.
    excess
        How far those lie beyond, in % of the band's range, mean over them; 0 without any.
    bands
        ``"d_s"``, ``"cube_residual"``, ``"negative"``, ``"outside"`` and ``"excess"`` band by band, each ``(bands,)``;
        NaN for a band that was left out.
    wavelengths, spectral_unit
        Band centres ``(bands,)``, or None, and their unit.
    coverage
        Share of the result's values that are there.
    reduced
        Quality of the same method on the pair one scale down, where the cube is the reference; None if not tried.
    note
        Why it was not tried, in words.
    """

    hqnr: float
    qnr: float
    d_lambda_k: float
    d_lambda: float
    d_s: float
    cube_residual: float
    cube_angle: float
    guide_residual: float
    guide_floor: float
    negative: float
    cube_negative: float
    outside: float
    excess: float
    bands: Mapping[str, Floats] = field(repr=False)
    wavelengths: Floats | None = field(repr=False)
    spectral_unit: str
    coverage: float
    reduced: Quality | None = field(default=None, repr=False)
    note: str = ""

    @property
    def reduced_psnr(self) -> float:
        """PSNR one scale down in dB; NaN if not tried."""
        return math.nan if self.reduced is None else self.reduced.psnr

    @property
    def reduced_sam(self) -> float:
        """Spectral angle one scale down in degrees; NaN if not tried."""
        return math.nan if self.reduced is None else self.reduced.sam

    @property
    def reduced_ergas(self) -> float:
        """ERGAS one scale down; NaN if not tried."""
        return math.nan if self.reduced is None else self.reduced.ergas

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that it has."""
        return JUDGEMENTS if self.reduced is None else REDUCED + JUDGEMENTS

    def table(self) -> list[Row]:
        """Return name, value, unit and better direction of every measure."""
        return [Row(m.label, float(getattr(self, m.key)), m.unit, m.better) for m in self.measures]


def judge_pair(
    scene: Scene | CalibratedScene,
    result: CubeLike,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Judgement:
    """Judge a fused cube by the two images that it was made of; see `judge`, which adds a trial one scale down."""
    calibrated = CalibratedScene.of(scene)
    watch = Watch(progress, should_stop, STOPPED)
    with calibrated.watched(watch):
        whole = FullScale(calibrated, as_cube(result))
        levels = Levels.of(whole, watch)

        def measure(piece: Piece) -> _Sums:
            return _sums(piece, levels, whole, watch)

        sums = reduce(operator.add, pieces(whole.grid, lambda box: measure(whole.piece(box)), watch, "Judging"))
        return _judgement(sums, levels, whole)


def format_judgements(rows: Mapping[str, Judgement]) -> str:
    """Return several judgements as plain text, one line for a measure; a star marks the best."""
    measures = (REDUCED if any(one.reduced is not None for one in rows.values()) else ()) + JUDGEMENTS
    return format_rows(rows, measures, across=True)


# --- sums over pieces ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over a piece; pieces add up. Per band where it is not said otherwise."""

    index: IndexSums
    likeness: float
    likeness_weight: int
    cube_error: Floats
    cube_count: NDArray[np.int64]
    angle: float
    angles: int
    guide_error: Floats
    guide_count: int
    floor_error: Floats
    floor_count: int
    count: NDArray[np.int64]
    negative: NDArray[np.int64]
    outside: NDArray[np.int64]
    excess: Floats

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def _sums(piece: Piece, levels: Levels, whole: FullScale, watch: Watch) -> _Sums:
    watch.check()
    likeness = hypercomplex_sum(piece.cube, piece.seen, whole.window)
    watch.check()
    error = piece.seen - piece.cube
    angles = spectral_angle(*(np.where(np.isnan(error), 0, v) for v in (piece.cube, piece.seen)))
    angles[np.isnan(error).any(axis=0)] = np.nan
    beyond = levels.beyond(piece.result)
    known = np.isfinite(piece.result)
    guide, floor = (_whole_spectra(e) for e in (piece.error, piece.floor))
    return _Sums(
        index=_index_sums(piece, levels.match, whole, watch),
        likeness=likeness.total,
        likeness_weight=likeness.weight,
        cube_error=np.nansum(error * error, axis=(1, 2)),
        cube_count=np.isfinite(error).sum(axis=(1, 2)),
        angle=float(np.nansum(angles)),
        angles=int(np.isfinite(angles).sum()),
        guide_error=np.nansum(guide * guide, axis=(1, 2)),
        guide_count=int(np.isfinite(guide[0]).sum()),
        floor_error=np.nansum(floor * floor, axis=(1, 2)),
        floor_count=int(np.isfinite(floor[0]).sum()),
        count=known.sum(axis=(1, 2)),
        negative=(piece.result < 0).sum(axis=(1, 2)),
        outside=(beyond > 0).sum(axis=(1, 2)),
        excess=beyond.sum(axis=(1, 2)),
    )


def _whole_spectra(values: Floats) -> Floats:
    """Return values ``(K, y, x)`` with NaN in all bands where one is missing."""
    return np.asarray(np.where(np.isfinite(values).all(axis=0), values, np.nan))


def _index_sums(piece: Piece, match: GuideMatch, whole: FullScale, watch: Watch) -> IndexSums:
    """Return the sums of Q over the windows of a piece that have half of their pixels at both resolutions."""
    sums = IndexSums.none(len(piece.cube), len(piece.guide))
    grids = (piece.cube, piece.coarse_guide), (piece.result, piece.guide)
    known = [np.asarray(np.isfinite(np.concatenate(both)).all(axis=0)) for both in grids]
    least = [LEAST_SHARE * side**2 for side in (whole.window, float(whole.window * whole.ratio))]
    for rows, columns in windows_of(piece.box.shape[0], piece.box.shape[1], whole.window):
        watch.check()
        sharp = tuple(slice(math.ceil(p.start * whole.ratio), math.ceil(p.stop * whole.ratio)) for p in (rows, columns))
        inside = [mask[part] for mask, part in zip(known, ((rows, columns), sharp), strict=True)]
        if any(mask.sum() < few for mask, few in zip(inside, least, strict=True)):
            continue
        moments = [
            WindowMoments.of(image[:, *part][:, mask], guide[:, *part][:, mask])
            for (image, guide), part, mask in zip(grids, ((rows, columns), sharp), inside, strict=True)
        ]
        sums += IndexSums.of(moments[0], moments[1], match)
    return sums


def _judgement(sums: _Sums, levels: Levels, whole: FullScale) -> Judgement:
    spatial = d_s(sums.index)
    spectral, distance = d_lambda(sums.index), float(spatial.mean())
    likeness = HypercomplexSum(sums.likeness, sums.likeness_weight).mean
    with np.errstate(divide="ignore", invalid="ignore"):
        cube_error = 100 * np.sqrt(sums.cube_error / sums.cube_count / levels.cube_variance)
        share = {"negative": 100 * sums.negative / sums.count, "outside": 100 * sums.outside / sums.count}
        excess = np.where(sums.outside > 0, 100 * sums.excess / sums.outside, 0.0)
    total, outside = int(sums.count.sum()), int(sums.outside.sum())
    cube = whole.scene.hsi
    bands = {"d_s": spatial, "cube_residual": cube_error, **share, "excess": excess}
    return Judgement(
        hqnr=likeness * (1 - distance),
        qnr=(1 - spectral) * (1 - distance),
        d_lambda_k=1 - likeness,
        d_lambda=spectral,
        d_s=distance,
        cube_residual=_residual(sums.cube_error, sums.cube_count, levels.cube_variance),
        cube_angle=sums.angle / sums.angles if sums.angles else math.nan,
        guide_residual=_residual(sums.guide_error, sums.guide_count, levels.guide_variance),
        guide_floor=_residual(sums.floor_error, sums.floor_count, levels.coarse_guide_variance),
        negative=100 * int(sums.negative.sum()) / total if total else math.nan,
        cube_negative=levels.cube_negative,
        outside=100 * outside / total if total else math.nan,
        excess=100 * float(sums.excess.sum()) / outside if outside else 0.0,
        bands={key: _in_place(values, whole) for key, values in bands.items()},
        wavelengths=cube.wavelengths,
        spectral_unit=cube.spectral_unit,
        coverage=total / (len(whole.bands) * math.prod(whole.result.shape[1:])),
    )


def _residual(squared: Floats, count: NDArray[np.int64] | int, variance: Floats) -> float:
    """Return the root of the summed squared errors of all bands over their summed variances, in %."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = squared / count
    known = np.isfinite(error) & np.isfinite(variance)
    whole = float(variance[known].sum())
    return 100 * math.sqrt(float(error[known].sum()) / whole) if whole > 0 else math.nan


def _in_place(values: Floats, whole: FullScale) -> Floats:
    """Return values of the bands that were used at their places among all, NaN elsewhere."""
    found = np.full(whole.result.bands, np.nan)
    found[whole.bands] = values
    return found
