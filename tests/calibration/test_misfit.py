from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_specfusion.calibration import CalibratedScene, misfit_map
from napari_specfusion.errors import Cancelled
from napari_specfusion.io import as_cube, open_cube
from napari_specfusion.samples.scene import sample_scene


@pytest.fixture(scope="module")
def pair() -> CalibratedScene:
    return CalibratedScene(sample_scene(128, 4))


def test_a_pair_that_fits_leaves_little(pair: CalibratedScene) -> None:
    misfit = pair.misfit
    assert misfit.shape == (3, 32, 32) and np.array_equal(misfit.wavelengths, pair.stated.guide.wavelengths)
    values = misfit.read()[:, pair.guide.inside]
    assert np.abs(values).max() < 0.02 and np.isnan(misfit.read()[:, ~pair.guide.inside]).all()
    assert float(np.nanmax(misfit_map(pair))) < 0.1


def test_it_is_what_the_response_leaves(pair: CalibratedScene) -> None:
    predicted = pair.calibration.srf.apply(pair.stated.hsi.read())
    expected = pair.guide.values - predicted
    inside = pair.guide.inside
    assert np.allclose(pair.misfit.read()[:, inside], expected[:, inside], atol=1e-5)


def test_what_only_one_image_shows_stands_out() -> None:
    scene = sample_scene(128, 4)
    sharp = scene.guide.read().copy()
    sharp[:, 40:56, 60:76] += 0.3
    found = misfit_map(CalibratedScene(scene.replace(guide=scene.guide.replace(data=sharp))))
    spot = found[11:13, 16:18]
    assert found.shape == (32, 32) and spot.min() > 1 and np.nanmedian(found) < 0.2 * spot.min()


def test_it_is_in_the_units_of_the_guide_where_levels_are_taken_out() -> None:
    scene = sample_scene(128, 4)
    shifted = scene.replace(
        hsi=as_cube(scene.hsi.read().astype(np.float64) * 1e-6 + 5.0, wavelengths=scene.hsi.wavelengths),
        guide=as_cube(scene.guide.read().astype(np.float64) * 100 + 1e6, wavelengths=scene.guide.wavelengths),
        srf=None,
        reference=None,
    )
    plain, moved = CalibratedScene(scene.replace(srf=None)), CalibratedScene(shifted)
    assert moved.cleaning is not None and any(part.moves for part in moved.cleaning)
    largest, plainly = (float(np.nanmax(np.abs(pair.misfit.read()))) for pair in (moved, plain))
    assert largest == pytest.approx(100 * plainly, rel=0.2)
    assert np.nanmax(misfit_map(moved)) == pytest.approx(np.nanmax(misfit_map(plain)), rel=0.2)


def test_missing_pixels_are_missing() -> None:
    scene = sample_scene(128, 4)
    low, sharp = scene.hsi.read().copy(), scene.guide.read().copy()
    low[:, 10, 10], sharp[:, 80:84, 80:84] = np.nan, np.nan
    holed = scene.replace(hsi=scene.hsi.replace(data=low), guide=scene.guide.replace(data=sharp))
    found = misfit_map(CalibratedScene(holed))
    assert np.isnan(found[10, 10]) and np.isnan(found[20, 20]) and np.isfinite(found[14, 14])


def test_it_lies_where_the_cube_lies_and_can_be_saved(tmp_path: Path) -> None:
    scene = sample_scene(64, 4)
    affine = (20.0, 0.0, 500000.0, 0.0, -20.0, 4000000.0)
    pair = CalibratedScene(scene.replace(hsi=scene.hsi.replace(affine=affine, crs="EPSG:32632")))
    pair.misfit.save(tmp_path / "misfit.tif")
    assert open_cube(tmp_path / "misfit.tif").affine == affine


def test_it_stops() -> None:
    pair = CalibratedScene(sample_scene(64, 4))
    pair.calibration  # noqa: B018
    stopped = CalibratedScene(pair.stated, should_stop=lambda: True)
    with pytest.raises(Cancelled):
        stopped.misfit  # noqa: B018
