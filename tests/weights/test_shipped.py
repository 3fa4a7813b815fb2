"""The weights that come with the package, and files of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_specfusion.errors import CheckpointError, ModelError
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.weights.checkpoint import save_checkpoint
from napari_specfusion.weights.fitted import Fitted
from napari_specfusion.weights.shipped import list_weights, load_weights, shipped_weights, weights_for
from napari_specfusion.weights.trained import Trained, Training

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", list_weights())
def test_every_file_opens_and_tells_its_story(name: str) -> None:
    weights = shipped_weights(name)
    told = weights.training
    assert weights.name == name
    assert told.steps > 0
    assert told.scores["psnr"] > told.scores["base_psnr"]
    assert told.data
    assert told.wavelengths
    assert len(told.response) == len(weights.residual.guide_centre)
    assert sum(p.numel() for p in weights.residual.module.parameters()) * 4 < 10e6


@pytest.mark.parametrize("name", list_weights())
def test_no_scene_of_the_test_set_was_trained_on(name: str) -> None:
    tested = (
        "superballs thread_spools oil_painting paints photo_and_face pompoms real_and_fake_apples "
        "real_and_fake_peppers sponges stuffed_toys jelly_beans watercolors"
    ).split()
    assert not set(shipped_weights(name).training.data) & set(tested)


def test_weights_are_offered_where_bands_wavelengths_and_ratio_fit() -> None:
    scene = sample_scene(64, 4)
    fitting = weights_for(scene)
    assert [w.name for w in fitting] == [n for n in list_weights() if shipped_weights(n).ratio == 4]
    assert scene.hsi.wavelengths is not None
    assert not weights_for(scene.replace(hsi=scene.hsi.replace(wavelengths=None)))
    assert not weights_for(scene.replace(hsi=scene.hsi.replace(wavelengths=scene.hsi.wavelengths * 2)))
    assert not weights_for(sample_scene(60, 3))


@pytest.mark.parametrize("name", list_weights())
def test_a_name_stands_for_its_weights(name: str) -> None:
    assert as_method(name) is shipped_weights(name)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no weights 'nothing'"):
        shipped_weights("nothing")


def test_a_file_of_any_kind_opens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = create_model("lso-s", 6, 3, 4)
    bare = tmp_path / "bare.safetensors"
    save_checkpoint(module, bare)
    assert isinstance(load_weights(bare), torch.nn.Module)
    pickled = tmp_path / "authors.pth"
    torch.save({"model_state_dict": module.state_dict()}, pickled)
    assert load_weights(pickled, 8).ratio == 8
    numbers = [np.full(n, 1.0) for n in (6, 6, 3, 3, 6)]
    residual = Residual(module, np.eye(31, 6), *numbers)
    described = tmp_path / "trained.safetensors"
    Trained(residual, Training("lso-s", "subspace"), "x").save(described)
    assert isinstance(load_weights(described), Trained)
    fitted = tmp_path / "fitted.safetensors"
    Fitted(residual, 0.5, 30.0, 31.0, "gained").save(fitted)
    assert isinstance(load_weights(fitted), Fitted)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(described.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="no whole safetensors"):
        load_weights(broken)
    with pytest.raises(CheckpointError, match="no weight file"):
        load_weights(tmp_path / "missing.safetensors")
