"""SpecSolver: the released models' outputs, the plain formulation, strips, gradients, its window."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_specfusion.errors import CheckpointError, ModelError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import write_weights
from napari_specfusion.weights.load import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable

_spec = importlib.util.spec_from_file_location(
    "specsolver_reference", Path(__file__).with_name("specsolver_reference.py")
)
_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_reference)
plain_specsolver = _reference.specsolver

SMALL = {"width": 8, "heads": 2, "slices": 4, "features": 8, "blocks": 1}
SHALLOW = {"magnitude": 1, "phase": 1}


def network(**sizes: int) -> Any:
    torch.manual_seed(3)
    return create_model("specsolver", 3, 2, 4, **{**SMALL, **sizes}).double()


def images(height: int, width: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    return torch.rand(count, 2, height, width).double(), torch.rand(count, 3, height // 4, width // 4).double()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("specsolver", "specsolver_cave_x4_seed5_64x64"),
        ("specsolver-harvard", "specsolver_harvard_x8_seed4_96x64"),
    ],
)
def test_reproduces_the_released_model_through_its_checkpoint(
    name: str,
    file: str,
    golden: Callable[[str], dict[str, torch.Tensor]],
    made_up: Callable[[torch.nn.Module, int], dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    pair = golden(file)
    ratio, seed = map(int, re.search(r"x(\d+)_seed(\d+)", file).groups())
    made = create_model(name, 31, 3, ratio)
    torch.save(made_up(made, seed), tmp_path / "best.pth")
    module = load_weights(tmp_path / "best.pth", ratio=ratio)
    assert module.sizes == made.sizes
    # float32's rounding may take a phase near pi across its jump
    for dtype, bound in ((torch.float32, 2e-3), (torch.float64, 1e-5)):
        module.to(dtype)
        guide, hsi = pair["guide"].to(dtype), pair["hsi"].to(dtype)
        for grad in (False, True):
            with torch.set_grad_enabled(grad):
                error = module(guide, hsi).detach() - pair["fused"]
            assert float(error.square().mean().sqrt()) < bound


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((32, 32), {}),
        ((36, 20), {"straight": 1}),
        ((4, 24), SHALLOW),
        ((8, 4), {"straight": 1, "heads": 4, **SHALLOW}),
        ((20, 12), {"magnitude": 3, "phase": 3}),
    ],
)
def test_equals_the_plain_formulation(
    size: tuple[int, int], sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, pair = network(**sizes), images(*size)
    expected = plain_specsolver(module.state_dict(), *pair, bool(sizes.get("straight")))
    torch.testing.assert_close(module(*pair).detach(), expected, atol=1e-10, rtol=0)
    monkeypatch.setattr("napari_specfusion.memory.STRIP_PIXELS", 64)
    monkeypatch.setattr("napari_specfusion.networks.fourier.SPECTRUM_CHANNELS", 3)
    monkeypatch.setattr("napari_specfusion.memory.ENCODED_PIXELS", 64)
    monkeypatch.setattr("napari_specfusion.memory.SLICE_PIXELS", 32)
    monkeypatch.setattr("napari_specfusion.networks.specsolver.SMALL", 0)
    with torch.inference_mode():
        torch.testing.assert_close(module(*pair), expected, atol=1e-10, rtol=0)


def test_gradients_are_the_plain_formulation_s() -> None:
    module, pair = network(), images(16, 16)
    module(*pair).square().sum().backward()
    state = {key: value.detach().requires_grad_() for key, value in module.state_dict().items()}
    plain_specsolver(state, *pair).square().sum().backward()
    for key, value in module.named_parameters():
        torch.testing.assert_close(value.grad, state[key].grad, atol=1e-8, rtol=1e-8, msg=key)


@pytest.mark.parametrize("level", [0.0, 0.5])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_finite_where_there_is_nothing_to_see(level: float, bias: bool) -> None:
    module = network().float()
    if not bias:
        for key, value in module.named_parameters():
            if key.endswith("bias"):
                torch.nn.init.zeros_(value)
    guide, hsi = (torch.full(shape, level, requires_grad=True) for shape in ((1, 2, 16, 16), (1, 3, 4, 4)))
    fused = module(guide, hsi)
    fused.square().mean().backward()
    assert fused.isfinite().all()
    assert all(value.grad.isfinite().all() for value in (*module.parameters(), guide, hsi))


def test_padding_inside_equals_padding_outside() -> None:
    module = network()
    guide, hsi = torch.rand(1, 2, 21, 15).double(), torch.rand(1, 3, 7, 5).double()
    pad = torch.nn.functional.pad
    with torch.inference_mode():
        inside = module(guide, hsi)
        outside = module(pad(guide, (0, 9, 0, 3), mode="replicate"), pad(hsi, (0, 3, 0, 1), mode="replicate"))
    torch.testing.assert_close(inside, outside[..., :21, :15], atol=1e-10, rtol=0)


def test_coordinates_are_those_of_pixel_centres() -> None:
    module, (guide, hsi) = network(), images(16, 24)
    rows, columns = ((torch.arange(n).double() + 0.5) / n for n in (16, 24))
    with torch.inference_mode():
        own = module(guide, hsi)
        torch.testing.assert_close(module(guide, hsi, grid=(rows, columns)), own)
        assert not torch.allclose(module(guide, hsi, grid=(rows / 2, columns)), own)
    with pytest.raises(ModelError, match="one per pixel"):
        module(guide, hsi, grid=(rows, columns[1:]))


def test_it_asks_for_a_window_and_its_weights_remember_which(tmp_path: Path) -> None:
    assert create_model("specsolver", 3, 2, 4, **SMALL).window == 512
    assert create_model("specsolver-harvard", 3, 2, 4, **SMALL).window == 1024
    module = network(window=96, straight=1).float()
    footprint = module.footprint()
    assert (footprint.window, footprint.stride, footprint.multiple, footprint.uses_grid) == (96, 4, 4, False)
    write_weights(tmp_path / "w.safetensors", module, ModelCard())
    loaded = load_weights(tmp_path / "w.safetensors")
    assert (loaded.window, loaded.straight, loaded.sizes) == (96, True, module.sizes)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="straight is 2"):
        network(straight=2)
    with pytest.raises(ModelError, match="phase is 0"):
        network(phase=0)
    torch.save({"spa1.scale1.0.weight": torch.zeros(2)}, tmp_path / "stub.pth")
    with pytest.raises(CheckpointError, match="do not fit together"):
        load_weights(tmp_path / "stub.pth")
