"""Time and memory of a pass through a network."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.bench.isolated import peak_memory, run_apart
from napari_specfusion.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["RELEASED", "Cost", "bench_network"]

# The released code, eager float32, two cores, 31 bands, x4: network -> side in pixels -> seconds, GB.
RELEASED = {"lso": {256: (3.3, 1.5), 512: (14.0, 4.2)}, "specsolver": {512: (26.0, 4.1)}}
REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """The cost of one pass of a network.

    Attributes
    ----------
    seconds
        The fastest of a few passes in one process.
    memory
        The process's peak memory in GB, libraries included.
    growth
        The peak above its memory after the imports, in GB.
    """

    seconds: float
    memory: float
    growth: float


def bench_network(
    name: str,
    size: int,
    *,
    bands: int = 31,
    guide_bands: int = 3,
    ratio: int = 4,
    threads: int = 2,
    plain: str | Path | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Cost:
    """Measure passes of a network over one image, in a separate process.

    Parameters
    ----------
    name
        A network of `list_networks`.
    size
        Rows and columns of the guide.
    bands, guide_bands, ratio
                Sizes of the image pair.
    threads
        Threads to compute with.
    plain
        A Python file with a function ``lso(state, guide, hsi)`` to measure instead of the network, with its weights.
    sizes
        Sizes that differ from the named network's.

    Raises
    ------
    ModelError
        If the network cannot be created or run.
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
    return Cost(**run_apart("napari_specfusion.bench.network:_measure", task, threads, what, "try a smaller size"))


def _measure(task: dict[str, Any]) -> dict[str, float]:
    """Measure the passes for `bench_network` in this process."""
    import torch

    from napari_specfusion.networks.registry import create_model

    torch.set_num_threads(task["threads"])
    side, ratio = task["size"], task["ratio"]
    network = create_model(task["name"], task["bands"], task["guide_bands"], ratio, **task["sizes"]).eval()
    compute: Callable[..., Any] = network
    if task["plain"] is not None:
        state, function = network.state_dict(), _load(task["plain"])
        compute = lambda guide, hsi: function(state, guide, hsi)  # noqa: E731 - a named function would be no clearer
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
