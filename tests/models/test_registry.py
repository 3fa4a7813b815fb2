"""Networks by name: any bands, any size, any ratio; and clear words for what there is not."""

from __future__ import annotations

import pytest
import torch

from napari_specfusion.errors import ModelError
from napari_specfusion.models import NETWORKS, create_model, list_models


def test_all_are_listed() -> None:
    assert list_models() == list(NETWORKS)
    assert {"lso", "lso-s"} <= set(list_models())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("bands", "guide_bands", "ratio", "low"),
    [(1, 1, 2, (3, 5)), (7, 3, 3, (5, 4)), (31, 8, 4, (6, 7)), (5, 2, 32, (1, 2))],
)
def test_any_bands_and_sizes(name: str, bands: int, guide_bands: int, ratio: int, low: tuple[int, int]) -> None:
    module = create_model(name, bands, guide_bands, ratio, width=8, heads=2, features=8, blocks=1)
    size = (low[0] * ratio, low[1] * ratio)
    with torch.inference_mode():
        fused = module(torch.rand(2, guide_bands, *size), torch.rand(2, bands, *low))
    assert fused.shape == (2, bands, *size)
    assert fused.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_read_back_off_the_weights(name: str) -> None:
    module = create_model(name, 6, 2, 4)
    sizes = NETWORKS[name].read_sizes({key: tuple(value.shape) for key, value in module.state_dict().items()})
    assert sizes == {"bands": 6, "guide_bands": 2} | {k: v for k, v in NETWORKS[name].sizes.items() if k != "patch"}


def test_released_size_has_the_released_number_of_weights() -> None:
    assert sum(value.numel() for value in create_model("lso", 31, 3, 4).parameters()) == 1_942_679


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(ModelError, match="no network 'lsd'"):
        create_model("lsd", 31, 3, 4)
    with pytest.raises(ModelError, match="no size depth"):
        create_model("lso", 31, 3, 4, depth=3)
    with pytest.raises(ModelError, match="ratio is 33"):
        create_model("lso", 31, 3, 33)
