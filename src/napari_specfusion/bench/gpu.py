"""What a device computes: networks alone, in every precision and with what makes them fast, and whole fusions."""

from __future__ import annotations

import json
import math
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.bench.gpu_fusions import FUSION_HEAD, FusionRate, fusion_rates, reason, tidy
from napari_specfusion.bench.report import prepare_folder
from napari_specfusion.device import Acceleration, accelerated, computing, pick_device, place_network
from napari_specfusion.io.atomic import replacing
from napari_specfusion.networks.registry import create_model
from napari_specfusion.tiling.replay import Replays, replayed, run_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from napari_specfusion.fusion.engine import Precision

__all__ = ["NETWORK_HEAD", "NetworkRate", "bench_gpu"]

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16", "float16")
# passes are repeated for so long, in seconds
LONG = 0.15
NETWORK_HEAD = (
    f"{'network':<14} {'side':>5} {'precision':<9} {'channels last':<13} {'graphs':<6} {'ms':>8} {'Mpx/s':>8}"
    f" {'dB':>6} {'GB':>6}"
)


@dataclass(frozen=True)
class NetworkRate:
    """Passes of one network over one tile on the device.

    Attributes
    ----------
    network, side, precision
        What was computed: a guide of `side` x `side` pixels.
    channels_last, graphs
        What was switched on.
    seconds
        Mean time of a pass.
    rate
        Millions of pixels per second.
    distance
        Difference to float64 in dB below the result's range; NaN where it was not computed.
    memory
        Peak memory on the device in GB; NaN on the processor.
    failure
        Why there are no figures.
    """

    network: str
    side: int
    precision: str
    channels_last: bool
    graphs: bool
    seconds: float = math.nan
    rate: float = math.nan
    distance: float = math.nan
    memory: float = math.nan
    failure: str = ""

    def line(self) -> str:
        """Return one line below `NETWORK_HEAD`."""
        shown = [("yes" if value else "no") for value in (self.channels_last, self.graphs)]
        text = f"{self.network:<14} {self.side:>5} {self.precision:<9} {shown[0]:<13} {shown[1]:<6}"
        if self.failure and math.isnan(self.rate):
            return f"{text} {self.failure}"
        figures = f" {self.seconds * 1e3:8.2f} {self.rate:8.2f} {self.distance:6.1f} {self.memory:6.2f}"
        return f"{text}{figures} {self.failure}".rstrip()


def bench_gpu(
    out: str | Path = "bench-gpu",
    *,
    device: str = "auto",
    networks: Sequence[str] = ("lso", "lso-s", "specsolver"),
    sides: Sequence[int] = (512, 1024),
    precisions: Sequence[Precision] = PRECISIONS,
    methods: Sequence[str] = ("lso", "glp", "detail"),
    side: int = 4096,
    bands: int = 31,
    ratio: int = 4,
    seconds: float = 140.0,
    folder: str | Path | None = None,
) -> tuple[list[NetworkRate], list[FusionRate]]:
    """Measure networks with random weights on single tiles, then whole fusions, on one device.

    Parameters
    ----------
    out
        Folder for ``table.md`` and ``gpu.json``, which are written after every line.
    device
        Where to compute.
    networks, sides, precisions
        What to measure alone, on tiles of which sides in pixels.
    methods
        What to fuse with: methods, and networks with random weights, in float32 and bfloat16.
    side
        Rows and columns of the guide of the fusions, a multiple of 256.
    bands, ratio
        Sizes of the pairs.
    seconds
        Nothing new is begun after this time.
    folder
        Where to put the files of the fusions on disk; None takes the system's temporary folder.

    Raises
    ------
    FusionError
        If the device cannot be used.
    """
    device = pick_device(device)
    out = prepare_folder(out)
    end = time.perf_counter() + seconds
    found: tuple[list[NetworkRate], list[FusionRate]] = ([], [])
    print(_machine(device), flush=True)

    def note(row: NetworkRate | FusionRate) -> None:
        if isinstance(row, NetworkRate):
            found[0].append(row)
        else:
            found[1].append(row)
        print(row.line(), flush=True)
        _save(device, found, out)

    print(NETWORK_HEAD, flush=True)
    for name in networks:
        for one in sides:
            # the fusions get their share of the time
            until = end - 0.45 * seconds
            for network_row in _networks(name, one, precisions, device, bands, ratio, until, one == sides[0]):
                note(network_row)
    print(FUSION_HEAD, flush=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="bench-gpu-") as place:
        for fusion_row in fusion_rates(methods, precisions, device, side, bands, ratio, end, Path(place)):
            note(fusion_row)
    return found


# --- networks alone ------------------------------------------------------------------


