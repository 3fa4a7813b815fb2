from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, SceneError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.fusion.error_map import BRIGHTNESS, expected_error
from napari_specfusion.samples.scene import sample_scene


def root_mean_square(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=0))


@pytest.fixture(scope="module")
def pair() -> CalibratedScene:
    return CalibratedScene(sample_scene(128, 4))


@pytest.fixture(scope="module")
def fused(pair: CalibratedScene) -> Cube:
    return fuse(pair, model="detail")


def test_it_orders_pixels_as_the_true_error_does(pair: CalibratedScene, fused: Cube) -> None:
    reference = pair.stated.reference
    assert reference is not None
    expected = expected_error(pair, fused)
    assert expected.shape == (1, 128, 128) and expected.dtype == np.float32
    error = root_mean_square(fused.read() - reference.read())
    inner = (slice(4, -4), slice(4, -4))
    found = spearmanr(expected.read()[0][inner].ravel(), error[inner].ravel()).statistic
    brightness = spearmanr(root_mean_square(fused.read())[inner].ravel(), error[inner].ravel()).statistic
    assert found > 0.5 and found > brightness


@pytest.mark.parametrize("name", ["subspace", "detail"])
def test_where_the_methods_agree_only_brightness_is_left(
    pair: CalibratedScene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_specfusion.fusion.error_map.WITNESSES", (name,))
    monkeypatch.setattr("napari_specfusion.fusion.error_map.UNEXPLAINED", 0.0)
    result = fuse(pair, model=name)
    np.testing.assert_allclose(
        expected_error(pair, result).read()[0], BRIGHTNESS * root_mean_square(result.read()), rtol=1e-3, atol=1e-6
    )


def test_detail_that_the_guide_does_not_show_is_expected_to_be_wrong() -> None:
    rng = np.random.default_rng(0)
    scene = sample_scene(128, 4)
    # fine detail in one corner of the cube, of which the guide knows nothing
    cube = scene.hsi.read().copy()
    cube[:, :10, :10] += 0.1 * rng.standard_normal((1, 10, 10))
    hidden = CalibratedScene(scene.replace(hsi=Cube.from_array(cube)))
    expected = expected_error(hidden, fuse(hidden, model="detail")).read()[0]
    assert np.median(expected[4:36, 4:36]) > 3 * np.median(expected[44:, 44:])
    # nowhere is less expected than half of what is left over
    assert np.median(expected[4:36, 4:36]) > 0.03


def test_a_blunder_stands_out(pair: CalibratedScene, fused: Cube) -> None:
    values = fused.read().copy()
    values[:, 60:64, 30:34] += 0.5
    expected = expected_error(pair, values).read()[0]
    assert expected[61:63, 31:33].min() > 0.25
    assert np.unravel_index(expected.argmax(), expected.shape)[0] in range(60, 64)


def test_missing_pixels_are_missing_and_do_not_spread(pair: CalibratedScene, fused: Cube) -> None:
    values = fused.read().copy()
    values[:, 10, 20:25] = np.nan
    expected = expected_error(pair, values).read()[0]
    assert np.argwhere(np.isnan(expected)).tolist() == [[10, x] for x in range(20, 25)]


def test_it_lies_where_the_guide_lies(pair: CalibratedScene, fused: Cube) -> None:
    scene = pair.stated
    placed = scene.replace(guide=scene.guide.replace(affine=(2.0, 0, 5, 0, -2, 7), crs="EPSG:32632"))
    found = expected_error(placed, fused)
    assert found.affine == (2.0, 0, 5, 0, -2, 7) and found.crs == "EPSG:32632"


def test_it_stops_and_refuses_another_pairs_result(pair: CalibratedScene, fused: Cube) -> None:
    told: list[str] = []
    with pytest.raises(Cancelled):
        expected_error(
            pair,
            fused,
            progress=lambda step: told.append(step.message),
            should_stop=lambda: "Comparing with subspace" in told,
        )
    with pytest.raises(SceneError, match="fusion of this cube and guide"):
        expected_error(pair, fused.read()[:, :64])
