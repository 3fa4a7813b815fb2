from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_specfusion.colour.observer import colour_matching, linear_rgb, rgb_weights, to_srgb


def test_the_curves_peak_where_the_cie_says() -> None:
    wavelengths = np.arange(380.0, 781.0)
    x, y, z = colour_matching(wavelengths)
    assert abs(wavelengths[y.argmax()] - 555) <= 3 and abs(y.max() - 1) < 0.02
    assert abs(wavelengths[x.argmax()] - 599) <= 3 and abs(x.max() - 1.06) < 0.02
    assert abs(wavelengths[z.argmax()] - 446) <= 4 and abs(z.max() - 1.78) < 0.03
    # equal energy is the white of the observer
    assert np.allclose(np.array([x.sum(), z.sum()]) / y.sum(), 1, atol=0.01)


def test_the_curves_are_near_the_published_table(data_dir: Path) -> None:
    path = data_dir / "srf" / "cmf_1931.json"
    if not path.exists():
        pytest.skip("needs the table of the CIE 1931 observer")
    table = json.loads(path.read_text(encoding="utf-8"))["spectral_data"]["data"]["main"]
    wavelengths = np.array([float(w) for w in table])
    # the table's order is x, y, z
    curves = np.array(list(table.values()), np.float64).T
    assert np.abs(colour_matching(wavelengths) - curves).max() < 0.03


def test_white_is_white_and_a_primary_is_itself() -> None:
    assert np.allclose(linear_rgb([0.7, 0.9, 0.4], [0.7, 0.9, 0.4]), 1)
    # without adaptation: the primaries of sRGB from their chromaticities, x = 0.64, y = 0.33 for red
    screen = np.array([0.9505, 1.0, 1.089])
    red = linear_rgb(np.array([0.64, 0.33, 0.03]) / 0.33 * 0.2126, screen)
    assert np.allclose(red, [1, 0, 0], atol=2e-3)


@pytest.mark.parametrize(
    "wavelengths", [np.arange(400.0, 701, 10), np.arange(430.0, 860, 4.2), np.sort(np.r_[400:500:7, 505:720:3.0])]
)
def test_a_flat_spectrum_is_neutral_whatever_the_bands(wavelengths: np.ndarray) -> None:
    assert np.allclose(rgb_weights(wavelengths).sum(axis=1), 1)


def test_gamma_of_srgb() -> None:
    light = np.array([-1, 0, 0.0031308, 0.214041, 1, 2, np.nan], np.float32)
    screen = to_srgb(light)
    assert np.allclose(screen[:-1], [0, 0, 0.04045, 0.5, 1, 1], atol=1e-4) and np.isnan(screen[-1])
