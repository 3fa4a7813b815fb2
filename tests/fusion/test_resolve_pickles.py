"""Everything that `fuse` accepts as a model can be pickled, before and after it is prepared."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from napari_specfusion.alignment.alignment import Alignment
from napari_specfusion.alignment.transform import Transform
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.fusion.auto import Choice
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.io.open import open_cube
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.networks.registry import NETWORKS, create_model
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf
from napari_specfusion.tiling.tile_runner import predict_whole
from napari_specfusion.weights.fitted import Fitted
from napari_specfusion.weights.shipped import list_weights


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.fixture(scope="module")
def calibrated() -> CalibratedScene:
    return CalibratedScene(sample_scene(64, 4))


@pytest.mark.parametrize("name", METHODS)
def test_methods_without_weights(name: str, calibrated: CalibratedScene) -> None:
    predictor = METHODS[name].prepare(calibrated)
    expected = predict_whole(predictor, calibrated.scene)
    np.testing.assert_array_equal(predict_whole(again(predictor), calibrated.scene), expected)
    np.testing.assert_array_equal(predict_whole(again(METHODS[name]).prepare(calibrated), calibrated.scene), expected)


@pytest.mark.parametrize("name", list_weights())
def test_shipped_weights(name: str) -> None:
    method: Any = as_method(name)
    pair = CalibratedScene(sample_scene(64, int(getattr(method, "ratio", 4))))
    predictor = method.prepare(pair)
    np.testing.assert_array_equal(
        predict_whole(again(predictor), pair.scene), predict_whole(again(method).prepare(pair), pair.scene)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, calibrated: CalibratedScene, small: Any) -> None:
    method = NetworkMethod(create_model(name, 31, 3, 4, **small(name)))
    predictor = method.prepare(calibrated)
    np.testing.assert_array_equal(
        predict_whole(again(predictor), calibrated.scene),
        predict_whole(again(method).prepare(calibrated), calibrated.scene),
    )


def test_what_fit_and_choose_return(calibrated: CalibratedScene) -> None:
    fitted = again(Fitted(None, 0.0, 40.0, 39.0, "no gain", base="gsa"))
    assert fitted.name == Fitted(None, 0.0, 40.0, 39.0, "no gain").name
    choice = again(Choice(METHODS["glp"], left_out={"x": "too many bands"}, reason="it is the best"))
    assert (choice.method, choice.left_out["x"], choice.reason) == (METHODS["glp"], "too many bands", "it is the best")


def test_what_describes_a_pair() -> None:
    assert again(Psf(1.5, 9.0)) == Psf(1.5, 9.0)
    srf = again(Srf(np.eye(3, 5), names=("r", "g", "b")))
    np.testing.assert_array_equal(srf.matrix, np.eye(3, 5))
    found = Alignment(Transform(np.diag([4.0, 4.0, 1.0])), Fraction(4), (16, 16), (64, 64), (0, 16, 0, 16), "as is")
    np.testing.assert_array_equal(again(found).matrix, found.matrix)
    assert again(found).findings() == found.findings()


def test_a_calibrated_scene_of_files_leaves_their_pixels_behind(tmp_path: Any) -> None:
    scene = sample_scene(256, 4)
    scene.hsi.save(tmp_path / "low.zarr")
    scene.guide.save(tmp_path / "sharp.zarr")
    pair = CalibratedScene(Scene(open_cube(tmp_path / "low.zarr"), open_cube(tmp_path / "sharp.zarr")))
    sampling = pair.sampling
    assert isinstance(pair.scene.hsi, Cube)
    stored = pickle.dumps(pair)
    assert len(stored) < 0.5 * scene.guide.data.nbytes
    assert pickle.loads(stored).sampling == sampling
