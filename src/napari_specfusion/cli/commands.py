"""What each command does, without its options' parser; the libraries that compute are loaded by the command."""

from __future__ import annotations

import argparse
import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_specfusion.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Finding, Scene

__all__ = [
    "bench",
    "calibrate_file",
    "check_files",
    "convert_file",
    "demo_headless",
    "evaluate_files",
    "fit_files",
    "fuse_files",
    "positive",
    "ratio",
    "tile",
    "train_files",
]

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".tar", ".pt")
MARKS = {"error": "[x]", "warning": "[!]", "info": "   "}


# --- values of options ----------------------------------------------------------


def ratio(text: str) -> Fraction:
    """Return a ratio written as 4, 3.5 or 10/3."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no ratio; write it as 4, 3.5 or 10/3") from None


def tile(text: str) -> int | Literal["auto"] | None:
    """Return the side of a tile: a number, ``auto``, or None for ``whole``."""
    if text == "auto":
        return "auto"
    if text == "whole":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no tile; write a number of pixels, auto or whole") from None


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


# --- commands: each returns the exit status ---------------------------------------


def demo_headless(options: argparse.Namespace) -> int:
    """Run the demo without a window."""
    from napari_specfusion.cli.demo import MINUTES, run_headless

    run_headless(options.out, size=options.size, minutes=options.minutes or MINUTES)
    return 0


def fuse_files(options: argparse.Namespace) -> int:
    """Fuse two files into a .zarr folder."""
    from napari_specfusion.cli.progress import ProgressLine
    from napari_specfusion.device import pick_device
    from napari_specfusion.fusion.auto import choose
    from napari_specfusion.fusion.engine import fuse
    from napari_specfusion.fusion.resolve import AUTO

    scene = _scene(options)
    model = _model(options.model, scene)
    name = model if isinstance(model, str) else Path(options.model).name
    if model == AUTO:
        with ProgressLine("Trying methods") as line:
            model = choose(
                scene,
                device=pick_device(options.device, options.precision),
                progress=lambda event: line.update(event.done / event.total, None, event.message),
            )
        name = model.method.name
    with ProgressLine(f"Fusing ({name})") as line:
        cube = fuse(
            scene,
            model=model,
            tile=options.tile,
            device=options.device,
            precision=options.precision,
            out=options.out,
            overwrite=options.overwrite,
            progress=line.fusion,
        )
    if "choice" in cube.metadata:
        print(cube.metadata["choice"])
    print(f"{cube}\nwritten to {options.out}")
    return 0


def fit_files(options: argparse.Namespace) -> int:
    """Train a network on two files and write it; 1 if it was not worth keeping."""
    from napari_specfusion.cli.progress import ProgressLine
    from napari_specfusion.training.fitting import fit

    out = _weights_out(Path(options.out), options.overwrite)
    scene = _scene(options)
    with ProgressLine(f"Fitting {options.model}") as line:
        fitted = fit(scene, options.model, minutes=options.minutes, progress=line.fit)
    print(fitted.message)
    if not fitted.kept:
        return 1
    fitted.save(out)
    print(f"written to {out}")
    return 0


def train_files(options: argparse.Namespace) -> int:
    """Train a network on the cubes in a folder."""
    from napari_specfusion.cli.progress import ProgressLine
    from napari_specfusion.training import TrainingOptions, train
    from napari_specfusion.training.options import VALIDATION_SCENES
    from napari_specfusion.weights.load import load_weights

    chosen = TrainingOptions(
        model=options.model,
        ratio=options.ratio,
        base=options.base,
        protocols=tuple(options.protocol),
        loss=options.loss,
        both_scales=not options.one_scale,
        steps=options.steps,
        batch=options.batch,
        patch=options.patch,
        rate=options.rate,
        seed=options.seed,
        validate_every=options.validate_every,
    )
    start = None if options.start is None else load_weights(options.start)
    with ProgressLine(f"Training {options.model} x{options.ratio}") as line:
        trained = train(
            options.data,
            options.out,
            chosen,
            srf=options.srf,
            validation=options.validation or VALIDATION_SCENES,
            start=start,
            white=options.white,
            device=options.device,
            compile_network=options.compile,
            progress=line.training,
        )
    scores = trained.card.scores
    print(
        f"{scores['psnr']:.2f} dB, {scores['sam']:.2f} degrees on the validation scenes after "
        f"{trained.card.steps} steps; {options.base} alone: {scores['base_psnr']:.2f} dB, "
        f"{scores['base_sam']:.2f} degrees\nwritten to {Path(options.out) / 'weights.safetensors'}"
    )
    return 0


def check_files(options: argparse.Namespace) -> int:
    """Say what is found out about a pair; 1 if it should not be fused."""
    scene = _scene(options)
    findings = scene.check()
    print(f"Cube:  {scene.hsi}\nGuide: {scene.guide}\n")
    _print_findings(findings)
    if any(finding.level == "error" for finding in findings):
        return 1
    from napari_specfusion.calibration import calibrate

    calibration = calibrate(scene)
    print("\nCalibration")
    _print_findings(calibration.findings())
    return int(calibration.verdict == "unrelated")


def evaluate_files(options: argparse.Namespace) -> int:
    """Print the quality of cubes against a reference."""
    from napari_specfusion.io import open_cube
    from napari_specfusion.quality.metrics import evaluate, format_table

    reference = open_cube(options.reference)
    table = {path: evaluate(reference, open_cube(path), options.ratio) for path in options.estimates}
    print(format_table(table))
    return 0


def convert_file(options: argparse.Namespace) -> int:
    """Write a cube in another format."""
    from napari_specfusion.data.scene import cube_findings
    from napari_specfusion.io import READERS, find_reader, open_cube

    chosen = {} if options.interleave is None else {"interleave": options.interleave}
    path = Path(options.cube)
    reader = options.reader or (find_reader(path) if path.exists() else None)
    takes = READERS[reader].options if reader in READERS else ()
    asked = {"dataset" if "dataset" in takes else "variable": options.array, "axes": options.axes}
    given = {key: value for key, value in asked.items() if value is not None}
    cube = open_cube(path, reader=options.reader, wavelengths=options.wavelengths, **given)
    _print_findings(cube_findings(cube))
    return _save(cube, options, **chosen)


def calibrate_file(options: argparse.Namespace) -> int:
    """Turn the counts of a file into reflectance."""
    from napari_specfusion.radiometry.convert import reflectance

    cube = reflectance(
        options.raw,
        options.white,
        options.dark,
        panel=options.panel,
        times=options.times and tuple(options.times),
        dead=options.dead,
        saturation=options.saturation,
    )
    for level, message in cube.metadata["findings"]:
        print(f"{level}: {message}")
    return _save(cube, options)


def bench(options: argparse.Namespace) -> int:
    """Hand the rest of the line to the benchmarks."""
    if options.rest[:1] == ["cave"]:
        from napari_specfusion.bench.cave import main

        return main(options.rest[1:])
    from napari_specfusion.bench.main import main as other

    return other(options.rest)


# --- what they share ---------------------------------------------------------------


def _save(cube: Cube, options: argparse.Namespace, **chosen: Any) -> int:
    from napari_specfusion.cli.progress import ProgressLine
    from napari_specfusion.io import save_cube

    with ProgressLine(f"Writing {options.out}") as line:
        saved = save_cube(
            cube,
            options.out,
            overwrite=options.overwrite,
            progress=lambda event: line.update(event.done / event.total, event.remaining),
            **chosen,
        )
    print("\n".join([str(cube), *(f"note: {note}" for note in saved.notes), f"written to {saved.paths[-1]}"]))
    return 0


def _scene(options: argparse.Namespace) -> Scene:
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.io import open_cube

    return Scene(open_cube(options.cube), open_cube(options.guide), options.ratio)


def _model(name: str, scene: Scene) -> Any:
    if not name.lower().endswith(WEIGHT_SUFFIXES):
        return name
    from napari_specfusion.weights.load import load_weights

    return load_weights(name, scene.factor)


def _weights_out(path: Path, overwrite: bool) -> Path:
    """Check, before the time is spent, that weights can be written."""
    if path.suffix != ".safetensors":
        raise OutputError(f"The output {path} does not end in .safetensors; weights are written in that format.")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"The folder of {path} does not exist; make it first, or write elsewhere.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; give another file, or --overwrite to replace it.")
    return path


def _print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        print(f"{MARKS[finding.level]} {finding.topic}: {finding.message}")
