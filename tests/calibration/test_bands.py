"""Each band's own geometry is found again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_specfusion.calibration.calibrated import CalibratedScene, calibrate
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate


def displace(cube: Cube, dx=0.0, magnification=0.0, blur=0.0) -> Cube:
    """Move each band by `dx` px, enlarge it about the middle and blur it; numbers or one for each band."""
    values = cube.read().astype(np.float64)
    move, enlarge, sigma = (np.broadcast_to(v, len(values)) for v in (dx, magnification, blur))
    rows, columns = (np.arange(n, dtype=float) for n in values.shape[1:])
    for band, image in enumerate(values):
        image = ndimage.gaussian_filter(image, sigma[band])
        y = rows + enlarge[band] * (rows - rows.mean())
        x = columns + move[band] + enlarge[band] * (columns - columns.mean())
        values[band] = ndimage.map_coordinates(image, np.meshgrid(y, x, indexing="ij"), order=5, mode="nearest")
    return cube.replace(data=Cube.from_array(values.astype(np.float32)).data, source=None)


def pair(cube: Cube, ratio=4, protocol="lso", **geometry) -> Scene:
    """Simulate a pair of a displaced cube and the guide of the cube in place; PSF and shift are known."""
    guide = simulate(cube, ratio, protocol=protocol).guide
    return simulate(displace(cube, **geometry), ratio, protocol=protocol).replace(guide=guide, srf=None)


@pytest.fixture(scope="module")
def sample() -> Cube:
    return sample_reference(256)


@pytest.fixture(scope="module")
def ramp(sample) -> np.ndarray:
    return np.linspace(0, 1, sample.bands)


def test_no_displacement(sample):
    found = CalibratedScene(pair(sample)).bands
    assert found is not None
    assert not found
    assert not found.parameters.any()
    assert list(found.findings()) == []


def test_keystone(sample, ramp):
    scene = pair(sample, dx=1.5 * ramp)
    found = CalibratedScene(scene).bands
    assert found
    seen = found.significant
    assert seen[ramp > 0.3].mean() > 0.8
    np.testing.assert_allclose(found.shift[seen, 1], 1.5 * ramp[seen], atol=0.15)
    np.testing.assert_allclose(found.shift[seen, 0], 0, atol=0.1)
    assert np.abs(found.magnification[seen]).max() < 1e-3
    assert (found.shift_error[seen] < 0.1).all()
    distance, first, last = found.spread()
    assert distance == pytest.approx(1.5, abs=0.2)
    assert first < last
    finding = calibrate(scene).findings()[-1]
    assert finding.topic == "bands"
    assert finding.level == "info"
    assert f"{distance:.1f} px" in finding.message
    assert "nm" in finding.message


def test_magnification(sample, ramp):
    found = CalibratedScene(pair(sample, magnification=0.004 * (ramp - 0.5))).bands
    assert found
    seen = found.significant
    np.testing.assert_allclose(found.magnification[seen], 0.004 * (ramp - 0.5)[seen], atol=6e-4)
    # at the corner
    assert found.spread()[0] == pytest.approx(0.004 * 127.5 * np.sqrt(2), abs=0.2)


def test_sharpness(sample, ramp):
    blur = 1.1 * ramp
    found = CalibratedScene(pair(sample, blur=blur)).bands
    assert found is not None
    width = Psf(2.0).width
    np.testing.assert_allclose(found.width, np.sqrt(width**2 + blur**2) - width, atol=0.08)


def test_a_large_keystone_is_a_warning(sample, ramp):
    found = CalibratedScene(pair(sample, dx=3 * (ramp - 0.5))).bands
    assert found
    wide = dataclasses.replace(found, ratio=2.0)
    assert [finding.level for finding in wide.findings()] == ["warning"]


def test_bands_without_wavelengths_are_numbered(sample, ramp):
    scene = pair(sample, dx=1.5 * ramp)
    found = CalibratedScene(scene.replace(hsi=scene.hsi.replace(wavelengths=None))).bands
    assert found
    assert "band " in next(iter(found.findings())).message


def test_missing_pixels_and_bands(sample, ramp):
    scene = pair(sample, dx=1.5 * ramp)
    cube, guide = scene.hsi.read(), scene.guide.read()
    cube[3] = np.nan
    cube[:, 10:20, 15:25] = np.nan
    guide[:, 150:180, 40:90] = np.nan
    found = CalibratedScene(scene.replace(hsi=Cube.from_array(cube), guide=Cube.from_array(guide))).bands
    assert found
    assert not found.significant[3]
    seen = found.significant
    np.testing.assert_allclose(found.shift[seen, 1], 1.5 * ramp[seen], atol=0.2)


def test_small_and_empty_scenes_tell_nothing(sample):
    small = pair(sample.crop(slice(0, 48), slice(0, 48)))
    assert CalibratedScene(small).bands is None


def test_unrelated_images_tell_nothing():
    noise = np.random.default_rng(0)
    hsi, guide = noise.random((6, 40, 40), dtype=np.float32), noise.random((3, 160, 160), dtype=np.float32)
    scene = Scene(Cube.from_array(hsi), Cube.from_array(guide), 4, psf=Psf(2.0), shift=(0.0, 0.0))
    assert not CalibratedScene(scene).bands


def test_it_can_be_stopped(sample):
    calibrated = CalibratedScene(pair(sample))
    assert calibrated.moments.count
    calibrated.watch = dataclasses.replace(calibrated.watch, should_stop=lambda: True)
    with pytest.raises(Cancelled):
        _ = calibrated.bands


def test_photographs(data_dir):
    """A keystone adds to the aberration of the lens that these photographs have already."""
    path = data_dir / "cave" / "train" / "feathers.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    values = tifffile.imread(path).astype(np.float32) * 16 / 65535
    cube = Cube.from_array(values, wavelengths=np.arange(400.0, 701.0, 10.0))
    ramp = np.linspace(0, 1, 31)
    still, moved = (CalibratedScene(pair(cube, dx=by * ramp)).bands for by in (0, 1))
    assert still
    assert moved
    assert moved.significant[ramp > 0.2].all()
    # what was there already is found as well
    gained = (moved.shift - still.shift)[moved.significant]
    np.testing.assert_allclose(gained[:, 1], ramp[moved.significant], atol=0.1)
    np.testing.assert_allclose(gained[:, 0], 0, atol=0.05)
