"""Time and memory of fusing files of growing size, from disk to disk."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.bench.isolated import peak_memory, run_apart
from napari_specfusion.bench.report import prepare_folder
from napari_specfusion.bench.scoring import this_run
from napari_specfusion.errors import SceneError
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.io.atomic import replacing
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.simulation.pair import simulate

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["HEAD", "SizeRun", "bench_sizes", "read_runs", "write_pair"]

# side of the painted scene that is repeated, mirrored, over the image
BLOCK = 512
NOISE = (35.0, 40.0)
MAXIMUM = 65535 / 1.25
HEAD = (
    f"{'method':<16} {'pixels':>13} {'bands':>5} {'prepare s':>9} {'tiles s':>9} {'CPU s/Mpx':>9} {'system':>7}"
    f" {'busy':>6} {'GB':>6} {'stop s':>11}"
)


@dataclass(frozen=True)
class SizeRun:
    """One fusion of two files into a third.

    Attributes
    ----------
    method, side, bands, ratio, threads
        What was fused: a guide of `side` x `side` pixels and a cube of `bands`.
    prepare
        Seconds until the first tile: calibration and what the method needs of the whole pair.
    tiles
        Seconds from then until the result is complete.
    prepare_cpu, tiles_cpu
        CPU seconds of all threads meanwhile.
    system
        Share of the system, not the program, in the CPU time of the whole run.
    busy
        Share of the time of the tiles in which the thread that computes was computing, not waiting for files or for
        other threads.
    memory
        Peak memory of the process in GB, libraries included.
    prepare_stop, tiles_stop
        The longest time in seconds between two looks at whether to stop, in both parts of the run.
    """

    method: str
    side: int
    bands: int
    ratio: int
    threads: int
    prepare: float
    tiles: float
    prepare_cpu: float
    tiles_cpu: float
    system: float
    busy: float
    memory: float
    prepare_stop: float = math.nan
    tiles_stop: float = math.nan

    @property
    def cpu_per_mpx(self) -> float:
        """CPU seconds for a million pixels, without the preparation."""
        return self.tiles_cpu / (self.side**2 / 1e6)

    @property
    def key(self) -> tuple[str, int, int, int]:
        """What identifies the same run on another machine or version."""
        return self.method, self.side, self.bands, self.ratio

    def line(self, earlier: SizeRun | None = None) -> str:
        """Return one line below `HEAD`, with the change of time and memory since an `earlier` run."""
        text = (
            f"{self.method:<16} {f'{self.side} x {self.side}':>13} {self.bands:>5} {self.prepare:9.1f}"
            f" {self.tiles:9.1f} {self.cpu_per_mpx:9.2f} {self.system:7.0%} {self.busy:6.0%} {self.memory:6.2f}"
            f" {self.prepare_stop:5.2f} {self.tiles_stop:5.2f}"
        )
        if earlier is None:
            return text
        return text + f"   tiles x{self.tiles / earlier.tiles:.2f}, GB x{self.memory / earlier.memory:.2f}"


def bench_sizes(
    out: str | Path = "bench-sizes",
    *,
    sides: Sequence[int] = (1024, 2048, 4096),
    bands: int = 31,
    ratio: int = 4,
    methods: Sequence[str] | None = None,
    threads: int | None = None,
    scale: float | None = None,
    folder: str | Path | None = None,
    against: str | Path | None = None,
) -> list[SizeRun]:
    """Fuse pairs of files of each size by each method, each in a process of its own, and print and keep the figures.

    The pair is a painted scene with noise, repeated over the image, in uint16 ENVI files that lie on one grid; the
    result is Zarr. The files are in the system's cache when a run begins, and its result may still wait there when it
    ends.

    Parameters
    ----------
    out
        Folder for ``table.md`` and ``sizes.json``, which are written after each run.
    sides
        Rows and columns of the guide, multiples of 512.
    bands
        Bands of the cube.
    ratio
        Guide pixels per cube pixel; divides 512.
    methods
        Methods and shipped weights; None takes all methods.
    threads
        Threads to compute with; None takes all cores.
    scale
        As in `fuse`: keeps the result as 16-bit integers.
    folder
        Where to put the files, on the disk to measure; None takes the system's temporary folder.
    against
        An earlier ``sizes.json``, to show the change.

    Raises
    ------
    SceneError
        If the sizes are not what they must be, or the disk is too small.
    ModelError
        If a run failed.
    """
    if any(side < 1 or side % BLOCK for side in sides) or BLOCK % ratio:
        raise SceneError(f"The sides are multiples of {BLOCK} and the ratio divides it; got {[*sides]} and {ratio}.")
    out = prepare_folder(out)
    earlier = {} if against is None else {run.key: run for run in read_runs(against)}
    threads = threads or os.cpu_count() or 1
    scene = simulate(sample_reference(BLOCK, bands=bands), ratio, srf="rgb", noise=NOISE)
    runs: list[SizeRun] = []
    print(HEAD, flush=True)
    for side in sides:
        with tempfile.TemporaryDirectory(dir=folder, prefix="bench-sizes-") as name:
            place = Path(name)
            _check_room(place, side, bands, ratio, 4 if scale is None else 2)
            low, sharp = write_pair(scene.hsi, scene.guide, side // BLOCK, place)
            for method in methods or list(METHODS):
                task = {"method": method, "hsi": str(low), "guide": str(sharp), "out": str(place / "fused.zarr")}
                what = f"{method} at {side} x {side}"
                found = run_apart(
                    "napari_specfusion.bench.sizes:_measure", task | {"scale": scale}, threads, what, "leave it out"
                )
                shutil.rmtree(place / "fused.zarr")
                run = SizeRun(method, side, bands, ratio, threads, **found)
                runs.append(run)
                print(run.line(earlier.get(run.key)), flush=True)
                _save(runs, earlier, out)
    return runs


def read_runs(file: str | Path) -> list[SizeRun]:
    """Return the runs of a ``sizes.json``.

    Raises
    ------
    SceneError
        If the file is not one.
    """
    names = {field.name for field in fields(SizeRun)}
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))["runs"]
        return [SizeRun(**{name: value for name, value in run.items() if name in names}) for run in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SceneError(f"{file} is no sizes.json of this benchmark ({error}); name another.") from error


def write_pair(hsi: Cube, guide: Cube, repeats: int, folder: Path) -> tuple[Path, Path]:
    """Write both images as uint16 ENVI files, repeated and mirrored over `repeats` x `repeats` blocks.

    The cube is stored band by band, the guide line by line.
    """
    return _write(hsi, repeats, folder / "low.hdr", "bsq"), _write(guide, repeats, folder / "sharp.hdr", "bil")


def _write(cube: Cube, repeats: int, header: Path, interleave: str) -> Path:
    values = np.clip(cube.read() * MAXIMUM, 0, 65535).astype("<u2")
    if interleave == "bil":
        values = values.transpose(1, 0, 2)
    with header.with_suffix(".img").open("wb") as file:
        for part in values if interleave == "bsq" else [values]:
            for index in range(repeats):
                file.write(_across(part[::-1] if index % 2 else part, repeats).tobytes())
    height, width = (repeats * side for side in cube.shape[1:])
    numbers = "" if cube.wavelengths is None else ", ".join(f"{value:.3f}" for value in cube.wavelengths)
    header.write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {cube.bands}\ndata type = 12\nbyte order = 0\n"
        f"interleave = {interleave}\nreflectance scale factor = {MAXIMUM}\n"
        + (f"wavelength units = nm\nwavelength = {{ {numbers} }}\n" if numbers else ""),
        encoding="utf-8",
    )
    return header


def _across(part: NDArray[Any], repeats: int) -> NDArray[Any]:
    """Return a block beside its mirror image, `repeats` blocks in all."""
    return np.concatenate([part[..., ::-1] if index % 2 else part for index in range(repeats)], axis=-1)


def _check_room(folder: Path, side: int, bands: int, ratio: int, size: int) -> None:
    need = side**2 * (bands * size + 3 * 2) + (side // ratio) ** 2 * bands * 2
    free = shutil.disk_usage(folder).free
    if need > free:
        raise SceneError(
            f"The files of {side} x {side} pixels take {need / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB; name "
            "another folder, or keep the result as integers with a scale."
        )


def _measure(task: dict[str, Any]) -> dict[str, float]:
    """Fuse for `bench_sizes` in this process."""
    import torch  # noqa: F401 - its import is not part of the run

    peak_memory(fresh=True)
    start, at_first = _Clock(), None
    looked, longest = time.perf_counter(), [0.0, 0.0]

    def should_stop() -> bool:
        nonlocal looked
        now, part = time.perf_counter(), int(at_first is not None)
        looked, longest[part] = now, max(longest[part], now - looked)
        return False

    def progress(event: FusionProgress) -> None:
        nonlocal at_first
        if at_first is None and event.cube is not None:
            at_first = _Clock()

    fuse(
        task["hsi"],
        task["guide"],
        model=task["method"],
        align=False,
        scale=task["scale"],
        out=task["out"],
        progress=progress,
        should_stop=should_stop,
    )
    end = _Clock()
    first = at_first or end
    wall, cpu, system = end.wall - first.wall, end.cpu - first.cpu, end.system - start.system
    whole = end.cpu - start.cpu
    return {
        "prepare": first.wall - start.wall,
        "tiles": wall,
        "prepare_cpu": whole - cpu,
        "tiles_cpu": cpu,
        "system": system / whole if whole else math.nan,
        "busy": (end.thread - first.thread) / wall if wall else math.nan,
        "memory": peak_memory(),
        "prepare_stop": longest[0],
        "tiles_stop": longest[1],
    }


class _Clock:
    """The time now: of the clock, of this process, and of this thread."""

    def __init__(self) -> None:
        used = os.times()
        self.wall, self.thread = time.perf_counter(), time.thread_time()
        self.cpu, self.system = used.user + used.system, used.system


def _save(runs: Sequence[SizeRun], earlier: dict[Any, SizeRun], out: Path) -> None:
    machine = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
    }
    content = json.dumps({"run": asdict(this_run()) | machine, "runs": [asdict(run) for run in runs]}, indent=1)
    table = "\n".join(["```", HEAD, *(run.line(earlier.get(run.key)) for run in runs), "```", ""])
    for name, text in (("sizes.json", content + "\n"), ("table.md", table)):
        with replacing(out / name) as part:
            part.write_text(text, encoding="utf-8")
