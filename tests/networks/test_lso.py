"""LSO: the released model's outputs, any size, tiles, gradients."""

from __future__ import annotations

import importlib.util
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from napari_specfusion.errors import ModelError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.tiling.tiles import TileGrid
from napari_specfusion.weights.load import load_weights

if TYPE_CHECKING:
    from collections.abc import Callable

_spec = importlib.util.spec_from_file_location("lso_reference", Path(__file__).with_name("lso_reference.py"))
_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_reference)
plain_lso = _reference.lso

SMALL = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "features": 8, "blocks": 1}


@pytest.mark.parametrize("name", ["lso_x4_seed1_64x64", "lso_x8_seed2_96x64"])
def test_reproduces_the_released_model_through_its_checkpoint(
    name: str,
    golden: Callable[[str], dict[str, torch.Tensor]],
    made_up: Callable[[torch.nn.Module, int], dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    pair = golden(name)
    ratio, seed = map(int, re.search(r"x(\d+)_seed(\d+)", name).groups())
    state = made_up(create_model("lso", 31, 3, ratio), seed)
    torch.save({"model_state_dict": state, "epoch": 1, "model_name": "LSO", "config": {}}, tmp_path / "lso.pth.tar")
    module = load_weights(tmp_path / "lso.pth.tar", ratio=ratio)
    with torch.inference_mode():
        assert float((module(pair["guide"], pair["hsi"]) - pair["fused"]).abs().max()) < 1e-4
    with torch.enable_grad():
        assert float((module(pair["guide"], pair["hsi"]).detach() - pair["fused"]).abs().max()) < 1e-4


@pytest.mark.parametrize("size", [(8, 12), (20, 28), (40, 4)])
def test_strips_and_autograd_give_the_same(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    module = create_model("lso", 3, 2, 2, **SMALL).double()
    guide, hsi = torch.rand(2, 2, 2 * size[0], 2 * size[1]).double(), torch.rand(2, 3, *size).double()
    whole = module(guide, hsi).detach()
    monkeypatch.setattr("napari_specfusion.memory.STRIP_PIXELS", 64)
    monkeypatch.setattr("napari_specfusion.memory.LATENT_PIXELS", 64)
    with torch.inference_mode():
        torch.testing.assert_close(module(guide, hsi), whole, atol=1e-12, rtol=0)


def test_padding_inside_equals_padding_outside() -> None:
    module = create_model("lso", 3, 2, 3, **SMALL).double()
    guide, hsi = torch.rand(1, 2, 21, 15).double(), torch.rand(1, 3, 7, 5).double()
    pad = torch.nn.functional.pad
    with torch.inference_mode():
        inside = module(guide, hsi)
        outside = module(pad(guide, (0, 9, 0, 3), mode="replicate"), pad(hsi, (0, 3, 0, 1), mode="replicate"))
    torch.testing.assert_close(inside, outside[..., :21, :15], atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((32, 32), {}),
        ((36, 20), {"patch": 4}),
        ((40, 24), {"patch": 8, "tokens": 3}),
        ((24, 28), {"patch": 3, "heads": 4}),
    ],
)
def test_equals_the_plain_formulation(size: tuple[int, int], sizes: dict[str, int]) -> None:
    module = create_model("lso", 3, 2, 4, **{**SMALL, **sizes}).double()
    guide, hsi = torch.rand(2, 2, *size).double(), torch.rand(2, 3, size[0] // 4, size[1] // 4).double()
    with torch.inference_mode():
        expected = plain_lso(module.state_dict(), guide, hsi, module.sizes["patch"])
        torch.testing.assert_close(module(guide, hsi), expected, atol=1e-10, rtol=0)


def test_gradients_are_the_plain_formulation_s() -> None:
    module = create_model("lso", 3, 2, 4, **SMALL).double()
    guide, hsi = torch.rand(1, 2, 16, 16).double(), torch.rand(1, 3, 4, 4).double()
    module(guide, hsi).square().sum().backward()
    state = {key: value.detach().requires_grad_("modes" not in key) for key, value in module.state_dict().items()}
    plain_lso(state, guide, hsi).square().sum().backward()
    for key, value in module.named_parameters():
        torch.testing.assert_close(value.grad, state[key].grad, atol=1e-9, rtol=1e-9, msg=key)


def test_coordinates_are_those_of_the_padded_whole() -> None:
    module = create_model("lso", 3, 2, 2, **SMALL).double()
    guide, hsi = torch.rand(1, 2, 22, 34).double(), torch.rand(1, 3, 11, 17).double()
    rows, columns = (torch.linspace(0, 1, n, dtype=torch.float64) for n in (24, 36))
    with torch.inference_mode():
        own = module(guide, hsi)
        torch.testing.assert_close(module(guide, hsi, grid=(rows[:22], columns[:34])), own, atol=1e-12, rtol=0)
        assert not torch.allclose(module(guide, hsi, grid=(rows[:22] / 2, columns[:34])), own)
    with pytest.raises(ModelError, match="one per pixel"):
        module(guide, hsi, grid=(rows, columns))


@pytest.mark.parametrize("ratio", [2, 5, 16])
def test_a_tile_read_as_wide_as_the_footprint_says_equals_the_whole(ratio: int) -> None:
    module = create_model("lso", 2, 1, ratio, **SMALL).double()
    side = 320 if ratio == 5 else 256
    guide, hsi = torch.rand(1, 1, side, side).double(), torch.rand(1, 2, side // ratio, side // ratio).double()
    tile = list(TileGrid((side, side), Fraction(ratio), module.footprint(), core=1))[-1]
    line = torch.linspace(0, 1, side, dtype=torch.float64)
    with torch.inference_mode():
        whole = module(guide, hsi)
        (y, x), (low_y, low_x) = tile.read.slices, tile.read.divide(Fraction(ratio)).slices
        part = module(guide[..., y, x], hsi[..., low_y, low_x], grid=(line[y], line[x]))
    y, x = tile.core.slices
    torch.testing.assert_close(part[(..., *tile.crop.slices)], whole[..., y, x], atol=1e-10, rtol=0)
