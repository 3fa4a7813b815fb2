"""Fusing a simulated pair with each method, blind, and scoring the result: what the benchmarks of quality share."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.bench.candidates import network_cost
from napari_specfusion.bench.report import Run, Score
from napari_specfusion.device import pick_device
from napari_specfusion.errors import Cancelled, SpecFusionError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.quality.metrics import evaluate
from napari_specfusion.simulation.pair import blind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_specfusion.bench.candidates import Contender
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.quality.metrics import Quality

__all__ = ["HEAD", "Benchmark", "bench_scene", "noise_text", "print_score", "this_run"]

HEAD = f"{'scene':<24} {'method':<24} {'PSNR':>6} {'SAM':>6} {'ERGAS':>6} {'SSIM':>7} {'s':>6}"
"""The line above those of `print_score`."""


@dataclass(frozen=True)
class Benchmark:
    """The result of a benchmark.

    Attributes
    ----------
    scores
        One for each method and pair.
    files
        The tables that were written and, if matplotlib is installed, the plot.
    """

    scores: Sequence[Score]
    files: list[Path]


def bench_scene(
    scene: Scene,
    name: str,
    methods: Iterable[Contender],
    protocol: str = "",
    measure: Callable[..., Quality] = evaluate,
) -> Iterator[Score]:
    """Fuse a simulated pair with each method, blind, and score the result.

    Parameters
    ----------
    scene
        A pair with its reference; its PSF, shift and SRF are hidden from the methods.
    name
        Name of the scene.
    methods
        Methods to fuse with; one that fails is recorded, and the others continue.
    protocol
        Protocol that simulated the pair.
    measure
        Compares the reference with the result; takes them and the ratio.

    Yields
    ------
    Score
        Without the memory.
    """
    assert scene.reference is not None
    pair = blind(scene)
    for contender in methods:
        quality, failure = None, ""
        start = time.perf_counter()
        try:
            model = contender.ready(pair)
            fused = fuse(pair, model=model)
            seconds = time.perf_counter() - start
            quality = measure(scene.reference, fused, scene.factor)
        except Cancelled:
            raise
        except SpecFusionError as error:
            failure = str(error)
        cost = None if failure else network_cost(model)
        yield Score(
            protocol,
            int(scene.factor),
            name,
            contender.name,
            contender.made_for,
            **{key: _known(quality, key) for key in ("psnr", "sam", "ergas", "ssim")},
            seconds=None if failure else seconds,
            parameters=cost.parameters if cost else None,
            operations=cost.operations if cost else None,
            failure=failure,
        )


def this_run() -> Run:
    """Return the software and hardware that fuse here."""
    import torch

    # without the build tag after the plus sign
    return Run(
        version("napari-specfusion"),
        torch.__version__.partition("+")[0],
        torch.get_num_threads(),
        pick_device("auto", "float32"),
    )


def noise_text(noise: Sequence[float] | None) -> str:
    """Return the SNR of cube and guide in words; an empty string without noise."""
    return "" if noise is None else " and ".join(f"{level:g}" for level in noise)


def print_score(score: Score) -> None:
    """Print one line, below `HEAD`."""
    values = (
        "-".rjust(width) if value is None else f"{value:{width}.{digits}f}"
        for value, width, digits in (
            (score.psnr, 6, 2),
            (score.sam, 6, 2),
            (score.ergas, 6, 2),
            (score.ssim, 7, 4),
            (score.seconds, 6, 1),
        )
    )
    print(f"{score.scene:<24} {score.label:<24} {' '.join(values)} {score.failure}".rstrip(), flush=True)


def _known(quality: Quality | None, key: str) -> float | None:
    value = math.nan if quality is None else float(getattr(quality, key))
    return None if math.isnan(value) else value
