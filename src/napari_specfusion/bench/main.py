"""Time and memory of the networks, and of large files."""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.bench.isolated import peak_memory, run_apart
from napari_specfusion.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Cost", "bench_network", "main"]

# The released code, eager float32, two cores, 31 bands, x4: network -> side in pixels -> seconds, GB.
RELEASED = {"lso": {256: (3.3, 1.5), 512: (14.0, 4.2)}, "specsolver": {512: (26.0, 4.1)}}
REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """What one pass of a network takes.

    Attributes
    ----------
    seconds
        The fastest of a few passes in one process.
    memory
        The process's highest memory use in GB, libraries included.
    growth
        How far that is above its use once everything is imported, in GB.
    """

    seconds: float
    memory: float
    growth: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks; return the exit status."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = options.run
    run(options)
    return 0


def bench_network(
    name: str = "lso",
    size: int = 512,
    *,
    bands: int = 31,
    guide_bands: int = 3,
    ratio: int = 4,
    threads: int = 2,
    plain: str | Path | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Cost:
    """Measure passes of a network over one image, in a process of its own.

    Parameters
    ----------
    name
        A network of `list_networks`.
    size
        Rows and columns of the guide.
    bands, guide_bands, ratio
        Of the image pair.
    threads
        Threads to compute with.
    plain
        A Python file with a function ``lso(state, guide, hsi)`` to measure in the network's place, with its weights.
    sizes
        Sizes other than the named ones.

    Raises
    ------
    ModelError
        If the network cannot be made or run.
    """
    task = {
        "name": name,
        "size": size,
        "bands": bands,
        "guide_bands": guide_bands,
        "ratio": ratio,
        "threads": threads,
        "plain": None if plain is None else str(plain),
        "sizes": dict(sizes or {}),
    }
    what = f"{name} at {size} x {size}"
    return Cost(**run_apart("napari_specfusion.bench.main:_measure", task, threads, what, "try a smaller size"))


def _measure(task: dict[str, Any]) -> dict[str, float]:
    """Measure in this process what `bench_network` asks for."""
    import torch

    from napari_specfusion.networks.registry import create_model

    torch.set_num_threads(task["threads"])
    side, ratio = task["size"], task["ratio"]
    network = create_model(task["name"], task["bands"], task["guide_bands"], ratio, **task["sizes"]).eval()
    compute: Callable[..., Any] = network
    if task["plain"] is not None:
        state, function = network.state_dict(), _load(task["plain"])
        compute = lambda guide, hsi: function(state, guide, hsi)  # noqa: E731 - a name would say no more
    before = peak_memory()
    guide = torch.rand(1, task["guide_bands"], side, side)
    hsi = torch.rand(1, task["bands"], side // ratio, side // ratio)
    times = []
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = time.perf_counter()
            compute(guide, hsi)
            times.append(time.perf_counter() - start)
    return asdict(Cost(min(times), peak_memory(), peak_memory() - before))


def _load(file: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location("plain", file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise ModelError(f"There is no Python file {file}; check the path.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.lso
    return function


def _print_networks(options: argparse.Namespace) -> None:
    print(f"one image, {options.bands} bands, guide of 3, x{options.ratio}, {options.threads} threads")
    print(f"{'network':<20} {'pixels':>11} {'s':>7} {'GB':>6} {'GB above imports':>17}", flush=True)
    for size in options.size:
        todo: list[tuple[str, str, str | None]] = [(name, name, None) for name in options.name]
        if options.plain:
            todo.append(("lso, plain", "lso", options.plain))
        for label, name, plain in todo:
            cost = bench_network(
                name, size, bands=options.bands, ratio=options.ratio, threads=options.threads, plain=plain
            )
            print(
                f"{label:<20} {f'{size} x {size}':>11} {cost.seconds:7.2f} {cost.memory:6.2f} {cost.growth:17.2f}",
                flush=True,
            )
        if (options.bands, options.ratio, options.threads) != (31, 4, 2):
            continue
        for name in options.name:
            if size in RELEASED.get(name, {}):
                seconds, memory = RELEASED[name][size]
                label, pixels = f"{name}, released", f"{size} x {size}"
                print(f"{label:<20} {pixels:>11} {seconds:7.2f} {memory:6.2f}   (its authors' code)")


def _print_envi(options: argparse.Namespace) -> None:
    from napari_specfusion.bench.files import rows

    table = rows(options.bands, options.side)
    print("  ".join(f"{key:>12}" for key in table[0]))
    for row in table:
        print("  ".join(f"{v:>12.3f}" if isinstance(v, float) else f"{v!s:>12}" for v in row.values()))


def _print_io(options: argparse.Namespace) -> None:
    from napari_specfusion.bench.files import INTERLEAVES, bench_files, bench_open

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        opened = bench_open(options.bands, options.side, Path(folder))
        print("opening, s: " + ", ".join(f"{name} {seconds:.3f}" for name, seconds in opened.items()), flush=True)
        for interleave in INTERLEAVES:
            found = bench_files(interleave, options.bands, options.side, Path(folder), options.repeats)
            load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
            print(f"{found.pop('interleave')}, {found.pop('gigabytes'):.1f} GB, {os.cpu_count()} cores{load}")
            print("\n".join(f"  {key:<18} {value:10.3f}" for key, value in found.items()), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m napari_specfusion bench", description="Measure speed and quality; `cave` has its own --help."
    )
    names = parser.add_subparsers(title="benchmarks", metavar="NAME", required=True)
    network = names.add_parser("network", help="time and memory of a pass through each network")
    network.set_defaults(run=_print_networks)
    network.add_argument("--name", nargs="+", default=["lso", "lso-s"], help="networks (%(default)s)")
    network.add_argument("--size", nargs="+", type=int, default=[256, 512], help="rows and columns (%(default)s)")
    network.add_argument("--bands", type=int, default=31, help="bands of the cube (%(default)s)")
    network.add_argument("--ratio", type=int, default=4, help="guide pixels per cube pixel (%(default)s)")
    network.add_argument("--threads", type=int, default=2, help="threads to compute with (%(default)s)")
    network.add_argument("--plain", metavar="FILE", help="also measure the function lso of this Python file")
    envi = names.add_parser("envi", help="opening a large ENVI file")
    envi.set_defaults(run=_print_envi)
    envi.add_argument("--bands", type=int, default=224, help="bands (%(default)s)")
    envi.add_argument("--side", type=int, default=2160, help="rows and columns (%(default)s)")
    io = names.add_parser("io", help="large files: opening, reading and converting, against plain access to the disk")
    io.set_defaults(run=_print_io)
    io.add_argument("--bands", type=int, default=224, help="bands (%(default)s)")
    io.add_argument("--side", type=int, default=2160, help="rows and columns (%(default)s)")
    io.add_argument("--repeats", type=int, default=3, help="take the best of so many (%(default)s)")
    io.add_argument("--folder", help="on the disk to measure, with 7 GB of room (the system's folder for such files)")
    names.add_parser("cave", help="quality and time of the methods on sharp cubes; has its own --help")
    return parser
