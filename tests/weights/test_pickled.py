"""What a damaged or hostile weight file asks for is never made."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_specfusion.errors import CheckpointError, SpecFusionError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.weights.files import read_card
from napari_specfusion.weights.load import load_weights
from napari_specfusion.weights.pickled import check_pickled

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "features": 8, "blocks": 1}


@pytest.fixture
def network() -> torch.nn.Module:
    return create_model("lso", 5, 2, 4, **SMALL)


def repacked(file: Path, edit: Any) -> None:
    """Write an archive again with its description edited."""
    out = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, edit(data) if name.endswith("data.pkl") else data)
    file.write_bytes(out.getvalue())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("factor", [2, 10**6, 10**10])
def test_storages_larger_than_the_file(
    factor: int, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, count = tmp_path / "a.pth", 12345
    torch.save({"process1.latent": torch.zeros(count)}, file, _use_new_zipfile_serialization=zipped)
    small = pickle.BININT2 + struct.pack("<H", count)
    large = pickle.LONG1 + bytes([8]) + struct.pack("<q", factor * count)
    if zipped:
        repacked(file, lambda data: data.replace(small, large))
    else:
        file.write_bytes(file.read_bytes().replace(small, large))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch opened the file"))
    with pytest.raises(CheckpointError, match="bytes"):
        load_weights(file)


def test_two_descriptions_in_one_file(network: torch.nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save(network.state_dict(), file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("other/data.pkl", archive.read(archive.namelist()[0]))
    with pytest.raises(CheckpointError, match="2 descriptions"):
        load_weights(file)


@pytest.mark.parametrize("name", ["builtins bytearray", "builtins eval", "torch._utils _rebuild_qtensor", "torch load"])
def test_names_of_other_things_are_refused(name: str, tmp_path: Path) -> None:
    module, _, attribute = name.partition(" ")
    data = b"\x80\x02c" + f"{module}\n{attribute}\n".encode() + b"(I39000000000000\ntR."
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/version", "3\n")
    with pytest.raises(CheckpointError, match="never run"):
        load_weights(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "dtype", [torch.complex64, torch.bool, torch.float8_e4m3fn, torch.uint8], ids=lambda dtype: str(dtype)
)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_tensors_of_other_types(ending: str, dtype: torch.dtype, network: torch.nn.Module, tmp_path: Path) -> None:
    state = {**network.state_dict(), "outc.conv.2.bias": torch.zeros(5).to(dtype)}
    file = tmp_path / f"a{ending}"
    if ending == ".pth":
        torch.save(state, file)
    else:
        try:
            save_file({key: value.contiguous() for key, value in state.items()}, file)
        except Exception:  # older releases know fewer types
            pytest.skip("safetensors does not write this type")
    with pytest.raises(CheckpointError):
        load_weights(file)


def test_tensors_with_a_gradient_or_sparse(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(dict(network.named_parameters()) | dict(network.named_buffers()), tmp_path / "a.pth")
    assert load_weights(tmp_path / "a.pth").bands == 5
    torch.save({**network.state_dict(), "outc.conv.2.bias": torch.zeros(5).to_sparse()}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError):
        load_weights(tmp_path / "b.pth")


@pytest.mark.parametrize("opcode", [pickle.BINUNICODE8, pickle.BINBYTES8, pickle.FRAME, pickle.LONG4])
def test_a_piece_longer_than_the_file_is_never_read(opcode: bytes, tmp_path: Path) -> None:
    file = tmp_path / "legacy.pth"
    length = struct.pack("<i", 2**31 - 1) if opcode == pickle.LONG4 else struct.pack("<Q", 2**62)
    file.write_bytes(b"\x80\x04" + opcode + length + b"rest")
    with pytest.raises(CheckpointError, match="beyond its end") as caught:
        load_weights(file)
    assert not isinstance(caught.value.__cause__, MemoryError)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"ratio": 10**9}, "ratio"),
        ({"sizes": {"patch": 10**12}}, "patch is 1000000000000"),
        ({"sizes": {"width": 10**12}}, "width"),
        ({"sizes": {"layers": 10**12}}, "layers"),
        ({"bands": 10**15}, "bands"),
        ({"directions": 10**15, "kind": "trained", "base": "detail"}, "does not hold"),
        ({"ratios": [0, 1e308, 3], "kind": "any sensor"}, "damaged"),
        ({"ratio": True}, "damaged"),
        ({"sizes": []}, "damaged"),
    ],
)
def test_sizes_on_the_card_are_bounded(
    card: dict[str, Any], words: str, network: torch.nn.Module, tmp_path: Path
) -> None:
    file = tmp_path / "a.safetensors"
    metadata = {"specfusion.card": json.dumps({"kind": "network", "network": "lso", **card})}
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, file, metadata)
    with pytest.raises(SpecFusionError, match=words):
        load_weights(file)


def test_shapes_of_no_elements_make_no_network(network: torch.nn.Module, tmp_path: Path) -> None:
    state = network.state_dict()
    for key, shape in (
        ("process1.latent", (8, 0, 10**9)),
        ("process1.decoder_attn.weight", (10**8, 0)),
        ("process1.weights", (0, 10**9)),
        ("spatial_encoder.head.0.weight", (10**6, 7, 0)),
    ):
        torch.save({**state, key: torch.zeros(shape)}, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=r"do not fit together|does not fill"):
            load_weights(tmp_path / "a.pth")


def test_any_damage_ends_in_words(network: torch.nn.Module, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    files = []
    for name, zipped in (("zip.pth", True), ("old.pth", False)):
        torch.save({"state_dict": network.state_dict()}, tmp_path / name, _use_new_zipfile_serialization=zipped)
        files.append(tmp_path / name)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, tmp_path / "a.safetensors")
    files.append(tmp_path / "a.safetensors")
    for file in files:
        whole = file.read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            at = int(draw.integers(0, min(len(data), 4000)))
            width = int(draw.integers(1, 9))
            data[at : at + width] = draw.bytes(width)
            file.write_bytes(data)
            for read in (load_weights, read_card):
                try:
                    read(file)
                except SpecFusionError:
                    continue


def test_a_sound_file_passes(network: torch.nn.Module, tmp_path: Path) -> None:
    for zipped in (True, False):
        whole = {"model": network.state_dict(), "epoch": 3, "config": {"lr": 1e-3, "names": ("a", None, True)}}
        torch.save(whole, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        check_pickled(tmp_path / "a.pth")
