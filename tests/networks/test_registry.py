"""Networks by name: any bands, any size, any ratio; and clear words for what there is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from napari_specfusion.errors import ModelError
from napari_specfusion.networks.registry import DEFAULT_NETWORK, NETWORKS, create_model, list_networks

Small = Callable[[str], dict[str, int]]
UNTOLD = {"patch", "straight", "window"}  # sizes that no tensor tells


def test_all_are_listed() -> None:
    listed = list_networks()
    assert [info.name for info in listed] == list(NETWORKS)
    assert {"lso", "specsolver", DEFAULT_NETWORK} <= set(NETWORKS)
    lines = str(listed).splitlines()
    assert len(lines) == 1 + len(NETWORKS)
    for line, (name, spec) in zip(lines[1:], NETWORKS.items(), strict=True):
        assert line.startswith(name) and spec.title in line and line.endswith(spec.reference)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("bands", "guide_bands", "ratio", "low"),
    [(1, 1, 2, (3, 5)), (7, 3, 3, (5, 4)), (31, 8, 4, (6, 7)), (5, 2, 32, (1, 2))],
)
def test_any_bands_and_sizes(
    name: str, bands: int, guide_bands: int, ratio: int, low: tuple[int, int], small: Small
) -> None:
    module = create_model(name, bands, guide_bands, ratio, **small(name))
    size = (low[0] * ratio, low[1] * ratio)
    with torch.inference_mode():
        fused = module(torch.rand(2, guide_bands, *size), torch.rand(2, bands, *low))
    assert fused.shape == (2, bands, *size)
    assert fused.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_read_back_off_the_weights(name: str) -> None:
    module = create_model(name, 6, 2, 4)
    sizes = NETWORKS[name].read_sizes({key: tuple(value.shape) for key, value in module.state_dict().items()})
    assert sizes == {"bands": 6, "guide_bands": 2} | {k: v for k, v in NETWORKS[name].sizes.items() if k not in UNTOLD}


@pytest.mark.parametrize(
    ("name", "weights"), [("lso", 1_942_679), ("specsolver", 3_099_519 - 24), ("specsolver-harvard", 1_911_423 - 24)]
)
def test_released_size_has_the_released_number_of_weights(name: str, weights: int) -> None:
    # the 24 are the mean shifts, which nothing calls
    assert sum(value.numel() for value in create_model(name, 31, 3, 4).parameters()) == weights


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(ModelError, match="no network 'lsd'"):
        create_model("lsd", 31, 3, 4)
    with pytest.raises(ModelError, match="no size depth"):
        create_model("lso", 31, 3, 4, depth=3)
    with pytest.raises(ModelError, match="ratio is 33"):
        create_model("lso", 31, 3, 33)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("ratio", [4, 8])
def test_nothing_reaches_further_than_the_halo(name: str, ratio: int, small: Small) -> None:
    depth = {"blocks": NETWORKS[name].sizes["blocks"]}
    module = create_model(name, 2, 1, ratio, **small(name) | depth).double()
    if module.footprint().window is not None:
        pytest.skip("it sees the whole window")
    halo, side = module.footprint().halo, 192
    guide, hsi = torch.rand(1, 1, side, side).double(), torch.rand(1, 2, side // ratio, side // ratio).double()
    reached = 0
    with torch.inference_mode():
        before = module(guide, hsi)
        for at in (88, 93, 96, 103):
            changed = guide.clone()
            changed[..., at, at] += 1
            rows = (module(changed, hsi) - before).abs().amax((0, 1, 3)).nonzero().flatten()
            reached = max(reached, at - int(rows[0]), int(rows[-1]) - at)
            low, changed = at // ratio, hsi.clone()
            changed[..., low, low] += 1
            rows = (module(guide, changed) - before).abs().amax((0, 1, 3)).nonzero().flatten()
            reached = max(reached, low * ratio - int(rows[0]), int(rows[-1]) - (low + 1) * ratio + 1)
    assert halo - 16 <= reached <= halo


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns(name: str, small: Small) -> None:
    module = create_model(name, 3, 2, 4, **small(name))
    module(torch.rand(1, 2, 32, 32), torch.rand(1, 3, 8, 8)).square().mean().backward()
    idle = [key for key, value in module.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert not idle


@pytest.mark.parametrize("name", NETWORKS)
def test_a_base_takes_the_place_of_the_enlarged_cube(name: str, small: Small) -> None:
    module = create_model(name, 3, 2, 4, **small(name)).double()
    guide, hsi = torch.rand(1, 2, 16, 16).double(), torch.rand(1, 3, 4, 4).double()
    up = torch.nn.functional.interpolate(hsi, scale_factor=4, mode="bicubic", align_corners=False)
    with torch.inference_mode():
        torch.testing.assert_close(module(guide, hsi, base=up), module(guide, hsi))
        assert not torch.allclose(module(guide, hsi, base=up + 1), module(guide, hsi) + 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_pairs_that_do_not_fit_are_refused(name: str, small: Small) -> None:
    module = create_model(name, 3, 2, 4, **small(name))
    for guide, hsi, words in (
        ((1, 3, 16, 16), (1, 3, 4, 4), "3 guide bands"),
        ((1, 2, 16, 16), (1, 4, 4, 4), "4 bands"),
        ((1, 2, 18, 16), (1, 3, 4, 4), "whole number"),
        ((1, 2, 16, 16), (2, 3, 4, 4), "takes"),
        ((1, 2, 4, 4), (1, 3, 4, 4), "ratio is 1"),
        ((1, 2, 0, 4), (1, 3, 0, 1), "is empty"),
    ):
        with pytest.raises(ModelError, match=words):
            module(torch.zeros(guide), torch.zeros(hsi))
    with pytest.raises(ModelError, match="must be a multiple"):
        create_model(name, 3, 2, 4, width=10, heads=4)
    with pytest.raises(ModelError, match="features is 0"):
        create_model(name, 3, 2, 4, features=0)
    with pytest.raises(ModelError, match="must have"):
        module(torch.zeros(1, 2, 16, 16), torch.zeros(1, 3, 4, 4), base=torch.zeros(1, 3, 4, 4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lso-s", "specsolver-s"])
def test_runs_in_half_precision(name: str) -> None:
    module = create_model(name, 3, 2, 4)
    guide, hsi = torch.rand(1, 2, 512, 256), torch.rand(1, 3, 128, 64)
    with torch.inference_mode():
        exact = module(guide, hsi)
        with torch.autocast("cpu", torch.bfloat16):
            rough = module(guide, hsi)
    assert 0 < float((rough - exact).square().mean().sqrt()) < 0.05
