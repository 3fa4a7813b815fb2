"""Images learned from a pair: found where the guide tells them, tile by tile."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from napari_specfusion import memory
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.methods.classical import glp
from napari_specfusion.methods.features import Draws, Features
from napari_specfusion.methods.learned import learned_terms, regress
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf, Sampling
from napari_specfusion.tiling.tiles import Box, Tile

DRAWS = Draws(20, 25, 2)


@pytest.fixture(scope="module", params=[Fraction(4), Fraction(5, 2)], ids=["x4", "x2.5"])
def pair(request):
    """A pair whose cube is a nonlinear function of the guide: the guide, the pair and the sharp cube."""
    guide = sample_reference(160).read()[[5, 15, 25]].astype(np.float64)
    guide = (guide - guide.mean((1, 2), keepdims=True)) / guide.std((1, 2), keepdims=True)
    sharp = np.stack([np.tanh(guide[0]) * guide[1], np.abs(guide[2])])
    sampling = Sampling(request.param, Psf(float(request.param) / 2), (0.4, -0.7))
    hsi = sampling.degrade(sharp, tuple(int(160 / request.param) for _ in range(2)))
    scene = Scene(Cube.from_array(hsi), Cube.from_array(guide), request.param, psf=sampling.psf, shift=sampling.shift)
    return CalibratedScene(scene), sharp


def learned(calibrated, cube=None):
    values = calibrated.scene.hsi.read().astype(np.float32) if cube is None else cube
    features = Features.of(calibrated.moments, calibrated.scene.guide.shape[1:], DRAWS)
    found = regress(calibrated, features, lambda rows, columns: values[:, rows, columns])
    return features, found, learned_terms(calibrated, features, found.weights, glp(calibrated))


def test_it_learns_what_no_linear_function_says(pair):
    calibrated, sharp = pair
    _, _found, terms = learned(calibrated)
    assert terms.sharp is not None
    for image, expected in zip(terms.sharp, sharp, strict=True):
        assert np.corrcoef(np.diff(image).ravel(), np.diff(expected).ravel())[0, 1] > 0.9
    weights, _ = calibrated.moments.cube_from_guide()
    linear = np.einsum("bg,gyx->byx", weights, calibrated.scene.guide.read())
    errors = [float(np.var(np.diff(result - sharp))) for result in (terms.sharp, linear)]
    assert errors[0] < 0.5 * errors[1]


def test_the_low_images_are_the_sharp_ones_as_the_cube_sees_them(pair):
    calibrated, _ = pair
    _, _, terms = learned(calibrated)
    seen = calibrated.sampling.degrade(terms.sharp, calibrated.scene.hsi.shape[1:])
    np.testing.assert_allclose(terms.low, seen, atol=1e-5)


def test_kept_images_equal_those_of_tiles(pair, monkeypatch):
    calibrated, _ = pair
    features, found, kept = learned(calibrated)
    monkeypatch.setattr(memory, "LEARNED", 0)
    again = learned_terms(calibrated, features, found.weights, glp(calibrated))
    assert again.sharp is None
    np.testing.assert_allclose(again.low, kept.low, atol=1e-5)
    box = Box(20, 75, 45, 160)
    guide = torch.as_tensor(calibrated.scene.guide.read(*box.slices))
    mixing = torch.as_tensor(np.random.default_rng(0).random((3, 3 + 2)))
    parts = []
    for terms in (kept, again):
        fused = torch.zeros((3, *box.shape), dtype=torch.float64)
        terms.add_sharp(fused, guide, mixing, Tile(0, box, box))
        parts.append(fused[:, 1:-1, 1:].numpy())
    np.testing.assert_allclose(parts[1], parts[0], atol=1e-4)


def test_the_sums_do_not_depend_on_the_blocks(pair, monkeypatch):
    calibrated, _ = pair
    _, found, _ = learned(calibrated)
    from napari_specfusion.methods import learned as module

    monkeypatch.setattr(module, "BLOCK_HEIGHT", 32)
    monkeypatch.setattr(module, "BLOCK_WIDTH", 96)
    monkeypatch.setattr(module, "TOGETHER", 5)
    _, again, _ = learned(calibrated)
    np.testing.assert_allclose(again.weights, found.weights, rtol=1e-2, atol=1e-3 * np.abs(found.weights).max())


def test_missing_pixels_are_left_out(pair):
    calibrated, _ = pair
    guide = calibrated.scene.guide.read().copy()
    guide[:, 40:60, 40:60] = np.nan
    hsi = calibrated.scene.hsi.read().copy()
    hsi[:, 3:6, 3:6] = np.nan
    holed = CalibratedScene(calibrated.scene.replace(hsi=Cube.from_array(hsi), guide=Cube.from_array(guide)))
    _, whole, _ = learned(calibrated)
    values = np.where(holed.valid, np.nan_to_num(hsi), 1e3).astype(np.float32)
    _, found, terms = learned(holed, values)
    assert np.isfinite(terms.low).all()
    assert found.left.sum() < 3 * whole.left.sum()
