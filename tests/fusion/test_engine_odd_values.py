"""Pairs with odd values: no-data values that nobody declared, constant bands, large offsets and extreme units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion import memory
from napari_specfusion.calibration.calibrated import CalibratedScene, calibrate
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled, SceneError
from napari_specfusion.fusion.auto import choose
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.io import open_cube
from napari_specfusion.io.arrays.paths import source_paths
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.samples.scene import sample_scene

if TYPE_CHECKING:
    from pathlib import Path

BAND = 6


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return a cube and a guide, float32; the ends of the ranges are far from 0 for no band."""
    scene = sample_scene(96, 4)
    return scene.hsi.read().astype("f4"), scene.guide.read().astype("f4")


def fused(hsi: Any, guide: Any, model: str, declared: float | None = None, **options: Any) -> Cube:
    scene = Scene(Cube.from_array(hsi, nodata=declared), Cube.from_array(guide, nodata=declared))
    return fuse(scene, model=model, device="cpu", **options)


@pytest.mark.parametrize("model", METHODS)
@pytest.mark.parametrize("value", [-9999, 1e20, 3e15])
def test_an_odd_pixel_is_missing_like_a_declared_one(pair: Any, model: str, value: float) -> None:
    hsi, guide = pair
    odd = hsi.copy()
    odd[BAND, 10, 12] = value
    want = fused(odd, guide, model, declared=value).read()
    found = fused(odd, guide, model)
    np.testing.assert_array_equal(found.read(), want)
    gone = np.isnan(want)
    assert gone[BAND, 40:44, 48:52].all()
    assert gone.sum() == 16
    assert "band 7" in found.metadata["values"]


@pytest.mark.parametrize("model", METHODS)
def test_an_odd_pixel_of_the_guide_is_missing_like_a_declared_one(pair: Any, model: str) -> None:
    hsi, guide = pair
    odd = guide.copy()
    odd[1, 30, 31] = -9999
    np.testing.assert_array_equal(fused(hsi, odd, model).read(), fused(hsi, odd, model, declared=-9999).read())


