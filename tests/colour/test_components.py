from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_specfusion import memory
from napari_specfusion.colour.components import component_colours, mnf, pca
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, CubeError

Transform = Callable[..., Cube]


def smooth_scene(bands: int = 12, size: int = 64, noise: float = 0.01) -> np.ndarray:
    """Return three smooth abundances of three spectra, with noise."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:size, :size] / size
    abundances = np.stack([np.sin(3 * x), np.cos(4 * y), x * y])
    values = np.tensordot(rng.random((bands, 3)), abundances, axes=1) + rng.normal(0, noise, (bands, size, size))
    return values.astype(np.float32)


def test_pca_is_that_of_the_singular_values() -> None:
    values = smooth_scene()
    found = pca(Cube.from_array(values), 5)
    flat = values.reshape(len(values), -1).T.astype(np.float64)
    centred = flat - flat.mean(axis=0)
    _, singular, loadings = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ loadings[:5].T
    scores = found.read().reshape(5, -1).T
    signs = np.sign((scores * expected).sum(axis=0))
    assert np.allclose(scores, expected * signs, atol=1e-4)
    assert np.allclose(found.metadata["explained_variance"], (singular**2 / (singular**2).sum())[:5], rtol=1e-6)
    assert found.band_names[0].startswith("PC 1 (") and found.name == "cube: PCA" and found.wavelengths is None
    # of each, the largest loading is positive
    weights = np.linalg.lstsq(centred, scores, rcond=None)[0]
    assert (weights[np.abs(weights).argmax(axis=0), range(5)] > 0).all()


def test_mnf_puts_a_noisy_band_last() -> None:
    values = smooth_scene()
    # the largest variance of all, and nothing but noise
    values[4] = np.random.default_rng(3).normal(0, 5, values.shape[1:])
    by_variance, by_noise = pca(Cube.from_array(values), 12), mnf(Cube.from_array(values), 12)

    def likeness(component: np.ndarray) -> float:
        return abs(float(np.corrcoef(component.ravel(), values[4].ravel())[0, 1]))

    assert likeness(by_variance.read()[0]) > 0.99
    assert max(likeness(component) for component in by_noise.read()[:3]) < 0.1
    ratios = np.array(by_noise.metadata["signal_to_noise"])
    assert (np.diff(ratios) <= 0).all() and ratios[2] > 10 * ratios[3] and ratios[3] < 1


def test_mnf_scales_its_noise_to_one_whatever_the_units() -> None:
    values = smooth_scene()
    found = mnf(Cube.from_array(values), 12)
    last = found.read()[-4:]
    assert np.allclose(np.diff(last, axis=2).std(axis=(1, 2)) / np.sqrt(2), 1, atol=0.05)
    units = np.geomspace(1, 1e4, 12, dtype=np.float32)[:, None, None]
    other = mnf(Cube.from_array(values * units), 12)
    assert np.allclose(other.metadata["signal_to_noise"], found.metadata["signal_to_noise"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("transform", [pca, mnf])
def test_bad_empty_and_constant_bands_are_left_out(transform: Transform) -> None:
    values = smooth_scene()
    spoilt = np.insert(values, [0, 5, 9], [[[np.nan]], [[3]], [[0]]], axis=0)
    bad = 12
    spoilt[bad] = np.random.default_rng(1).normal(0, 1e3, values.shape[1:])
    good = np.arange(15) != bad
    kept = np.delete(values, 9, axis=0)
    found = transform(Cube.from_array(spoilt, good_bands=good), 3)
    assert np.allclose(found.read(), transform(Cube.from_array(kept), 3).read(), atol=1e-3)


@pytest.mark.parametrize("transform", [pca, mnf])
def test_missing_pixels_stay_missing_and_count_for_nothing(transform: Transform) -> None:
    values = smooth_scene()
    holed = values.copy()
    holed[2, 5:9, 7] = np.nan
    found, whole = transform(Cube.from_array(holed), 2).read(), transform(Cube.from_array(values), 2).read()
    assert np.isnan(found[:, 5:9, 7]).all() and np.isnan(found).sum() == 8
    assert np.allclose(found, np.where(np.isnan(found), np.nan, whole), atol=0.05 * np.abs(whole).max(), equal_nan=True)


@pytest.mark.parametrize("transform", [pca, mnf])
def test_strips_and_a_sample_give_nearly_the_same(transform: Transform, monkeypatch: pytest.MonkeyPatch) -> None:
    cube = Cube.from_array(smooth_scene(size=200))
    whole = transform(cube, 2).read()
    monkeypatch.setattr(memory, "STRIP", 8 * 14 * 200 * 7)
    assert np.allclose(transform(cube, 2).read(), whole, atol=1e-5)
    monkeypatch.setattr("napari_specfusion.colour.components.SAMPLE_PIXELS", 1 << 14)
    sampled = transform(cube, 2).read()
    for one, other in zip(sampled, whole, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


def test_components_lie_where_the_cube_does_and_are_no_more_than_its_bands() -> None:
    cube = Cube.from_array(smooth_scene(), affine=(2, 0, 1, 0, -2, 3), crs="EPSG:32632", pixel_size=(2, 2))
    found = pca(cube, 99)
    assert found.bands == 12 and (found.affine, found.crs) == (cube.affine, cube.crs)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones((4, 9, 9)), "0 good bands that vary"),
        (np.random.default_rng(0).random((1, 9, 9)), "1 good band that vary"),
        (np.random.default_rng(0).random((9, 2, 3)), "6 pixels"),
    ],
)
@pytest.mark.parametrize("transform", [pca, mnf])
def test_too_little_to_take_apart(transform: Transform, values: np.ndarray, said: str) -> None:
    with pytest.raises(CubeError, match=said):
        transform(Cube.from_array(values))


def test_one_column_has_no_neighbours() -> None:
    with pytest.raises(CubeError, match="one column"):
        mnf(Cube.from_array(np.random.default_rng(0).random((3, 50, 1))))


@pytest.mark.parametrize("transform", [pca, mnf])
def test_it_stops_on_request(transform: Transform) -> None:
    with pytest.raises(Cancelled):
        transform(Cube.from_array(smooth_scene()), should_stop=lambda: True)


# --- three in one picture -------------------------------------------------------------


@pytest.mark.parametrize(("method", "transform"), [("PCA", pca), ("MNF", mnf)])
def test_three_components_are_one_picture(method: Any, transform: Transform) -> None:
    cube = Cube.from_array(smooth_scene(), affine=(2, 0, 5, 0, -2, 7), name="field")
    picture, parts = component_colours(cube, method, 0), transform(cube, 3)
    assert picture.name == f"field: {method} 1, 2, 3 as RGB" and picture.affine == cube.affine
    assert tuple(picture.band_names) == ("red", "green", "blue")
    assert picture.metadata["components"] == parts.band_names
    for channel, part in zip(picture.read(), parts.read(), strict=True):
        assert channel.min() == 0 and channel.max() == 1
        assert np.allclose(channel, (part - part.min()) / np.ptp(part), atol=1e-5)


def test_the_stretch_clips_and_missing_pixels_stay_missing() -> None:
    values = smooth_scene()
    values[3, 5, 6] = np.nan
    picture = component_colours(Cube.from_array(values), stretch=10).read()
    assert np.isnan(picture[:, 5, 6]).all() and np.isnan(picture).sum() == 3
    assert 0.08 < (picture[0] == 0).mean() < 0.12 and 0.08 < (picture[0] == 1).mean() < 0.12


@pytest.mark.parametrize(
    ("bands", "given", "said"),
    [
        (2, {}, "needs three"),
        (5, {"method": "ICA"}, "PCA.*MNF"),
        (5, {"stretch": 30}, "25"),
    ],
)
def test_what_makes_no_picture_is_said(bands: int, given: dict[str, Any], said: str) -> None:
    with pytest.raises(CubeError, match=said):
        component_colours(Cube.from_array(smooth_scene(bands)), **given)
