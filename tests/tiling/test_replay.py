"""Networks that are recorded and replayed, on a device that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from napari_specfusion.device import Acceleration, accelerated
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.progress import stoppable
from napari_specfusion.tiling.replay import MOST_GRAPHS, Replays, replayed, run_network

SMALL = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "slices": 4, "features": 8, "blocks": 1, "window": 64}


@pytest.fixture
def device(simulated: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with simulated.SimulatedDevice() as mode, torch.inference_mode():
        monkeypatch.setattr(torch.cuda, "CUDAGraph", simulated.Graph)
        monkeypatch.setattr(torch.cuda, "graph", mode.recording)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
        for name in ("Stream", "current_stream"):
            monkeypatch.setattr(torch.cuda, name, lambda *_: SimpleNamespace())
        monkeypatch.setattr(torch.cuda, "set_stream", lambda _: None)
        yield mode


def placed(simulated: Any, module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False).to(simulated.device())


def images(simulated: Any, seed: int, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    guide, hsi = (torch.rand(1, *shape, generator=generator) for shape in ((3, side, side), (5, side // 4, side // 4)))
    return guide.to(simulated.device()), hsi.to(simulated.device())


def values(result: torch.Tensor) -> torch.Tensor:
    return result.cpu()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_replay_gives_what_the_network_gives(simulated: Any, device: Any, name: str) -> None:
    torch.manual_seed(0)
    sizes = {key: value for key, value in SMALL.items() if key in NETWORKS[name].sizes}
    network, replays = placed(simulated, create_model(name, 5, 3, 4, **sizes)), Replays()
    grid = tuple(torch.linspace(0.1, 0.4, 32).to(simulated.device()) for _ in range(2))
    inputs = [images(simulated, seed) for seed in range(4)]
    expected = [values(network(*pair, grid=grid)) for pair in inputs]
    found = [replays.run(network, pair, {"grid": grid}) for pair in inputs]
    # the first was computed, the second recorded; earlier results outlive later ones
    assert len(replays) == 1
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, values(other))
    assert not replays.take_message()


class Reading(nn.Module):
    """A network that cannot be recorded: it reads a number back."""

    def forward(self, guide: torch.Tensor) -> torch.Tensor:
        return guide * float(guide.max())


class Double(nn.Module):
    def forward(self, guide: torch.Tensor) -> torch.Tensor:
        return guide * 2


def test_what_cannot_be_recorded_is_computed(simulated: Any, device: Any) -> None:
    replays, network = Replays(), Reading()
    for seed in range(4):
        guide, _ = images(simulated, seed)
        assert torch.equal(values(replays.run(network, (guide,), {})), values(network(guide)))
    assert not len(replays)
    assert "without CUDA graphs (operation not permitted" in replays.take_message()
    assert not replays.take_message()


def test_few_sizes_are_recorded(simulated: Any, device: Any) -> None:
    replays, network = Replays(), Double()
    for side in (*range(4, 44, 4), *range(4, 44, 4)):
        guide, _ = images(simulated, side, side)
        assert torch.equal(values(replays.run(network, (guide,), {})), values(guide * 2))
    assert len(replays) == MOST_GRAPHS
    assert replays.drop()
    assert not replays.drop()
    guide, _ = images(simulated, 1, 4)
    assert torch.equal(values(replays.run(network, (guide,), {})), values(guide * 2))
    assert not len(replays)


def test_networks_and_types_are_told_apart(simulated: Any, device: Any) -> None:
    replays, networks = Replays(), [Double(), nn.Sequential(Double(), Double())]
    for _ in range(3):
        guide, _ = images(simulated, 0)
        for network, factor in zip(networks, (2, 4), strict=True):
            for dtype in (torch.float32, torch.float16):
                result = values(replays.run(network, (guide.to(dtype),), {}))
                assert torch.equal(result, values(guide.to(dtype) * factor))
    assert len(replays) == 4


def test_nobody_is_asked_to_stop_while_recording(simulated: Any, device: Any) -> None:
    class Looking(nn.Module):
        def forward(self, guide: torch.Tensor) -> torch.Tensor:
            from napari_specfusion.progress import look

            look()
            return guide * 2

    asked: list[bool] = []
    replays, network = Replays(), Looking()
    guide, _ = images(simulated, 0)
    with pytest.MonkeyPatch.context() as patch:
        # no interval: each call would ask
        patch.setattr("napari_specfusion.progress.LOOK_INTERVAL", -1.0)
        with stoppable(lambda: asked.append(device.tape is not None)):
            for _ in range(3):
                replays.run(network, (guide,), {})
    assert len(replays) == 1
    assert asked == [False]


def test_graphs_can_be_switched_off(simulated: Any, device: Any) -> None:
    with accelerated(Acceleration(graphs=False)):
        replays = Replays()
    guide, _ = images(simulated, 0)
    for _ in range(3):
        replays.run(Double(), (guide,), {})
    assert not len(replays)


def test_the_processor_replays_nothing() -> None:
    replays, network = Replays(), Double()
    with replayed(replays):
        for _ in range(3):
            run_network(network, torch.ones(1, 3, 4, 4))
    assert not len(replays)
