"""Fusing on a CUDA device: what makes it fast changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.device import Acceleration, accelerated, computing, place_network, tf32_products
from napari_specfusion.errors import Cancelled
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.tiling.replay import MOST_GRAPHS, Replays
from napari_specfusion.weights.shipped import list_weights

pytestmark = pytest.mark.cuda

SMALL = {"width": 16, "heads": 2, "tokens": 4, "basis": 6, "slices": 8, "features": 16, "blocks": 1, "window": 128}
PLAIN = Acceleration(graphs=False, channels_last=False, transfers=False, kernels=False)
WEIGHTS = [name for name in list_weights() if not name.endswith("x8")]
LOCAL = [name for name in NETWORKS if name.startswith("lso")]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(192, 4)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


def network(name: str, bands: int = 31, **sizes: int) -> NetworkMethod:
    torch.manual_seed(0)
    small = {key: value for key, value in SMALL.items() if key in NETWORKS[name].sizes}
    return NetworkMethod(create_model(name, bands, 3, 4, **small | sizes).eval())


def noise(side: int, bands: int = 8, seed: int = 0) -> Scene:
    rng = np.random.default_rng(seed)
    hsi, guide = (rng.random(shape, np.float32) for shape in ((bands, side // 4, side // 4), (3, side, side)))
    return Scene(Cube.from_array(hsi), Cube.from_array(guide), Fraction(4))


def model(name: str) -> Any:
    return network(name) if name in NETWORKS else name


def fused(scene: Scene, model: Any, device: str = "cuda", **options: Any) -> NDArray[np.float32]:
    return np.asarray(fuse(scene, model=model, device=device, align=False, **options).read())


def decibels(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    error = float(np.sqrt(np.mean((found.astype(float) - expected) ** 2)))
    return 20 * math.log10(float(np.ptp(expected)) / max(error, 1e-30))


def apart(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    assert np.isfinite(found).all()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# --- the same as on the processor, and as the whole -------------------------------------


@pytest.mark.parametrize("name", [*METHODS, *WEIGHTS, *LOCAL])
def test_the_device_computes_what_the_processor_does(scene: Scene, name: str) -> None:
    here, there = fused(scene, model(name), "cpu", tile=96), fused(scene, model(name), tile=96)
    # float32 on both: products rounded to 10 bits would differ by 1e-3
    if name in ("detail", *WEIGHTS):
        # a regression on many features, which enlarges rounding
        assert decibels(there, here) > 65
    else:
        assert apart(there, here) < 1e-4


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("specsolver")])
def test_networks_with_a_window_too(scene: Scene, name: str) -> None:
    here, there = fused(scene, model(name), "cpu", tile=96), fused(scene, model(name), tile=96)
    # a phase of nearly pi may fall on either side
    assert decibels(there, here) > 50


@pytest.mark.parametrize("name", [*METHODS, "lso-any", *LOCAL])
def test_tiles_give_the_whole(scene: Scene, name: str) -> None:
    # the libraries take other algorithms for other sizes
    assert apart(fused(scene, model(name), tile=64), fused(scene, model(name), tile=None)) < 1e-4


@cache
def plainly(name: str) -> tuple[Scene, NDArray[np.float32]]:
    """Return a scene, and its fusion without anything that makes it fast."""
    scene = noise(384, 31) if name in NETWORKS else sample_scene(384, 4)
    with accelerated(PLAIN):
        # small tiles, so that most have the same size
        return scene, fused(scene, model(name), tile=64)


@pytest.mark.parametrize("name", ["lso-s", "specsolver-s", "lso-any", "lso-s-cave-x4"])
@pytest.mark.parametrize("switch", ["graphs", "channels_last", "transfers", "kernels"])
def test_what_makes_it_fast_changes_nothing(name: str, switch: str) -> None:
    scene, plain = plainly(name)
    with accelerated(dataclasses.replace(PLAIN, **{switch: True})):
        fast = fused(scene, model(name), tile=64)
    if switch == "transfers":
        np.testing.assert_array_equal(fast, plain)
    elif name.startswith("specsolver"):
        assert decibels(fast, plain) > 50
    else:
        assert apart(fast, plain) < 1e-4


# --- graphs -------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_replay_equals_the_network(name: str, precision: str) -> None:
    module = copy.deepcopy(network(name).module).requires_grad_(False)
    place_network(module, "cuda", torch.float32)
    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    replays = Replays()
    with torch.inference_mode(), computing("cuda", precision), torch.autocast("cuda", half, enabled=half is not None):
        for seed in range(4):
            torch.manual_seed(seed)
            pair = torch.rand(1, 3, 128, 128).cuda(), torch.rand(1, 31, 32, 32).cuda()
            with tf32_products(torch.device("cuda")):
                found, expected = replays.run(module, pair, {}), module(*pair)
            assert torch.isfinite(found).all()
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-2 if half else 2e-5)
    assert replays.take_message() == ""
    assert len(replays) == 1


def test_a_run_records_its_tiles_and_frees_them() -> None:
    made: list[Replays] = []
    original = Replays.__init__

    def remember(self: Replays) -> None:
        original(self)
        made.append(self)

    most: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replays, "__init__", remember)
        messages: list[str] = []

        def watch(event: FusionProgress) -> None:
            messages.append(event.message)
            most.extend(len(one) for one in made)

        fuse(noise(512), model=network("lso-s", 8), tile=64, device="cuda", progress=watch)
    assert 1 <= max(most) <= MOST_GRAPHS
    assert not any("without CUDA graphs" in message for message in messages)
    assert all(not len(one) for one in made)


# --- precision ------------------------------------------------------------------------------


def test_float32_is_float32_and_tf32_is_not() -> None:
    torch.manual_seed(0)
    image, weight = torch.rand(1, 64, 64, 64).cuda(), torch.rand(64, 64, 3, 3).cuda()
    exact = torch.nn.functional.conv2d(image.double(), weight.double())
    error = {}
    for precision in ("float32", "tf32"):
        with computing("cuda", precision), tf32_products(torch.device("cuda")):
            found = torch.nn.functional.conv2d(image, weight)
            product = image[0, 0] @ weight[:, 0, :, 0].repeat(1, 22)[:, :64]
        error[precision] = float(((found - exact).abs().max() / exact.abs().max()).item())
        assert torch.isfinite(product).all()
    assert error["float32"] < 2e-6
    if torch.cuda.get_device_capability()[0] >= 8:
        assert 2e-6 < error["tf32"] < 1e-3


@pytest.mark.parametrize(("precision", "least"), [("tf32", 55), ("bfloat16", 40), ("float16", 50)])
@pytest.mark.parametrize("name", ["lso-s", "lso-s-cave-x4", "lso-any"])
def test_reduced_precision_costs_little(scene: Scene, name: str, precision: Any, least: float) -> None:
    exact, found = (fused(scene, model(name), tile=96, precision=p) for p in ("float32", precision))
    assert np.isfinite(found).all()
    assert decibels(found, exact) > least
    assert np.abs(found - exact).max() > 0


# --- memory, and interrupted runs ---------------------------------------------------------------


def test_tiles_are_halved_where_memory_is_short() -> None:
    scene, method = noise(512), network("lso", 8, features=64, width=64)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    whole = fused(scene, method, tile=None)
    peak = torch.cuda.max_memory_allocated() - before
    messages: list[str] = []
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 0.55 * peak) / total)
    try:
        pieces = fused(scene, method, tile=None, progress=lambda event: messages.append(event.message))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("Memory ran out" in message for message in messages)
    assert apart(pieces, whole) < 1e-4


def test_graphs_go_first_where_memory_is_short() -> None:
    scene, method, messages = noise(512), network("lso", 8), []
    whole = fused(scene, method, tile=128)
    calls = 0
    original = Replays.run

    def run(self: Replays, *args: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if len(self):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replays, "run", run)
        found = fused(scene, method, tile=128, progress=lambda event: messages.append(event.message))
    assert calls > 16
    assert [message for message in messages if "runs without CUDA graphs now" in message]
    assert not [message for message in messages if "pieces" in message]
    assert apart(found, whole) < 1e-4


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    scene, method, out = noise(512), network("lso-s", 8), tmp_path / "fused.zarr"
    done: list[int] = []

    def watch(event: FusionProgress) -> None:
        if event.cube is not None:
            done.append(event.done)

    with pytest.raises(Cancelled):
        fuse(
            scene,
            model=method,
            tile=128,
            device="cuda",
            out=out,
            progress=watch,
            should_stop=lambda: max(done or [0]) > 3,
        )
    assert 3 < max(done) < 16
    done.clear()
    result = fuse(scene, model=method, tile=128, device="cuda", out=out, progress=watch).read()
    assert min(done) > 3
    np.testing.assert_array_equal(result, fused(scene, method, tile=128))


def test_missing_values_stay_missing() -> None:
    scene = noise(256)
    values = scene.guide.read()
    values[:, 40:60, 70:90] = np.nan
    scene = Scene(scene.hsi, Cube.from_array(values), Fraction(4))
    result = fuse(scene, model=network("lso-s", 8), tile=64, device="cuda").read()
    assert np.isnan(result[:, 40:60, 70:90]).all()
    assert np.isnan(result).sum() == 8 * 20 * 20


# --- last, because torch does not wholly recover from it ------------------------------------


class Reading(torch.nn.Module):
    """A network that cannot be recorded."""

    bands, guide_bands, ratio = 8, 3, 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def footprint(self) -> Any:
        from napari_specfusion.tiling.tiles import Footprint

        return Footprint(0)

    def forward(self, guide: torch.Tensor, hsi: torch.Tensor) -> torch.Tensor:
        wide = torch.nn.functional.interpolate(hsi, scale_factor=4, mode="nearest")
        return wide * self.scale + 0 * float(guide.max())


def test_what_cannot_be_recorded_is_computed_and_told() -> None:
    scene, messages = noise(256), []
    result = fuse(
        scene, model=Reading(), tile=64, device="cuda", progress=lambda event: messages.append(event.message)
    ).read()
    np.testing.assert_allclose(result, scene.hsi.read().repeat(4, 1).repeat(4, 2), rtol=1e-6)
    assert any("without CUDA graphs" in message for message in messages)
    # the device works as before
    np.testing.assert_array_equal(fused(scene, Reading(), tile=64), result)
