from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.errors import SceneError
from napari_specfusion.quality.metrics import evaluate
from napari_specfusion.samples.scene import MATERIALS, sample_reference, sample_scene


@pytest.fixture(scope="module")
def cube():
    return sample_reference(128)


def test_the_reference_is_a_cube_of_reflectances(cube):
    values = cube.read()
    assert cube.shape == (31, 128, 128)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(cube.wavelengths, np.arange(400, 701, 10))
    assert values.min() >= 0
    assert 0.8 < values.max() <= 1
    assert np.mean(values > 0.99) < 0.01


def test_the_same_numbers_give_the_same_cube(cube):
    np.testing.assert_array_equal(sample_reference(128).read(), cube.read())
    assert np.abs(sample_reference(128, seed=1).read() - cube.read()).max() > 0.1


def test_a_larger_picture_shows_the_same_scene(cube):
    fine = sample_reference(256).read().reshape(31, 128, 2, 128, 2).mean(axis=(2, 4))
    assert np.sqrt(np.mean((fine - cube.read()) ** 2)) < 0.06


def test_spectra_are_smooth(cube):
    curvature = np.abs(np.diff(cube.read(), n=2, axis=0))
    assert curvature.max() < 0.12
    assert curvature.mean() < 0.005


def test_the_scene_is_no_mixture_of_few_spectra(cube):
    spectra = cube.read().reshape(31, -1).astype(np.float64)
    energy = np.linalg.svd(spectra - spectra.mean(axis=1, keepdims=True), compute_uv=False) ** 2
    left = 1 - np.cumsum(energy) / energy.sum()
    assert np.count_nonzero(left > 1e-4) >= 8


def test_the_scene_is_sharp(cube):
    # Neighbours differ enough for a sharper guide to be worth having.
    band = cube.read()[15]
    coarse = band.reshape(32, 4, 32, 4).mean(axis=(1, 3)).repeat(4, 0).repeat(4, 1)
    assert np.std(band - coarse) > 0.3 * np.std(band)


@pytest.mark.parametrize("bands", [1, 8, 61])
def test_any_number_of_bands(bands):
    cube = sample_reference(32, bands=bands)
    assert cube.shape == (bands, 32, 32)
    assert cube.wavelengths[0] == 400


@pytest.mark.parametrize("size", [33, 100])
def test_any_size(size):
    assert sample_reference(size, bands=3).shape == (3, size, size)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [({"size": 8}, "size is 8; it must be"), ({"size": 64, "bands": 0}, "number of bands is 0")],
)
def test_what_shows_nothing_is_refused(keywords, words):
    with pytest.raises(SceneError, match=words):
        sample_reference(**keywords)


def test_every_material_reflects_less_than_all_light():
    assert all(0 < base + sum(height for *_, height in edges) <= 1 for base, _, edges in MATERIALS.values())


@pytest.mark.parametrize(("guide", "channels"), [("rgb", 3), ("pan", 1)])
def test_the_scene_knows_its_answer(guide, channels):
    scene = sample_scene(64, 4, guide=guide)
    assert scene.hsi.shape == (31, 16, 16)
    assert scene.guide.shape == (channels, 64, 64)
    assert scene.reference.shape == (31, 64, 64)
    assert scene.ratio == 4
    assert scene.psf is not None
    assert scene.srf.matrix.shape == (channels, 31)
    np.testing.assert_allclose(scene.guide.read(), scene.srf.apply(scene.reference.read()), atol=1e-6)


def test_noise_is_added_on_demand():
    clean, noisy = sample_scene(64), sample_scene(64, noise=(30, 40))
    np.testing.assert_array_equal(clean.reference.read(), noisy.reference.read())
    assert 0 < evaluate(clean.hsi, noisy.hsi, 4).rmse < 0.05
