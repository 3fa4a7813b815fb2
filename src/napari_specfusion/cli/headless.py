"""The demo without a window: calibrate a sample pair, fuse it by every method, score, draw, store."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from napari_specfusion.calibration import CalibratedScene, calibrate
from napari_specfusion.cli.figure import NO_PICTURE, Panel, draw_panels, natural_colour, save_figure, stretch_of
from napari_specfusion.cli.progress import ProgressLine, clock
from napari_specfusion.errors import OutputError, SceneError
from napari_specfusion.fusion.auto import choose
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.io.atomic import replacing
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.registry import DEFAULT_NETWORK
from napari_specfusion.quality.metrics import Quality, evaluate, format_table, quality_maps
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.simulation.pair import blind
from napari_specfusion.weights.shipped import weights_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene

__all__ = ["RATIO", "DemoResult", "draw_result", "run_headless"]

RATIO = 4
# leaves a margin within three minutes on two cores
MINUTES = 1.2
# the part shown enlarged, as fractions: y0, y1, x0, x1
DETAIL = (0.36, 0.61, 0.58, 0.83)


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    qualities
        Quality of each method, in the order of the table.
    fused
        The best result, as it was stored.
    cube, table
        The files.
    picture
        Likewise; None without matplotlib.
    """

    qualities: dict[str, Quality]
    fused: Cube
    cube: Path
    table: Path
    picture: Path | None


def run_headless(
    out: str | Path = "demo-output",
    *,
    size: int = 256,
    minutes: float = MINUTES,
    stream: TextIO | None = None,
) -> DemoResult:
    """Make a sample pair, calibrate and fuse it, and write table, picture and cube.

    Parameters
    ----------
    out
        Folder for ``quality.txt``, ``fused.zarr`` and, with matplotlib, ``fusion.png``; those there are replaced.
    size
        Rows and columns of the guide.
    minutes
        How long the network is fitted.
    stream
        Where the report goes; None is standard output. Progress goes to standard error.

    Raises
    ------
    SpecFusionError
        If `size` makes no scene, or `out` cannot be written.
    """
    stream = sys.stdout if stream is None else stream
    start = time.perf_counter()
    folder = _folder(Path(out))

    truth = sample_scene(size, RATIO)
    # what made the pair is known here; the methods must find it out
    scene = CalibratedScene(blind(truth))
    print(f"Sample pair: {scene.stated.hsi}\n       and: {scene.stated.guide}\n", file=stream)
    _tell_calibration(truth, scene, stream)

    assert truth.reference is not None
    qualities: dict[str, Quality] = {}
    fused: Cube | None = None
    for name, model in _methods(scene, minutes, stream):
        with ProgressLine(f"Fusing ({name})") as line:
            fused = fuse(scene, model=model, progress=line.fusion)
        qualities[name] = evaluate(truth.reference, fused, RATIO)
    assert fused is not None
    store = folder / "fused.zarr"
    fused = fuse(scene, model=model, out=store, overwrite=True)

    table = format_table(qualities)
    print(f"\nAgainst the sharp reference, which no method has seen:\n\n{table}\n", file=stream)
    with replacing(folder / "quality.txt") as part:
        part.write_text(table + "\n", encoding="utf-8")
    picture: Path | None = folder / "fusion.png"
    try:
        save_figure(draw_result(truth, fused, name, qualities[name]), folder / "fusion.png")
    except ImportError:
        picture = None
        print(NO_PICTURE, file=stream)
    result = DemoResult(qualities, fused, store, folder / "quality.txt", picture)
    for label, path in (("Table", result.table), ("Picture", result.picture), ("Fused cube", result.cube)):
        if path is not None:
            print(f"{label + ':':<12}{path}", file=stream)
    print(f"All of it took {clock(time.perf_counter() - start)}.", file=stream)
    return result


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"The folder {path} cannot be written to ({error}); choose another with --out.") from error
    return path


