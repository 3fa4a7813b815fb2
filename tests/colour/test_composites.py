from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.colour.composites import COMBINATIONS, composite, true_colour
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError

WAVELENGTHS = np.arange(400.0, 721, 10)


def spectra(*rows: np.ndarray, **fields: object) -> Cube:
    """Return a cube of one column, a spectrum per row."""
    return Cube.from_array(np.stack(rows, axis=1)[:, :, None].astype(np.float32), wavelengths=WAVELENGTHS, **fields)


def light(centre: float) -> np.ndarray:
    return np.exp(-0.5 * ((WAVELENGTHS - centre) / 12) ** 2)


def test_known_spectra_have_their_colours() -> None:
    picture = true_colour(spectra(np.full(len(WAVELENGTHS), 0.3), light(450), light(550), light(650)), 0)
    grey, blue, green, red = picture.read()[:, :, 0].T
    assert np.allclose(grey, grey[0], atol=1e-4) and 0 < grey[0] < 1
    assert blue.argmax() == 2 and blue[2] > 2 * blue[1]
    assert green.argmax() == 1 and green[1] > 1.5 * green[2]
    assert red.argmax() == 0 and red[0] > 2 * max(red[1:])
    assert picture.band_names == ("red", "green", "blue") and picture.rgb_bands() == (0, 1, 2)
    assert picture.name == "cube: true colour" and picture.wavelengths is None


def test_bad_bands_are_bridged_and_missing_pixels_stay_missing() -> None:
    flat = np.full(len(WAVELENGTHS), 0.5)
    spoilt, missing = flat.copy(), flat.copy()
    spoilt[5], missing[10] = 1e6, np.nan
    cube = spectra(spoilt, missing, good_bands=np.arange(len(WAVELENGTHS)) != 5, pixel_size=(2, 2), crs="EPSG:32632")
    picture = true_colour(cube, 0)
    values = picture.read()[:, :, 0]
    assert np.allclose(values[:, 0], 1, atol=1e-5) and np.isnan(values[:, 1]).all()
    assert picture.pixel_size == (2, 2) and picture.crs == "EPSG:32632"


@pytest.mark.parametrize(
    ("wavelengths", "said"),
    [
        (np.linspace(900, 2500, 20), "900 to 2500 nm"),
        (np.linspace(500, 900, 20), "500 to 900 nm"),
        (np.array([450.0, 550, 650]), "100 nm apart"),
        (None, "no wavelengths in nm"),
    ],
)
def test_true_colour_needs_what_the_eye_sees(wavelengths: np.ndarray | None, said: str) -> None:
    cube = Cube.from_array(np.ones((3 if wavelengths is None else len(wavelengths), 4, 4)), wavelengths=wavelengths)
    with pytest.raises(CubeError, match=said):
        true_colour(cube)


def test_a_composite_is_its_three_bands() -> None:
    values = np.random.default_rng(1).random((len(WAVELENGTHS), 8, 9)).astype(np.float32)
    values[3, 0, 0] = np.nan
    cube = Cube.from_array(values, wavelengths=WAVELENGTHS, name="scene")
    picture = composite(cube, (702, 588, 431), 0)
    assert picture.metadata["rgb_wavelengths"] == [700, 590, 430] and picture.name == "scene: 700, 590, 430 nm"
    for found, band in zip(picture.read(), (30, 19, 3), strict=True):
        low, high = np.nanmin(values[band]), np.nanmax(values[band])
        expected = (values[band] - low) / (high - low)
        kept = np.isfinite(values[3])
        assert np.allclose(found[kept], expected[kept], atol=1e-2)
    assert np.isnan(picture.read()[2, 0, 0])


def test_combinations_have_names() -> None:
    wide = Cube.from_array(np.random.default_rng(0).random((43, 4, 4)), wavelengths=np.linspace(400, 2500, 43))
    for name in COMBINATIONS:
        assert composite(wide, name).name == f"cube: {name}"
        assert composite(wide, COMBINATIONS[name]).name == f"cube: {name}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("colour infrared",), "850 nm lies outside .* 400 to 720 nm"),
        (("sepia",), "give three numbers, or one of natural"),
        (((500, 600),), "shape"),
        (("natural", 26), "25"),
    ],
)
def test_what_is_refused(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(CubeError, match=said):
        composite(spectra(light(550)), *arguments)  # type: ignore[arg-type]
