"""The one pass over a pair."""

from __future__ import annotations

import itertools
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from scipy.signal import lfilter

from napari_specfusion import memory
from napari_specfusion.calibration import moments as module
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.calibration.moments import CoarseGuide, PairMoments, sample_rows, strips
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import CalibrationError
from napari_specfusion.sensor.sampling import Psf, Sampling

SAMPLING = Sampling(Fraction(4), Psf(2.0), (0.5, -1.0))


def smooth(shape, seed):
    """Noise that neighbouring pixels share, ``(bands, y, x)``."""
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((shape[0], shape[1] + 8, shape[2] + 8))
    for axis in (1, 2):
        for _ in range(3):
            image = (np.roll(image, 1, axis) + image + np.roll(image, -1, axis)) / 3
    return image[:, 4:-4, 4:-4]


def pair(bands=5, low=(30, 22), seed=0, level=3.0):
    guide = smooth((3, low[0] * 4, low[1] * 4), seed).astype(np.float32)
    coarse = SAMPLING.degrade(guide.astype(float), low)
    mixing = np.random.default_rng(seed).random((bands, 3))
    hsi = np.einsum("bg,gyx->byx", mixing, coarse) + 0.05 * smooth((bands, *low), seed + 1) + level
    return hsi.astype(np.float32), guide


def scene_of(hsi, guide):
    return Scene(Cube.from_array(hsi), Cube.from_array(guide), ratio=4)


def calibrated(scene, sampling=SAMPLING):
    return CalibratedScene(scene.replace(psf=sampling.psf, shift=sampling.shift))


def assert_equal_moments(one, other):
    for field in fields(PairMoments):
        a, b = getattr(one.moments, field.name), getattr(other.moments, field.name)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7, err_msg=field.name)
    np.testing.assert_allclose(one.guide.values, other.guide.values, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(one.read_cube().measured, other.read_cube().measured)
    np.testing.assert_array_equal(one.valid, other.valid)


def test_they_are_the_moments_of_the_valid_pixels():
    hsi, guide = pair()
    found = calibrated(scene_of(hsi, guide))
    degraded = SAMPLING.degrade(guide, (30, 22))
    np.testing.assert_allclose(found.guide.values, degraded, atol=1e-6)
    y, g = hsi[:, found.valid].astype(float), degraded[:, found.valid].astype(float)
    assert found.moments.count == found.valid.sum() == y.shape[1]
    assert 0 < found.moments.count < found.read_cube().measured.sum() == 30 * 22
    np.testing.assert_allclose(found.moments.cube_mean, y.mean(axis=1))
    np.testing.assert_allclose(found.moments.guide_mean, g.mean(axis=1), atol=1e-7)
    both = np.cov(np.concatenate([y, g]), bias=True)
    np.testing.assert_allclose(found.moments.covariance, both[:5, :5], atol=1e-7)
    np.testing.assert_allclose(found.moments.cross, both[:5, 5:], atol=1e-7)
    np.testing.assert_allclose(found.moments.guide_covariance, both[5:, 5:], atol=1e-7)
    values, vectors = found.moments.principal_directions()
    expected = np.linalg.eigvalsh(y @ y.T / found.moments.count)[::-1]
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-10)


