"""What the reports of the benchmarks of quality share: scores, their tables, and the files that hold them."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from napari_specfusion.errors import OutputError
from napari_specfusion.io.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "COLUMNS",
    "Column",
    "Run",
    "Score",
    "ScoreT",
    "by_method",
    "grid",
    "grouped",
    "mean",
    "prepare_folder",
    "rows_of",
    "save_report",
    "scene_table",
    "shown",
]

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


KeyT = TypeVar("KeyT")
ScoreT = TypeVar("ScoreT", bound=Score)


@dataclass(frozen=True)
class Run:
    """Software and hardware of a benchmark.

    Attributes
    ----------
    version, torch
        Versions of this package and of torch.
    threads, device
        What computed.
    """

    version: str
    torch: str
    threads: int
    device: str = "cpu"

    def __str__(self) -> str:
        return f"napari-specfusion {self.version}, torch {self.torch}, threads: {self.threads}, device: {self.device}"


class Column(NamedTuple):
    """A column of the table of means: its format, and whether higher (1) or lower (-1) is better."""

    key: str
    title: str
    show: Callable[[float], str]
    better: int = 0


COLUMNS = (
    Column("psnr", "PSNR [dB]", "{:.2f}".format, 1),
    Column("sam", "SAM [deg]", "{:.2f}".format, -1),
    Column("ergas", "ERGAS", "{:.2f}".format, -1),
    Column("ssim", "SSIM", "{:.4f}".format, 1),
    Column("parameters", "parameters", lambda n: f"{n / 1e6:.2f} M"),
    Column("operations", "operations / pixel", lambda n: f"{n / 1e6:.3f} M"),
    Column("seconds", "time [s]", "{:.1f}".format),
    Column("memory", "memory [GB]", "{:.2f}".format),
)


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


def save_report(
    folder: Path, text: str, scores: Sequence[Score], setting: Run, picture: bytes | None = None
) -> list[Path]:
    """Write a report, the scores as CSV and, if there is one, the picture; return the paths.

    Raises
    ------
    OutputError
        If a file cannot be written; an older one is then left unchanged.
    """
    written = [_replace(folder / MARKDOWN, text.encode()), _replace(folder / CSV, _csv(scores, setting).encode())]
    return written if picture is None else [*written, _replace(folder / PICTURE, picture)]


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Return a Markdown table with its first columns (`left` of them) aligned left and the others right."""
    lines = [head, ["---" if place < left else "---:" for place in range(len(head))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def rows_of(means: Mapping[str, Mapping[str, float | None]], columns: Sequence[Column]) -> list[list[str]]:
    """Return a row for each method with its values as text; the best of each column is bold."""
    best = {column.key: _best(column, means.values()) for column in columns if len(means) > 1}
    rows = []
    for name, values in means.items():
        cells = [(shown(column, values[column.key]), best.get(column.key)) for column in columns]
        rows.append([name, *(f"**{text}**" if text == winner else text for text, winner in cells)])
    return rows


def scene_table(scores: Sequence[Score]) -> str:
    """Return the four measures of every scene and method as a Markdown table."""
    methods = by_method(scores)
    found = {(score.scene, score.label): score for score in scores}
    scenes = dict.fromkeys(score.scene for score in scores)
    rows = ([scene, *(_four(found.get((scene, label))) for label in methods)] for scene in scenes)
    return grid(["scene", *methods], rows)


def by_method(scores: Iterable[ScoreT]) -> dict[str, list[ScoreT]]:
    """Return the scores of each method, by its label."""
    return grouped(scores, attrgetter("label"))


def grouped(scores: Iterable[ScoreT], key: Callable[[ScoreT], KeyT]) -> dict[KeyT, list[ScoreT]]:
    """Return the scores by what `key` says of them, in the order of their first ones."""
    found: dict[KeyT, list[ScoreT]] = {}
    for score in scores:
        found.setdefault(key(score), []).append(score)
    return found


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean; None if one is missing, because a mean over fewer scenes would not be comparable."""
    known = list(values)
    return None if not known or None in known else fmean(value for value in known if value is not None)


def shown(column: Column, value: float | None) -> str:
    """Return a value as the column shows it."""
    return "-" if value is None else column.show(value)


# --- parts -----------------------------------------------------------------------


def _csv(scores: Sequence[Score], setting: Run) -> str:
    """Return one line per score with all digits; unknown values are empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for one in (scores[0], setting) for f in fields(one)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(score) | asdict(setting) for score in scores)
    return text.getvalue()


def _four(score: Score | None) -> str:
    """Return the four measures of a score in one cell."""
    return " / ".join(shown(c, None if score is None else getattr(score, c.key)) for c in COLUMNS if c.better)


def _best(column: Column, means: Iterable[Mapping[str, float | None]]) -> str | None:
    """Return the best value of a column as text, so that values that look the same count as equal."""
    known = [value for value in (line[column.key] for line in means) if value is not None]
    return column.show(max(known, key=lambda value: column.better * value)) if known and column.better else None


def _replace(target: Path, content: bytes) -> Path:
    with replacing(target) as part:
        part.write_bytes(content)
    return target
