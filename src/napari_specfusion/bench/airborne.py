"""Quality and time of the methods on pairs simulated from sharp cubes of many sensors."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_specfusion.bench.airborne_table import AirborneScore, save_table, section
from napari_specfusion.bench.candidates import Contender, fitting_contenders, open_weights
from napari_specfusion.bench.cube_list import SharpCube, open_listed_cubes
from napari_specfusion.bench.report import prepare_folder
from napari_specfusion.bench.scoring import HEAD, Benchmark, bench_scene, noise_text, print_score, this_run
from napari_specfusion.errors import ModelError, SceneError
from napari_specfusion.quality.metrics import evaluate
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate
from napari_specfusion.training.fitting import FIT_MINUTES
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_specfusion.data.scene import Scene

__all__ = ["GUIDES", "NOISES", "RATIOS", "bench_airborne"]

RATIOS = (2, 4)
GUIDES = ("rgb", "rgbn", "pan")
NOISES: tuple[tuple[float, float] | None, ...] = (None, (35.0, 40.0))
# the cubes are scaled so that their 99.9th percentile is 1; the brightest pixels lie above it and must not be clipped
MEASURE = partial(evaluate, data_range=1.0, clip=False)
PROTOCOL = "gaussian"
# side in cube pixels of the corner that shows what fits a cube
CORNER = 4


class _Case(NamedTuple):
    """A cube at one ratio with one guide, and what is compared on it."""

    sharp: SharpCube
    ratio: int
    guide: str
    contenders: list[Contender]

    def pair(self, noise: tuple[float, float] | None) -> Scene:
        return _pair(self.sharp, self.ratio, self.guide, noise)


def bench_airborne(
    data: str | Path,
    out: str | Path = "bench-airborne",
    *,
    listed: str | Path | None = None,
    ratios: Sequence[int] = RATIOS,
    guides: Sequence[str] = GUIDES,
    noises: Sequence[tuple[float, float] | None] = NOISES,
    methods: Sequence[str] | None = None,
    weights: Sequence[str | Path] = (),
    minutes: float = FIT_MINUTES,
) -> Benchmark:
    """Fuse simulated pairs of sharp cubes of many sensors with every method, and write the table.

    The PSF is a Gaussian with a standard deviation of half a cube pixel, in the middle of its cell; beyond the border
    lies nothing. Each cube is scaled so that the 99.9th percentile of its values is 1, the peak of the PSNR. The table
    is written after each part, so a stopped run keeps its scores so far.

    Parameters
    ----------
    data
        Folder of sharp cubes.
    out
        Folder for ``table.md``, ``table.csv`` and, with matplotlib, ``table.png``.
    listed
        TOML file with sensors, wavelengths and other options of the files, see `open_listed_cubes`; None takes
        ``cubes.toml`` in the folder, if there is one.
    ratios
        Guide pixels per cube pixel.
    guides
        Responses of the guide's camera: names or CSV files.
    noises
        Noise to add to cube and guide, SNR in dB; None for no noise.
    methods
        Methods to compare, see `contenders`; None takes all but ``"auto"`` and what is fitted on each scene.
    weights
        More weight files. Weights run on the cubes that they fit.
    minutes
        Time to fit a network on each scene.

    Raises
    ------
    SpecFusionError
        If the cubes, the weights or the folder cannot be used, or no cube fits a guide or a weight file. A method that
        fails on a scene is recorded.
    """
    cubes = open_listed_cubes(data, listed)
    cases, left_out = _cases(cubes, ratios, guides, methods, open_weights(methods, weights), minutes)
    folder, run = prepare_folder(out), this_run()
    for line in left_out:
        print(f"left out: {line}", flush=True)
    scores: list[AirborneScore] = []
    files: list[Path] = []
    for ratio, guide, noise in product(ratios, guides, noises):
        chosen = [case for case in cases if (case.ratio, case.guide) == (ratio, guide)]
        if not chosen:
            continue
        said = f"noise {noise_text(noise)} dB" if noise else "no noise"
        print(f"\nx{ratio}, guide {Path(guide).stem}, {said}, blind\n{HEAD}", flush=True)
        found = []
        for case in chosen:
            for score in _scored(case, noise, cubes):
                print_score(score)
                found.append(score)
        print("\n" + section(found), flush=True)
        scores += found
        files = save_table(folder, scores, run, cubes, left_out)
    return Benchmark(scores, files)


def _cases(
    cubes: Sequence[SharpCube],
    ratios: Sequence[int],
    guides: Sequence[str],
    methods: Sequence[str] | None,
    weights: Mapping[str, tuple[str, Any]],
    minutes: float,
) -> tuple[list[_Case], list[str]]:
    """Return what can be simulated, and in words what cannot; found on small corners, before the time is spent."""
    cases, left_out = [], []
    for sharp, ratio, guide in product(cubes, ratios, guides):
        try:
            small = _pair(_corner(sharp, ratio), ratio, guide, None)
        except SceneError as error:
            left_out.append(f"{sharp.name} at x{ratio} with the guide {Path(guide).stem}: {error}")
            continue
        cases.append(_Case(sharp, ratio, guide, fitting_contenders(methods, weights, small, minutes=minutes)))
    if not cases:
        raise SceneError(f"No cube can be used. {left_out[0]}")
    used = {contender.source for case in cases for contender in case.contenders}
    for name, (source, _) in weights.items():
        if source not in used and (methods is not None or source != name):
            raise ModelError(f"{name} fits none of the cubes at these ratios; leave it out, or give other cubes.")
    return cases, left_out


def _corner(sharp: SharpCube, ratio: int) -> SharpCube:
    side = slice(0, CORNER * ratio)
    return SharpCube(sharp.cube.crop(side, side), sharp.sensor, sharp.stored, sharp.dropped, sharp.assumed)


def _pair(sharp: SharpCube, ratio: int, guide: str, noise: tuple[float, float] | None) -> Scene:
    return simulate(sharp.cube, ratio, srf=guide, protocol=Psf(ratio / 2), noise=noise, wrap=False)


def _scored(case: _Case, noise: tuple[float, float] | None, cubes: Sequence[SharpCube]) -> Iterator[AirborneScore]:
    sensor = case.sharp.sensor
    scenes = {sharp.name for sharp in cubes if sharp.sensor == sensor}
    found = bench_scene(case.pair(noise), case.sharp.name, case.contenders, PROTOCOL, MEASURE)
    for contender, score in zip(case.contenders, found, strict=True):
        yield AirborneScore(
            **vars(score),
            sensor=sensor,
            guide=Path(case.guide).stem,
            noise=noise_text(noise),
            trained_on_sensor=_knows(contender.model, sensor, scenes),
        )


def _knows(model: Any, sensor: str, scenes: set[str]) -> bool:
    """Whether the card of weights names the sensor, or one of its scenes, among the training data."""
    if not isinstance(model, Trained | AnySensor):
        return False
    return any(name in scenes or sensor.lower() in name.lower() for name in model.card.data)
