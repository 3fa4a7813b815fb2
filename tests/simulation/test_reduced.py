"""The scene one scale down: the right images on the right grid, with a known answer."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import SceneError
from napari_specfusion.sensor.sampling import Psf, Sampling
from napari_specfusion.simulation.reduced import reduced


def pair(ratio: Any = 4, low: tuple[int, int] = (24, 20), shift: tuple[float, float] = (0.5, -1.0)) -> Scene:
    rng = np.random.default_rng(0)
    height, width = (int(n * Fraction(ratio)) for n in low)
    hsi = Cube.from_array(rng.random((5, *low), dtype=np.float32), wavelengths=[400, 450, 500, 550, 600], name="low")
    guide = Cube.from_array(rng.random((2, height, width), dtype=np.float32), wavelengths=[450, 550])
    return Scene(hsi, guide, ratio, psf=Psf(1.5), shift=shift, reference=hsi)


@pytest.mark.parametrize(("ratio", "low"), [(4, (24, 20)), (Fraction(5, 2), (20, 30)), (3, (25, 26))])
def test_both_images_are_degraded_as_the_cube_was(ratio: Any, low: tuple[int, int]) -> None:
    scene = pair(ratio, low)
    small = reduced(CalibratedScene(scene))
    sampling = Sampling(scene.factor, scene.psf, scene.shift)
    step = scene.factor.numerator
    rows, columns = (n // step * step for n in low)
    truth = scene.hsi.read()[:, :rows, :columns]
    np.testing.assert_array_equal(small.reference.read(), truth)
    shape = (int(rows / scene.factor), int(columns / scene.factor))
    np.testing.assert_allclose(small.hsi.read(), sampling.degrade(truth, shape), atol=1e-6)
    whole = sampling.degrade(scene.guide.read(), low)[:, :rows, :columns]
    np.testing.assert_allclose(small.guide.read(), whole, atol=1e-6)
    assert (small.factor, small.psf, small.shift) == (scene.factor, scene.psf, scene.shift)
    assert small.shape == (rows, columns)
    for cube in (small.hsi, small.reference):
        np.testing.assert_array_equal(cube.wavelengths, scene.hsi.wavelengths)
        assert cube.name == "low"


@pytest.mark.parametrize(("ratio", "low"), [(2, (41, 60)), (Fraction(5, 2), (60, 42))])
def test_of_a_large_scene_the_middle_is_taken_and_it_sees_what_lies_around(ratio: Any, low: tuple[int, int]) -> None:
    scene = pair(ratio, low, shift=(0.75, -0.5))
    small = reduced(CalibratedScene(scene), 20)
    truth, height, width = scene.hsi.read(), *small.reference.shape[1:]
    assert (height, width) == (20, 20)
    starts = [(n - 20) // 2 // scene.factor.denominator * scene.factor.denominator for n in low]
    part = (slice(None), *(slice(start, start + 20) for start in starts))
    np.testing.assert_array_equal(small.reference.read(), truth[part])
    whole = Sampling(scene.factor, scene.psf, scene.shift).degrade(scene.guide.read(), low)
    np.testing.assert_allclose(small.guide.read(), whole[part], atol=1e-6)


def test_missing_values_spoil_what_sees_them_and_no_more() -> None:
    scene = pair()
    hsi, guide = scene.hsi.read(), scene.guide.read()
    hsi[1, 9, 9] = np.nan
    hsi[3] = np.nan
    guide[0, 40, 40] = np.nan
    holed = scene.replace(hsi=Cube.from_array(hsi), guide=Cube.from_array(guide))
    small, clean = reduced(CalibratedScene(holed)), reduced(CalibratedScene(scene))
    empty = np.isnan(small.hsi.read())
    assert empty[3].all()
    assert empty[1, 2, 2]
    assert empty[1].sum() < 10
    assert not empty[[0, 2, 4]].any()
    # up to a thousandth of a pixel may be missing
    np.testing.assert_allclose(small.hsi.read()[~empty], clean.hsi.read()[~empty], atol=1e-3)
    np.testing.assert_array_equal(np.isnan(small.reference.read()), np.isnan(hsi))
    dark = np.isnan(small.guide.read())
    assert dark[:, 10, 10].all()
    assert dark[0].sum() < 12


@pytest.mark.parametrize("low", [(15, 40), (40, 12)])
def test_too_small_a_cube_is_named(low: tuple[int, int]) -> None:
    with pytest.raises(SceneError, match=rf"{low[0]} x {low[1]} pixels is too small to degrade by 4 once more"):
        reduced(CalibratedScene(pair(4, low)))


def test_an_uncalibrated_pair_is_calibrated() -> None:
    scene = pair(4, (32, 32))
    rng = np.random.default_rng(1)
    sharp = rng.random((4, 128, 128), dtype=np.float32)
    sampling = Sampling(scene.factor, Psf(2.0), (1.0, 0.0))
    known = Scene(Cube.from_array(sampling.degrade(sharp, (32, 32))), Cube.from_array(sharp[:2]), 4)
    small = reduced(CalibratedScene(known))
    assert small.shift == pytest.approx((1.0, 0.0), abs=0.05)
    assert small.psf.width == pytest.approx(2.0, abs=0.1)
