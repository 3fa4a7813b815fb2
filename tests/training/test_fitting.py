"""Fitting a network on one scene: it learns, it is judged, and what comes out fuses like any other method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion.errors import Cancelled, ModelError, SceneError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.methods.registry import DEFAULT_METHOD
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.training import fitting
from napari_specfusion.training.fitting import _instead, fit
from napari_specfusion.weights.load import load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.scene import Scene
    from napari_specfusion.weights.fitted import Fitted


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(256, 4, guide="pan")


@pytest.fixture(scope="module")
def fitted(scene: Scene) -> Fitted:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "MIN_GAIN", -np.inf)
        return fit(scene, steps=3)


def test_the_reference_is_not_looked_at(scene: Scene, fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MIN_GAIN", -np.inf)
    blind = fit(scene.replace(reference=None), steps=3)
    assert blind.score == fitted.score


def test_the_same_seed_gives_the_same_network(scene: Scene, fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MIN_GAIN", -np.inf)
    again, other = fit(scene, steps=3), fit(scene, steps=3, seed=1)
    np.testing.assert_array_equal(fuse(scene, model=again).read(), fuse(scene, model=fitted).read())
    assert other.score != fitted.score


def test_a_network_that_gains_nothing_is_not_kept(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MIN_GAIN", np.inf)
    dropped = fit(scene, steps=1)
    assert not dropped.kept
    assert f"the {DEFAULT_METHOD} result" in dropped.message
    assert dropped.message.endswith("compare with auto."), "weights for any sensor fit, too"
    assert dropped.score == dropped.base_score
    np.testing.assert_array_equal(fuse(scene, model=dropped).read(), fuse(scene, model=DEFAULT_METHOD).read())
    with pytest.raises(ModelError, match="no network to save"):
        dropped.save("nowhere.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("tile", [48, 64])
def test_tiles_agree_with_the_whole_image(scene: Scene, fitted: Fitted, tile: int) -> None:
    whole = fuse(scene, model=fitted, tile=None, precision="float64").read()
    tiled = fuse(scene, model=fitted, tile=tile, precision="float64").read()
    np.testing.assert_allclose(tiled, whole, atol=1e-10, rtol=0)


def test_saved_and_loaded(scene: Scene, fitted: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "fitted.safetensors"
    fitted.save(path)
    loaded = load_weights(path)
    assert (loaded.name, loaded.message, loaded.score) == (fitted.name, fitted.message, fitted.score)
    np.testing.assert_array_equal(fuse(scene, model=loaded).read(), fuse(scene, model=fitted).read())
    assert list(tmp_path.iterdir()) == [path]


def test_bands_of_another_sensor_are_refused(fitted: Fitted) -> None:
    with pytest.raises(ModelError, match="fitted on 31 bands and a guide of 1"):
        fuse(sample_scene(64, 4), model=fitted)


def test_progress_and_cancel(scene: Scene) -> None:
    phases: list[str] = []
    with pytest.raises(Cancelled):
        fit(scene, minutes=5, progress=lambda p: phases.append(p.phase), should_stop=lambda: "train" in phases)
    assert phases[0] == "prepare"


@pytest.mark.parametrize("ratio", [2, 3, 5, 6])
def test_any_whole_ratio(ratio: int) -> None:
    assert fit(sample_scene(60 * ratio, ratio, guide="pan"), steps=2).message


def test_too_small_to_learn_from() -> None:
    with pytest.raises(SceneError, match="too small"):
        fit(sample_scene(64, 4), steps=1)


def test_minutes_must_be_positive(scene: Scene) -> None:
    with pytest.raises(ModelError, match="it must be a finite number above 0"):
        fit(scene, minutes=0)


@pytest.mark.slow
def test_it_gains_on_a_panchromatic_guide(scene: Scene) -> None:
    fitted = fit(scene, steps=150)
    assert fitted.kept
    reference = scene.reference.read()

    def error(model: object) -> float:
        return float(np.mean((fuse(scene, model=model).read() - reference) ** 2))

    assert error(fitted) < error(DEFAULT_METHOD)


def test_no_weights_are_recommended_where_none_fit() -> None:
    assert not _instead(sample_scene(128, 32))
    assert _instead(sample_scene(128, 16))
