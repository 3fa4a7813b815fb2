"""The detail regression as a method: better than its base where the pair tells how, and the base where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.methods import detail as module
from napari_specfusion.methods.detail import Detail
from napari_specfusion.methods.learned import LearnedTerms
from napari_specfusion.methods.subspace import Subspace
from napari_specfusion.samples.scene import sample_scene


def error(predict, method, scene) -> float:
    blind = scene.replace(psf=None, shift=None, srf=None, reference=None)
    fused = predict(method.prepare(CalibratedScene(blind)), blind)
    return float(np.sqrt(np.mean((fused - scene.reference.read()) ** 2)))


@pytest.mark.parametrize("guide", ["rgb", "pan"])
@pytest.mark.parametrize("noise", [None, (35.0, 40.0)], ids=["clean", "noise"])
def test_it_is_better_than_its_base(predict, guide, noise) -> None:
    scene = sample_scene(256, 4, guide=guide, noise=noise)
    detail, subspace = (error(predict, method, scene) for method in (Detail(), Subspace()))
    assert detail < 0.99 * subspace


def test_a_guide_that_tells_nothing_teaches_nothing() -> None:
    scene = sample_scene(128, 4)
    noise = np.random.default_rng(0).random(scene.guide.shape, dtype=np.float32)
    pair = scene.replace(guide=Cube.from_array(noise), srf=None)
    terms = Detail().prepare(CalibratedScene(pair)).terms
    assert isinstance(terms, LearnedTerms)
    assert np.abs(terms.low).max() < 1e-3 * np.ptp(scene.hsi.read())


@pytest.mark.parametrize("side", [8, 12, 16])
def test_on_a_tiny_pair_it_is_no_worse(predict, side) -> None:
    scene = sample_scene(4 * side, 4)
    detail, subspace = (error(predict, method, scene) for method in (Detail(), Subspace()))
    assert detail < 1.01 * subspace


def test_rounding_may_leave_less_than_nothing(predict, monkeypatch) -> None:
    """On some small pairs, images predicted whole left squares a little below 0."""
    scene = sample_scene(64, 4)
    expected = predict(Detail().prepare(CalibratedScene(scene)), scene)
    regress = module.regress

    def below(*args):
        found = regress(*args)
        return replace(found, left=-1e-9 * np.abs(found.left))

    monkeypatch.setattr(module, "regress", below)
    assert np.array_equal(predict(Detail().prepare(CalibratedScene(scene)), scene), expected)
