"""Networks for any sensor: what they get does not depend on bands, units or signs, and tiles are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.networks.planes import CHANNELS, PlanePredictor, PlaneView
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import start_at_zero
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.tiling.tile_runner import predict_whole

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(96, 4)


@pytest.fixture(scope="module")
def view(scene: Scene) -> PlaneView:
    return PlaneView.of(CalibratedScene(scene))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("lso-s", 1, CHANNELS - 1, 4, width=8, heads=2, features=8).eval()


def images(scene: Scene, view: PlaneView) -> tuple[torch.Tensor, torch.Tensor]:
    assert scene.reference is not None
    guide, sharp = (torch.as_tensor(cube.read().astype(np.float64)) for cube in (scene.guide, scene.reference))
    return guide, torch.einsum("bp,byx->pyx", torch.as_tensor(view.analysis), sharp)


def test_the_inputs_of_every_plane_are_of_one_size(scene: Scene, view: PlaneView) -> None:
    inputs = view.inputs(*images(scene, view))
    assert inputs.shape == (len(view.unit), CHANNELS, 96, 96)
    assert bool(inputs.isfinite().all())
    # what is left over is about one unit, whether the plane is bright or faint
    left = inputs[:, 0].square().mean((1, 2)).sqrt()
    assert 0.1 < float(left.min()) < float(left.max()) < 5
    assert float(torch.as_tensor(view.unit).max() / torch.as_tensor(view.unit).min()) > 3


def test_the_means_are_gone(scene: Scene, view: PlaneView) -> None:
    guide, planes = images(scene, view)
    torch.testing.assert_close(view.inputs(guide + 3, planes - 7), view.inputs(guide, planes))


@pytest.mark.parametrize("gain", [-1.0, 2.0, 1000.0])
def test_sign_and_size_of_the_cube_do_not_matter(scene: Scene, network: torch.nn.Module, gain: float) -> None:
    # a negative gain turns all planes, which the sign undoes
    plain, scaled = (
        PlaneView.of(CalibratedScene(scene.replace(hsi=Cube.from_array(scene.hsi.read().astype(np.float64) * factor))))
        for factor in (1.0, gain)
    )
    guide, _ = images(scene, plain)
    assert scene.reference is not None
    bands = torch.as_tensor(scene.reference.read().astype(np.float64))
    with torch.no_grad():
        one, other = (
            view.on(network.double(), guide, factor * bands) for view, factor in ((plain, 1.0), (scaled, gain))
        )
    assert float((one - bands).abs().max()) > 1e-3
    torch.testing.assert_close(other / gain, one, atol=1e-4, rtol=1e-3)


def test_the_guides_units_do_not_matter(scene: Scene, view: PlaneView) -> None:
    guide, planes = images(scene, view)
    factors = np.array([2.0, 100.0, 0.5])[:, None, None]
    other = PlaneView.of(
        CalibratedScene(scene.replace(guide=Cube.from_array(scene.guide.read().astype(np.float64) * factors), srf=None))
    )
    moved = other.inputs(guide * torch.as_tensor(factors), planes)
    # the ridge of the regression is a share of the guide's whole power, so not quite the same in other units
    torch.testing.assert_close(moved, view.inputs(guide, planes), atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize(("bands", "guides"), [(5, 1), (31, 3), (60, 4)])
def test_any_number_of_bands_and_guide_bands(bands: int, guides: int, network: torch.nn.Module) -> None:
    rng = np.random.default_rng(0)
    sharp = np.kron(rng.random((bands, 16, 16)), np.ones((1, 4, 4))) + rng.random((bands, 1, 1))
    low = Cube.from_array(sharp.reshape(bands, 16, 4, 16, 4).mean((2, 4)))
    from napari_specfusion.data.scene import Scene

    pair = CalibratedScene(Scene(low, Cube.from_array(sharp[np.linspace(0, bands - 1, guides).astype(int)])))
    view = PlaneView.of(pair)
    fused = torch.as_tensor(sharp, dtype=torch.float32)
    guide = torch.as_tensor(pair.scene.guide.read().astype(np.float32))
    with torch.no_grad():
        assert view.on(network.float(), guide, fused).shape == fused.shape


def test_planes_can_be_exchanged(scene: Scene, view: PlaneView) -> None:
    guide, planes = images(scene, view)
    order = np.random.default_rng(1).permutation(len(planes))
    turned = view.turned(np.eye(len(planes))[:, order])
    torch.testing.assert_close(turned.inputs(guide, planes[order.tolist()]), view.inputs(guide, planes)[order.tolist()])


def test_bands_that_the_guide_shows_are_hardly_touched(scene: Scene, network: torch.nn.Module) -> None:
    cube = scene.hsi.read().astype(np.float64)
    pair = CalibratedScene(scene)
    # a band that is the degraded guide itself, beside one that shows something else
    seen = np.concatenate([pair.guide.values[:1], cube[[15], ::-1]])
    view = PlaneView.of(CalibratedScene(scene.replace(hsi=Cube.from_array(seen), srf=None)))
    sizes = np.abs(view.synthesis).max(axis=1) / seen.std(axis=(1, 2))
    assert sizes[0] < 0.2 * sizes[1]


def test_an_untrained_network_changes_nothing(scene: Scene, view: PlaneView) -> None:
    network = create_model("lso-s", 1, CHANNELS - 1, 4)
    start_at_zero(network)
    guide, planes = images(scene, view)
    with torch.no_grad():
        assert float(view.error_of(network.double(), guide, planes).abs().max()) < 1e-9 * float(planes.abs().max())


class Flat:
    """A base that returns the guide's first band in every band."""

    def __init__(self, bands: int) -> None:
        from napari_specfusion.tiling.tiles import Footprint

        self.bands, self.footprint = bands, Footprint(0)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: object, shape: tuple[int, int]) -> torch.Tensor:
        return guide[:1] * torch.linspace(0.5, 1.5, self.bands)[:, None, None]


def test_tiles_give_the_whole(scene: Scene, view: PlaneView, network: torch.nn.Module) -> None:
    from napari_specfusion.fusion.engine import fuse

    class Method:
        name, mixed_precision = "planes on a flat base", False

        def prepare(self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: object = None) -> PlanePredictor:
            return PlanePredictor(Flat(31), view, network.float()).placed(device, None)

    whole = predict_whole(Method().prepare(CalibratedScene(scene)), scene)
    tiled = fuse(scene, model=Method(), tile=32).read()
    assert float(np.abs(whole - scene.guide.read()[0]).max()) > 1e-3
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
