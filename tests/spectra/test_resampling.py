from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_specfusion.errors import SpectrumError
from napari_specfusion.spectra import Spectrum, difference, resample

FINE = np.arange(400.0, 901)


def test_the_same_bands_stay_as_they_are() -> None:
    values = np.random.default_rng(0).random(501)
    assert np.array_equal(resample(Spectrum(values, FINE), FINE).values, values)


def test_a_wide_band_sees_a_gaussian_mean() -> None:
    """A narrow line is seen with the height of the band's curve."""
    values = (FINE == 600.0).astype(float)
    found = resample(Spectrum(values, FINE), [580.0, 600.0, 610.0], fwhm=[20.0, 20.0, 20.0]).values
    sigma = 20 / (2 * np.sqrt(2 * np.log(2)))
    assert np.allclose(
        found, np.exp(-(np.array([-20.0, 0, 10]) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi)), rtol=0.01
    )


def test_own_bands_count() -> None:
    """Seen by bands of its own width, a spectrum stays; by wider ones, the widths add up as squares."""
    values = (FINE == 600.0).astype(float)
    blurred = resample(Spectrum(values, FINE), FINE[10:-10] + 0.5, fwhm=np.full(481, 12.0))
    assert np.allclose(resample(blurred, [600.5], [12.0]).values, blurred.values[190])
    twice = resample(blurred, FINE[::5], np.full(101, 20.0)).values
    once = resample(Spectrum(values, FINE), FINE[::5], np.full(101, 20.0)).values
    assert np.allclose(twice[5:-5], once[5:-5], atol=1e-2 * once.max())


def test_a_coarse_spectrum_is_straight_between_its_bands() -> None:
    coarse = Spectrum(np.array([1.0, 3.0, 2.0]), np.array([400.0, 500.0, 600.0]), spread=np.array([0.0, 2.0, 1.0]))
    found = resample(coarse, [340.0, 360.0, 425.0, 550.0, 600.0, 660.0])
    assert np.array_equal(found.values, [np.nan, 1.0, 1.5, 2.5, 2.0, np.nan], equal_nan=True)
    assert found.spread is not None
    assert np.array_equal(found.spread, [np.nan, 0.0, 0.5, 1.5, 1.0, np.nan], equal_nan=True)


def test_gaps_stay_and_missing_values_do_not_count() -> None:
    known = np.concatenate([np.arange(400.0, 600, 10), np.arange(900.0, 1100, 10)])
    values = np.ones(40)
    found = resample(Spectrum(values, known), [500.0, 594.0, 700.0, 890.0, 896.0, 950.0]).values
    assert np.array_equal(np.isfinite(found), [True, True, False, False, True, True])
    values[3:6] = np.nan
    fine = resample(Spectrum(values, known), [435.0, 460.0], [20.0, 60.0]).values
    assert np.isnan(fine[0]) and fine[1] == 1


@given(st.floats(-5, 5), st.floats(-0.1, 0.1), st.floats(3, 40))
def test_a_line_stays_a_line(height: float, slope: float, width: float) -> None:
    centres = np.linspace(480, 820, 9)
    found = resample(Spectrum(height + slope * FINE, FINE), centres, np.full(9, width)).values
    assert np.allclose(found, height + slope * centres, atol=1e-9)


def test_a_difference() -> None:
    first = Spectrum(np.array([5.0, np.nan, 7.0]), np.array([450.0, 500.0, 550.0]), spread=np.ones(3))
    other = Spectrum(FINE / 100, FINE)
    found = difference(first, other)
    assert np.allclose(found.values, [0.5, np.nan, 1.5], equal_nan=True) and found.spread is None
    assert np.allclose(difference(Spectrum([1.0, 2.0]), Spectrum([1.0, 5.0])).values, [0, -3])  # type: ignore[arg-type]
    for wrong in (Spectrum(np.ones(2)), Spectrum(np.ones(3), np.arange(3.0), "cm-1")):
        with pytest.raises(SpectrumError, match="nm"):
            difference(first, wrong)


def test_wavelengths_are_needed_and_of_one_unit() -> None:
    with pytest.raises(SpectrumError, match="no wavelengths"):
        resample(Spectrum(np.ones(3)), [400.0])
    with pytest.raises(SpectrumError, match="in nm, and cm-1 are needed"):
        resample(Spectrum(np.ones(3), np.arange(3.0)), [400.0], spectral_unit="cm-1")
    with pytest.raises(SpectrumError, match="wavelengths"):
        resample(Spectrum(np.ones(3), np.arange(3.0)), [])
    with pytest.raises(SpectrumError, match="fwhm"):
        resample(Spectrum(np.ones(3), np.arange(3.0)), [1.0, 2.0], [1.0])
