"""Training a network for any sensor: drawn pairs, steps, resuming, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, ModelError, OutputError
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.training.any_sensor import AnySensorOptions, train_any_sensor
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.load import load_weights

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = AnySensorOptions(
    ratios=(2, 4), guides=("rgb", "pan"), base="subspace", pairs=2, steps=6, batch=1, patch=32, validate_every=3
)


@pytest.fixture(scope="module")
def cubes() -> list[Cube]:
    reference = sample_scene(96, 4).reference
    assert reference is not None
    values, centres = reference.read(), reference.wavelengths
    assert centres is not None
    other = np.concatenate([values, values[::-1]])[::2, ::-1]
    return [
        reference.replace(name="one"),
        Cube.from_array(other, wavelengths=np.linspace(400, 900, len(other)), name="other"),
        Cube.from_array(values[:, :, ::-1], wavelengths=centres, name="kept"),
    ]


def test_one_network_learns_from_different_sensors(cubes: list[Cube], tmp_path: Path) -> None:
    seen = []
    weights = train_any_sensor(cubes, tmp_path, OPTIONS, validation=["kept"], progress=lambda p: seen.append(p.step))
    assert isinstance(weights, AnySensor)
    assert (weights.card.data, weights.card.ratios, weights.card.steps) == (("one", "other"), (2, 4), 6)
    assert set(weights.card.scores) == {"gain", "least_gain"}
    assert seen[-1] == 6
    saved = load_weights(tmp_path / "weights.safetensors")
    assert saved.card.data == weights.card.data
    for one, other in zip(weights.module.parameters(), saved.module.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())


def test_a_stopped_run_goes_on_as_if_it_had_not_been(cubes: list[Cube], tmp_path: Path) -> None:
    whole = train_any_sensor(cubes, tmp_path / "whole", OPTIONS, validation=["kept"])
    calls = iter(range(100))
    with pytest.raises(Cancelled, match="4 steps"):
        train_any_sensor(cubes, tmp_path / "parts", OPTIONS, validation=["kept"], should_stop=lambda: next(calls) == 4)
    parts = train_any_sensor(cubes, tmp_path / "parts", OPTIONS, validation=["kept"])
    for one, other in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), atol=1e-6)


def test_other_options_do_not_resume(cubes: list[Cube], tmp_path: Path) -> None:
    train_any_sensor(cubes, tmp_path, OPTIONS, validation=["kept"])
    with pytest.raises(OutputError, match="seed"):
        train_any_sensor(cubes, tmp_path, AnySensorOptions(**{**vars(OPTIONS), "seed": 1}), validation=["kept"])


@pytest.mark.parametrize("held_out", [[], ["nobody"], ["one", "other", "kept"]])
def test_some_cubes_are_held_out(cubes: list[Cube], tmp_path: Path, held_out: list[str]) -> None:
    with pytest.raises(ModelError, match="hold out"):
        train_any_sensor(cubes, tmp_path, OPTIONS, validation=held_out)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"patch": 30}, "multiple of 4"),
        ({"steps": 0}, "at least 1"),
        ({"rate": 2.0}, "rate"),
        ({"ratios": ()}, "ratio"),
    ],
)
def test_impossible_options(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        AnySensorOptions(**{**vars(OPTIONS), **wrong})  # type: ignore[arg-type]
