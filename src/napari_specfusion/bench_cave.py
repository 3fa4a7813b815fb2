"""Quality and time of the methods on sharp cubes that are degraded by the published protocols.

Made for the CAVE scenes (31 bands, 400-700 nm), each a file in one folder; it takes any cubes that carry wavelengths.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.degrade import PROTOCOLS, simulate
from napari_specfusion.engine import fuse
from napari_specfusion.errors import ReadError
from napari_specfusion.io import find_reader, open_cube
from napari_specfusion.metrics import Quality, evaluate
from napari_specfusion.models.methods import METHODS

if TYPE_CHECKING:
    from napari_specfusion.cube import Cube
    from napari_specfusion.scene import Scene

__all__ = ["Score", "bench_scene", "main"]

CAVE_BANDS = 31
CAVE_WAVELENGTHS = np.linspace(400.0, 700.0, CAVE_BANDS)
FITTED = "lso-s"


@dataclass(frozen=True, eq=False)
class Score:
    """One method on one scene: its quality, and the seconds from the pair to the fused cube in memory."""

    scene: str
    method: str
    quality: Quality
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    options = _parser().parse_args(argv)
    files = [path for path in sorted(Path(options.data).glob("*")) if find_reader(path) is not None]
    if not files:
        raise ReadError(f"There is no cube in {options.data}; give the folder that holds the scenes.")
    noise = None if options.noise is None else tuple(options.noise)
    for protocol in options.protocol:
        for ratio in options.ratio:
            print(f"\nx{ratio}, protocol {protocol}, blind" + (f", noise {noise} dB" if noise else ""))
            print(f"{'scene':<24} {'method':<14} {'PSNR':>6} {'SAM':>6} {'ERGAS':>6} {'SSIM':>7} {'s':>6}", flush=True)
            scores: list[Score] = []
            for file in files:
                scene = simulate(
                    _reference(file, options.white), ratio, srf=options.srf, protocol=protocol, noise=noise
                )
                for score in bench_scene(scene, file.stem, options.method, options.minutes):
                    scores.append(score)
                    _print_row(score.scene, score.method, [score])
            for method in dict.fromkeys(score.method for score in scores):
                _print_row("mean", method, [score for score in scores if score.method == method])
    return 0


def bench_scene(scene: Scene, name: str, methods: Iterable[str], minutes: float = 3.0) -> Iterable[Score]:
    """Fuse a simulated pair by each method, blind, and score the result.

    Parameters
    ----------
    scene
        A pair with its reference; what else it knows is kept from the methods.
    name
        What to call it.
    methods
        Names of methods; ``"lso-s"`` is fitted on the pair first.
    minutes
        How long to fit.

    Yields
    ------
    Score
    """
    assert scene.reference is not None
    pair = scene.replace(psf=None, shift=None, srf=None, reference=None)
    for method in methods:
        start = time.perf_counter()
        fused = fuse(pair, model=_model(method, pair, minutes))
        seconds = time.perf_counter() - start
        yield Score(name, method, evaluate(scene.reference, fused, scene.factor), seconds)


def _model(method: str, pair: Scene, minutes: float) -> Any:
    if method != FITTED:
        return method
    from napari_specfusion.fitting import fit

    return fit(pair, method, minutes=minutes)


def _reference(path: Path, white: float) -> Cube:
    """Return a scene as reflectance; CAVE's wavelengths where a file of as many bands carries none."""
    cube = open_cube(path)
    if cube.wavelengths is None and cube.bands == CAVE_BANDS:
        cube = cube.replace(wavelengths=CAVE_WAVELENGTHS)
    return cube.replace(scale=1 / white) if cube.dtype.kind in "iu" and cube.is_physical else cube


def _print_row(scene: str, method: str, scores: Sequence[Score]) -> None:
    means = [
        float(np.mean([getattr(score.quality, key) for score in scores])) for key in ("psnr", "sam", "ergas", "ssim")
    ]
    seconds = float(np.mean([score.seconds for score in scores]))
    shown = "{:6.2f} {:6.2f} {:6.2f} {:7.4f}".format(*means)
    print(f"{scene:<24} {method:<14} {shown} {seconds:6.1f}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m napari_specfusion bench cave", description=__doc__)
    parser.add_argument("--data", required=True, help="folder of sharp cubes, one file each")
    parser.add_argument("--srf", default="rgb", help="response of the guide: a name or a CSV file (%(default)s)")
    parser.add_argument("--ratio", type=int, nargs="+", default=[4, 8], help="ratios (4 8)")
    parser.add_argument("--protocol", nargs="+", choices=tuple(PROTOCOLS), default=list(PROTOCOLS), help="(both)")
    parser.add_argument(
        "--method", nargs="+", choices=(*METHODS, FITTED), default=list(METHODS), help="(all that need no fit)"
    )
    parser.add_argument("--minutes", type=float, default=3.0, help=f"how long to fit {FITTED} (%(default)g)")
    parser.add_argument("--noise", type=float, nargs=2, metavar=("CUBE", "GUIDE"), help="noise to add, SNR in dB")
    parser.add_argument("--white", type=float, default=65535.0, help="stored integer of reflectance 1 (%(default)g)")
    return parser
