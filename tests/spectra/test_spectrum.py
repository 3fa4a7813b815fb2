from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError, SpectrumError
from napari_specfusion.spectra import Spectrum


def test_bands_are_sorted_and_infinite_values_unknown() -> None:
    found = Spectrum([3, np.inf, 1], [600, 500, 400], fwhm=[30, 20, 10], spread=[3, 2, 1])  # type: ignore[arg-type]
    assert found.wavelengths is not None and found.fwhm is not None and found.spread is not None
    assert found.wavelengths.tolist() == [400, 500, 600]
    assert found.fwhm.tolist() == [10, 20, 30] and found.spread.tolist() == [1, 2, 3]
    assert np.array_equal(found.values, [1, np.nan, 3], equal_nan=True)
    assert found.known.tolist() == [True, False, True] and found.bands == 3 and found.unit == "nm"
    assert "400 to 600 nm, with spread" in repr(found)


def test_without_wavelengths_bands_are_counted() -> None:
    found = Spectrum(np.ones(3))
    assert found.positions.tolist() == [0, 1, 2] and found.unit == "band"


def test_of_a_pixel() -> None:
    values = np.arange(24.0).reshape(3, 2, 4)
    cube = Cube.from_array(values, wavelengths=[1, 2, 3], good_bands=[1, 0, 1], spectral_unit="cm-1", name="c")
    found = Spectrum.of_pixel(cube, 1, 2)
    assert np.array_equal(found.values, [6, np.nan, 22], equal_nan=True)
    assert found.unit == "cm-1" and found.name == "c (1, 2)"
    with pytest.raises(CubeError, match="outside"):
        Spectrum.of_pixel(cube, 2, 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"values": "text"}, "give a list of numbers"),
        ({"values": []}, "give a list of numbers"),
        ({"values": [[1.0]]}, r"shape \(1, 1\)"),
        ({"values": [1j]}, "complex"),
        ({"values": [[1], [2, 3]]}, "not a list of numbers"),
        ({"wavelengths": [1.0]}, "wavelengths has 1 entries for 2 values"),
        ({"wavelengths": [1.0, np.nan]}, "NaN"),
        ({"spread": [1.0, 2, 3]}, "spread has 3 entries"),
        ({"spectral_unit": "eV"}, "choose one of nm, cm-1"),
        ({"name": 3}, "name is 3"),
        ({"metadata": []}, "must be a dictionary"),
    ],
)
def test_what_is_no_spectrum(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SpectrumError, match=words):
        Spectrum(**{"values": [1.0, 2.0]} | fields)