def test_regressions():
    hsi, guide = pair()
    found = calibrated(scene_of(hsi, guide))
    y, g = hsi[:, found.valid].astype(float), found.guide.values[:, found.valid].astype(float)
    one = np.ones((1, found.moments.count))
    for (weights, constant), target, source in (
        (found.moments.cube_from_guide(), y, g),
        (found.moments.guide_from_cube(np.eye(5)[:, :4]), g, y[:4]),
    ):
        expected = np.linalg.lstsq(np.concatenate([source, one]).T, target.T, rcond=None)[0].T
        np.testing.assert_allclose(weights, expected[:, :-1], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(constant, expected[:, -1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("offset", [10.0, 1e3])
def test_a_large_constant_changes_no_regression(offset):
    hsi, guide = pair()
    near = calibrated(scene_of(hsi, guide))
    far = calibrated(scene_of(hsi.astype(float) + offset, guide.astype(float) + offset))
    # a guide is degraded in float32
    tolerance = max(1e-6, 1e-7 * offset)
    np.testing.assert_allclose(far.moments.cube_from_guide()[0], near.moments.cube_from_guide()[0], atol=30 * tolerance)


def test_strips_change_nothing(monkeypatch):
    hsi, guide = pair(low=(50, 22))
    hsi[2, 4:9, 3] = np.nan
    hsi[3, :20] = np.nan
    guide[:, 100:104, 20:30] = np.nan
    hsi[1] = np.nan
    whole = calibrated(scene_of(hsi, guide))
    assert whole.moments.count and whole.valid.any()
    assert len(module.strips(50, 5 * 22)) == 1
    monkeypatch.setattr(memory, "STRIP", 1)
    assert len(module.strips(50, 5 * 22)) == 7
    assert_equal_moments(whole, calibrated(scene_of(hsi, guide)))


def test_missing_pixels_are_left_out():
    hsi, guide = pair()
    hsi[2, 5, 6] = np.nan
    guide[1, 60, 40] = np.nan
    found = calibrated(scene_of(hsi, guide))
    assert not found.read_cube().measured[5, 6] and not found.read_cube().measured[15, 10]
    assert np.isnan(found.guide.values[:, 15, 10]).all() and np.isfinite(found.guide.values[:, 5, 6]).all()
    y = hsi[:, found.valid]
    assert np.isfinite(y).all()
    np.testing.assert_allclose(found.moments.cube_mean, y.mean(axis=1), rtol=1e-5)
    changed = hsi.copy()
    changed[:, 5, 6] = 1e6
    changed[2, 5, 6] = np.nan
    assert_equal_moments(found, calibrated(scene_of(changed, guide)))


def test_an_empty_band_is_left_aside():
    hsi, guide = pair()
    found = calibrated(scene_of(hsi, guide))
    hsi[3] = np.nan
    without = calibrated(scene_of(hsi, guide))
    assert without.moments.count == found.moments.count
    assert without.moments.cube_mean[3] == 0 and not without.moments.covariance[3].any()
    kept = [0, 1, 2, 4]
    np.testing.assert_allclose(
        without.moments.covariance[np.ix_(kept, kept)], found.moments.covariance[np.ix_(kept, kept)], atol=1e-9
    )
    weights, constants = without.moments.cube_from_guide()
    assert not weights[3].any() and constants[3] == 0


def test_too_few_valid_pixels():
    hsi, guide = pair(low=(8, 8))
    hsi[:, np.arange(8) != 3] = np.nan
    hsi[:, 3, :3] = np.nan
    with pytest.raises(CalibrationError, match=r"Only 4 low-resolution pixels are valid .* at least 8"):
        _ = calibrated(scene_of(hsi, guide)).moments
    with pytest.raises(CalibrationError, match="Only 0"):
        _ = calibrated(scene_of(np.full_like(hsi, np.nan), guide)).moments


@pytest.mark.parametrize("rows", [150, 1200])
@pytest.mark.parametrize("level", [0.25, 0.5])
def test_noise_is_what_neighbours_do_not_share(level, rows):
    # an exponential variogram along either axis
    image = np.random.default_rng(5).standard_normal((3, rows, 300))
    for axis in (1, 2):
        image = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], image, axis=axis)
    noise = level * np.random.default_rng(6).standard_normal(image.shape)
    guide = np.repeat(np.repeat(image[:1], 2, 1), 2, 2)
    scene = Scene(Cube.from_array((image + noise).astype(np.float32)), Cube.from_array(guide), ratio=2)
    found = calibrated(scene, Sampling(Fraction(2), Psf(1.0)))
    np.testing.assert_allclose(np.sqrt(found.moments.noise_along(np.eye(3))), level, rtol=0.2)


def test_the_guide_is_degraded_strip_by_strip(monkeypatch):
    _, guide = pair(low=(40, 22))
    scene = scene_of(np.ones((5, 40, 22), np.float32), guide)
    whole = CoarseGuide.of(scene, SAMPLING)
    monkeypatch.setattr(memory, "STRIP", 1)
    again = CoarseGuide.of(scene, SAMPLING)
    np.testing.assert_allclose(again.values, whole.values, atol=1e-6)
    np.testing.assert_allclose(whole.values, SAMPLING.degrade(guide, (40, 22)), atol=1e-6)
    # strips overlap in the guide: each of its rows counts once
    np.testing.assert_allclose(whole.means, guide.mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(again.means, whole.means, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (256, 256), (257, 256), (5000, 100), (90, 20_000), (3000, 4000)])
def test_the_sample_is_bounded_and_spread(height, width):
    rows = sample_rows(height, width, 7)
    assert all(0 <= part.start < part.stop <= height for part in rows)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(rows))
    pixels = width * sum(part.stop - part.start for part in rows)
    if height * width <= module.SAMPLE_PIXELS:
        assert rows == strips(height, 7 * width)
    else:
        assert pixels <= max(module.SAMPLE_PIXELS, 2 * module.SAMPLE_ROWS * width)
        assert rows[0].start == 0 and rows[-1].stop == height


def test_a_sample_gives_nearly_the_same_moments(monkeypatch):
    hsi, guide = pair(low=(200, 60))
    whole = calibrated(scene_of(hsi, guide)).moments
    monkeypatch.setattr(module, "SAMPLE_PIXELS", 3000)
    part = calibrated(scene_of(hsi, guide)).moments
    assert part.count < whole.count / 3
    np.testing.assert_allclose(part.cube_mean, whole.cube_mean, rtol=0.05)
    np.testing.assert_allclose(part.cube_from_guide()[0], whole.cube_from_guide()[0], atol=0.05)
    np.testing.assert_allclose(part.lags[0], part.covariance, atol=0.02)


def test_where_the_sample_has_too_little_the_whole_is_taken(monkeypatch):
    hsi, guide = pair(low=(200, 60))
    monkeypatch.setattr(module, "SAMPLE_PIXELS", 1000)
    taken = sample_rows(200, 60, 5)
    hole = np.ones(200, bool)
    hole[taken[0].stop + 4 : taken[1].start - 4] = False
    hsi[:, hole] = np.nan
    assert calibrated(scene_of(hsi, guide)).moments.count == calibrated(scene_of(hsi, guide)).valid.sum() > 0
