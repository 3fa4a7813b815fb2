"""The guide adapter: which guides can stand for a camera, and that a network behind it sees that camera's picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import ModelError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.fusion.resume_key import job_key
from napari_specfusion.methods.classical import Glp
from napari_specfusion.methods.guide_adapter import GOOD, POOR, Adapted, GuideAdapter
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf, analytic_srf
from napari_specfusion.simulation.pair import simulate

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene


@pytest.fixture(scope="module")
def truth() -> Cube:
    return sample_reference(128)


@pytest.fixture(scope="module")
def camera(truth: Cube) -> Srf:
    return analytic_srf("rgb", truth.wavelengths)


def bells(wavelengths: Any, *centres: float, width: float = 40.0) -> Srf:
    rows = np.array([np.exp(-(((wavelengths - centre) / width) ** 2)) for centre in centres])
    return Srf(rows / rows.sum(axis=1, keepdims=True))


def seen_by(truth: Cube, response: Srf, **options: Any) -> Scene:
    return simulate(truth, 4, srf=response, protocol=Psf(1.7), shift=(0.5, -0.25), **options)


def distance(adapter: GuideAdapter, scene: Scene, camera: Srf) -> float:
    """Return how far the adapted guide lies from the camera's true picture, as a share of its contrast."""
    picture = camera.apply(scene.reference.read())
    found = adapter.apply(torch.from_numpy(scene.guide.read())).numpy()
    return float(np.sqrt(np.mean((found - picture) ** 2) / np.mean(picture.var(axis=(1, 2)))))


def test_the_camera_itself_stays_as_it_is(truth: Cube, camera: Srf) -> None:
    adapter = GuideAdapter.fit(CalibratedScene(seen_by(truth, camera)).moments, camera)
    np.testing.assert_allclose(adapter.matrix, np.eye(3), atol=0.02)
    np.testing.assert_allclose(adapter.offset, 0, atol=0.005)
    assert adapter.residual < 0.01
    assert adapter.bands == 3


def test_gains_offsets_and_order_of_the_channels_are_undone(truth: Cube, camera: Srf) -> None:
    other = Srf(40 * camera.matrix[[2, 0, 1]] * np.array([[0.8], [1.3], [2.0]]), np.array([5.0, -3.0, 0.5]))
    scene = seen_by(truth, other)
    adapter = GuideAdapter.fit(CalibratedScene(scene).moments, camera)
    assert adapter.residual < 0.01
    assert distance(adapter, scene, camera) < 0.01


def test_more_bands_will_do_and_one_will_not(truth: Cube, camera: Srf) -> None:
    scenes = {
        "rgb": seen_by(truth, bells(truth.wavelengths, 460, 530, 610)),
        "five": seen_by(truth, bells(truth.wavelengths, 430, 490, 550, 610, 670, width=25)),
        "pan": seen_by(truth, analytic_srf("pan", truth.wavelengths)),
    }
    fits = {name: GuideAdapter.fit(CalibratedScene(scene).moments, camera) for name, scene in scenes.items()}
    assert fits["five"].residual < GOOD
    assert fits["rgb"].residual < GOOD
    assert fits["pan"].residual > POOR
    assert [fits[name].finding().level for name in ("five", "pan")] == ["info", "warning"]
    for name, adapter in fits.items():
        # what is said at low resolution holds for the sharp guide
        assert distance(adapter, scenes[name], camera) == pytest.approx(adapter.residual, rel=0.5, abs=0.01)


def test_an_offset_of_the_camera_counts(truth: Cube, camera: Srf) -> None:
    moved = Srf(camera.matrix, np.array([0.1, 0.2, 0.3]))
    scene = seen_by(truth, camera)
    first, second = (
        GuideAdapter.fit(CalibratedScene(scene).moments, camera),
        GuideAdapter.fit(CalibratedScene(scene).moments, moved),
    )
    np.testing.assert_allclose(second.offset - first.offset, [0.1, 0.2, 0.3])


def test_a_response_for_other_bands_is_named(truth: Cube) -> None:
    with pytest.raises(ModelError, match="has 5 columns, the cube 31"):
        GuideAdapter.fit(CalibratedScene(seen_by(truth, "rgb")).moments, Srf(np.ones((3, 5))))


def test_the_lazy_picture_is_the_tensors(truth: Cube, camera: Srf) -> None:
    scene = seen_by(truth, bells(truth.wavelengths, 430, 490, 550, 610, 670))
    adapter = GuideAdapter.fit(CalibratedScene(scene).moments, camera)
    values = scene.guide.read()
    values[2, 7, 9] = np.nan
    picture = adapter.picture(Cube.from_array(values, wavelengths=[430, 490, 550, 610, 670], pixel_size=(2.0, 2.0)))
    expected = adapter.apply(torch.from_numpy(values)).numpy()
    assert picture.wavelengths is None
    assert picture.pixel_size == (2.0, 2.0)
    np.testing.assert_allclose(picture.read(), expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(picture.read()[:, 7, 9]).all()
    batch = torch.rand(2, 5, 4, 6, dtype=torch.float64)
    assert adapter.apply(batch).shape == (2, 3, 4, 6)
    assert adapter.apply(batch).dtype == torch.float64


class Camera:
    """A method that returns the guide it is given, and remembers the scene it was prepared for."""

    name = "camera"
    mixed_precision = True

    def prepare(self, calibrated: CalibratedScene, **options: Any) -> Camera:
        self.scene, self.options = calibrated.scene, options
        self.predictor = Glp().prepare(calibrated)
        self.footprint, self.bands = self.predictor.footprint, self.scene.hsi.bands
        return self

    def predict(self, guide: torch.Tensor, *_: Any) -> torch.Tensor:
        return guide.repeat(11, 1, 1)[: self.bands]


def test_a_method_behind_it_sees_the_cameras_picture(truth: Cube, camera: Srf) -> None:
    scene = seen_by(truth, bells(truth.wavelengths, 430, 490, 550, 610, 670))
    inner = Camera()
    method = Adapted(inner, camera)
    assert (method.name, method.mixed_precision, Adapted(Glp(), camera).mixed_precision) == ("camera", True, False)
    fused = fuse(scene, model=method, tile=48, device="cpu").read()
    assert inner.scene.guide.bands == 3
    assert inner.scene.srf is camera
    assert set(inner.options) == {"device", "dtype"}
    picture = camera.apply(truth.read())
    assert np.mean((fused[:3] - picture) ** 2) < 0.05**2 * picture.var()


def test_tiles_agree_with_the_whole_image_and_gaps_stay(truth: Cube, camera: Srf) -> None:
    scene = seen_by(truth, bells(truth.wavelengths, 430, 490, 550, 610, 670))
    values = scene.guide.read()
    values[1, 20:22, 30] = np.nan
    scene = scene.replace(guide=Cube.from_array(values))
    whole, tiled = (
        fuse(scene, model=Adapted(Glp(), camera), tile=tile, device="cpu", precision="float64").read()
        for tile in (None, 40)
    )
    np.testing.assert_array_equal(np.isnan(whole).any(axis=0), np.isnan(values).any(axis=0))
    np.testing.assert_allclose(tiled, whole, atol=1e-10, rtol=0)


def test_a_job_knows_method_and_camera(truth: Cube, camera: Srf) -> None:
    scene = seen_by(truth, camera)
    other = Srf(camera.matrix * 2)
    keys = {job_key(scene, method, ()) for method in (Glp(), Adapted(Glp(), camera), Adapted(Glp(), other))}
    assert len(keys) == 3
