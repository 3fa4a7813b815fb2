"""Quality, time and memory of the methods on pairs simulated from sharp cubes by the published protocols.

Made for the CAVE scenes (31 bands, 400-700 nm), one file each in a folder; any cubes with wavelengths work.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.bench.candidates import Contender, contenders, open_model
from napari_specfusion.bench.isolated import peak_memory, run_apart
from napari_specfusion.bench.report import prepare_folder
from napari_specfusion.bench.scoring import HEAD, Benchmark, bench_scene, noise_text, print_score, this_run
from napari_specfusion.bench.table import Setting, save_table, section
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import ModelError, SceneError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.simulation.pair import PROTOCOLS, blind, simulate
from napari_specfusion.simulation.sharp_cubes import WHITE, open_sharp_cubes
from napari_specfusion.training.fitting import FIT_MINUTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.bench.report import Score

__all__ = ["CROSS", "RATIOS", "bench_cave", "bench_memory"]

RATIOS, CROSS = (4, 8), (8, 16, 32)


def bench_cave(
    data: str | Path,
    out: str | Path = "bench-cave",
    *,
    srf: str = "rgb",
    ratios: Sequence[int] | None = None,
    cross: Sequence[int] | None = None,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    methods: Sequence[str] | None = None,
    weights: Sequence[str | Path] = (),
    minutes: float = FIT_MINUTES,
    noise: tuple[float, float] | None = None,
    white: float = WHITE,
    memory: bool = True,
) -> Benchmark:
    """Fuse simulated pairs of every sharp cube with every method, print the scores, and write the table.

    The table is written after each part, so a stopped run keeps its scores so far.

    Parameters
    ----------
    data
        Folder of sharp cubes, one file each.
    out
        Folder for ``table.md``, ``table.csv`` and, with matplotlib, ``table.png``.
    srf
        Response of the guide's camera: a name or a CSV file.
    ratios
        Guide pixels per cube pixel; None takes 4 and 8.
    cross
        Ratios at which the weights made for 4 run as well; None takes 8, 16 and 32, or no ratio if `ratios` is given.
    protocols
        Protocols that simulate the pairs: keys of `PROTOCOLS`.
    methods
        Methods to compare, see `contenders`; None takes all but ``"auto"`` and what is fitted on each scene.
    weights
        More weight files.
    minutes
        Time to fit a network on each scene.
    noise
        Noise to add to cube and guide, SNR in dB.
    white
        Stored integer for reflectance 1 in files that do not state it.
    memory
        Whether to measure memory.

    Raises
    ------
    SpecFusionError
        If the cubes, the weights or the folder cannot be used. A method that fails on a scene is recorded.
    """
    if cross is None:
        cross = CROSS if ratios is None else ()
    everywhere = sorted({*(ratios or RATIOS), *cross})
    cubes = open_sharp_cubes(data, white)
    small = {ratio: simulate(_corner(cubes[0], ratio), ratio, srf=srf) for ratio in everywhere}
    table = contenders(methods, weights, small, cross=cross, minutes=minutes)
    folder = prepare_folder(out)
    setting = Setting(**vars(this_run()), response=Path(srf).stem, noise=noise_text(noise))
    scores: list[Score] = []
    files: list[Path] = []
    grown: dict[tuple[str, int], float | None] = {}
    for protocol in protocols:
        for ratio in everywhere:
            print(f"\nx{ratio}, protocol {protocol}, blind" + (f", noise {setting.noise} dB" if noise else ""))
            print(HEAD, flush=True)
            found: list[Score] = []
            for cube in cubes:
                scene = simulate(cube, ratio, srf=srf, protocol=protocol, noise=noise)
                for contender, score in zip(
                    table[ratio], bench_scene(scene, cube.name, table[ratio], protocol), strict=True
                ):
                    key = (contender.name, ratio)
                    if memory and key not in grown:
                        grown[key] = None if score.failure else _try_memory(scene, contender)
                    found.append(dataclasses.replace(score, memory=grown.get(key)))
                    print_score(found[-1])
            print("\n" + section(found, published=protocol == "lso" and noise is None), flush=True)
            scores += found
            files = save_table(folder, scores, setting)
    return Benchmark(scores, files)


def bench_memory(scene: Scene, contender: Contender) -> float:
    """Return the peak growth in GB of a separate process while it fuses a pair, blind.

    Raises
    ------
    ModelError
        If it cannot be measured, or the contender is fitted on the pair.
    """
    import torch

    if contender.minutes is not None:
        raise ModelError(f"Measuring the memory of {contender.name} needs another fit; leave it out.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.npz"
        known: dict[str, Any] = {} if scene.hsi.wavelengths is None else {"wavelengths": scene.hsi.wavelengths}
        np.savez(file, hsi=scene.hsi.read(), guide=scene.guide.read(), **known)
        task = {"pair": str(file), "source": contender.source, "ratio": int(scene.factor)}
        what, remedy = f"The memory of {contender.name}", "leave it out with --no-memory"
        measured = run_apart("napari_specfusion.bench.cave:_measure", task, torch.get_num_threads(), what, remedy)
    return float(measured["growth"])


def _measure(task: dict[str, Any]) -> dict[str, float]:
    """Measure the memory for `bench_memory` in this process."""
    from napari_specfusion.samples.scene import sample_scene

    with np.load(task["pair"]) as stored:
        hsi = Cube.from_array(stored["hsi"], wavelengths=stored["wavelengths"] if "wavelengths" in stored else None)
        pair = Scene(hsi, Cube.from_array(stored["guide"]), task["ratio"])
    model = open_model(task["source"], task["ratio"])
    # loads every library that fusing needs
    fuse(blind(sample_scene(32, 4)), model="subspace")
    before = peak_memory()
    fuse(pair, model=model)
    # the kernel's count may fall by a few pages
    return {"growth": max(0.0, peak_memory() - before)}


def _try_memory(scene: Scene, contender: Contender) -> float | None:
    if contender.minutes is not None:
        return None
    try:
        return bench_memory(scene, contender)
    except ModelError as error:
        print(f"warning: {error}", file=sys.stderr)
        return None


def _corner(cube: Cube, ratio: int) -> Cube:
    """Return a corner of a cube, large enough to simulate a small pair."""
    if min(cube.shape[1:]) < ratio:
        raise SceneError(
            f"{cube.name} has {cube.shape[1]} x {cube.shape[2]} pixels, less than one at x{ratio}; "
            "give smaller ratios with --ratio and --cross."
        )
    side = slice(0, 4 * ratio)
    return cube.crop(side, side)
