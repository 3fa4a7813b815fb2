"""The table of a benchmark: as Markdown with published figures, as CSV, and as a plot."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_specfusion.errors import OutputError
from napari_specfusion.io.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["PUBLISHED", "Published", "Score", "Setting", "grid", "markdown", "prepare_folder", "save_table", "section"]

MARKDOWN, CSV, PICTURE = "table.md", "table.csv", "table.png"


@dataclass(frozen=True)
class Score:
    """One method on one scene.

    Attributes
    ----------
    protocol, ratio, scene, method
        The pair and the method.
    made_for
        Ratio that the weights were trained for; None without weights.
    psnr, sam, ergas, ssim
        As in `Quality`; None without a result.
    seconds
        Time from the pair to the fused cube in memory.
    memory
        Peak growth of a process in GB, measured on one scene.
    parameters, operations
        Size of the network: trained parameters, and multiply-accumulates per HR pixel.
    failure
        Reason for a missing result, in words.
    """

    protocol: str
    ratio: int
    scene: str
    method: str
    made_for: int | None = None
    psnr: float | None = None
    sam: float | None = None
    ergas: float | None = None
    ssim: float | None = None
    seconds: float | None = None
    memory: float | None = None
    parameters: int | None = None
    operations: float | None = None
    failure: str = ""

    @property
    def label(self) -> str:
        """The method, with the ratio of its weights if that differs."""
        return self.method + (f", made for x{self.made_for}" if self.made_for not in (None, self.ratio) else "")


@dataclass(frozen=True)
class Setting:
    """Settings shared by all scores.

    Attributes
    ----------
    version, torch, threads, device
        Software and hardware of the run.
    response
                Spectral response of the guide.
    noise
        Noise added to cube and guide, SNR in dB; empty for none.
    """

    version: str
    torch: str
    threads: int
    device: str = "cpu"
    response: str = "rgb"
    noise: str = ""


class Published(NamedTuple):
    """A line of the LSO paper's table for the CAVE scenes."""

    method: str
    ratio: int
    psnr: float
    sam: float | None = None
    ergas: float | None = None
    parameters: int | None = None
    operations: float | None = None


# Operations: the papers' figures for 32 patches of 64 x 64, divided by the number of pixels.
PUBLISHED = (
    Published("bicubic", 4, 31.18),
    Published("SpecSolver", 4, 50.57, parameters=3_099_519, operations=364.75e9 / (32 * 64**2)),
    Published("LSO", 4, 50.73, 2.38, 1.17, 1_942_703, 222.85e9 / (32 * 64**2)),
    Published("bicubic", 8, 27.38),
    Published("SpecSolver", 8, 47.83, parameters=3_099_519, operations=364.75e9 / (32 * 64**2)),
    Published("LSO", 8, 48.12, 2.96, 1.68, 1_942_703, 222.85e9 / (32 * 64**2)),
)
NOTES = (
    "Published figures (*in italics*) are for other scenes: the papers chose other test scenes out of CAVE's 32. The "
    "difference of the two bicubic lines shows the effect of that choice alone.",
    "ERGAS is divided by the ratio of the pair. The LSO paper uses 4 at x8 too: its 1.68 is 0.84 here.",
    "All methods are blind: they get only the pair, and the time includes calibration.",
    "Operations are multiply-accumulates of the network's convolutions and matrix products per pixel of the "
    "guide, without the method that it corrects. Time is the mean over the scenes. Memory is the peak growth of "
    "a separate process while it fuses the first scene, without the libraries.",
)


class _Column(NamedTuple):
    """A column of the table of means: its format, and whether higher (1) or lower (-1) is better."""

    key: str
    title: str
    show: Callable[[float], str]
    better: int = 0


