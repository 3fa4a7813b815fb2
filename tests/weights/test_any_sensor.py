"""Weights for any sensor: their file, the scenes they take, and that they correct their base."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_specfusion.errors import CheckpointError, ModelError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.networks.planes import CHANNELS
from napari_specfusion.networks.registry import create_model
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import read_card, write_weights
from napari_specfusion.weights.load import load_weights

if TYPE_CHECKING:
    from pathlib import Path

CARD = ModelCard(kind="any sensor", network="lso-s", base="glp", ratios=(2.0, 16.0), data=("one",), steps=3)


def made(card: ModelCard = CARD, images: int = CHANNELS) -> AnySensor:
    torch.manual_seed(0)
    module = create_model("lso-s", 1, images - 1, 4, width=8, heads=2, features=8).eval()
    return AnySensor(module, card, "any")


def test_a_file_gives_the_same_result(tmp_path: Path) -> None:
    scene = sample_scene(64, 4)
    weights = made(dataclasses.replace(CARD, base="subspace"))
    weights.save(tmp_path / "any.safetensors")
    again = load_weights(tmp_path / "any.safetensors")
    assert isinstance(again, AnySensor)
    assert again.card == dataclasses.replace(weights.card, sizes=again.card.sizes)
    assert read_card(tmp_path / "any.safetensors") == again.card
    one, other, base = (fuse(scene, model=model).read() for model in (weights, again, "subspace"))
    np.testing.assert_array_equal(one, other)
    assert float(np.abs(one - base).max()) > 1e-4


def test_half_the_strength_is_half_the_correction() -> None:
    scene = sample_scene(64, 4)
    base, whole, half = (
        fuse(scene, model=model).read()
        for model in ("subspace", *(made(dataclasses.replace(CARD, base="subspace", strength=s)) for s in (1.0, 0.5)))
    )
    np.testing.assert_allclose(half - base, (whole - base) / 2, atol=1e-5)
    assert float(np.abs(whole - base).max()) > 1e-3


def test_tiles_give_the_whole() -> None:
    scene = sample_scene(96, 4)
    weights = made(dataclasses.replace(CARD, base="subspace"))
    whole, tiled = (fuse(scene, model=weights, tile=tile).read() for tile in (None, 32))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize(("ratio", "fits"), [(2, True), (4, True), (8, True)])
def test_every_ratio_in_the_range_fits(ratio: int, fits: bool) -> None:
    assert (made().misfit(sample_scene(64, ratio)) == "") is fits


def test_a_ratio_out_of_the_range_is_refused() -> None:
    weights = made(dataclasses.replace(CARD, ratios=(6.0, 16.0), base="subspace"))
    with pytest.raises(ModelError, match="ratio is 4, any was trained for 6 to 16"):
        fuse(sample_scene(64, 4), model=weights)


def test_a_file_without_ratios_is_damaged(tmp_path: Path) -> None:
    weights = made(dataclasses.replace(CARD, base="subspace"))
    write_weights(tmp_path / "any.safetensors", weights.module, dataclasses.replace(weights.card, ratios=None))
    with pytest.raises(CheckpointError, match="ratios"):
        load_weights(tmp_path / "any.safetensors")


def test_a_network_of_other_images_is_refused(tmp_path: Path) -> None:
    made(dataclasses.replace(CARD, base="subspace"), CHANNELS + 2).save(tmp_path / "any.safetensors")
    with pytest.raises(CheckpointError, match="11 images"):
        load_weights(tmp_path / "any.safetensors")
