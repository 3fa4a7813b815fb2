"""Whole fusions on one device, from the pair to the complete result."""

from __future__ import annotations

import gc
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.fusion.engine import FusionProgress, Precision, fuse
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.simulation.pair import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FUSION_HEAD", "FusionRate", "fusion_rates", "reason", "tidy"]

# side of the painted scene that is repeated over the image
BLOCK = 256
FUSION_HEAD = (
    f"{'method':<14} {'side':>5} {'precision':<9} {'where':<7} {'prepare s':>9} {'tiles s':>8} {'Mpx/s':>8}"
    f" {'busy':>6} {'GB':>6}"
)


@dataclass(frozen=True)
class FusionRate:
    """One fusion, from the pair to the complete result.

    Attributes
    ----------
    method, side, precision
        What was fused: a guide of `side` x `side` pixels.
    where
        ``"memory"``, or ``"zarr"`` for files and a result on disk.
    prepare, tiles
        Seconds until the first tile, and from there to the end.
    rate
        Millions of pixels per second of the tiles' time.
    busy
        Share of the tiles' time in which the device computed, in another fusion that was watched; NaN where it was not
        measured.
    memory
        Peak memory on the device in GB; NaN on the processor.
    failure
        Why there are no figures, or what the fusion said.
    """

    method: str
    side: int
    precision: str
    where: Literal["memory", "zarr"]
    prepare: float = math.nan
    tiles: float = math.nan
    rate: float = math.nan
    busy: float = math.nan
    memory: float = math.nan
    failure: str = ""

    def line(self) -> str:
        """Return one line below `FUSION_HEAD`."""
        text = f"{self.method:<14} {self.side:>5} {self.precision:<9} {self.where:<7}"
        if self.failure and math.isnan(self.rate):
            return f"{text} {self.failure}"
        figures = f" {self.prepare:9.2f} {self.tiles:8.2f} {self.rate:8.2f} {self.busy:6.0%} {self.memory:6.2f}"
        return f"{text}{figures} {self.failure}".rstrip()


def fusion_rates(
    methods: Sequence[str],
    precisions: Sequence[Precision],
    device: str,
    side: int,
    bands: int,
    ratio: int,
    end: float,
    folder: Path,
) -> Iterator[FusionRate]:
    """Yield the rates of fusions in memory, then from files to a file."""
    scene = _scene(side, bands, ratio)
    small = _scene(max(BLOCK, side // 2 // BLOCK * BLOCK), bands, ratio)
    stored: Scene | None = None
    for method in methods:
        model = _model(method, bands, ratio)
        wanted = [p for p in precisions if p in ("float32", "bfloat16") and (p == "float32" or method not in METHODS)]
        wheres: tuple[Literal["memory", "zarr"], ...] = ("memory", "zarr")
        for precision, where in product(reversed(wanted), wheres):
            row = FusionRate(method, side, precision, where)
            if time.perf_counter() > end:
                yield FusionRate(**vars(row) | {"failure": "left out: no time left"})
                continue
            try:
                if where == "zarr" and stored is None:
                    stored = _stored(scene, folder)
                given = stored if where == "zarr" and stored is not None else scene
                target = folder / "fused.zarr" if where == "zarr" else None
                if where == "memory":
                    # libraries load and memory is allocated only once
                    _fuse(small, model, device, precision, None)
                figures = _fuse(given, model, device, precision, target)
                if where == "memory" and time.perf_counter() < end:
                    figures["busy"] = _busy(given, model, device, precision)
            except Exception as error:  # what one method cannot do must not cost the others
                figures = {"failure": reason(error)}
            finally:
                shutil.rmtree(folder / "fused.zarr", ignore_errors=True)
                tidy(device)
            yield FusionRate(**vars(row) | figures)


def _model(method: str, bands: int, ratio: int) -> Any:
    import torch

    if method not in NETWORKS:
        return method
    torch.manual_seed(0)
    return NetworkMethod(create_model(method, bands, 3, ratio).eval(), method)


def _scene(side: int, bands: int, ratio: int) -> Scene:
    """Return a painted pair, repeated over the image."""
    scene = simulate(sample_reference(BLOCK, bands=bands), ratio, srf="rgb", noise=(35.0, 40.0))
    repeats = max(1, side // BLOCK)
    hsi, guide = (
        Cube.from_array(np.tile(cube.read().astype(np.float32), (1, repeats, repeats)), wavelengths=cube.wavelengths)
        for cube in (scene.hsi, scene.guide)
    )
    return Scene(hsi, guide, ratio)


def _stored(scene: Scene, folder: Path) -> Scene:
    """Return the pair, written to files and opened again."""
    from napari_specfusion.io import open_cube

    for name, cube in (("low", scene.hsi), ("sharp", scene.guide)):
        cube.save(folder / f"{name}.zarr")
    return Scene(open_cube(folder / "low.zarr"), open_cube(folder / "sharp.zarr"), scene.factor)


def _fuse(scene: Scene, model: Any, device: str, precision: Precision, target: Path | None) -> dict[str, Any]:
    """Return the figures of one fusion."""
    import torch

    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    start, first, told = time.perf_counter(), 0.0, list[str]()

    def progress(event: FusionProgress) -> None:
        nonlocal first
        if not first and event.cube is not None:
            first = time.perf_counter()
        elif event.message:
            told.append(event.message)

    fuse(scene, model=model, device=device, precision=precision, out=target, align=False, progress=progress)
    stop = time.perf_counter()
    height, width = scene.shape
    return {
        "prepare": first - start,
        "tiles": stop - first,
        "rate": height * width / (stop - first) / 1e6,
        "memory": torch.cuda.max_memory_allocated(place) / 1e9 if place.type == "cuda" else math.nan,
        "failure": " ".join(told),
    }


def _busy(scene: Scene, model: Any, device: str, precision: Precision) -> float:
    """Return the share of the tiles' time of a fusion in which a CUDA device computed; NaN where that is unknown."""
    import torch

    if torch.device(device).type != "cuda":
        return math.nan
    try:
        from torch.profiler import ProfilerActivity, profile

        clock, started = profile(activities=[ProfilerActivity.CUDA]), list[float]()

        def progress(event: FusionProgress) -> None:
            if event.cube is not None and not started:
                clock.start()
                started.append(time.perf_counter())

        fuse(scene, model=model, device=device, precision=precision, align=False, progress=progress)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started[0]
        clock.stop()
        events: Any = clock.events()
        spans = sorted(
            (event.time_range.start, event.time_range.end)
            for event in events
            if "CUDA" in str(event.device_type) and not event.name.startswith(("Memcpy", "Memset"))
        )
    except Exception as error:  # a figure less, where the profiler does not work
        print(f"the device's share could not be measured ({reason(error)})")
        return math.nan
    computed, latest = 0.0, 0.0
    for begin, stop in spans:
        computed += max(0.0, stop - max(begin, latest))
        latest = max(latest, stop)
    # in microseconds
    return computed / 1e6 / seconds if spans else math.nan


def tidy(device: str) -> None:
    """Free what the device holds for nobody."""
    import torch

    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def reason(error: Exception) -> str:
    """Return what went wrong, in one line."""
    words = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return words if isinstance(error, SpecFusionError) else f"{type(error).__name__}: {words}"