_COLUMNS = (
    _Column("psnr", "PSNR [dB]", "{:.2f}".format, 1),
    _Column("sam", "SAM [deg]", "{:.2f}".format, -1),
    _Column("ergas", "ERGAS", "{:.2f}".format, -1),
    _Column("ssim", "SSIM", "{:.4f}".format, 1),
    _Column("parameters", "parameters", lambda n: f"{n / 1e6:.2f} M"),
    _Column("operations", "operations / pixel", lambda n: f"{n / 1e6:.3f} M"),
    _Column("seconds", "time [s]", "{:.1f}".format),
    _Column("memory", "memory [GB]", "{:.2f}".format),
)


def section(scores: Sequence[Score], *, published: bool = True) -> str:
    """Return the means over the scenes for each method as a Markdown table.

    Parameters
    ----------
    scores
                Scores of one protocol and one ratio.
    published
        Whether to add the papers' figures for this ratio, if there are any.
    """
    methods = _by_method(scores)
    means = {
        name: {c.key: _mean(getattr(s, c.key) for s in found) for c in _COLUMNS} for name, found in methods.items()
    }
    best = {column.key: _best(column, means.values()) for column in _COLUMNS if len(means) > 1}
    rows = []
    for name, values in means.items():
        shown = [(_shown(column, values[column.key]), best.get(column.key)) for column in _COLUMNS]
        rows.append([name, *(f"**{text}**" if text == winner else text for text, winner in shown)])
    for line in PUBLISHED if published else ():
        if line.ratio == scores[0].ratio:
            figures = [_shown(column, getattr(line, column.key, None)) for column in _COLUMNS]
            rows.append([f"*{line.method}, published*", *(text if text == "-" else f"*{text}*" for text in figures)])
    return grid(["method", *(column.title for column in _COLUMNS)], rows)


def markdown(scores: Sequence[Score], setting: Setting) -> str:
    """Return the whole report: the means, every scene, and notes."""
    scenes = list(dict.fromkeys(score.scene for score in scores))
    noise = f"noise {setting.noise} dB" if setting.noise else "no noise"
    parts = [
        "# Benchmark",
        f"Means over {len(scenes)} scenes ({', '.join(scenes)}), blind; guide by the response {setting.response}, "
        f"{noise}. napari-specfusion {setting.version}, torch {setting.torch}, threads: {setting.threads}, "
        f"device: {setting.device}.",
    ]
    for (protocol, ratio), found in _sections(scores).items():
        parts += [f"## x{ratio}, protocol {protocol}", section(found, published=_comparable(protocol, setting))]
    parts.append("## Scene by scene")
    parts.append("PSNR [dB] / SAM [deg] / ERGAS / SSIM")
    for (protocol, ratio), found in _sections(scores).items():
        parts += [f"### x{ratio}, protocol {protocol}", _scene_table(found)]
    failures = [f"- x{s.ratio}, {s.protocol}, {s.scene}, {s.label}: {s.failure}" for s in scores if s.failure]
    if failures:
        parts += ["## Failures", "\n".join(failures)]
    parts += ["## Notes", "\n".join(f"- {note}" for note in NOTES)]
    return "\n\n".join(parts) + "\n"


def prepare_folder(folder: str | Path) -> Path:
    """Create the folder for the table and check, before the benchmark runs, that files can be written there.

    Raises
    ------
    OutputError
                If files cannot be written there.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f"{MARKDOWN}.partial"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be written to ({error}); give another folder with --out.") from error
    return path


def save_table(folder: Path, scores: Sequence[Score], setting: Setting) -> list[Path]:
    """Write the report, the CSV file and, if matplotlib is installed, the plot; return the paths.

    Raises
    ------
    OutputError
        If a file cannot be written; an older one is then left unchanged.
    """
    written = [_replace(folder / MARKDOWN, markdown(scores, setting).encode())]
    written.append(_replace(folder / CSV, _csv(scores, setting).encode()))
    picture = _picture(scores, setting)
    if picture is not None:
        written.append(_replace(folder / PICTURE, picture))
    return written


# --- parts -----------------------------------------------------------------------


def _csv(scores: Sequence[Score], setting: Setting) -> str:
    """Return one line per score with all digits; unknown values are empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for kind in (Score, Setting) for f in fields(kind)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(score) | asdict(setting) for score in scores)
    return text.getvalue()


