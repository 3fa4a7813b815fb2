from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.errors import Cancelled, ModelError, SceneError
from napari_specfusion.fusion.auto import choose
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.fusion.judging import evaluate_reduced, judge, result_scene
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.quality.judgement import judge_pair
from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube


@pytest.fixture(scope="module")
def pair() -> CalibratedScene:
    return CalibratedScene(sample_scene(128, 4))


@pytest.fixture(scope="module")
def fused(pair: CalibratedScene) -> Cube:
    return fuse(pair, model="glp")


def test_the_trial_is_that_of_the_choice(pair: CalibratedScene, fused: Cube) -> None:
    judgement = judge(pair, fused)
    chosen = choose(pair, [METHODS["glp"]])
    assert judgement.reduced is not None and not judgement.note
    assert judgement.reduced_psnr == chosen.scores["glp"].psnr
    assert judgement.reduced_sam == chosen.scores["glp"].sam
    assert evaluate_reduced(pair, "glp").psnr == judgement.reduced_psnr
    assert judgement.hqnr == judge_pair(pair, fused).hqnr


def test_a_result_without_a_method_gets_no_trial(pair: CalibratedScene, fused: Cube) -> None:
    judgement = judge(pair, fused.read())
    assert judgement.reduced is None and "does not name a method" in judgement.note
    assert judge(pair, fused, trial=False).note == ""


def test_a_small_pair_gets_no_trial() -> None:
    scene = CalibratedScene(sample_scene(64, 4))
    judgement = judge(scene, fuse(scene, model="glp"))
    assert judgement.reduced is None and "unreliable" in judgement.note
    assert judgement.hqnr > 0.5
    with pytest.raises(SceneError, match="unreliable"):
        evaluate_reduced(scene, "glp")


def test_a_method_that_is_not_there_is_named(pair: CalibratedScene) -> None:
    with pytest.raises(ModelError, match="no method 'best'"):
        evaluate_reduced(pair, "best")


def test_a_trial_stops(pair: CalibratedScene, fused: Cube) -> None:
    told: list[str] = []
    with pytest.raises(Cancelled):
        judge(
            pair,
            fused,
            progress=lambda step: told.append(step.message),
            should_stop=lambda: any("Trying" in message for message in told),
        )
    assert told[-1] == "Trying glp one scale down"


def test_the_pair_of_a_result_is_aligned_as_fuse_does_it() -> None:
    from fractions import Fraction

    scene = sample_scene(128, 4)
    # the guide shows more than the cube, so that only an alignment makes a pair
    part = scene.hsi.crop(slice(4, 28), slice(4, 28))
    fused = fuse(part, scene.guide, model="glp", ratio=4)
    found = result_scene(part, scene.guide, fused)
    assert found.shape == fused.shape[1:] and found.alignment is not None
    assert judge(found, fused, trial=False).hqnr > 0.8
    # images that lie as they are make the pair that they are
    whole = result_scene(scene.hsi, scene.guide, fuse(scene, model="bicubic"))
    assert whole.shape == (128, 128) and whole.ratio == Fraction(4)
