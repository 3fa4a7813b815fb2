from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.errors import SceneError
from napari_specfusion.fusion.trial import SMALLEST, score_trial, trial_pair
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.samples.scene import sample_scene


def test_the_measured_cube_is_the_reference() -> None:
    scene = sample_scene(256, 4)
    pair = trial_pair(CalibratedScene(scene))
    assert pair.scene.reference is not None
    np.testing.assert_array_equal(pair.scene.reference.read(), scene.hsi.read())
    scores = {name: score_trial(METHODS[name], pair, "cpu").psnr for name in ("bicubic", "detail")}
    assert scores["detail"] > scores["bicubic"] + 5


def test_a_large_cube_is_cropped_and_a_small_one_refused() -> None:
    calibrated = CalibratedScene(sample_scene(256, 4))
    assert trial_pair(calibrated, 32).scene.guide.shape[1:] == (32, 32)
    with pytest.raises(SceneError, match=f"20 x 20 pixels is unreliable; it needs {SMALLEST}"):
        trial_pair(calibrated, 20)
