"""Pictures of a benchmark: the PSNR of every scene, and quality against time."""

from __future__ import annotations

import io
import math
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_specfusion.bench.report import by_method

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_specfusion.bench.report import Score, ScoreT

    Panel = Callable[[Any], None] | None
    """Draws on the axes it is given; None for an empty place."""

__all__ = ["TIMES", "Point", "draw", "draw_scenes", "draw_times", "height_of", "points_of"]

FREE, TRAINED, KNOWN = "tab:blue", "tab:orange", "0.5"
WIDTH, LINE, FRAME = 4.0, 0.32, 1.2
TIMES = 3.2
"""Height in inches of a panel of `draw_times`."""

# shares of a panel of quality against time: the part with points; where labels may stand on the left; a label's height,
# and its distance from the point
POINTS, LEFT, LABEL, GAP = 0.6, 0.4, 0.085, 0.035


class Point(NamedTuple):
    """A method in a picture of quality against time.

    Attributes
    ----------
    label
        The method.
    seconds
        Median time for a scene.
    quality
        Its mean.
    trained
        Whether it has weights.
    """

    label: str
    seconds: float
    quality: float
    trained: bool


def draw(panels: Sequence[Sequence[Panel]], heights: Sequence[float]) -> bytes | None:
    """Draw panels in rows and columns, as a PNG; None without matplotlib.

    Parameters
    ----------
    panels
        What draws each panel on its axes; None leaves a place empty.
    heights
        Height of each row in inches.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    columns = max(map(len, panels))
    figure = Figure(figsize=(1.5 + WIDTH * columns, sum(heights)), layout="constrained")
    places: Any = figure.subplots(len(panels), columns, squeeze=False, height_ratios=heights)
    for row, line in zip(places, panels, strict=True):
        for axes, panel in zip(row, line, strict=True):
            if panel is None:
                axes.set_axis_off()
            else:
                panel(axes)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def height_of(lines: int) -> float:
    """Return the height in inches of a panel of `draw_scenes` with so many lines."""
    return FRAME + LINE * lines


def draw_scenes(axes: Any, scores: Sequence[Score], title: str, published: Mapping[str, float]) -> None:
    """Draw a line for each method: the PSNR of every scene and its mean; then published figures."""
    methods = by_method(scores)
    for place, found in enumerate(methods.values()):
        values = [score.psnr for score in found if score.psnr is not None and math.isfinite(score.psnr)]
        colour = FREE if found[0].made_for is None else TRAINED
        axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.3, markersize=4)
        if values:
            axes.plot([fmean(values)], [place], "|", color=colour, markersize=16, markeredgewidth=3)
    names = list(methods)
    for name, psnr in published.items():
        axes.plot([psnr], [len(names)], "|", color=KNOWN, markersize=16, markeredgewidth=3)
        names.append(f"{name}, published")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(labelsize=8)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("PSNR [dB]: scenes, mean", fontsize=9)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def points_of(scores: Sequence[ScoreT], quality: Callable[[Sequence[ScoreT]], float | None]) -> list[Point]:
    """Return a point for each method that has a quality, a function of its scores."""
    points = []
    for label, found in by_method(scores).items():
        times = [score.seconds for score in found if score.seconds]
        value = quality(found)
        if times and value is not None and math.isfinite(value):
            points.append(Point(label, median(times), value, found[0].made_for is not None))
    return points


def draw_times(axes: Any, points: Sequence[Point], title: str, quality: str) -> None:
    """Draw quality against the time for a scene, a labelled point for each method."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("median time for a scene [s]", fontsize=9)
    axes.set_ylabel(quality, fontsize=9)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    if not points:
        return
    times, values = [p.seconds for p in points], [p.quality for p in points]
    first, last = min(times) / 1.5, max(times)
    # the right part is for labels
    width = math.log(last / first) / POINTS
    axes.set_xscale("log")
    axes.set_xlim(first, first * math.exp(width))
    _mark_seconds(axes)
    span = max(max(values) - min(values), 1.0)
    tops = {"left": -math.inf, "right": -math.inf}
    for point in sorted(points, key=lambda p: p.quality):
        colour, mark = (TRAINED, "^") if point.trained else (FREE, "o")
        axes.plot([point.seconds], [point.quality], mark, color=colour, markersize=6)
        side = "right" if point.trained or math.log(point.seconds / first) < LEFT * width else "left"
        lines = point.label.replace(", ", ",\n")
        # labels that would overlap move up
        tops[side] = max(point.quality, tops[side] + LABEL * span * (1 + lines.count("\n")))
        away = math.exp((GAP if side == "right" else -GAP) * width)
        axes.annotate(
            lines,
            (point.seconds, point.quality),
            (point.seconds * away, tops[side]),
            fontsize=8,
            verticalalignment="center",
            horizontalalignment="left" if side == "right" else "right",
            arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
        )
    axes.set_ylim(min(values) - 0.1 * span, max(*tops.values(), max(values)) + 0.1 * span)


def _mark_seconds(axes: Any) -> None:
    """Put at most seven round times on the axis."""
    first, last = axes.get_xlim()
    ticks = [step * 10.0**power for power in range(-4, 6) for step in (1, 2, 5)]
    seen = [tick for tick in ticks if first <= tick <= last]
    seen = seen[:: 1 + len(seen) // 7]
    axes.set_xticks(seen, [f"{tick:g}" for tick in seen])
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
