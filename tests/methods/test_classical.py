"""The methods without weights: any pair, tile by tile, and better than each other in the expected order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import ModelError
from napari_specfusion.fusion.auto import Choice
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.methods.subspace import Subspace
from napari_specfusion.samples.scene import sample_reference
from napari_specfusion.sensor.sampling import Psf, Sampling
from napari_specfusion.simulation.pair import simulate

RATIOS = [Fraction(2), Fraction(3), Fraction(4), Fraction(5, 2), Fraction(8)]
GUIDED = [name for name in METHODS if name != "bicubic"]


@pytest.fixture(scope="module")
def sample():
    return sample_reference(128)


def random_scene(ratio, low, bands, guides, shift=(0.3, -0.6), seed=0, excess=(0, 0)):
    """Return a pair whose bands are mixtures of few patterns, with a little noise."""
    rng = np.random.default_rng(seed)
    height, width = (int(np.ceil(n * ratio)) + e for n, e in zip(low, excess, strict=True))
    patterns = rng.random((4, height, width))
    sharp = np.einsum("bk,kyx->byx", 0.2 + rng.random((bands, 4)), patterns)
    guide = np.einsum("gk,kyx->gyx", rng.random((guides, 4)), patterns)
    sampling = Sampling(Fraction(ratio), Psf(float(ratio) / 2), shift)
    hsi = sampling.degrade(sharp, low) + 0.01 * rng.standard_normal((bands, *low))
    return Scene(Cube.from_array(hsi), Cube.from_array(guide), ratio=ratio, psf=sampling.psf, shift=shift)


def psnr(reference, estimate):
    return float(np.mean(-10 * np.log10(np.mean((reference - np.clip(estimate, 0, 1)) ** 2, axis=(1, 2)))))


# --- any pair -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", METHODS)
def test_any_ratio(predict, name, ratio):
    scene = random_scene(ratio, (12, 10), 6, 3)
    fused = predict(METHODS[name].prepare(CalibratedScene(scene)), scene)
    assert fused.shape == (6, *scene.shape)
    assert np.isfinite(fused).all()


@pytest.mark.parametrize(("bands", "guides"), [(1, 1), (1, 3), (2, 8), (3, 1), (7, 3), (40, 1), (40, 8)])
@pytest.mark.parametrize("name", METHODS)
def test_any_number_of_bands(predict, name, bands, guides):
    scene = random_scene(4, (10, 12), bands, guides)
    fused = predict(METHODS[name].prepare(CalibratedScene(scene)), scene)
    assert fused.shape == (bands, 40, 48)
    assert np.isfinite(fused).all()


@pytest.mark.parametrize("low", [(4, 4), (1, 30), (30, 1), (2, 11)])
@pytest.mark.parametrize("name", METHODS)
def test_tiny_pairs(predict, name, low):
    scene = random_scene(2, low, 5, 1)
    assert np.isfinite(predict(METHODS[name].prepare(CalibratedScene(scene)), scene)).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_pair_that_says_nothing_about_itself(predict, name, sample):
    scene = simulate(sample, 4, shift=(1.0, -0.5), protocol=Psf.box(4))
    blind = scene.replace(psf=None, shift=None, srf=None)
    known, found = (predict(METHODS[name].prepare(CalibratedScene(s)), s) for s in (scene, blind))
    np.testing.assert_allclose(found, known, atol=0.02)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f8"])
@pytest.mark.parametrize("name", METHODS)
def test_numbers_of_any_type(predict, name, dtype):
    scene = random_scene(2, (12, 12), 5, 3)
    hsi, guide = scene.hsi.read() * 40, scene.guide.read() * 60
    exact = scene.replace(
        hsi=Cube.from_array(hsi.astype(dtype).astype("f4")), guide=Cube.from_array(guide.astype(dtype).astype("f4"))
    )
    typed = scene.replace(hsi=Cube.from_array(hsi.astype(dtype)), guide=Cube.from_array(guide.astype(dtype)))
    expected, found = (predict(METHODS[name].prepare(CalibratedScene(s)), s) for s in (exact, typed))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", GUIDED)
def test_units_do_not_matter(predict, name):
    scene = random_scene(4, (16, 16), 6, 3)
    fused = predict(METHODS[name].prepare(CalibratedScene(scene)), scene)
    scaled = scene.replace(
        hsi=Cube.from_array(scene.hsi.read() * 1e4),
        guide=Cube.from_array(scene.guide.read() * np.array([255.0, 1e-3, 40.0])[:, None, None]),
    )
    again = predict(METHODS[name].prepare(CalibratedScene(scaled)), scaled) / 1e4
    if name == "gsa":
        # the mean of the guide's bands is its intensity
        assert np.corrcoef(fused.ravel(), again.ravel())[0, 1] > 0.9
    else:
        np.testing.assert_allclose(again, fused, atol=2e-3)


@pytest.mark.parametrize("name", ["glp", "subspace"])
def test_a_guide_band_without_content_does_no_harm(predict, name):
    scene = random_scene(4, (20, 20), 6, 3)
    fused = predict(METHODS[name].prepare(CalibratedScene(scene)), scene)
    guide = scene.guide.read()
    for useless in (np.full_like(guide[:1], 0.7), 0 * guide[:1]):
        more = scene.replace(guide=Cube.from_array(np.concatenate([guide, useless])))
        np.testing.assert_allclose(predict(METHODS[name].prepare(CalibratedScene(more)), more), fused, atol=2e-3)


@pytest.mark.parametrize("excess", [(0, 0), (3, 1), (-3, -2)])
@pytest.mark.parametrize("name", METHODS)
def test_guides_that_are_no_multiple_of_the_ratio(predict, name, excess):
    whole = random_scene(4, (15, 14), 5, 3, excess=(3, 3))
    guide = whole.guide.read()[:, : 60 + excess[0], : 56 + excess[1]]
    scene = whole.replace(guide=Cube.from_array(guide))
    fused = predict(METHODS[name].prepare(CalibratedScene(scene)), scene)
    assert fused.shape == (5, min(60, guide.shape[1]), min(56, guide.shape[2]))
    expected = predict(METHODS[name].prepare(CalibratedScene(whole)), whole)[:, : fused.shape[1], : fused.shape[2]]
    np.testing.assert_allclose(fused[:, :44, :40], expected[:, :44, :40], atol=0.1)
    assert np.abs(fused - expected).max() < 0.25 * np.ptp(expected)


# --- tiles ---------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(RATIOS),
    st.tuples(st.integers(7, 16), st.integers(7, 16)),
    st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    st.integers(4, 60),
    st.tuples(st.integers(-1, 1), st.integers(-1, 1)),
)
@pytest.mark.parametrize("name", METHODS)
def test_tiled_equals_whole(predict, name, ratio, low, shift, core, excess):
    scene = random_scene(ratio, low, 4, 2, shift=shift, excess=excess)
    predictor = METHODS[name].prepare(CalibratedScene(scene))
    whole, tiled = predict(predictor, scene), predict(predictor, scene, core)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", METHODS)
def test_single_precision_is_enough(predict, name, sample):
    scene = simulate(sample, 4)
    predictor = METHODS[name].prepare(CalibratedScene(scene))
    double, single = predict(predictor, scene), predict(predictor, scene, 40, torch.float32)
    np.testing.assert_allclose(single, double, atol=1e-5)


# --- pixels that are not there ---------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", GUIDED)
def test_what_lies_under_a_mask_says_nothing(predict, name, known, sample):
    scene = simulate(sample, 4)
    hsi, guide = scene.hsi.read(), scene.guide.read()
    results = []
    for below in (-1.0, 55.0):
        hsi[:, 8:12, 20:25], guide[:, 60:70, 10:22] = below, below
        pair = scene.replace(
            hsi=Cube.from_array(hsi, nodata=below), guide=Cube.from_array(guide, nodata=below), reference=None
        )
        if not known:
            pair = pair.replace(psf=None, shift=None, srf=None)
        results.append(predict(METHODS[name].prepare(CalibratedScene(pair)), pair))
    np.testing.assert_array_equal(*results)
    # and away from the gaps, the result is that of the whole pair
    complete = predict(METHODS[name].prepare(CalibratedScene(scene)), scene)
    away = np.ones(scene.shape, bool)
    away[8:80, :140] = False
    assert np.sqrt(np.mean((results[0] - complete)[:, away] ** 2)) < 5e-3


@pytest.mark.parametrize("name", METHODS)
def test_an_empty_band_does_not_disturb_the_others(predict, name):
    scene = random_scene(4, (16, 16), 6, 3)
    hsi = scene.hsi.read()
    hsi[2] = np.nan
    holed = scene.replace(hsi=Cube.from_array(hsi))
    fused, expected = (predict(METHODS[name].prepare(CalibratedScene(s)), s) for s in (holed, scene))
    kept = [0, 1, 3, 4, 5]
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(fused[kept], expected[kept], atol=0.15 if name == "gsa" else 0.05)


# --- quality -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [None, (35, 40)])
@pytest.mark.parametrize("guide", ["rgb", "pan"])
def test_each_method_beats_the_simpler_one(predict, sample, noise, guide):
    scene = simulate(sample, 4, srf=guide, noise=noise)
    scores = {}
    for name, method in METHODS.items():
        scores[name] = psnr(sample.read(), predict(method.prepare(CalibratedScene(scene)), scene))
    assert scores["subspace"] > scores["glp"] > scores["bicubic"] + 2
    assert scores["gsa"] > scores["bicubic"]


def cave(data_dir, name):
    path = data_dir / "cave" / "test" / f"{name}.tif"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return Cube.from_array(tifffile.imread(path).astype(np.float32) / 65535, wavelengths=np.arange(400.0, 701.0, 10.0))


@pytest.mark.parametrize(
    ("scene_name", "glp", "subspace"),
    [
        ("superballs", 46.90, 50.13),
        pytest.param("photo_and_face", 43.92, 47.16, marks=pytest.mark.slow),
        pytest.param("stuffed_toys", 47.98, 50.97, marks=pytest.mark.slow),
        pytest.param("jelly_beans", 42.08, 45.01, marks=pytest.mark.slow),
    ],
)
def test_blind_on_photographs(predict, data_dir, scene_name, glp, subspace):
    reference = cave(data_dir, scene_name)
    scene = simulate(reference, 4, srf=data_dir / "srf" / "nikon_d700_cave.csv")
    blind = scene.replace(psf=None, shift=None, srf=None)
    for name, asked in (("glp", glp), ("subspace", subspace)):
        fused = predict(METHODS[name].prepare(CalibratedScene(blind)), blind, dtype=torch.float32)
        assert psnr(reference.read(), fused) >= asked, name


@pytest.mark.slow
@pytest.mark.parametrize("scene_name", ["superballs", "photo_and_face", "stuffed_toys", "jelly_beans"])
def test_noisy_photographs(predict, data_dir, scene_name):
    reference = cave(data_dir, scene_name)
    scene = simulate(reference, 4, srf=data_dir / "srf" / "nikon_d700_cave.csv", noise=(35, 40))
    blind = scene.replace(psf=None, shift=None, srf=None)
    scores = [
        psnr(reference.read(), predict(METHODS[name].prepare(CalibratedScene(blind)), blind, dtype=torch.float32))
        for name in ("glp", "subspace")
    ]
    assert scores[1] > scores[0]


# --- definitions ----------------------------------------------------------------------------------------


def test_bicubic_is_that_of_torch(predict):
    scene = random_scene(4, (9, 11), 3, 1)
    hsi = torch.tensor(scene.hsi.read(), dtype=torch.float64)[None]
    expected = torch.nn.functional.interpolate(hsi, scale_factor=4, mode="bicubic", align_corners=False)[0]
    np.testing.assert_allclose(
        predict(METHODS["bicubic"].prepare(CalibratedScene(scene)), scene), expected.numpy(), atol=1e-12
    )


def regress(target, source):
    """Return weights and constant of `target` ``(T, n)`` on `source` ``(S, n)``."""
    design = np.concatenate([source, np.ones((1, source.shape[1]))])
    solution = np.linalg.lstsq(design.T, target.T, rcond=None)[0].T
    return solution[:, :-1], solution[:, -1]


def valid_pixels(scene):
    return CalibratedScene(scene).valid


def interpolated(scene, image):
    sampling = Sampling(scene.factor, scene.psf, scene.shift)
    up_y, up_x = (
        sampling.cubic_matrix(scene.shape[axis], scene.hsi.shape[axis + 1], axis).toarray() for axis in (0, 1)
    )
    return up_y @ image @ up_x.T


def test_gsa_by_its_definition(predict):
    """Intensity from the cube by regression; each band takes detail by its covariance with the intensity."""
    scene = random_scene(4, (20, 20), 4, 3, shift=(0.0, 0.0))
    predictor = METHODS["gsa"].prepare(CalibratedScene(scene))
    hsi, guide = scene.hsi.read(), scene.guide.read()
    pan = guide.mean(axis=0)
    coarse_pan = predictor.guide.mean(axis=0)
    valid = valid_pixels(scene)
    y, p = hsi[:, valid], coarse_pan[valid][None]
    weights, constant = regress(p, y)
    intensity = weights[0] @ y + constant[0]
    gain = [np.cov(band, intensity, bias=True)[0, 1] / np.var(intensity) for band in y]
    up = interpolated(scene, hsi)
    expected = up + np.reshape(gain, (-1, 1, 1)) * (pan - np.tensordot(weights[0], up, axes=1) - constant[0])
    np.testing.assert_allclose(predict(predictor, scene), expected, atol=1e-4)


def test_glp_by_its_definition(predict):
    """Each band regressed on the degraded guide; what is left over is interpolated and added."""
    scene = random_scene(4, (20, 20), 4, 3, shift=(0.0, 0.0))
    predictor = METHODS["glp"].prepare(CalibratedScene(scene))
    hsi, guide, coarse = scene.hsi.read(), scene.guide.read(), predictor.guide.astype(float)
    valid = valid_pixels(scene)
    weights, constant = regress(hsi[:, valid], coarse[:, valid])
    left = hsi - np.tensordot(weights, coarse, axes=1) - constant[:, None, None]
    expected = np.tensordot(weights, guide, axes=1) + constant[:, None, None] + interpolated(scene, left)
    np.testing.assert_allclose(predict(predictor, scene), expected, atol=1e-4)


# --- names ------------------------------------------------------------------------------------------------


def test_whatever_stands_for_a_method():
    for name, method in METHODS.items():
        assert method.name == name
        assert as_method(name) is method
    own = Subspace(directions=6)
    assert as_method(own) is own
    assert as_method(Choice(own)) is own


@pytest.mark.parametrize(
    ("model", "words"), [("brovey", "choose one of auto, bicubic"), (3, "of type int"), ("lso", "needs weights")]
)
def test_what_is_no_method(model, words):
    with pytest.raises(ModelError, match=words):
        as_method(model)
