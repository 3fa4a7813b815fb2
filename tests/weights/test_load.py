"""One door for weight files of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_specfusion.errors import CheckpointError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import write_weights
from napari_specfusion.weights.fitted import Fitted
from napari_specfusion.weights.load import load_weights
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_of_any_kind_opens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = create_model("lso-s", 6, 3, 4)
    bare = tmp_path / "bare.safetensors"
    write_weights(bare, module, ModelCard())
    assert isinstance(load_weights(bare), torch.nn.Module)
    pickled = tmp_path / "authors.pth"
    torch.save({"model_state_dict": module.state_dict()}, pickled)
    assert load_weights(pickled, 8).ratio == 8
    residual = Residual(module, np.eye(31, 6), *(np.full(n, 1.0) for n in (6, 6, 3, 3, 6)))
    described = tmp_path / "trained.safetensors"
    Trained(residual, ModelCard(network="lso-s", base="subspace"), "x").save(described)
    trained = load_weights(described)
    assert isinstance(trained, Trained)
    assert (trained.name, trained.card.bands, trained.card.directions) == ("trained", 31, 6)
    path = tmp_path / "fitted.safetensors"
    fitted = Fitted(residual, 0.5, 30.0, 31.0, "gained")
    fitted.save(path)
    loaded = load_weights(path)
    assert isinstance(loaded, Fitted)
    for name in ("strength", "base_score", "score", "message", "model"):
        assert getattr(loaded, name) == getattr(fitted, name)


def test_a_broken_or_missing_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    write_weights(broken, create_model("lso-s", 6, 3, 4), ModelCard())
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="not a whole safetensors"):
        load_weights(broken)
    for name in ("missing.safetensors", "missing.pth"):
        with pytest.raises(CheckpointError, match="no weight file"):
            load_weights(tmp_path / name)
