"""How well, and how fast, `align` finds transforms that are known, and what is lost in the fusion where it errs."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from napari_specfusion.alignment import Alignment, align
from napari_specfusion.alignment.place import place
from napari_specfusion.bench.draws import KINDS, Draw, Pair, draw, make_pair
from napari_specfusion.bench.report import grid, prepare_folder
from napari_specfusion.errors import AlignmentError, SceneError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.io.atomic import replacing
from napari_specfusion.simulation.sharp_cubes import WHITE, open_sharp_cubes

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene

__all__ = ["Trial", "bench_align", "summary", "try_draw"]

# fuses both scenes, with the true transform and with the estimated one
METHOD = "subspace"
# pixels at the edge of the common ground that do not count
EDGE = 8


@dataclass(frozen=True)
class Trial:
    """What `align` made of one pair.

    Attributes
    ----------
    kind, ratio, number
        Of the `Draw`.
    scene
        Name of the cube.
    turn
        Turn of the true transform in degrees.
    noisy
        Whether the images have noise.
    verdict, placement, model
        What `align` found; empty where it raised an error.
    error
        Distance in cube pixels between the true and the estimated place: the largest at the cube's corners; for
        ``local``, the root mean square over the common ground, weighted by the squared slopes of the cube. None for
        ``unrelated``.
    seconds
        Time of `align`.
    known, loss
        PSNR in dB of the fusion by the true transform, and how much less it is by the estimated one; None where there
        is nothing to compare.
    """

    kind: str
    ratio: int
    number: int
    scene: str
    turn: float
    noisy: bool
    verdict: str
    placement: str
    model: str
    error: float | None
    seconds: float
    known: float | None = None
    loss: float | None = None

    @property
    def found(self) -> bool:
        """Whether the transform is right within half a cube pixel."""
        return self.error is not None and self.error < 0.5

    @property
    def wrong(self) -> bool:
        """Whether a match that is none was called good."""
        return self.verdict == "good" and not self.found


def bench_align(
    data: str | Path,
    out: str | Path = "bench-align",
    *,
    srf: str = "rgb",
    ratios: Sequence[int] = (4, 8),
    kinds: Sequence[str] = KINDS,
    draws: int = 10,
    seed: int = 1,
    white: float = WHITE,
) -> list[Trial]:
    """Align random pairs of sharp cubes, print what was found, and write the table.

    The table is written after each kind, so a stopped run keeps its results so far.

    Parameters
    ----------
    data
        Folder of sharp cubes of one size, one file each.
    out
        Folder for ``table.md`` and ``table.csv``.
    srf
        Response of the guide's camera: a name or a CSV file.
    ratios
        Guide pixels per cube pixel.
    kinds
        Which transforms: of `KINDS`.
    draws
        Number of pairs of each kind and ratio.
    seed
        Begins the series of random transforms.
    white
        Stored integer for reflectance 1 in files that do not state it.

    Raises
    ------
    SpecFusionError
        If the cubes or the folder cannot be used.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise SceneError(f"There is no kind {unknown[0]!r} of transform; choose of {', '.join(KINDS)}.")
    cubes = open_sharp_cubes(data, white)
    # whole cube pixels at every ratio
    step = math.lcm(*ratios)
    height, width = (n // step * step for n in cubes[0].shape[1:])
    if any(cube.shape[1:] != cubes[0].shape[1:] for cube in cubes) or 0 in (height, width):
        raise SceneError(f"The cubes in {data} must have one size, of at least {step} pixels; leave the others out.")
    cubes = [cube.crop(slice(0, height), slice(0, width)).replace(name=cube.name) for cube in cubes]
    folder = prepare_folder(out)
    trials: list[Trial] = []
    for kind in kinds:
        for ratio in ratios:
            print(f"\n{kind}, x{ratio}", flush=True)
            for number in range(draws):
                drawn = draw(kind, ratio, number, seed=seed, count=len(cubes), side=(height, width))
                trials.append(try_draw(drawn, make_pair(drawn, cubes, srf, seed + number), cubes[drawn.cube].name))
                print(_line(trials[-1]), flush=True)
            _save(folder, trials, seed)
    print("\n" + summary(trials), flush=True)
    return trials


def try_draw(drawn: Draw, pair: Pair, name: str = "") -> Trial:
    """Align a pair, and fuse it by the true and by the estimated transform."""
    about = (drawn.kind, drawn.ratio, drawn.number, name, drawn.turn, drawn.noise is not None)
    start = time.perf_counter()
    try:
        scene = align(pair.hsi, pair.guide, ratio=drawn.ratio)
    except AlignmentError:
        return Trial(*about, "", "", "", None, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    alignment = scene.alignment
    assert alignment is not None
    model = "+".join((alignment.model, *alignment.local))
    result = alignment.verdict, alignment.placement, model
    if drawn.kind == "unrelated":
        return Trial(*about, *result, None, seconds)
    known = _known(drawn, pair)
    truth, estimate = _on_canvas(known, pair), _on_canvas(scene, pair)
    common = binary_erosion(np.isfinite(truth[0]) & np.isfinite(estimate[0]), iterations=EDGE)
    psnr = [_psnr(fused, pair.reference, common) for fused in (truth, estimate)] if common.any() else [None, None]
    loss = None if psnr[0] is None or psnr[1] is None else psnr[0] - psnr[1]
    return Trial(*about, *result, _error(drawn, alignment, pair.hsi.read()), seconds, psnr[0], loss)


def summary(trials: Sequence[Trial]) -> str:
    """Return what was found for each kind and ratio as a Markdown table."""
    head = ["transform", "pairs", "found", "called good, but not found", "median loss [dB]", "worst loss [dB]"]
    rows = []
    for kind, ratio in dict.fromkeys((trial.kind, trial.ratio) for trial in trials):
        some = [trial for trial in trials if (trial.kind, trial.ratio) == (kind, ratio)]
        losses = [trial.loss for trial in some if trial.loss is not None]
        seconds = [trial.seconds for trial in some]
        rows.append(
            [
                f"{kind}, x{ratio}",
                f"{len(some)}",
                "-" if kind == "unrelated" else f"{sum(trial.found for trial in some)}",
                f"{sum(trial.wrong for trial in some)}",
                f"{median(losses):.2f}" if losses else "-",
                f"{max(losses):.2f}" if losses else "-",
                f"{median(seconds):.1f}",
                f"{max(seconds):.1f}",
            ]
        )
    return grid([*head, "median time [s]", "longest [s]"], rows)


# --- one pair ---------------------------------------------------------------------


def _known(drawn: Draw, pair: Pair) -> Scene:
    """Return the scene that the true transform makes."""
    shapes = pair.hsi.shape[1:], pair.guide.shape[1:]
    low, sharp = ((shape[0], shape[1]) for shape in shapes)
    where = place(drawn.transform, low, sharp, Fraction(drawn.ratio), fits=drawn.kind == "none")
    return Alignment(where.transform, where.ratio, low, sharp, where.window, where.placement).scene(
        pair.hsi, pair.guide
    )


def _on_canvas(scene: Scene, pair: Pair) -> NDArray[np.float32]:
    """Fuse a scene; return the result where it belongs on the sharp cube, NaN around it."""
    assert scene.alignment is not None
    fused = fuse(scene, model=METHOD, align=False).read()
    if scene.alignment.placement == "as is":
        return fused.astype(np.float32, copy=False)
    canvas = np.full(pair.reference.shape, np.nan, np.float32)
    ratio = pair.reference.shape[1] // pair.hsi.shape[1]
    top, bottom, left, right = (ratio * at for at in scene.alignment.window)
    canvas[:, top:bottom, left:right] = fused
    return canvas


def _psnr(fused: NDArray[np.float32], reference: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    """Return the mean over the bands of 10 log10(max^2 / mse)."""
    wrong = np.mean((fused[:, where] - reference[:, where]).astype(np.float64) ** 2, axis=1)
    peak = reference[:, where].max(axis=1).astype(np.float64)
    return float(np.mean(10 * np.log10(peak**2 / np.maximum(wrong, 1e-30))))


def _error(drawn: Draw, alignment: Alignment, hsi: NDArray[Any]) -> float:
    """Return the distance in cube pixels between the true and the estimated place, see `Trial`."""
    local = drawn.transform.field is not None
    height, width = alignment.cube_shape
    axes = (np.arange(n) if local else np.array([0, n - 1]) for n in (height, width))
    y, x = np.meshgrid(*axes, indexing="ij")
    true, found = drawn.transform.to_guide(y, x), alignment.to_guide(y, x)
    apart = np.hypot(true[0] - found[0], true[1] - found[1]) / drawn.ratio
    if not local:
        return float(apart.max())
    down, right = (n - 1 for n in alignment.guide_shape)
    inside = (true[0] >= 0) & (true[0] <= down) & (true[1] >= 0) & (true[1] <= right)
    # nobody can tell, and it does not matter, where flat ground lies
    slopes = np.gradient(hsi.mean(axis=0).astype(np.float64))
    weight = (slopes[0] ** 2 + slopes[1] ** 2)[inside]
    return float(np.sqrt(np.sum(weight * apart[inside] ** 2) / max(float(np.sum(weight)), 1e-30)))


# --- words and files ----------------------------------------------------------------


def _line(trial: Trial) -> str:
    error = "-" if trial.error is None else f"{trial.error:.2f}"
    loss = "-" if trial.loss is None else f"{trial.loss:.2f}"
    return (
        f"{trial.number:>3} {trial.scene:<24} {trial.turn:7.1f} deg  {trial.verdict or 'error':<9} "
        f"{trial.placement:<9} {trial.model:<18} error {error:>6} px  loss {loss:>6} dB {trial.seconds:6.1f} s"
        f"{'  noise' if trial.noisy else ''}{'  WRONG' if trial.wrong else ''}"
    )


def _save(folder: Path, trials: Sequence[Trial], seed: int) -> None:
    text = io.StringIO()
    names = [item.name for item in fields(Trial)]
    table = csv.DictWriter(text, ["seed", *names, "found"], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(trial) | {"seed": seed, "found": trial.found} for trial in trials)
    for name, content in (("table.md", f"# Alignment\n\n{summary(trials)}\n"), ("table.csv", text.getvalue())):
        with replacing(folder / name) as partial:
            partial.write_text(content, encoding="utf-8")