def _tell_calibration(truth: Scene, scene: CalibratedScene, stream: TextIO) -> None:
    with ProgressLine("Calibrating"):
        found = calibrate(scene)
    assert truth.psf is not None
    assert truth.shift is not None
    print("Calibration, from the pair alone (in brackets: how the pair was made)", file=stream)
    print(f"  PSF width   {found.psf.width:.2f} px  ({truth.psf.width:.2f})", file=stream)
    shifts = ["{:+.2f}, {:+.2f} px".format(*shift) for shift in (found.shift, truth.shift)]
    print(f"  shift y, x  {shifts[0]}  ({shifts[1]})", file=stream)
    print(f"  match       {found.findings()[0].message}\n", file=stream)


def _methods(scene: CalibratedScene, minutes: float, stream: TextIO) -> Iterator[tuple[str, Any]]:
    """Yield name and model of what the table compares; the last, fitted or chosen, is what is kept."""
    choice = choose(scene)
    print(choice.reason + "\n", file=stream)
    models: dict[str, Any] = {name: name for name in METHODS}
    models |= {weights.name: weights for weights in weights_for(scene.stated)}
    chosen = models.pop(choice.method.name)
    yield from models.items()
    yield choice.method.name, chosen
    from napari_specfusion.training.fitting import fit

    try:
        with ProgressLine(f"Fitting {DEFAULT_NETWORK}") as line:
            fitted = fit(scene, DEFAULT_NETWORK, minutes=minutes, progress=line.fit)
    except SceneError as error:
        print(f"{DEFAULT_NETWORK} is left out. {error}", file=stream)
        return
    print(fitted.message, file=stream)
    yield fitted.name, fitted


def draw_result(truth: Scene, fused: Cube, name: str, quality: Quality) -> Figure:
    """Return a figure of guide, low-resolution cube, fused cube and error, whole and in detail.

    Parameters
    ----------
    truth
        The pair with its reference.
    fused
        What a method made of it.
    name, quality
        The method, and how good it was.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    reference = truth.reference
    assert reference is not None
    error = np.asarray(quality_maps(reference, fused)["sam"])
    limit = max(1.0, float(np.ceil(np.nanpercentile(error, 98))))
    stretch = stretch_of(reference)
    height, width = fused.shape[1:]
    low_height, low_width = truth.hsi.shape[1:]
    guide, low, sharp = (
        natural_colour(cube, limits) for cube, limits in ((truth.guide, None), (truth.hsi, stretch), (fused, stretch))
    )
    low = low[np.ix_(*(_nearest(truth, axis) for axis in (0, 1)))]
    panels = [
        ("Guide", f"{truth.guide.bands} bands, {height} x {width} pixels", guide),
        ("Low-resolution cube", f"{truth.hsi.bands} bands, {low_height} x {low_width} pixels", low),
        ("Fused cube", f"{fused.bands} bands, {height} x {width} pixels, {name}", sharp),
        ("Error", f"spectral angle in degrees, mean {quality.sam:.2f}", error),
    ]
    top = [Panel(title, note, image, limit, frame=DETAIL) for title, note, image in panels]
    bottom = [Panel("", "", _detail(image), limit) for _, _, image in panels]
    heading = f"{reference.name}: {name}, PSNR {quality.psnr:.2f} dB, ERGAS {quality.ergas:.2f}"
    return draw_panels([top, bottom], heading)


def _nearest(scene: Scene, axis: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the coarse pixel nearest to each sharp one along an axis, so that both pictures lie over each other."""
    ratio, shift = float(scene.factor), 0.0 if scene.shift is None else scene.shift[axis]
    position = (np.arange(scene.shape[axis]) - (ratio - 1) / 2 - shift) / ratio
    return np.asarray(np.clip(np.rint(position), 0, scene.hsi.shape[1 + axis] - 1), dtype=np.intp)


def _detail(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    height, width = image.shape[:2]
    y0, y1, x0, x1 = DETAIL
    return image[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)]