def _scene_table(scores: Sequence[Score]) -> str:
    methods = _by_method(scores)
    found = {(score.scene, score.label): score for score in scores}
    scenes = dict.fromkeys(score.scene for score in scores)
    rows = ([scene, *(_four(found.get((scene, label))) for label in methods)] for scene in scenes)
    return grid(["scene", *methods], rows)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with its first column aligned left and the others right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _four(score: Score | None) -> str:
    """Return the four measures of a score in one cell."""
    return " / ".join(_shown(c, None if score is None else getattr(score, c.key)) for c in _COLUMNS if c.better)


def _shown(column: _Column, value: float | None) -> str:
    return "-" if value is None else column.show(value)


def _best(column: _Column, means: Iterable[Mapping[str, float | None]]) -> str | None:
    """Return the best value of a column as text, so that values that look the same count as equal."""
    known = [value for value in (mean[column.key] for mean in means) if value is not None]
    return column.show(max(known, key=lambda value: column.better * value)) if known and column.better else None


def _picture(scores: Sequence[Score], setting: Setting) -> bytes | None:
    """Draw the PSNR of every scene and its mean for each method, as a PNG; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    sections = _sections(scores)
    protocols = list(dict.fromkeys(protocol for protocol, _ in sections))
    ratios = list(dict.fromkeys(ratio for _, ratio in sections))
    most = max(len(_by_method(found)) for found in sections.values())
    size = (1.5 + 4.0 * len(ratios), len(protocols) * (1.2 + 0.32 * most))
    figure = Figure(figsize=size, layout="constrained")
    panels: Any = figure.subplots(len(protocols), len(ratios), squeeze=False)
    for row, protocol in zip(panels, protocols, strict=True):
        for axes, ratio in zip(row, ratios, strict=True):
            if (protocol, ratio) not in sections:
                axes.set_axis_off()
                continue
            _draw(axes, sections[protocol, ratio], published=_comparable(protocol, setting))
            axes.set_title(f"x{ratio}, protocol {protocol}", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("PSNR [dB]: scenes, mean")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def _draw(axes: Any, scores: Sequence[Score], *, published: bool) -> None:
    methods = _by_method(scores)
    for place, found in enumerate(methods.values()):
        values = [score.psnr for score in found if score.psnr is not None and math.isfinite(score.psnr)]
        colour = "tab:blue" if found[0].made_for is None else "tab:orange"
        axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.3, markersize=4)
        if values:
            axes.plot([fmean(values)], [place], "|", color=colour, markersize=16, markeredgewidth=3)
    names = list(methods)
    for line in PUBLISHED if published else ():
        if line.ratio == scores[0].ratio:
            axes.plot([line.psnr], [len(names)], "|", color="0.5", markersize=16, markeredgewidth=3)
            names.append(f"{line.method}, published")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def _comparable(protocol: str, setting: Setting) -> bool:
    """Whether the papers' figures apply: their bicubic line matches only LSO's protocol without noise."""
    return protocol == "lso" and not setting.noise


def _sections(scores: Iterable[Score]) -> dict[tuple[str, int], list[Score]]:
    found: dict[tuple[str, int], list[Score]] = {}
    for score in scores:
        found.setdefault((score.protocol, score.ratio), []).append(score)
    return found


def _by_method(scores: Iterable[Score]) -> dict[str, list[Score]]:
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(score.label, []).append(score)
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean; None if one is missing, because a mean over fewer scenes would not be comparable."""
    known = list(values)
    return None if not known or None in known else fmean(value for value in known if value is not None)


def _replace(target: Path, content: bytes) -> Path:
    with replacing(target) as part:
        part.write_bytes(content)
    return target
