"""The authors' checkpoints: whole and damaged, and what hides in a pickle."""

from __future__ import annotations

import os
import pickle
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch

from napari_specfusion.errors import CheckpointError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.weights.load import load_weights

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "features": 8, "blocks": 1}


@pytest.fixture
def network() -> torch.nn.Module:
    return create_model("lso", 5, 2, 4, **SMALL)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("wrapper", ["model_state_dict", "state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "model.", "module._orig_mod."])
def test_the_authors_files_open(wrapper: str | None, prefix: str, network: torch.nn.Module, tmp_path: Path) -> None:
    state = {prefix + key: value for key, value in network.state_dict().items()}
    for part in ("sub_mean", "add_mean"):
        state[f"{prefix}spatial_encoder.{part}.weight"] = torch.eye(3)[..., None, None]
        state[f"{prefix}spatial_encoder.{part}.bias"] = torch.zeros(3)
    whole = state if wrapper is None else {wrapper: state, "epoch": 7, "model_name": "LSO", "config": {"lr": 3e-4}}
    torch.save(whole, tmp_path / "best.pth.tar")
    loaded = load_weights(tmp_path / "best.pth.tar", ratio=8)
    assert same(loaded, network)
    assert (loaded.bands, loaded.guide_bands, loaded.ratio) == (5, 2, 8)
    assert load_weights(tmp_path / "best.pth.tar").ratio == 4


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_never_run(zipped: bool, network: torch.nn.Module, tmp_path: Path) -> None:
    marker, file = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save(
        {"model_state_dict": network.state_dict(), "config": Bomb(marker)}, file, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(CheckpointError, match="never run"):
        load_weights(file)
    assert not marker.exists()


def test_a_bare_pickle_with_code_is_never_run(tmp_path: Path) -> None:
    marker, file = tmp_path / "ran", tmp_path / "evil.pth"
    file.write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(CheckpointError):
        load_weights(file)
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["empty", "garbage", "half", "tail"])
def test_damaged_files_are_refused(damage: str, network: torch.nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save(network.state_dict(), file)
    data = file.read_bytes()
    file.write_bytes(
        {"empty": b"", "garbage": b"\x00\xff" * 50, "half": data[: len(data) // 2], "tail": data[:-40]}[damage]
    )
    with pytest.raises(CheckpointError):
        load_weights(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weight file"):
        load_weights(tmp_path / "none.pth")


def test_another_network_is_named_by_its_keys(tmp_path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"another network .*0\.bias"):
        load_weights(tmp_path / "other.pth")


def test_missing_and_misshapen_tensors_are_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    del state["up1.conv.double_conv.0.weight"]
    torch.save(state, tmp_path / "missing.pth")
    with pytest.raises(CheckpointError, match=r"up1\.conv"):
        load_weights(tmp_path / "missing.pth")
    state = dict(network.state_dict())
    state["outc.conv.2.weight"] = torch.zeros(9, 8, 1, 1)
    torch.save(state, tmp_path / "shape.pth")
    with pytest.raises(CheckpointError):
        load_weights(tmp_path / "shape.pth")
    torch.save({"process1.latent": torch.zeros(2)}, tmp_path / "stub.pth")
    with pytest.raises(CheckpointError, match="do not fit together"):
        load_weights(tmp_path / "stub.pth")


def test_weights_that_are_not_finite_are_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    state = network.state_dict()
    state["outc.conv.2.bias"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match="not finite"):
        load_weights(tmp_path / "nan.pth")


def test_what_the_authors_options_say_is_believed(tmp_path: Path) -> None:
    network = create_model("lso", 5, 2, 8, patch=8, **SMALL)
    whole = {"model_state_dict": network.state_dict(), "config": {"sf": 8, "patch_size": 8, "model": "lso_x8"}}
    torch.save(whole, tmp_path / "x8.pth.tar")
    loaded = load_weights(tmp_path / "x8.pth.tar")
    assert (loaded.ratio, loaded.sizes) == (8, network.sizes)
    with pytest.raises(CheckpointError, match="ratio 8, not 4"):
        load_weights(tmp_path / "x8.pth.tar", ratio=4)


def test_tensors_larger_than_the_file_are_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    state = {**network.state_dict(), "outc.conv.2.bias": torch.zeros(1).expand(10**12)}
    torch.save(state, tmp_path / "view.pth")
    with pytest.raises(CheckpointError, match="does not hold all of"):
        load_weights(tmp_path / "view.pth")
    torch.save({"process1.latent": torch.zeros(3, device="meta")}, tmp_path / "meta.pth")
    with pytest.raises(CheckpointError, match="does not hold all of"):
        load_weights(tmp_path / "meta.pth")


def test_a_file_that_unpacks_to_more_than_it_is_is_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({key: torch.zeros_like(value) for key, value in network.state_dict().items()}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="larger than the file"):
        load_weights(packed)


def test_a_network_inside_a_list_is_refused(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save([network.state_dict()], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_weights(tmp_path / "list.pth")
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_weights(tmp_path / "empty.pth")
    torch.save({"process1.latent": 3}, tmp_path / "number.pth")
    with pytest.raises(CheckpointError, match="not a tensor"):
        load_weights(tmp_path / "number.pth")


def test_running_out_of_memory_is_a_reason(
    network: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some damaged files make torch ask for more memory than there is, which Python tells without a word."""
    torch.save(network.state_dict(), tmp_path / "x.pth")

    def load(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(CheckpointError, match=r"not a whole PyTorch file \(MemoryError\)"):
        load_weights(tmp_path / "x.pth")
