"""What a pair tells about itself."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import tifffile

from napari_specfusion.calibration.calibrated import CalibratedScene, calibrate
from napari_specfusion.calibration.estimate import Calibration
from napari_specfusion.calibration.noise import guide_noise
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import CalibrationError
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf, Sampling
from napari_specfusion.sensor.srf import Srf
from napari_specfusion.simulation.pair import simulate

CAVE = ["superballs", "photo_and_face", "stuffed_toys", "jelly_beans"]
# protocol, ratio, shift
TAKES = {
    "lso 4": ("lso", 4, None),
    "lso 8": ("lso", 8, None),
    "specsolver 4": ("specsolver", 4, None),
    "specsolver 8": ("specsolver", 8, None),
    "box 4": (Psf.box(4), 4, (0.7, -1.3)),
    "box 8": (Psf.box(8), 8, None),
    "rational": (Psf(1.5), Fraction(5, 2), (-0.6, 0.4)),
}


@pytest.fixture(scope="module")
def sample():
    return sample_reference(192)


def blind(scene):
    return scene.replace(psf=None, shift=None, srf=None, reference=None)


def take(cube, name, **options):
    protocol, ratio, shift = TAKES[name]
    return simulate(cube, ratio, protocol=protocol, shift=shift, **options)


def cave(data_dir, name):
    path = data_dir / "cave" / "test" / f"{name}.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    values = tifffile.imread(path).astype(np.float32) / 65535
    return Cube.from_array(values, wavelengths=np.arange(400.0, 701.0, 10.0), name=name)


def assert_found(found, scene):
    assert found.psf.width == pytest.approx(scene.psf.width, rel=0.05)
    np.testing.assert_allclose(found.shift, scene.shift, atol=0.1)
    assert found.verdict == "good"


# --- what was simulated is found again ---------------------------------------------------


@pytest.mark.parametrize("name", TAKES)
def test_width_and_shift(sample, name):
    scene = take(sample, name)
    found = calibrate(blind(scene))
    assert_found(found, scene)
    assert found.residual < 0.02
    assert found.baseline >= found.residual
    # the response predicts the guide
    np.testing.assert_allclose(found.srf.apply(scene.reference.read()), scene.guide.read(), atol=0.03)
    assert (found.srf.matrix >= 0).all()


@pytest.mark.parametrize("name", ["lso 4", "specsolver 4", "box 4"])
def test_width_and_shift_under_noise(sample, name):
    scene = take(sample, name, noise=(35, 40), seed=1)
    assert_found(calibrate(blind(scene)), scene)


@pytest.mark.parametrize("scene_name", ["jelly_beans"])
@pytest.mark.parametrize("name", [name for name in TAKES if name not in {"lso 8", "box 8"}])
def test_width_and_shift_on_photographs(data_dir, name, scene_name):
    cube = cave(data_dir, scene_name).crop(slice(100, 356), slice(120, 376))
    scene = take(cube, name)
    assert_found(calibrate(blind(scene)), scene)


@pytest.mark.slow
@pytest.mark.parametrize("scene_name", CAVE)
@pytest.mark.parametrize("name", TAKES)
def test_width_and_shift_on_whole_photographs(data_dir, name, scene_name):
    for noise in (None, (35, 40)):
        scene = take(cave(data_dir, scene_name), name, noise=noise)
        assert_found(calibrate(blind(scene)), scene)


def test_one_panchromatic_band(sample):
    scene = simulate(sample, 4, srf="pan", shift=(1.0, 0.5), protocol=Psf(2.0))
    assert_found(calibrate(blind(scene)), scene)


def test_sizes_that_are_no_multiple_of_the_ratio(sample):
    scene = take(sample, "box 4")
    guide = scene.guide.read()
    for cut in (guide[:, :-3, :-1], np.pad(guide, ((0, 0), (0, 3), (0, 2)), mode="edge")):
        found = calibrate(blind(scene).replace(guide=Cube.from_array(cut)))
        assert_found(found, scene)


@pytest.mark.parametrize("cut", [12, -12])
def test_a_large_guide_that_covers_less_or_more(cut):
    """2 % of the extent may be missing: still, the window that is searched must be a pair."""
    hsi = np.random.default_rng(0).random((4, 400, 400), dtype=np.float32)
    guide = np.repeat(np.repeat(hsi[:2], 4, 1), 4, 2)
    guide = guide[:, :-cut, :-cut] if cut > 0 else np.pad(guide, ((0, 0), (0, -cut), (0, -cut)), mode="edge")
    hsi[:, :260, :260] = np.nan
    found = calibrate(Scene(Cube.from_array(hsi), Cube.from_array(guide), ratio=4, psf=Psf.box(4)))
    np.testing.assert_allclose(found.shift, 0, atol=0.1)


# --- what is given wins ------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"psf": Psf(1.2)},
        {"shift": (2.0, -1.0)},
        {"psf": Psf(1.2), "shift": (2.0, -1.0)},
        {"shift": (0.0, 0.0)},
    ],
)
def test_what_is_given_wins(sample, given):
    scene = take(sample, "lso 4")
    partly = blind(scene).replace(**given)
    found = calibrate(partly)
    for key, value in given.items():
        assert getattr(found, key) == value
    if "psf" not in given:
        assert found.psf != scene.psf
    full = found.apply(partly)
    assert (full.psf, full.shift, full.srf) == (found.psf, found.shift, found.srf)
    sampling = CalibratedScene(partly).sampling
    assert (sampling.psf, sampling.shift) == (found.psf, found.shift)


def test_apply_fills_only_what_is_unknown(sample):
    scene = take(sample, "lso 4")
    found = calibrate(scene)
    assert found.srf is scene.srf
    again = found.apply(blind(scene).replace(psf=Psf(1.0)))
    assert again.psf == Psf(1.0)
    assert again.shift == scene.shift


# --- whether two images belong together ---------------------------------------------------


def assert_unrelated(found):
    assert found.verdict == "unrelated"
    match = found.findings()[0]
    assert (match.level, match.topic) == ("warning", "match")
    assert "do not seem to belong together" in match.message


def test_findings_of_a_good_pair(sample):
    found = calibrate(blind(take(sample, "lso 4")))
    match, shift, psf = found.findings()
    assert {match.level, shift.level, psf.level} == {"info"}
    assert "belong together" in match.message
    assert "-1.50 px down" in shift.message and "without" in shift.message
    assert psf.message.startswith("Gaussian")


def test_noise_is_unrelated_to_anything(sample):
    scene = blind(take(sample, "lso 4"))
    noise = np.random.default_rng(0).random(scene.guide.shape, dtype=np.float32)
    assert_unrelated(calibrate(scene.replace(guide=Cube.from_array(noise))))


def test_photographs_of_different_things_are_unrelated(data_dir):
    scenes = [blind(simulate(cave(data_dir, name).crop(slice(100, 356), slice(120, 376)), 4)) for name in CAVE]
    for scene, other in zip(scenes, scenes[1:] + scenes[:1], strict=True):
        assert calibrate(scene).verdict == "good"
        assert calibrate(scene.replace(guide=other.guide)).verdict != "good"


def neon(data_dir, plot):
    folder = data_dir / "pairs" / "neon"
    hsi, guide = (tifffile.imread(folder / f"{plot}_{kind}.tif").astype(np.float32) for kind in ("hsi", "rgb"))
    return Scene(Cube.from_array(band_first(hsi, 369)), Cube.from_array(band_first(guide, 3)), ratio=10)


def band_first(image, bands):
    return image if image.shape[0] == bands else np.moveaxis(image, -1, 0)


@pytest.mark.filterwarnings("ignore")
def test_airborne_plots_are_told_apart(data_dir):
    plots = [neon(data_dir, plot) for plot in ("MLBS_39", "OSBS_30", "OSBS_32")]
    for plot, other in zip(plots, plots[1:] + plots[:1], strict=True):
        own, foreign = calibrate(plot), calibrate(plot.replace(guide=other.guide))
        assert own.verdict == "good"
        assert foreign.verdict != "good"
        assert foreign.residual > own.residual + 0.2


def test_a_misregistered_pair_is_brought_together(data_dir):
    folder = data_dir / "pairs" / "harv_misregistered"
    hsi, guide = (tifffile.imread(folder / f"{kind}.tif").astype(np.float32) for kind in ("hsi", "rgb"))
    scene = Scene(Cube.from_array(band_first(hsi, 369)), Cube.from_array(band_first(guide, 3)), ratio=10)
    found = calibrate(scene)
    assert found.residual < calibrate(scene.replace(shift=(0.0, 0.0))).residual - 0.02
    assert max(map(abs, found.shift)) > 5, "the sensors disagree by about one pixel of the cube"


@pytest.mark.parametrize(
    ("residual", "at_border", "verdict"),
    [(0.1, False, "good"), (0.1, True, "doubtful"), (0.6, False, "doubtful"), (0.6, True, "unrelated")],
)
def test_verdicts(residual, at_border, verdict):
    found = Calibration(Psf(2.0), (0.0, 0.0), None, residual, residual, 0.0, 0.0, at_border)
    assert found.verdict == verdict
    assert found.findings()[0].level == ("info" if verdict == "good" else "warning")


# --- pixels that are not there --------------------------------------------------------------


def test_masked_pixels_do_not_count(sample):
    scene = take(sample, "lso 4")
    hsi, guide = scene.hsi.read(), scene.guide.read()
    for values in (1e4, -9999.0):
        hsi[:, 5:14, 20:31], guide[:, 100:130, 10:60] = values, values
        pair = Scene(Cube.from_array(hsi, nodata=values), Cube.from_array(guide, nodata=values))
        found = calibrate(pair)
        assert_found(found, scene)
        assert found.residual < 0.02


def test_an_empty_band_is_no_matter(sample):
    scene = take(sample, "lso 4")
    hsi = scene.hsi.read()
    hsi[[0, 7]] = np.nan
    found = calibrate(blind(scene).replace(hsi=Cube.from_array(hsi)))
    assert_found(found, scene)
    assert np.isfinite(found.srf.matrix).all()


@pytest.mark.parametrize("which", ["hsi", "guide"])
def test_a_constant_image_matches_nothing(sample, which):
    scene = blind(take(sample, "lso 4"))
    flat = Cube.from_array(np.full(getattr(scene, which).shape, 0.3, np.float32))
    with pytest.raises(CalibrationError, match="constant"):
        calibrate(scene.replace(**{which: flat}))


def test_an_empty_image_matches_nothing(sample):
    scene = blind(take(sample, "lso 4"))
    for which in ("hsi", "guide"):
        empty = Cube.from_array(np.full(getattr(scene, which).shape, np.nan, np.float32))
        with pytest.raises(CalibrationError, match="Only 0"):
            calibrate(scene.replace(**{which: empty}))


# --- noise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("decibels", [(35, 40), (25, 30)])
def test_noise(sample, decibels):
    clean, noisy = take(sample, "lso 4"), take(sample, "lso 4", noise=decibels)
    found = calibrate(blind(noisy))
    assert found.noise_hsi == pytest.approx(np.std(noisy.hsi.read() - clean.hsi.read()), rel=0.2)
    # nothing in this picture is flat, so that the guide's finest texture counts as noise
    assert np.std(noisy.guide.read() - clean.guide.read()) < found.noise_guide < 0.02
    assert calibrate(blind(clean)).noise_hsi < found.noise_hsi / 5


def test_noise_on_photographs(data_dir):
    for name in ("superballs", "stuffed_toys"):
        cube = cave(data_dir, name).crop(slice(0, 384), slice(0, 384))
        clean, noisy = simulate(cube, 4), simulate(cube, 4, noise=(35, 40))
        found = calibrate(blind(noisy))
        for kind, estimate in (("hsi", found.noise_hsi), ("guide", found.noise_guide)):
            true = np.std(getattr(noisy, kind).read() - getattr(clean, kind).read())
            assert estimate == pytest.approx(true, rel=0.2), (name, kind)


def test_noise_of_a_guide_with_holes():
    image = 0.1 * np.random.default_rng(0).standard_normal((2, 100, 120))
    image[:, 30:50, 20:90] = np.nan
    assert guide_noise(image) == pytest.approx(0.1, rel=0.15)
    assert guide_noise(np.full((1, 64, 64), np.nan)) == 0
    assert guide_noise(np.ones((1, 5, 5))) == 0


# --- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", [(0, 0), (64, 96), (150, 40), (100, 150)])
def test_a_cube_of_eight_pixels_a_side_is_enough(sample, corner):
    small = sample.crop(*(slice(start, start + 32) for start in corner))
    pair = simulate(small, 4, protocol=Psf(2.0), noise=(40, 45), wrap=False)
    found = calibrate(blind(pair))
    assert np.abs(found.shift).max() < 0.1
    assert found.psf.width == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("low", [(4, 4), (1, 40), (40, 1), (5, 9)])
def test_tiny_pairs(low):
    rng = np.random.default_rng(1)
    guide = rng.random((1, low[0] * 4, low[1] * 4))
    sampling = Sampling(Fraction(4), Psf.box(4))
    hsi = sampling.degrade(guide, low) * np.arange(1, 7)[:, None, None] + 0.01 * rng.standard_normal((6, *low))
    found = calibrate(Scene(Cube.from_array(hsi), Cube.from_array(guide)))
    assert math.isfinite(found.residual) and 0 <= found.residual <= 1


def test_too_small_a_pair():
    rng = np.random.default_rng(1)
    with pytest.raises(CalibrationError, match="at least 12"):
        calibrate(Scene(Cube.from_array(rng.random((4, 3, 3))), Cube.from_array(rng.random((1, 12, 12)))))


def test_a_large_ratio():
    sharp = sample_reference(256)
    scene = simulate(sharp, 16, protocol=Psf(8.0), shift=(3.0, -2.0))
    assert_found(calibrate(blind(scene)), scene)


def test_a_calibration_is_summed_up_in_five_lines():
    found = Calibration(Psf(1.7), (0.25, -1.0), Srf(np.ones((1, 3)) / 3), 0.6, 0.9, 0.001, 0.02, at_border=True)
    assert repr(found).splitlines() == [
        "Calibration: unrelated",
        "  PSF       Gaussian, sigma 1.70 px",
        "  Shift     (+0.25, -1.00) px, at the border",
        "  Residual  0.600 of the contrast (0.900 uncalibrated)",
        "  Noise     cube 0.001, guide 0.02 (standard deviation)",
    ]
    assert "<td" in found._repr_html_()
