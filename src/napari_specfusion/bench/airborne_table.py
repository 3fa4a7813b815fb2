"""The table of `bench airborne`: means for each sensor and over all, every scene, and quality against time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from statistics import fmean
from typing import TYPE_CHECKING

from napari_specfusion.bench.cube_list import LEAST_CORRELATION, LEAST_MEAN, PERCENTILE
from napari_specfusion.bench.picture import TIMES, draw, draw_times, points_of
from napari_specfusion.bench.report import (
    COLUMNS,
    Column,
    Score,
    by_method,
    grid,
    grouped,
    mean,
    rows_of,
    save_report,
    scene_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_specfusion.bench.cube_list import SharpCube
    from napari_specfusion.bench.picture import Panel
    from napari_specfusion.bench.report import Run

__all__ = ["AirborneScore", "markdown", "save_table", "section"]

# what scores are grouped by
SENSOR, PART = attrgetter("sensor"), attrgetter("part")
# gains are over BASE in the table, over PLAIN in the picture
BASE, PLAIN = "subspace", "bicubic"
MEANS = tuple(column for column in COLUMNS if column.key in ("psnr", "sam", "ergas"))
SHOWN = (
    *MEANS,
    Column("gain", f"gain over {BASE} [dB]", "{:+.2f}".format),
    Column("least", "least gain [dB]", "{:+.2f}".format),
    Column("seconds", "time [s]", "{:.2f}".format),
)
NOTES = (
    "In *all*, each sensor counts the same, however many scenes it has; the least gain is that of a scene.",
    "Means are shown where a method ran on every scene. The gain is that in PSNR, on the scenes it ran on.",
    "All methods are blind: they get only the pair, and the time includes calibration.",
    f"Each cube is scaled so that the {PERCENTILE:g}th percentile of its values is 1, the peak of the PSNR. Results "
    "are not clipped.",
    "The PSF is a Gaussian with a standard deviation of half a cube pixel, in the middle of its cell. At the border it "
    "counts only pixels inside the image.",
    f"A band is left out as noise if it correlates by less than {LEAST_CORRELATION:g} with both bands beside it, and "
    f"as dark if its mean is below {LEAST_MEAN:g}. The sensor's noise in the others is part of the reference, and no "
    "method can restore it.",
    "Wavelengths that the list of cubes spreads evenly are near the true ones at best; only the guide depends on them.",
    r"\* The training data of the weights name this sensor.",
)


@dataclass(frozen=True)
class AirborneScore(Score):
    """One method on one scene of one sensor.

    Attributes
    ----------
    sensor
        What recorded the sharp cube.
    guide
        Response of the guide.
    noise
        Noise added to cube and guide, SNR in dB; empty for none.
    trained_on_sensor
        Whether the weights were trained on this sensor, as their card says.
    """

    sensor: str = ""
    guide: str = ""
    noise: str = ""
    trained_on_sensor: bool = False

    @property
    def part(self) -> str:
        """The part of the report that it belongs to."""
        return f"x{self.ratio}, guide {self.guide}, " + (f"noise {self.noise} dB" if self.noise else "no noise")


def section(scores: Sequence[AirborneScore]) -> str:
    """Return the means for each method over all sensors and for each one, of one part, as a Markdown table."""
    base = {score.scene: score.psnr for score in scores if score.method == BASE and score.psnr is not None}
    groups = {"all": list(scores)} | grouped(scores, SENSOR)
    rows = []
    for sensor, found in groups.items() if len(groups) > 2 else list(groups.items())[1:]:
        count = len({score.scene for score in found})
        means = {_starred(label, own): _means(own, found, base) for label, own in by_method(found).items()}
        rows += [[f"{sensor} ({count})", *row] for row in rows_of(means, SHOWN)]
    return grid(["sensor (scenes)", "method", *(column.title for column in SHOWN)], rows, left=2)


def markdown(scores: Sequence[AirborneScore], run: Run, cubes: Sequence[SharpCube], left_out: Sequence[str]) -> str:
    """Return the whole report: the means, the cubes, every scene, and notes."""
    sensors = dict.fromkeys(cube.sensor for cube in cubes)
    parts = [
        "# Benchmark on airborne and satellite cubes",
        f"{len(cubes)} scenes of {len(sensors)} sensors ({', '.join(sensors)}), blind. {run}.",
    ]
    for title, found in grouped(scores, PART).items():
        parts += [f"## {title}", section(found)]
    parts += ["## Scene by scene", "PSNR [dB] / SAM [deg] / ERGAS / SSIM"]
    for title, found in grouped(scores, PART).items():
        parts += [f"### {title}", scene_table(found)]
    parts += ["## Cubes", _cube_table(cubes)]
    failures = [f"- {s.part}, {s.scene}, {s.label}: {s.failure}" for s in scores if s.failure]
    if failures:
        parts += ["## Failures", "\n".join(failures)]
    if left_out:
        parts += ["## Left out", "\n".join(f"- {line}" for line in left_out)]
    parts += ["## Notes", "\n".join(f"- {note}" for note in NOTES)]
    return "\n\n".join(parts) + "\n"


def save_table(
    folder: Path, scores: Sequence[AirborneScore], run: Run, cubes: Sequence[SharpCube], left_out: Sequence[str]
) -> list[Path]:
    """Write the report, the CSV file and, if matplotlib is installed, the picture; return the paths.

    Raises
    ------
    OutputError
        If a file cannot be written; an older one is then left unchanged.
    """
    return save_report(folder, markdown(scores, run, cubes, left_out), scores, run, _picture(scores))


# --- parts -----------------------------------------------------------------------


def _means(
    own: Sequence[AirborneScore], everyone: Sequence[AirborneScore], base: Mapping[str, float]
) -> dict[str, float | None]:
    """Return the means of a method, in which each sensor counts the same; None where it did not run on every scene."""
    sensors = grouped(own, SENSOR)
    complete = {score.scene for score in own} == {score.scene for score in everyone}
    values: dict[str, float | None] = {
        column.key: mean(mean(getattr(s, column.key) for s in found) for found in sensors.values())
        if complete
        else None
        for column in SHOWN
        if hasattr(own[0], column.key)
    }
    gains = [
        [score.psnr - base[score.scene] for score in found if score.psnr is not None and score.scene in base]
        for found in sensors.values()
        if own[0].method != BASE
    ]
    known = [found for found in gains if found]
    values["gain"] = fmean(map(fmean, known)) if known else None
    values["least"] = min(map(min, known)) if known else None
    return values


def _starred(label: str, own: Iterable[AirborneScore]) -> str:
    return label + (r" \*" if any(score.trained_on_sensor for score in own) else "")


def _cube_table(cubes: Iterable[SharpCube]) -> str:
    rows = []
    for sharp in cubes:
        _, height, width = sharp.cube.shape
        centres = sharp.cube.wavelengths
        span = "-" if centres is None else f"{centres[0]:.0f}-{centres[-1]:.0f}" + (" assumed" * sharp.assumed)
        dropped = "; ".join(f"{reason}: {_ranges(bands)}" for reason, bands in sharp.dropped.items())
        rows.append(
            [sharp.name, sharp.sensor, f"{height} x {width}", f"{sharp.cube.bands} of {sharp.stored}", span, dropped]
        )
    return grid(["scene", "sensor", "pixels", "bands used", "wavelengths [nm]", "bands left out, from 0"], rows, left=2)


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers in words: 0, 3-7."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _picture(scores: Sequence[AirborneScore]) -> bytes | None:
    """Draw quality against time, a row for each ratio and noise, a column for each guide."""
    parts = grouped(scores, PART)
    guides = dict.fromkeys(score.guide for score in scores)
    rows = dict.fromkeys((score.ratio, score.noise) for score in scores)
    found = {(part[0].ratio, part[0].noise, part[0].guide): _panel(part) for part in parts.values()}
    panels = [[found.get((ratio, noise, guide)) for guide in guides] for ratio, noise in rows]
    return draw(panels, [TIMES] * len(rows))


def _panel(scores: Sequence[AirborneScore]) -> Panel:
    """Return what draws one part: the mean gain over the enlarged cube, or the mean PSNR where that did not run."""
    base = {score.scene: score.psnr for score in scores if score.method == PLAIN and score.psnr is not None}

    def quality(own: Sequence[AirborneScore]) -> float | None:
        over = base if base else dict.fromkeys((score.scene for score in own), 0.0)
        return mean(
            mean(None if s.psnr is None else s.psnr - over.get(s.scene, 0.0) for s in found)
            for found in grouped(own, SENSOR).values()
        )

    said = f"mean gain over {PLAIN} [dB]" if base else "mean PSNR [dB]"
    return partial(draw_times, points=points_of(scores, quality), title=scores[0].part, quality=said)
