"""Where a fusion's time goes, and how near its operations come to what the machine can do."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_specfusion.bench.isolated import run_apart
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HEAD", "Machine", "Spent", "bench_rates", "measure_machine"]

OUTSIDE = "outside torch"
HEAD = f"{'method':<16} {'kind':<20} {'time':>5} {'calls':>7} {'GFLOP/s':>8} {'of peak':>8} {'GB/s':>6} {'of peak':>8}"
REPEATS = 5


@dataclass(frozen=True)
class Machine:
    """What this machine reaches.

    Attributes
    ----------
    flops
        Floating-point operations per second in a product of two large float32 matrices.
    bandwidth
        Bytes per second, read and written, in a copy of a large array.
    """

    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Spent:
    """One kind of operation in the tiles of one fusion.

    Attributes
    ----------
    method, kind
        The method, and the kind of operation; ``outside torch`` holds reading, writing, numpy and Python.
    share
        Share of the time from the first tile to the last.
    calls
        Number of operations.
    flops
        Floating-point operations per second while they ran; 0 where they are not counted.
    bandwidth
        Bytes of their arguments and results per second.
    """

    method: str
    kind: str
    share: float
    calls: int
    flops: float
    bandwidth: float

    def line(self, machine: Machine) -> str:
        """Return one line below `HEAD`."""
        rates = "".join(
            f"{found / 1e9:{width}.1f} {found / peak:8.0%} " if found else " " * (width + 10)
            for found, peak, width in ((self.flops, machine.flops, 8), (self.bandwidth, machine.bandwidth, 6))
        )
        return f"{self.method:<16} {self.kind:<20} {self.share:5.0%} {self.calls:>7} {rates}".rstrip()


def bench_rates(
    *, methods: Sequence[str] | None = None, side: int = 1024, ratio: int = 4, threads: int = 2
) -> tuple[Machine, list[Spent]]:
    """Measure the machine, then every method on a painted pair in memory, each in a process of its own.

    Parameters
    ----------
    methods
        Methods and shipped weights; None takes all methods.
    side
        Rows and columns of the guide.
    ratio
        Guide pixels per cube pixel.
    threads
        Threads to compute with.

    Raises
    ------
    ModelError
        If a fusion failed.
    """
    at = "napari_specfusion.bench.rates"
    machine = Machine(**run_apart(f"{at}:_measure_machine", {"threads": threads}, threads, "the machine", "try again"))
    found: list[Spent] = []
    for method in methods or list(METHODS):
        task = {"method": method, "side": side, "ratio": ratio}
        found += [Spent(**row) for row in run_apart(f"{at}:_measure", task, threads, method, "leave it out")["spent"]]
    return machine, found


def measure_machine() -> Machine:
    """Return what this machine reaches with the threads that torch has here: the best of a few runs."""
    import torch

    matrix = torch.rand(2048, 2048)
    array = torch.rand(1 << 26)
    target = torch.empty_like(array)
    product = _fastest(lambda: torch.mm(matrix, matrix))
    copy = _fastest(lambda: target.copy_(array))
    return Machine(2 * len(matrix) ** 3 / product, 2 * array.nbytes / copy)


def _fastest(call: Any) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _measure_machine(task: dict[str, Any]) -> dict[str, float]:
    return vars(measure_machine())


def _measure(task: dict[str, Any]) -> dict[str, Any]:
    """Fuse for `bench_rates` in this process."""
    from napari_specfusion.bench.operation_clock import KINDS, OperationClock

    clock, started = OperationClock(), list[float]()
    with ExitStack() as stack:

        def progress(event: FusionProgress) -> None:
            if event.cube is not None and not started:
                stack.enter_context(clock)
                started.append(time.perf_counter())

        fuse(sample_scene(task["side"], task["ratio"]), model=task["method"], progress=progress)
        seconds = time.perf_counter() - started[0]
    rows = [
        Spent(
            task["method"],
            kind,
            clock.seconds[kind] / seconds,
            clock.calls[kind],
            clock.flops[kind] / clock.seconds[kind],
            clock.bytes[kind] / clock.seconds[kind],
        )
        for kind in KINDS
        if clock.calls[kind]
    ]
    outside = 1 - sum(row.share for row in rows)
    return {"spent": [vars(row) for row in (*rows, Spent(task["method"], OUTSIDE, outside, 0, 0.0, 0.0))]}
