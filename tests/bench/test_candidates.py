"""What a benchmark compares: which weights run at which ratio, and how large their networks are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_specfusion import sample_scene
from napari_specfusion.bench.candidates import (
    contenders,
    fitting_contenders,
    network_cost,
    open_model,
    open_weights,
)
from napari_specfusion.errors import CheckpointError, ModelError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.pair_units import PAIR_RATIO, images_beside
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import write_weights
from napari_specfusion.weights.fitted import Fitted
from napari_specfusion.weights.shipped import list_weights, shipped_weights
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.scene import Scene


@pytest.fixture(scope="module")
def pairs() -> dict[int, Scene]:
    return {ratio: sample_scene(64, ratio) for ratio in (4, 8, 16)}


def residual(ratio: int = 4, bands: int = 31) -> Residual:
    torch.manual_seed(0)
    return Residual(create_model("lso-s", 6, 3, ratio), np.eye(bands, 6), *(np.ones(n) for n in (6, 6, 3, 3, 6)))


def trained(path: Path, ratio: int = 4, bands: int = 31) -> Path:
    path.parent.mkdir(exist_ok=True)
    Trained(residual(ratio, bands), ModelCard(network="lso-s", base="subspace"), "x").save(path)
    return path


def test_every_method_and_every_weight_file_that_fits(pairs: dict[int, Scene]) -> None:
    table = contenders(None, [], pairs)
    for ratio, found in table.items():
        ratios = {name: shipped_weights(name).ratios for name in list_weights()}
        fitting = [name for name, (low, high) in ratios.items() if low <= ratio <= high]
        assert [contender.name for contender in found] == [*METHODS, *fitting]


def test_the_automatic_choice_is_compared_when_asked_for(pairs: dict[int, Scene]) -> None:
    table = contenders(["auto", "glp"], [], pairs)
    assert [[c.name for c in found] for found in table.values()] == 3 * [["auto", "glp"]]
    alone = fitting_contenders(["auto"], {}, pairs[4])
    assert [(c.name, c.made_for, network_cost(c.model)) for c in alone] == [("auto", None, None)]
    assert open_model("auto", 4) == "auto"


def test_files_run_at_their_ratio_and_those_for_4_across(pairs: dict[int, Scene], tmp_path: Path) -> None:
    files = [trained(tmp_path / "four.safetensors"), trained(tmp_path / "eight.safetensors", 8)]
    table = contenders(["glp"], files, pairs, cross=(8, 16))
    names = {ratio: [(c.name, c.made_for) for c in found] for ratio, found in table.items()}
    assert names == {
        4: [("glp", None), ("four", 4)],
        8: [("glp", None), ("four", 4), ("eight", 8)],
        16: [("glp", None), ("four", 4)],
    }
    assert [table[ratio][1].model.ratio for ratio in (4, 8, 16)] == [4, 8, 16]


def test_a_bare_network_runs_across_too_and_a_fitted_one_does_not(pairs: dict[int, Scene], tmp_path: Path) -> None:
    bare, fitted = tmp_path / "bare.safetensors", tmp_path / "fitted.safetensors"
    write_weights(bare, create_model("lso-s", 31, 3, 4), ModelCard())
    Fitted(residual(), 0.5, 30.0, 31.0, "gained").save(fitted)
    table = contenders(["glp"], [bare, fitted], pairs, cross=(8,))
    assert [c.name for c in table[4]] == ["glp", "bare", "fitted"]
    assert [c.name for c in table[8]] == ["glp", "bare"]
    assert fuse(pairs[8], model=table[8][1].model).shape == (31, 64, 64)
    assert table[4][1].model.ratio == 4


def test_weights_that_fit_nothing_are_named(pairs: dict[int, Scene], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"two was made for ratio 2, .* 4, 8, 16; add --ratio 2"):
        contenders(["glp"], [trained(tmp_path / "two.safetensors", 2)], pairs)
    with pytest.raises(ModelError, match="31 bands, few was trained for 20"):
        contenders(["glp"], [trained(tmp_path / "few.safetensors", bands=20)], pairs)
    bare = tmp_path / "bare.safetensors"
    write_weights(bare, create_model("lso-s", 31, 1, 4), ModelCard())
    with pytest.raises(ModelError, match=r"bare takes cubes of 31 bands with a guide of 1, the scenes have 31 and 3"):
        contenders(["glp"], [bare], pairs)
    with pytest.raises(CheckpointError, match="no weight file"):
        contenders(["glp"], [tmp_path / "missing.safetensors"], pairs)


def test_one_pair_has_the_weights_that_fit_it(pairs: dict[int, Scene], tmp_path: Path) -> None:
    files = [
        trained(tmp_path / "four.safetensors"),
        trained(tmp_path / "eight.safetensors", 8),
        trained(tmp_path / "few.safetensors", bands=20),
    ]
    weights = open_weights(["glp", "lso-s"], files)
    assert list(weights) == ["four", "eight", "few"]
    found = fitting_contenders(["glp", "lso-s"], weights, pairs[4], minutes=0.5)
    assert [(c.name, c.made_for, c.minutes) for c in found] == [
        ("glp", None, None),
        ("four", 4, None),
        ("lso-s", 4, 0.5),
    ]


def test_weights_for_several_ratios_run_at_each(pairs: dict[int, Scene], tmp_path: Path) -> None:
    network = create_model("lso-s", 6, images_beside(6, 3), PAIR_RATIO)
    paired = dataclasses.replace(residual(), module=network)
    card = ModelCard(network="lso-s", base="subspace", units="pair", ratios=(4.0, 8.0))
    path = tmp_path / "paired.safetensors"
    Trained(paired, card, "x").save(path)
    table = contenders(["glp"], [path], pairs, cross=(8, 16))
    assert {ratio: [(c.name, c.made_for) for c in found[1:]] for ratio, found in table.items()} == {
        4: [("paired", 4)],
        8: [("paired", 8)],
        16: [],
    }
    weights = open_weights(["glp"], [path])
    assert [len(fitting_contenders(["glp"], weights, pairs[ratio])) for ratio in (4, 8, 16)] == [2, 2, 1]
    with pytest.raises(ModelError, match=r"paired was made for ratio 4 to 8, .* at 16; add --ratio 4"):
        contenders(["glp"], [path], {16: pairs[16]})
    assert open_model(str(path), 8).ratios == (4, 8)
    cost = network_cost(table[4][1].model)
    assert cost is not None
    assert cost.parameters == sum(p.numel() for p in network.parameters())
    plain = network_cost(Trained(residual(), ModelCard(network="lso-s", base="subspace"), "x"))
    assert plain is not None and plain.operations < cost.operations < 2 * plain.operations


def test_files_of_one_name_are_told_apart(pairs: dict[int, Scene], tmp_path: Path) -> None:
    one, two = (trained(tmp_path / run / "weights.safetensors") for run in ("one", "two"))
    found = contenders(["glp"], [one, two, one], pairs)[4]
    assert [c.name for c in found] == ["glp", "one/weights", "two/weights"]


def test_another_process_opens_the_same(pairs: dict[int, Scene], tmp_path: Path) -> None:
    table = contenders(["glp"], [trained(tmp_path / "four.safetensors")], pairs, cross=(8,))
    for ratio in (4, 8):
        for contender in table[ratio]:
            opened, held = (
                fuse(pairs[ratio], model=model).read()
                for model in (open_model(contender.source, ratio), contender.model)
            )
            np.testing.assert_array_equal(opened, held)


def test_one_that_is_fitted_is_fitted_on_the_pair(pairs: dict[int, Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_specfusion.training import fitting

    monkeypatch.setattr(fitting, "fit", lambda *told, minutes: (*told, minutes))
    (contender,) = contenders(["lso-s"], [], {4: pairs[4]}, minutes=0.5)[4]
    assert contender.ready(pairs[4]) == (pairs[4], "lso-s", 0.5)


@pytest.mark.parametrize(("name", "operations"), [("lso", 222.85e9), ("specsolver", 364.75e9)])
def test_operations_are_those_the_papers_count(name: str, operations: float) -> None:
    """The papers tell them for 32 patches of 64 x 64."""
    cost = network_cost(create_model(name, 31, 3, 4))
    assert cost is not None
    assert cost.operations == pytest.approx(operations / (32 * 64**2), rel=0.005)


def test_the_size_does_not_hang_on_the_ratio(tmp_path: Path) -> None:
    model = Trained(residual(), ModelCard(network="lso-s", base="subspace"), "x")
    one, other = network_cost(model), network_cost(model.at(12))
    assert one is not None and other is not None
    assert one.parameters == other.parameters == sum(p.numel() for p in model.residual.module.parameters())
    assert one.operations == pytest.approx(other.operations, rel=1e-3)
    assert network_cost("glp") is None
    assert network_cost(Fitted(None, 0.0, 30.0, 30.0, "no gain")) is None
