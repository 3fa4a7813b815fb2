from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.colour.formula import Formula
from napari_specfusion.colour.indices import INDICES, index_map
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError

WAVELENGTHS = np.arange(400.0, 1001, 10)


@pytest.fixture
def cube() -> Cube:
    stored = np.random.default_rng(0).integers(1, 9000, (len(WAVELENGTHS), 6, 7)).astype(np.int16)
    stored[27, 2, 3] = -1
    return Cube.from_array(
        stored, wavelengths=WAVELENGTHS, nodata=-1, scale=1e-4, name="field", affine=(1, 0, 5, 0, -1, 9)
    )


def test_ndvi_of_the_bands_nearest(cube: Cube) -> None:
    found = index_map(cube)
    red, infrared = cube.read()[[27, 40]]
    assert found.shape == (1, 6, 7) and found.dtype == np.float32
    assert np.allclose(found.read()[0], (infrared - red) / (infrared + red), equal_nan=True, atol=1e-6)
    assert np.isnan(found.read()[0, 2, 3]) and np.isnan(found.read()).sum() == 1
    assert found.name == "field: NDVI" and found.affine == cube.affine
    assert found.metadata["formula"] == "(R800 - R670) / (R800 + R670)"
    assert found.metadata["wavelengths_used"] == [670, 800]


def test_a_formula_is_the_name_unless_it_is_known(cube: Cube) -> None:
    assert index_map(cube, INDICES["NDVI"]).name == "field: NDVI"
    assert index_map(cube, "R801 / R403").name == "field: R801 / R403"


def test_a_wavelength_outside_names_the_range(cube: Cube) -> None:
    with pytest.raises(CubeError, match="1640 nm lies outside the range of field, 400 to 1000 nm"):
        index_map(cube, "NDMI")


def test_raman_shifts(cube: Cube) -> None:
    raman = cube.replace(spectral_unit="cm-1")
    assert np.allclose(index_map(raman, "R520 * 1").read()[0], raman.read()[12], equal_nan=True)


@pytest.mark.parametrize("name", INDICES)
def test_known_indices_can_be_read(name: str) -> None:
    assert Formula.read(INDICES[name]).wavelengths
