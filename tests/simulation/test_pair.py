"""Simulated pairs: the published protocols, noise, responses."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SceneError
from napari_specfusion.io import open_cube
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf
from napari_specfusion.simulation.pair import PROTOCOLS, simulate


def reference(size=48, bands=6, seed=0):
    rng = np.random.default_rng(seed)
    return Cube.from_array(rng.random((bands, size, size), dtype=np.float32), wavelengths=np.linspace(420, 680, bands))


def by_fft(image, kernel, ratio, first):
    """Blur by a circular FFT, the kernel's element n // 2 at the origin, and keep every ratio-th pixel from `first`."""
    height, width = image.shape[-2:]
    padded = np.zeros((height, width))
    padded[: len(kernel), : len(kernel)] = np.outer(kernel, kernel) / kernel.sum() ** 2
    padded = np.roll(padded, (-(len(kernel) // 2),) * 2, axis=(0, 1))
    blurred = np.fft.ifft2(np.fft.fft2(image) * np.fft.fft2(padded)).real
    return blurred[..., first::ratio, first::ratio]


def gaussian(size, sigma):
    return np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)


@pytest.mark.parametrize("ratio", [2, 3, 4, 5, 8, 16])
def test_the_lso_protocol(ratio):
    cube = reference(96 if ratio != 5 else 95)
    kernel = gaussian(2 * math.ceil(3 * ratio / 2) + 1, ratio / 2)
    scene = simulate(cube, ratio, protocol="lso")
    np.testing.assert_allclose(scene.hsi.read(), by_fft(cube.read(), kernel, ratio, 0), atol=2e-6)
    assert scene.shift == (-(ratio - 1) / 2,) * 2


@pytest.mark.parametrize("ratio", [4, 5, 8])
def test_the_specsolver_protocol(ratio):
    cube = reference(80)
    scene = simulate(cube, ratio, protocol="specsolver")
    expected = by_fft(cube.read(), gaussian(ratio, 2.0), ratio, ratio // 2 - 1)
    np.testing.assert_allclose(scene.hsi.read(), expected, atol=2e-6)


def test_a_box_averages_cells():
    cube = reference()
    scene = simulate(cube, 4, protocol=Psf.box(4))
    expected = cube.read().reshape(6, 12, 4, 12, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(scene.hsi.read(), expected, atol=1e-6)


def test_the_border_may_end_without_the_opposite_one():
    image = np.zeros((1, 16, 16), np.float32)
    image[:, :, 12:] = 1
    options = {"srf": np.ones((1, 1)), "protocol": Psf(2.0)}
    around, ended = (simulate(image, 4, wrap=wrap, **options).hsi.read() for wrap in (True, False))
    assert around[0, 1, 0] > 0.01
    assert ended[0, 1, 0] == 0
    np.testing.assert_allclose(ended[0].max(axis=0), ended[0].min(axis=0), atol=1e-6)


def test_a_simulated_pair_knows_everything():
    cube = reference(50)
    scene = simulate(cube, 4, srf="rgb", shift=(0.5, -1.0))
    assert scene.factor == 4
    assert scene.shift == (0.5, -1.0)
    assert scene.reference is not None and scene.reference.shape == (6, 48, 48)
    np.testing.assert_allclose(scene.guide.read(), scene.srf.apply(scene.reference.read()), atol=1e-6)
    np.testing.assert_array_equal(scene.hsi.wavelengths, cube.wavelengths)
    assert scene.hsi.dtype == scene.guide.dtype == np.float32


def test_the_guide_does_not_see_bands_without_data():
    whole = reference(bands=40)
    values = whole.read()
    values[12:15] = np.nan
    holed = Cube.from_array(values, wavelengths=whole.wavelengths)
    pair = simulate(holed, 4)
    guide = pair.guide.read()
    assert np.isfinite(guide).all()
    kept = np.setdiff1d(np.arange(40), [12, 13, 14])
    np.testing.assert_allclose(guide, simulate(holed.select(kept), 4).guide.read(), rtol=1e-5)
    assert not pair.srf.matrix[:, 12:15].any()
    assert np.isnan(pair.hsi.read()[12:15]).all()


def test_the_guide_of_a_real_cube_with_bands_without_data(data_dir):
    cube = open_cube(data_dir / "cubes" / "enmap_potsdam_tile_96_32.tif")
    assert np.isnan(cube.read()).all(axis=(1, 2)).sum() == 6
    guide = simulate(cube, 4).guide.read()
    assert np.isfinite(guide).all()
    assert 0 < guide.mean() < 1


def test_raman_shifts_are_no_wavelengths():
    raman = reference().replace(spectral_unit="cm-1")
    with pytest.raises(SceneError, match="are in cm-1; give a matrix"):
        simulate(raman, 4, srf="rgb")
    pair = simulate(raman, 4, srf=np.full((1, 6), 1 / 6))
    assert pair.hsi.spectral_unit == "cm-1"


def test_rational_ratios():
    scene = simulate(reference(52), 2.5, protocol=Psf(1.5))
    assert scene.reference.shape[1:] == (50, 50) and scene.hsi.shape[1:] == (20, 20)
    # every second row lies five pixels further on, and so has the same weights
    ramp = Cube.from_array(np.broadcast_to(np.arange(50.0)[:, None], (1, 50, 50)))
    seen = simulate(ramp, Fraction(5, 2), srf=[[1.0]], protocol=Psf.box(2.5)).hsi.read()[0, 2:-2, 0]
    np.testing.assert_allclose(seen[2:] - seen[:-2], 5, atol=1e-4)


@pytest.mark.parametrize("decibels", [(35, 40), (20, 30)])
def test_the_noise_has_the_power_asked_for(decibels):
    cube = reference(128)
    clean, noisy = simulate(cube, 2), simulate(cube, 2, noise=decibels, seed=3)
    for name, level in zip(("hsi", "guide"), decibels, strict=True):
        signal, difference = getattr(clean, name).read(), getattr(noisy, name).read() - getattr(clean, name).read()
        measured = 10 * np.log10(np.mean(signal**2) / np.mean(difference**2))
        assert measured == pytest.approx(level, abs=0.1)
    again = simulate(cube, 2, noise=decibels, seed=3)
    np.testing.assert_array_equal(noisy.hsi.read(), again.hsi.read())


@pytest.mark.parametrize(
    ("ratio", "options", "words"),
    [
        (4, {"protocol": "wald"}, "choose one of lso, specsolver"),
        (2.5, {}, "whole ratios"),
        (64, {}, "less than one LR pixel"),
        (4, {"srf": np.ones((3, 5))}, "5 columns"),
        (1, {}, "ratio"),
    ],
)
def test_pairs_that_cannot_be_simulated(ratio, options, words):
    with pytest.raises(SceneError, match=words):
        simulate(reference(), ratio, **options)


def test_protocols_name_the_grid_they_sample():
    assert set(PROTOCOLS) == {"lso", "specsolver"}
    assert PROTOCOLS["lso"].psf(4) == Psf(2.0)
    assert isinstance(simulate(reference(), 4, srf=np.ones((1, 6)) / 6).srf, Srf)
