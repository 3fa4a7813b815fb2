"""Networks in units of the pair: what they get does not depend on contrast, camera or place, and tiles are exact."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import pytest
import torch

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.methods.guide_adapter import GuideAdapter
from napari_specfusion.networks.pair_detail import PairDetail
from napari_specfusion.networks.pair_units import PAIR_RATIO, PairResidual, images_beside
from napari_specfusion.networks.planes import PlaneView
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual, start_at_zero
from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene

P, G = 5, 3


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(96, 4)


@pytest.fixture(scope="module")
def detail(scene: Scene) -> PairDetail:
    return PairDetail.of(CalibratedScene(scene))


@pytest.fixture(scope="module")
def residual(scene: Scene) -> Residual:
    torch.manual_seed(0)
    network = create_model("lso-s", P, images_beside(P, G), PAIR_RATIO, width=8, heads=2, features=8).eval()
    assert scene.reference is not None
    basis = np.linalg.eigh(np.cov(scene.reference.read().reshape(31, -1)))[1][:, ::-1][:, :P].copy()
    numbers = {"centre": np.full(P, 0.1), "spread": np.full(P, 0.5), "size": np.ones(P)}
    return Residual(network.double(), basis, guide_centre=np.full(G, 0.2), guide_spread=np.full(G, 0.3), **numbers)


@pytest.fixture(scope="module")
def pair(detail: PairDetail, residual: Residual) -> PairResidual:
    return PairResidual(residual, PlaneView.along(detail, residual.basis))


def images(scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    assert scene.reference is not None
    guide, sharp = (torch.as_tensor(cube.read().astype(np.float64)) for cube in (scene.guide, scene.reference))
    return guide, sharp


def test_the_view_along_directions_is_that_of_planes_along_them(detail: PairDetail, residual: Residual) -> None:
    view, basis = PlaneView.along(detail, residual.basis), residual.basis
    np.testing.assert_allclose(view.detail, basis.T @ detail.cube @ basis)
    # the regression is on values, not on their detail, which it may explain a little worse than nothing
    assert (view.unit**2 < 1.2 * np.diag(view.detail)).all()
    assert (view.unit > 0).all()
    np.testing.assert_array_equal(view.band_weights, np.ones(31))


def test_the_inputs_are_of_one_size(scene: Scene, pair: PairResidual) -> None:
    guide, sharp = images(scene)
    found = pair.inputs(guide, torch.einsum("bp,byx->pyx", torch.as_tensor(pair.residual.basis), sharp))
    assert found.shape == (P + images_beside(P, G), 96, 96)
    assert bool(found.isfinite().all())
    left = found[:P].square().mean((1, 2)).sqrt()
    assert 0.1 < float(left.min()) < float(left.max()) < 5


def test_an_untrained_network_changes_nothing(scene: Scene, pair: PairResidual) -> None:
    network = create_model("lso-s", P, images_beside(P, G), PAIR_RATIO).double()
    start_at_zero(network)
    guide, sharp = images(scene)
    with torch.no_grad():
        fused = pair.with_module(network).on(guide[None], sharp[None])[0]
    torch.testing.assert_close(fused, sharp, atol=1e-12, rtol=0)


@pytest.mark.parametrize("gain", [0.01, 1000.0])
def test_units_of_the_scene_do_not_matter(scene: Scene, residual: Residual, pair: PairResidual, gain: float) -> None:
    guide, sharp = images(scene)
    other = CalibratedScene(
        scene.replace(
            hsi=Cube.from_array(scene.hsi.read().astype(np.float64) * gain),
            guide=Cube.from_array(scene.guide.read().astype(np.float64) * gain),
        )
    )
    moved = PairResidual(residual, PlaneView.along(PairDetail.of(other), residual.basis), gain, gain)
    with torch.no_grad():
        one = pair.on(guide[None], sharp[None])
        two = moved.on(guide[None] * gain, sharp[None] * gain) / gain
    assert float((one - sharp).abs().max()) > 1e-3
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-3)


def test_half_the_strength_is_half_the_correction(scene: Scene, pair: PairResidual) -> None:
    guide, sharp = images(scene)
    with torch.no_grad():
        whole, half = (pair.on(guide[None], sharp[None], strength) - sharp for strength in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2)


def test_a_crop_with_its_margin_gives_the_inputs_of_the_whole(scene: Scene, pair: PairResidual) -> None:
    guide, sharp = images(scene)
    planes = torch.einsum("bp,byx->pyx", torch.as_tensor(pair.residual.basis), sharp)
    reach = pair.reach
    whole, crop = pair.inputs(guide, planes), (slice(32 - reach, 64 + reach),) * 2
    part = pair.inputs(guide[:, *crop], planes[:, *crop])[:, reach:-reach, reach:-reach]
    torch.testing.assert_close(part, whole[:, 32:64, 32:64])


def test_the_moments_through_an_adapter_are_those_of_the_adapted_guide(scene: Scene, detail: PairDetail) -> None:
    adapter = GuideAdapter(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]), np.array([0.1, -0.2]), 0.0)
    calibrated = CalibratedScene(scene)
    adapted = calibrated.with_scene(calibrated.known.replace(guide=adapter.picture(scene.guide), srf=None))
    one, other = detail.seen_by(adapter), PairDetail.of(adapted)
    for name in ("cube", "cross", "guide"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-3, atol=1e-7)
    for name in ("guide_mean", "cross", "guide_covariance"):
        np.testing.assert_allclose(getattr(one.moments, name), getattr(other.moments, name), rtol=1e-3, atol=1e-6)


def test_missing_pixels_do_not_count(scene: Scene, detail: PairDetail) -> None:
    values = scene.hsi.read().copy()
    rng = np.random.default_rng(0)
    values[:, rng.integers(0, 24, 12), rng.integers(0, 24, 12)] = np.nan
    other = PairDetail.of(CalibratedScene(scene.replace(hsi=scene.hsi.replace(data=da.from_array(values)))))
    change = np.diag(other.cube) / np.diag(detail.cube)
    assert 0.7 < change.min() < change.max() < 1.4


def test_where_every_pixel_has_a_missing_neighbour_all_count(scene: Scene) -> None:
    values = scene.hsi.read().copy()
    values[:, ::3, ::3] = np.nan
    detail = PairDetail.of(CalibratedScene(scene.replace(hsi=scene.hsi.replace(data=da.from_array(values)))))
    assert (np.diag(detail.cube) > 0).all()


def test_only_the_network_runs_in_half_precision(scene: Scene, pair: PairResidual) -> None:
    guide, sharp = (image.float() for image in images(scene))
    single = pair.placed("cpu", torch.float32)
    # plain values far above the detail, which half precision would swallow
    with torch.no_grad():
        exact = single.on(guide[None], sharp[None])
        with torch.autocast("cpu", torch.bfloat16):
            half = single.on(guide[None], sharp[None])
    assert half.dtype == torch.float32
    size = float((exact - sharp).square().mean().sqrt())
    assert float((half - exact).square().mean().sqrt()) < 0.1 * size


def test_the_size_is_a_factor_to_the_units(scene: Scene, pair: PairResidual) -> None:
    guide, sharp = images(scene)
    doubled = dataclasses.replace(pair, residual=dataclasses.replace(pair.residual, size=np.full(P, 2.0)))
    with torch.no_grad():
        once, twice = (one.on(guide[None], sharp[None]) - sharp for one in (pair, doubled))
    torch.testing.assert_close(twice, 2 * once)
