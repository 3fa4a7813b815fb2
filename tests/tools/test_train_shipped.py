"""The tools that train the shipped weights."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from napari_specfusion.networks.residual import Residual
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.sensor.srf import as_srf

TOOLS = Path(__file__).parents[2] / "tools"
SIDE, DIRECTIONS = 96, 5


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """Return the modules `fresh_pairs` and `train_shipped`."""
    if not TOOLS.is_dir():
        pytest.skip("the tools are not part of this copy")
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("fresh_pairs"), importlib.import_module("train_shipped")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two painted scenes as arrays."""
    for seed, name in enumerate("ab"):
        reference = sample_scene(SIDE, 4, seed=seed).reference
        assert reference is not None
        np.save(tmp_path / f"{name}.npy", reference.read().astype(np.float32))
    return tmp_path


@pytest.fixture
def numbers() -> Residual:
    """Return directions of a smooth spectrum, without a network."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(31, DIRECTIONS)))[0]
    one, three = np.ones(DIRECTIONS), np.ones(3)
    return Residual(None, basis, 0 * one, one, 0 * three, three, one)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["plain", "tinted", "mosaic", "blended", "shrunk"])
def test_every_kind_of_scene_is_new_and_whole(tools: tuple[ModuleType, ModuleType], folder: Path, kind: str) -> None:
    fresh, _ = tools
    one, two = (fresh.sharp(fresh.Pair(("a", "b"), kind, seed=seed), folder) for seed in (1, 2))
    assert one.shape == two.shape == (31, SIDE, SIDE)
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.array_equal(one, two) == (kind == "plain")


def test_drawn_pairs_can_be_made(tools: tuple[ModuleType, ModuleType]) -> None:
    fresh, _ = tools
    rng = np.random.default_rng(0)
    drawn = [fresh.draw(rng, ["a", "b"], False) for _ in range(300)]
    assert {pair.kind for pair in drawn} == set(fresh.SCENES)
    assert {pair.ratio for pair in drawn} == set(fresh.RATIOS)
    assert {fresh.draw(rng, ["a"], False).kind for _ in range(100)} == {"plain", "tinted", "shrunk"}
    assert {fresh.draw(rng, ["a", "b"], True).ratio for _ in range(50)} == {4, 8}


def test_a_moved_camera_keeps_the_brightness(tools: tuple[ModuleType, ModuleType]) -> None:
    fresh, _ = tools
    srf = as_srf("rgb", fresh.WAVELENGTHS, 31)
    moved = fresh.camera(fresh.Pair(("a",), turned_camera=True, seed=3), srf)
    assert not np.allclose(moved.matrix, srf.matrix, rtol=0.01)
    np.testing.assert_allclose(moved.matrix.sum(axis=1), srf.matrix.sum(axis=1))


@pytest.mark.slow
def test_steps_on_drawn_pairs_lower_their_error(
    tools: tuple[ModuleType, ModuleType],
    folder: Path,
    numbers: Residual,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fresh, trains = tools
    srf = as_srf("rgb", fresh.WAVELENGTHS, 31)
    facts, arrays = fresh.made(fresh.Pair(("a",), "plain", 4, "free", (35.0, 40.0), seed=4), folder, srf, numbers)
    height, width = arrays["left"].shape[:2]
    assert (height, width) == (SIDE, SIDE)
    # in units of the base's root mean square in each band
    np.testing.assert_allclose(np.square(arrays["left"], dtype=np.float64).mean((0, 1)), 1, rtol=0.01)

    monkeypatch.setattr(trains, "SIDE", SIDE)
    small: dict[str, int] = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "features": 8, "blocks": 1}
    monkeypatch.setattr(trains, "NETWORKS", {"lso-s": ("lso-s", small, 2, 32, 1e-2, 0)})
    pool = trains.Pool(2, arrays["inputs"].shape[-1], 31, DIRECTIONS, "cpu")
    pool.check()
    tensors: dict[str, Any] = {name: torch.from_numpy(values) for name, values in arrays.items()}
    pool.add(tensors)
    student = trains.SensorStudent("lso-s", pool, numbers, "cpu")
    pairs = [{**tensors, "facts": facts}]
    assert student.gains_on(pairs) == [pytest.approx(0, abs=1e-6)]
    for step in range(150):
        student.take(step / 150)
    student.validate(pairs, 1.0, tmp_path)
    assert student.log[-1]["gain"] > 0.02
    student.enlarge()
    student.take(1.0)

    again = trains.SensorStudent("lso-s", pool, numbers, "cpu")
    again.load(tmp_path)
    assert again.gains_on(pairs) == pytest.approx([student.log[-1]["gain"]], abs=1e-6)