@pytest.mark.parametrize("model", METHODS)
def test_in_a_large_pair_too(pair: Any, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hsi, guide = pair
    clean = fused(hsi, guide, model).read()
    odd = hsi.copy()
    odd[BAND, 10, 12] = -9999
    want = fused(odd, guide, model, declared=-9999).read()
    monkeypatch.setattr(memory, "KEPT_PAIR", 0)
    monkeypatch.setattr(memory, "SURVEYED_PAIR", 0)
    np.testing.assert_array_equal(fused(hsi, guide, model).read(), clean)
    np.testing.assert_array_equal(fused(odd, guide, model).read(), want)


@pytest.mark.parametrize("kept", [memory.KEPT_PAIR, 0])
def test_a_stopped_run_of_an_odd_pair_goes_on_and_knows_its_files(
    pair: Any, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hsi, guide = (image.copy() for image in pair)
    hsi[BAND, 10, 12], hsi[3], guide[0, 5, 5] = -9999, 1e6, 1e20
    files = [
        Cube.from_array(image).save(tmp_path / name).paths[-1] for image, name in ((hsi, "h.hdr"), (guide, "g.hdr"))
    ]
    monkeypatch.setattr(memory, "KEPT_PAIR", kept)
    monkeypatch.setattr(memory, "SURVEYED_PAIR", kept)
    scene = Scene(*(open_cube(file) for file in files))
    if not kept:
        assert source_paths(CalibratedScene(scene).scene.hsi) == source_paths(scene.hsi) != ()
    whole = fuse(scene, model="glp", device="cpu", tile=32).read()
    out = tmp_path / "fused.zarr"
    seen: list[FusionProgress] = []

    def stop() -> bool:
        return bool(seen) and seen[-1].done > 2

    with pytest.raises(Cancelled):
        fuse(scene, model="glp", device="cpu", tile=32, out=out, progress=seen.append, should_stop=stop)
    np.testing.assert_array_equal(fuse(scene, model="glp", device="cpu", tile=32, out=out).read(), whole)


def test_fuse_says_what_it_leaves_out(pair: Any) -> None:
    hsi, guide = pair
    odd = hsi.copy()
    odd[BAND, 10, 12], odd[3] = -9999, 0.25
    events: list[FusionProgress] = []
    result = fused(odd, guide, "glp", progress=events.append)
    (said,) = {event.message for event in events if event.message}
    assert said == result.metadata["values"]
    assert "1 value of the cube (band 7) is -9999" in said
    assert "Band 4 of the cube is one value everywhere" in said
    found = [f.message for f in Scene(Cube.from_array(odd), Cube.from_array(guide)).check() if f.level == "warning"]
    assert all(message in said for message in found)
    assert len(found) == 2
    assert "values" not in fused(hsi, guide, "glp").metadata


@pytest.mark.parametrize("model", METHODS)
@pytest.mark.parametrize("value", [3e25, 0.0])
def test_a_constant_band_stays_and_does_not_harm_the_others(pair: Any, model: str, value: float) -> None:
    hsi, guide = pair
    odd, zero = hsi.copy(), hsi.copy()
    odd[BAND], zero[BAND] = value, 0.0
    want, found = (fused(cube, guide, model).read() for cube in (zero, odd))
    np.testing.assert_allclose(found[BAND], np.float32(value), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.delete(found, BAND, 0), np.delete(want, BAND, 0))
    without = fused(np.delete(hsi, BAND, 0), guide, model).read()
    np.testing.assert_allclose(np.delete(found, BAND, 0), without, rtol=0, atol=0.02 * np.ptp(hsi))


@pytest.mark.parametrize("model", METHODS)
@pytest.mark.parametrize("offset", [1e3, 1e9])
def test_an_offset_changes_nothing_in_double_precision(pair: Any, model: str, offset: float) -> None:
    hsi, guide = (image.astype("f8") for image in pair)
    # numbers that the offset leaves exact
    hsi, guide = (np.round(image * 2**20) / 2**20 for image in (hsi, guide))
    want = fused(hsi, guide, model, precision="float64").read()
    found = fused(hsi + offset, guide - 3 * offset, model, precision="float64").read() - offset
    # no better than the result can hold
    np.testing.assert_allclose(found, want, rtol=0, atol=2e-16 * offset + 1e-12)


@pytest.mark.parametrize("model", METHODS)
@pytest.mark.parametrize("size", [2.0**127, 2.0**-100])
def test_values_near_the_ends_of_single_precision(pair: Any, model: str, size: float) -> None:
    hsi, guide = (image / image.max() for image in pair)
    want = fused(hsi, guide, model).read()
    found = fused(hsi * np.float32(size), guide * np.float32(size), model).read()
    assert np.isfinite(found).all()
    bound = np.finfo("f4").max
    np.testing.assert_allclose(found, np.clip(want.astype("f8") * size, -bound, bound), rtol=0, atol=1e-3 * size)


def test_values_beyond_single_precision_are_refused(pair: Any) -> None:
    hsi, guide = (image.astype("f8") for image in pair)
    with pytest.raises(SceneError, match="float64"):
        fused(hsi * 1e200, guide, "glp")
    assert np.isfinite(fused(hsi * 1e200, guide, "glp", precision="float64").read()).all()


def test_clean_pairs_are_left_as_they_are(pair: Any) -> None:
    hsi, guide = (Cube.from_array(image) for image in pair)
    calibrated = CalibratedScene(Scene(hsi, guide))
    assert calibrated.scene.hsi is hsi
    assert calibrated.scene.guide is guide
    predictor = METHODS["bicubic"].prepare(calibrated)
    assert calibrated.restoring(predictor) is predictor
    assert not calibrated.remarks


def test_calibration_is_stated_in_the_given_values(pair: Any) -> None:
    hsi, guide = (image.astype("f8") for image in pair)
    plain = calibrate(Scene(Cube.from_array(hsi), Cube.from_array(guide)))
    moved = calibrate(Scene(Cube.from_array(hsi * 2.0**80 + 2.0**90), Cube.from_array(guide + 4096.0)))
    assert moved.shift == pytest.approx(plain.shift, abs=0.01)
    assert moved.noise_hsi == pytest.approx(plain.noise_hsi * 2.0**80, rel=0.01)
    np.testing.assert_allclose(moved.srf.matrix * 2.0**80, plain.srf.matrix, atol=1e-3)
    want = plain.srf.matrix @ hsi[:, 5, 5] + plain.srf.offset + 4096.0
    found = moved.srf.matrix @ (hsi[:, 5, 5] * 2.0**80 + 2.0**90) + moved.srf.offset
    np.testing.assert_allclose(found, want, atol=1e-3)


def test_the_choice_of_a_method_is_not_misled(pair: Any) -> None:
    hsi, guide = pair
    hsi = np.tile(hsi, (1, 5, 5))
    guide = np.tile(guide, (1, 5, 5))
    odd = hsi.copy()
    odd[BAND, 10, 12], odd[3] = -9999, 1e6
    clean, found = (
        choose(Scene(Cube.from_array(cube), Cube.from_array(guide)), [METHODS["bicubic"], METHODS["glp"]])
        for cube in (hsi, odd)
    )
    assert clean.scores["glp"].bands["psnr"][0] == pytest.approx(found.scores["glp"].bands["psnr"][0], abs=0.5)
