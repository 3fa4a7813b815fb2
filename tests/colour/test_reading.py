from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_specfusion import memory
from napari_specfusion.colour.reading import band_near, mapped, mean_spectrum, stretched, watch_of
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import Cancelled, CubeError


def cube_of(wavelengths: list[float], **fields: object) -> Cube:
    return Cube.from_array(np.ones((len(wavelengths), 4, 5), np.float32), wavelengths=wavelengths, **fields)


def test_the_nearest_good_band() -> None:
    cube = cube_of([400, 500, 510, 600], good_bands=[True, False, True, True])
    assert band_near(cube, 501) == 2


@pytest.mark.parametrize("wavelength", [380, 720])
def test_a_wavelength_outside_names_the_range(wavelength: float) -> None:
    with pytest.raises(CubeError, match="400 to 700 nm"):
        band_near(cube_of([400, 410, 420, 690, 700]), wavelength)


def test_a_gap_names_the_nearest_band() -> None:
    cube = cube_of([*range(1300, 1600, 10)], good_bands=[not 1350 < w < 1450 for w in range(1300, 1600, 10)])
    with pytest.raises(CubeError, match="no good band near 1400 nm: the nearest is 1350 nm"):
        band_near(cube, 1400)


def test_a_cube_without_wavelengths() -> None:
    with pytest.raises(CubeError, match="has no wavelengths"):
        band_near(Cube.from_array(np.ones((3, 4, 5))), 500)


def test_strips_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((4, 13, 5)).astype(np.float32)
    monkeypatch.setattr(memory, "STRIP", 8 * (2 + 1) * 5 * 3)
    heard = []
    watch = watch_of(lambda step: heard.append((step.done, step.total)), None)
    found = mapped(Cube.from_array(values), [3, 1], 1, lambda v: v[:1] - v[1:], watch, "Working")
    assert np.array_equal(found[0], values[3] - values[1])
    assert heard == [(i, 5) for i in range(5)]


def test_reading_stops_on_request() -> None:
    with pytest.raises(Cancelled):
        mapped(cube_of([1, 2]), [0], 1, lambda v: v, watch_of(None, lambda: True), "Working")


def test_channels_are_stretched_between_their_percentiles() -> None:
    image = np.stack([np.arange(101.0), 5 - np.arange(101.0)]).reshape(2, 1, 101).astype(np.float32)
    image[:, 0, 50] = np.nan
    stretched(image, 10)
    assert np.isnan(image[:, 0, 50]).all()
    assert np.allclose(np.nanmin(image, axis=(1, 2)), 0) and np.allclose(np.nanmax(image, axis=(1, 2)), 1)
    assert 9 <= np.sum(image[0] == 0) <= 11 and 9 <= np.sum(image[0] == 1) <= 11


def test_stretched_together_colours_stay() -> None:
    image = np.random.default_rng(0).uniform(1, 4, (3, 20, 20)).astype(np.float32)
    before = image.copy()
    stretched(image, 0, together=True)
    assert np.allclose(image, before / before.max())


def test_an_image_without_values_stays_empty() -> None:
    image = np.full((3, 2, 2), np.nan, np.float32)
    stretched(image, 2)
    assert np.isnan(image).all()


class Counting:
    """An array on a disk that counts what is read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.read = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, at: tuple[slice, ...]) -> np.ndarray:
        self.read += self.values[at].size
        return self.values[at]


def test_few_bands_are_read_one_by_one() -> None:
    """A source reads all bands of a window: a picture of three must not."""
    values = np.random.default_rng(0).random((60, 6, 5)).astype(np.float32)
    array = Counting(values)
    cube = Cube(da.from_array(array, chunks=(1, 6, 5), name="counted"), source=ArraySource(array))
    found = mapped(cube, [7, 2], 2, lambda v: v, watch_of(None, None), "Working")
    assert np.array_equal(found, values[[7, 2]])
    assert array.read == 2 * 6 * 5


def test_a_mean_spectrum_of_good_bands() -> None:
    values = np.arange(200.0)[:, None, None] + np.random.default_rng(0).random((200, 5, 6)) - 0.5
    values[3, 2, 2], values[9] = np.nan, np.nan
    good = np.arange(200) != 5
    waves, means = mean_spectrum(Cube.from_array(values, wavelengths=np.arange(400.0, 600), good_bands=good))
    assert len(waves) == 128 and 405 not in waves
    assert np.allclose(means[waves != 409], waves[waves != 409] - 400, atol=0.5)
    assert np.isnan(means[waves == 409]).all()
    with pytest.raises(CubeError, match="no wavelengths"):
        mean_spectrum(Cube.from_array(values))
