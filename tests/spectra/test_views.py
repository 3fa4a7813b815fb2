from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter
from scipy.sparse import diags
from scipy.sparse.linalg import spsolve

from napari_specfusion.errors import SpectrumError
from napari_specfusion.spectra import Spectrum, derivative, normalise, remove_baseline, remove_continuum, smooth

WAVES = np.arange(400.0, 1000, 10)


def made(values: Any, waves: Any = None, **fields: Any) -> Spectrum:
    values = np.asarray(values, float)
    return Spectrum(values, WAVES[: len(values)] if waves is None else waves, **fields)


# --- continuum ------------------------------------------------------------------------


def test_a_continuum_by_hand() -> None:
    # corners at the first, the third and the last band; the line to the last is 4, 3.5, 3
    found = remove_continuum(made([2, 2, 4, 1.75, 3], spread=np.array([2.0, 3, 4, 7, 3])))
    assert np.allclose(found.values, [1, 2 / 3, 1, 0.5, 1])
    assert found.spread is not None and np.allclose(found.spread, [1, 1, 1, 2, 1])


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=40), st.floats(0.1, 100))
def test_a_continuum_is_above_all_values_and_scale_free(values: list[float], factor: float) -> None:
    once = remove_continuum(made(values)).values
    assert np.all(once <= 1 + 1e-9) and once[0] == once[-1] == 1
    assert np.allclose(remove_continuum(made(np.array(values) * factor)).values, once)
    assert np.allclose(remove_continuum(made(once)).values, once)


def test_bad_bands_have_no_part_in_a_continuum() -> None:
    found = remove_continuum(made([1, 1, np.nan, 0.5, 1])).values
    assert np.isnan(found[2]) and np.allclose(np.delete(found, 2), [1, 1, 0.5, 1])
    assert np.isnan(remove_continuum(made([-1.0, -2, -1])).values).all()
    assert np.isnan(remove_continuum(made([np.nan, np.nan])).values).all()


def test_two_bands_at_one_wavelength() -> None:
    found = remove_continuum(made([1.0, 1, 2, 1], [400.0, 410, 410, 420])).values
    assert np.allclose(found, [1, 0.5, 1, 1])


# --- smoothing and derivative -----------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([3, 5, 9, 21]), st.integers(1, 4), st.sampled_from([0, 1]))
def test_on_even_steps_it_is_the_filter_of_scipy(seed: int, window: int, order: int, degree: int) -> None:
    order = min(order, window - 1)
    values = np.random.default_rng(seed).normal(size=60)
    found = (derivative if degree else smooth)(made(values), window, order).values
    expected = savgol_filter(values, window, order, deriv=degree, delta=10.0)
    assert np.allclose(found, expected, atol=1e-9)


def test_uneven_steps_give_the_true_slope_of_a_parabola() -> None:
    waves = np.sort(np.random.default_rng(1).uniform(400, 900, 50))
    values = 3 + 0.2 * waves + 0.01 * waves**2
    assert np.allclose(derivative(made(values, waves)).values, 0.2 + 0.02 * waves)
    assert np.allclose(smooth(made(values, waves)).values, values)


def test_nothing_is_smoothed_across_gaps_and_bad_bands() -> None:
    waves = np.concatenate([np.arange(400.0, 600, 10), np.arange(1500.0, 1700, 10)])
    values = np.where(waves < 1000, 1.0, 5.0)
    assert np.allclose(smooth(made(values, waves), 9).values, values)
    assert np.allclose(derivative(made(values, waves), 9).values, 0, atol=1e-12)
    values[5] = np.nan
    values[:5] = 3.0
    found = smooth(made(values, waves), 9).values
    assert np.isnan(found[5]) and np.allclose(np.delete(found, 5), np.delete(values, 5))
    # one band has no slope
    assert np.isnan(derivative(made([1, np.nan, 2, 3, 4.0])).values).tolist() == [True, True, False, False, False]


def test_smoothing_keeps_the_spread_and_a_derivative_has_none() -> None:
    spread = np.arange(5.0)
    spectrum = made(np.arange(5.0), spread=spread)
    assert np.array_equal(smooth(spectrum, 3).spread, spread) and derivative(spectrum).spread is None


# --- baseline ---------------------------------------------------------------------------


