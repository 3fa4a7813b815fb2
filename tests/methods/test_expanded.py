"""Methods with bands that do not lie on each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.methods.expanded import GuideTerms
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate
from napari_specfusion.tiling.tiles import Footprint, TileGrid


@pytest.fixture(scope="module")
def displaced():
    """A pair whose bands lie 0 to 1 px beside the guide, and are up to 0.1 % larger or smaller."""
    cube = sample_reference(160)
    values, ramp = cube.read().astype(np.float64), np.linspace(0, 1, cube.bands)
    y, x = np.mgrid[:160, :160].astype(float)
    for band, move in enumerate(ramp):
        enlarge = 0.002 * (move - 0.5)
        at = y + enlarge * (y - 79.5), x + move + enlarge * (x - 79.5)
        values[band] = ndimage.map_coordinates(values[band], at, order=5, mode="nearest")
    moved = Cube.from_array(values.astype(np.float32), wavelengths=cube.wavelengths)
    options = {"protocol": Psf(2.0), "shift": (0.4, -0.7)}
    return simulate(moved, 4, **options).replace(guide=simulate(cube, 4, **options).guide)


def psnr(fused, reference):
    return 10 * np.log10(reference.max() ** 2 / np.mean((fused - reference) ** 2))


@pytest.mark.parametrize("name", ["gsa", "glp", "subspace", "detail"])
def test_the_bands_keep_their_geometry(displaced, predict, name):
    reference = displaced.reference.read()
    aware, blind = CalibratedScene(displaced), CalibratedScene(displaced)
    assert aware.bands
    blind.bands = None
    with_it, without = (psnr(predict(METHODS[name].prepare(c), displaced), reference) for c in (aware, blind))
    assert with_it > without + 1


@pytest.mark.parametrize("name", ["gsa", "glp", "subspace", "detail"])
@pytest.mark.parametrize("core", [16, 48])
def test_tiles_agree_with_the_whole(displaced, predict, name, core):
    predictor = METHODS[name].prepare(CalibratedScene(displaced))
    assert predictor.terms is not None
    whole = predict(predictor, displaced)
    np.testing.assert_allclose(predict(predictor, displaced, core), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["gsa", "glp", "subspace", "detail"])
def test_a_few_rows_at_a_time(displaced, predict, name, monkeypatch):
    predictor = METHODS[name].prepare(CalibratedScene(displaced))
    whole = predict(predictor, displaced)
    monkeypatch.setattr("napari_specfusion.memory.EXPANDED", 1)
    np.testing.assert_allclose(predict(predictor, displaced), whole, rtol=0, atol=1e-10)


def test_nothing_changes_without_displacement(predict):
    scene = simulate(sample_reference(160), 4)
    calibrated, blind = CalibratedScene(scene), CalibratedScene(scene)
    assert not calibrated.bands
    blind.bands = None
    for name in ("gsa", "glp", "subspace"):
        predictor = METHODS[name].prepare(calibrated)
        assert predictor.terms is None
        np.testing.assert_array_equal(predict(predictor, scene), predict(METHODS[name].prepare(blind), scene))


def test_glp_is_consistent_with_the_cube(displaced, predict):
    """What is subtracted at low resolution is what the cube sees of what is added."""
    calibrated = CalibratedScene(displaced)
    terms = GuideTerms.of(calibrated, calibrated.bands.expansion)
    mixing = np.random.default_rng(0).normal(size=(2, 11 * displaced.guide.bands))
    guide = torch.tensor(displaced.guide.read(), dtype=torch.float64)
    sharp = torch.zeros((2, *guide.shape[1:]), dtype=torch.float64)

    tile = next(iter(TileGrid(displaced.shape, displaced.factor, Footprint(0), None)))
    terms.add_sharp(sharp, guide, torch.tensor(mixing), tile)
    seen = calibrated.sampling.degrade(sharp.numpy(), displaced.hsi.shape[1:])
    # coordinates vary a little over the PSF
    inside = (slice(None), slice(2, -2), slice(2, -2))
    error = seen[inside] - terms.coarse_sum(mixing)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.05 * seen[inside].std()