def _networks(
    name: str, side: int, precisions: Sequence[Precision], device: str, bands: int, ratio: int, end: float, apart: bool
) -> Iterator[NetworkRate]:
    """Yield the rates of one network on tiles of one size; `apart` also with one thing switched on at a time."""
    import torch

    torch.manual_seed(0)
    made = create_model(name, bands, 3, ratio).eval().requires_grad_(False)
    guide = torch.rand(1, 3, side, side)
    hsi = torch.rand(1, bands, side // ratio, side // ratio)
    on_gpu = torch.device(device).type == "cuda"
    exact: torch.Tensor | None = None
    switches = [(True, True), (False, False)] if on_gpu else [(False, False)]
    if on_gpu and apart:
        switches += [(True, False), (False, True)]
    for precision, (last, graphs) in product(precisions, switches):
        row = NetworkRate(name, side, precision, last, graphs)
        if time.perf_counter() > end:
            yield NetworkRate(**vars(row) | {"failure": "left out: no time left"})
            continue
        try:
            if exact is None:
                exact = _exact(made, guide, hsi, device)
            with accelerated(Acceleration(graphs=graphs, channels_last=last)), computing(device, precision):
                figures = _pass(made, guide.to(device), hsi.to(device), precision, exact)
        except Exception as error:  # what one setting cannot do must not cost the others
            figures = {"failure": reason(error)}
        finally:
            tidy(device)
        yield NetworkRate(**vars(row) | figures)


def _exact(made: torch.nn.Module, guide: torch.Tensor, hsi: torch.Tensor, device: str) -> torch.Tensor:
    """Return the network's result in float64, on the processor where the device has none or too little memory."""
    import copy

    import torch

    for place in (device, "cpu"):
        try:
            with torch.inference_mode(), computing(place, "float64"):
                network: Any = copy.deepcopy(made).to(device=place, dtype=torch.float64)
                found: torch.Tensor = network(guide.to(place).double(), hsi.to(place).double()).cpu()
            return found
        except (RuntimeError, TypeError):
            tidy(device)
            if place == "cpu" or guide.shape[-1] > 512:
                return torch.full((1, made.bands, *guide.shape[-2:]), math.nan)  # type: ignore[arg-type]
    raise AssertionError("one of the two places returned")


def _pass(
    made: torch.nn.Module, guide: torch.Tensor, hsi: torch.Tensor, precision: str, exact: torch.Tensor
) -> dict[str, Any]:
    """Return the figures of repeated passes."""
    import copy

    import torch

    device = guide.device
    half = getattr(torch, precision) if precision in ("bfloat16", "float16") else None
    network = copy.deepcopy(made)
    place_network(network, device, torch.float32)
    replays = Replays() if device.type == "cuda" else None
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def once() -> torch.Tensor:
        with torch.autocast(device.type, half, enabled=half is not None):
            return run_network(network, guide, hsi)

    with torch.inference_mode(), replayed(replays):
        # computed, recorded, replayed
        for _ in range(3):
            fused = once()
        _wait(device)
        start = time.perf_counter()
        once()
        _wait(device)
        count = max(1, min(50, int(LONG / max(time.perf_counter() - start, 1e-6))))
        start = time.perf_counter()
        for _ in range(count):
            once()
        _wait(device)
        seconds = (time.perf_counter() - start) / count
        fused = fused.double().cpu()
    error = float((fused - exact).square().mean().sqrt())
    spread = float(exact.max() - exact.min())
    return {
        "seconds": seconds,
        "rate": guide.shape[-2] * guide.shape[-1] / seconds / 1e6,
        "distance": 20 * math.log10(spread / error) if error > 0 else math.inf if error == 0 else math.nan,
        "memory": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else math.nan,
        "failure": "" if replays is None else replays.take_message(),
    }


# --- the machine, and the files ----------------------------------------------------------


def _machine(device: str) -> str:
    import torch

    place = torch.device(device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else f"{platform.machine()} {place.type}"
    return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}"


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _save(device: str, found: tuple[list[NetworkRate], list[FusionRate]], out: Path) -> None:
    networks, fusions = ([asdict(row) for row in rows] for rows in found)
    content = {"machine": _machine(device), "networks": networks, "fusions": fusions}
    lines = [_machine(device), "", "```", NETWORK_HEAD, *(row.line() for row in found[0]), ""]
    lines += [FUSION_HEAD, *(row.line() for row in found[1]), "```", ""]
    for name, text in (("gpu.json", json.dumps(content, indent=1) + "\n"), ("table.md", "\n".join(lines))):
        with replacing(out / name) as part:
            part.write_text(text, encoding="utf-8")