def test_a_baseline_is_the_one_of_the_paper() -> None:
    """Solved with sparse matrices, as the authors write it down."""
    x = np.linspace(0, 1, 200)
    values = (
        5 + 3 * x - 2 * x**2 + 4 * np.exp(-(((x - 0.4) / 0.01) ** 2)) + np.random.default_rng(0).normal(0, 0.02, 200)
    )
    rough = diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(198, 200))
    weights = np.ones(200)
    for _ in range(50):
        z = spsolve((diags(weights) + 1e5 * rough.T @ rough).tocsc(), weights * values)
        weights = np.where(values > z, 0.01, 0.99)
    found = remove_baseline(made(values, np.arange(200.0))).values
    assert np.allclose(found, values - z, atol=1e-6)


def test_a_narrow_peak_stays_and_its_background_goes() -> None:
    x = np.arange(500.0)
    background, peak = 100 + 0.2 * x + 1e-4 * x**2, 50 * np.exp(-(((x - 200) / 4) ** 2))
    found = remove_baseline(made(background + peak, x + 300, spectral_unit="cm-1"), 1e6).values
    assert abs(found.max() - 50) < 2 and np.abs(found[250:]).max() < 2.5


@given(st.floats(-1e3, 1e3), st.floats(-10, 10))
def test_a_line_is_all_baseline(height: float, slope: float) -> None:
    found = remove_baseline(made(height + slope * np.arange(60), spread=np.ones(60)))
    assert np.allclose(found.values, 0, atol=1e-5 * (1 + abs(height) + 60 * abs(slope)))
    assert np.array_equal(found.spread, np.ones(60))


def test_a_baseline_goes_on_over_bad_bands_but_not_over_gaps() -> None:
    values = np.full(60, 7.0)
    values[10:14] = np.nan
    found = remove_baseline(made(values)).values
    assert np.isnan(found[10:14]).all() and np.allclose(found[14:], 0, atol=1e-6)
    waves = np.concatenate([np.arange(400.0, 700, 10), np.arange(1500.0, 1800, 10)])
    assert np.allclose(remove_baseline(made(np.where(waves < 1000, 1, 9), waves)).values, 0, atol=1e-6)


# --- scales -----------------------------------------------------------------------------


def test_scales_by_hand() -> None:
    spectrum = made([1.0, 3, np.nan, 2, 4], [0.0, 1, 2, 3, 4], spread=np.ones(5))
    expected = {"area": 5.0, "maximum": 4.0, "vector": np.sqrt(30)}
    for scale, size in expected.items():
        found = normalise(spectrum, scale)
        assert np.allclose(found.values, spectrum.values / size, equal_nan=True)
        assert found.spread is not None and np.allclose(found.spread, 1 / size)
    found = normalise(spectrum, "snv").values
    assert np.isclose(np.nanmean(found), 0) and np.isclose(np.nanstd(found, ddof=1), 1)


def test_an_area_has_no_part_in_a_gap() -> None:
    waves = np.concatenate([np.arange(0.0, 11), np.arange(1000.0, 1011)])
    assert np.allclose(normalise(made(np.ones(22), waves), "area").values, 1 / 20)


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=30), st.floats(0.01, 100))
@pytest.mark.parametrize("scale", ["area", "maximum", "vector"])
def test_a_factor_does_not_matter(scale: str, values: list[float], factor: float) -> None:
    assert np.allclose(normalise(made(values), scale).values, normalise(made(np.array(values) * factor), scale).values)


@pytest.mark.parametrize("scale", ["area", "maximum", "vector", "snv"])
def test_what_has_no_scale_is_unknown(scale: str) -> None:
    assert np.isnan(normalise(made([0.0, 0, 0]), scale).values).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: smooth(s, 4), "window is 4; it must be odd.*Try 5"),
        (lambda s: smooth(s, 1), "window is 1; it must be a whole number from 3"),
        (lambda s: derivative(s, 5, 0), "order is 0"),
        (lambda s: derivative(s, 5, 5), "order is 5"),
        (lambda s: remove_baseline(s, 0), "smoothness is 0"),
        (lambda s: remove_baseline(s, 1e4, 1.0), "asymmetry is 1.0"),
        (lambda s: normalise(s, "mean"), "choose one of area, maximum, vector, snv"),
        (lambda s: remove_continuum("no"), "The spectrum is of type str; give a Spectrum"),
    ],
)
def test_wrong_options_are_told(call: Any, words: str) -> None:
    with pytest.raises(SpectrumError, match=words):
        call(made(np.ones(9)))
