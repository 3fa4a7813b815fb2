"""Weight files: what is written comes back, files of the last release open, damaged and hostile ones are refused."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_specfusion.errors import CheckpointError, OutputError
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.weights.card import KEY, ModelCard
from napari_specfusion.weights.files import read_card, read_weights, write_weights

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "features": 8, "blocks": 1}
BANDS, P, GUIDES = 9, 5, 2
TRAINED = ModelCard(
    kind="trained",
    network="lso",
    base="subspace",
    wavelengths=tuple(np.linspace(400, 700, BANDS).tolist()),
    response=((1 / BANDS,) * BANDS,) * GUIDES,
    data=("one", "two"),
    steps=7,
    scores={"psnr": 50.5},
)
FITTED = ModelCard(
    kind="fitted", network="lso", base="subspace", scores={"psnr": 31.0, "base_psnr": 30.0}, strength=0.5, message="yes"
)


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("lso", P, GUIDES, 4, **SMALL)


@pytest.fixture
def numbers() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    sizes = {"centre": P, "spread": P, "guide_centre": GUIDES, "guide_spread": GUIDES, "size": P}
    return {"basis": rng.random((BANDS, P)), **{name: rng.random(n) for name, n in sizes.items()}}


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_bare_network_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    module = create_model(name, 4, 3, 8)
    write_weights(tmp_path / "w.safetensors", module, ModelCard(network=name, protocols=("lso",), licence="CC0-1.0"))
    found = read_weights(tmp_path / "w.safetensors")
    assert same(found.module, module)
    assert not found.module.training
    assert not found.numbers
    card = found.card
    assert (card.kind, card.network, card.protocols, card.licence) == ("network", name, ("lso",), "CC0-1.0")
    assert (card.bands, card.guide_bands, card.directions, card.ratio, card.sizes) == (4, 3, 0, 8, module.sizes)
    assert card.window == NETWORKS[name].sizes.get("window")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("card", [TRAINED, FITTED])
def test_a_network_with_its_numbers_comes_back(
    card: ModelCard, network: torch.nn.Module, numbers: dict[str, Any], tmp_path: Path
) -> None:
    write_weights(tmp_path / "w.safetensors", network, card, numbers)
    found = read_weights(tmp_path / "w.safetensors")
    assert same(found.module, network)
    for name, values in numbers.items():
        np.testing.assert_array_equal(found.numbers[name], values)
    facts = {"bands": BANDS, "guide_bands": GUIDES, "directions": P, "ratio": 4, "sizes": network.sizes}
    assert found.card == dataclasses.replace(card, **facts)
    assert read_card(tmp_path / "w.safetensors") == found.card


def old_file(
    path: Path, key: str, network: Any, numbers: dict[str, Any] | None, told: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """Write what the last release wrote."""
    prefix = "" if numbers is None else "module."
    tensors = {prefix + name: value.clone() for name, value in network.state_dict().items()}
    tensors |= {name: torch.as_tensor(values) for name, values in (numbers or {}).items()}
    facts = {name: getattr(network, name) for name in ("bands", "guide_bands", "ratio", "sizes")}
    save_file(tensors, path, metadata={key: json.dumps(facts | told)})
    return tensors


def test_files_of_the_last_release_open(network: torch.nn.Module, numbers: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    old_file(path, "specfusion", network, None, {"model": "lso", "protocol": "lso", "wavelengths": [400.0]})
    found = read_weights(path)
    assert (found.card.kind, found.card.bands, found.card.ratio) == ("network", P, 4)
    assert same(found.module, network)

    trained = {"model": "lso", "base": "subspace", "steps": 7, "scores": {"psnr": 50.5}, "data": ["one", "two"]}
    sensor = {"wavelengths": list(TRAINED.wavelengths), "response": TRAINED.response, "protocols": []}
    old_file(path, "specfusion.trained", network, numbers, trained | sensor)
    assert read_card(path).bands == BANDS
    found = read_weights(path)
    assert same(found.module, network)
    np.testing.assert_array_equal(found.numbers["basis"], numbers["basis"])
    write_weights(tmp_path / "new.safetensors", network, dataclasses.replace(TRAINED, value_range=(0, 1)), numbers)
    assert found.card == read_weights(tmp_path / "new.safetensors").card

    fitted = {"model": "lso", "strength": 0.5, "base_score": 30.0, "score": 31.0, "message": "yes"}
    old_file(path, "specfusion.fitted", network, numbers, fitted)
    write_weights(tmp_path / "new.safetensors", network, FITTED, numbers)
    assert read_weights(path).card == read_weights(tmp_path / "new.safetensors").card


def test_bare_tensors_without_a_card_open(network: torch.nn.Module, tmp_path: Path) -> None:
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    found = read_weights(tmp_path / "w.safetensors", ratio=8)
    assert same(found.module, network)
    assert (found.card.network, found.card.ratio) == ("lso", 8)


def test_a_size_that_no_tensor_tells_comes_back(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.safetensors", create_model("lso", 5, 2, 4, patch=8, **SMALL), ModelCard())
    assert read_weights(tmp_path / "w.safetensors").module.sizes["patch"] == 8


@pytest.mark.parametrize("damage", ["empty", "garbage", "half", "tail"])
def test_damaged_files_are_refused(damage: str, network: torch.nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    write_weights(file, network, ModelCard())
    data = file.read_bytes()
    file.write_bytes(
        {"empty": b"", "garbage": b"\x00\xff" * 50, "half": data[: len(data) // 2], "tail": data[:-40]}[damage]
    )
    for read in (read_weights, read_card):
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weight file"):
        read_weights(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="no weight file"):
        read_card(tmp_path / "none.safetensors")


def test_nothing_is_left_where_nothing_can_be_written(network: torch.nn.Module, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_weights(tmp_path / "missing" / "w.safetensors", network, ModelCard())
    with pytest.raises(OutputError, match="must end in"):
        write_weights(tmp_path / "w.pth", network, ModelCard())
    with pytest.raises(OutputError):
        write_weights(tmp_path / "w.safetensors", network, ModelCard(message=object()))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def opened(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(path, "pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}, json.loads(stored.metadata()[KEY])


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"bands": 6}, "differ in their number of bands"),
        ({"bands": 6, "wavelengths": [], "response": []}, "for 9 bands, the card is for others"),
        ({"directions": 6}, "bands is 5 in the tensors, 6"),
        ({"guide_bands": 3}, "guide_bands is 2 in the tensors, 3"),
        ({"sizes": {"width": 16}}, "width is 8"),
        ({"sizes": {"depth": 3}}, "no size depth"),
        ({"sizes": {"patch": "4"}}, "patch is '4'"),
        ({"sizes": 3}, "sizes is 3"),
        ({"ratio": "four"}, "'four'"),
        ({"ratio": 99}, "ratio is 99"),
        ({"ratio": 10**400}, "get the file again"),
        ({"network": "nothing"}, "says 'nothing', its tensors say lso"),
        ({"network": "specsolver"}, "says 'specsolver', its tensors say lso"),
        ({"base": "nonsense"}, "base is 'nonsense'"),
        ({"response": [[1 / BANDS] * BANDS]}, "2 guide bands, the card describes 1"),
        ({"wavelengths": [400.0]}, "number of bands"),
        ({"kind": "network"}, "get the file again"),
        ({"kind": "other"}, "kind is 'other'"),
    ],
)
def test_a_card_that_contradicts_the_tensors_is_refused(
    lie: dict[str, Any], words: str, network: torch.nn.Module, numbers: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(path, network, TRAINED, numbers)
    tensors, told = opened(path)
    save_file(tensors, path, metadata={KEY: json.dumps({**told, **lie})})
    with pytest.raises(CheckpointError, match=words):
        read_weights(path)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "3", '{"kind":'])
def test_a_card_that_cannot_be_read_is_refused(text: str, network: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(network.state_dict(), path, metadata={KEY: text})
    for read in (read_weights, read_card):
        with pytest.raises(CheckpointError, match=r"The model card of w\.safetensors is damaged"):
            read(path)


@pytest.mark.parametrize("name", ["basis", "size", "guide_centre", "module.outc.conv.2.bias"])
@pytest.mark.parametrize("how", ["missing", "shape", "nan"])
def test_tensors_that_do_not_fit_are_refused(
    name: str, how: str, network: torch.nn.Module, numbers: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(path, network, TRAINED, numbers)
    tensors, told = opened(path)
    if how == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros(7, 7) if how == "shape" else torch.full_like(tensors[name], torch.nan)
    save_file(tensors, path, metadata={KEY: json.dumps(told)})
    with pytest.raises(CheckpointError, match="not finite" if how == "nan" else "get the file again"):
        read_weights(path)


def test_another_network_is_named_by_its_keys(tmp_path: Path) -> None:
    save_file({"0.bias": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"another network .*0\.bias"):
        read_weights(tmp_path / "other.safetensors")


def test_a_bare_network_for_another_ratio_is_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    write_weights(tmp_path / "w.safetensors", network, ModelCard())
    with pytest.raises(CheckpointError, match="ratio 4, not 8"):
        read_weights(tmp_path / "w.safetensors", ratio=8)
