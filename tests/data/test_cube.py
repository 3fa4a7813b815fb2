"""What a cube promises about its numbers."""

from __future__ import annotations

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion.data.cube import METADATA_KEY, Cube
from napari_specfusion.errors import CubeError

WAVELENGTHS = np.array([450.0, 550.0, 650.0, 750.0])


def stored(dtype="u2", shape=(4, 5, 6)):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def layer_of(cube, **changes):
    """Return what napari makes of a cube, as far as this package looks at it."""
    data, keywords, kind = cube.layer_data()
    assert kind == "image"
    fields = {"data": data, "multiscale": False, **keywords, **changes}
    return SimpleNamespace(**fields)


# --- fields ------------------------------------------------------------------------


def test_fields():
    cube = Cube.from_array(stored(), wavelengths=list(WAVELENGTHS), good_bands=[1, 1, 0, 1], name="field")
    assert cube.shape == (4, 5, 6)
    assert (cube.bands, cube.dtype) == (4, np.uint16)
    np.testing.assert_array_equal(cube.wavelengths, WAVELENGTHS)
    np.testing.assert_array_equal(cube.good, [True, True, False, True])
    assert cube.band_at(640) == 1, "the nearest band is a bad one"
    assert Cube.from_array(stored()).good.all()
    assert "4 bands x 5 rows x 6 columns" in repr(cube) and "450-750 nm" in repr(cube)


def test_one_band_is_a_cube():
    assert Cube.from_array(np.ones((5, 6))).shape == (1, 5, 6)
    assert Cube.from_array(da.ones((5, 6))).shape == (1, 5, 6)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3, 4), complex), "complex"),
        (np.zeros((2, 3, 4), "U3"), "not numbers"),
        (np.zeros((2, 3, 4, 5)), "4 axes"),
        (np.zeros(7), "1 axes"),
        (np.zeros((0, 3, 4)), "empty"),
        (np.zeros((3, 0)), "axes|empty"),
        (da.zeros((2, 3, 0)), "empty"),
        (np.zeros((2, 3, 4), "M8[s]"), "not numbers"),
        (da.ones((4, 5, 6))[da.arange(4) > 1], "compute_chunk_sizes"),
        (np.ma.masked_less(np.arange(24).reshape(2, 3, 4), 3), "masked int64; give nodata"),
    ],
)
def test_arrays_that_make_no_cube(array, words):
    with pytest.raises(CubeError, match=words):
        Cube.from_array(array)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"wavelengths": [1.0, 2.0]}, "wavelengths has 2 entries for 4 bands"),
        ({"wavelengths": [1.0, 2.0, np.nan, 4.0]}, "NaN"),
        ({"wavelengths": ["red", "green", "blue", "nir"]}, "must be numbers"),
        ({"fwhm": [1.0]}, "fwhm"),
        ({"good_bands": np.ones((2, 2))}, "good_bands"),
        ({"scale": [1.0, 2.0]}, "scale"),
        ({"offset": np.zeros((4, 1))}, "offset"),
        ({"scale": "x"}, "scale is 'x'"),
        ({"spectral_unit": "um"}, "one of nm, cm-1"),
        ({"affine": (1.0, 2.0)}, "give 6 numbers"),
        ({"affine": (1, 0, 0, 0, 1, 0, 1, 0, 1)}, "give 6 numbers"),
        ({"pixel_size": 3.0}, "give 2 numbers"),
        ({"nodata": "none"}, "nodata is 'none'"),
        ({"nodata": [1, 2]}, "give one number"),
        ({"nodata": np.array("1970-01-01", "datetime64[s]")}, "nodata is .* not a number"),
        ({"scale": np.timedelta64(3, "s")}, "scale is .* not a number"),
        ({"nodata": 65 + 0j}, "nodata is .* not a number"),
        ({"crs": 32632}, "crs is 32632"),
    ],
)
def test_fields_that_do_not_fit(fields, words):
    with pytest.raises(CubeError, match=words):
        Cube.from_array(stored(), **fields)


def test_a_cube_without_wavelengths_has_no_band_at_one():
    with pytest.raises(CubeError, match="no wavelengths"):
        Cube.from_array(stored()).band_at(500)


# --- values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "floating"),
    [("u1", "f4"), ("i2", "f4"), ("u4", "f4"), ("f2", "f4"), (">f4", "f4"), ("?", "f4"), ("f8", "f8"), ("i8", "f8")],
)
def test_values_are_floating(dtype, floating):
    cube = Cube.from_array(stored(dtype))
    for values in (cube.values.compute(), cube.read(), cube.spectrum(1, 2)):
        assert values.dtype == floating
    np.testing.assert_array_equal(cube.read(), stored(dtype).astype(floating))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("scale", "offset"), [(0.5, -1.0), ([1, 2, 3, 4], 0.0), (1.0, [0, 1, 2, 3])])
def test_physical_values(lazy, scale, offset):
    array = stored("i2")
    array[1, 2, 3] = -32768
    cube = Cube.from_array(da.from_array(array) if lazy else array, scale=scale, offset=offset, nodata=-32768)
    expected = array * np.reshape(scale, (-1, 1, 1)) + np.reshape(offset, (-1, 1, 1)).astype(float)
    expected[1, 2, 3] = np.nan
    np.testing.assert_allclose(cube.values.compute(), expected, rtol=1e-6)
    np.testing.assert_allclose(cube.read(), expected, rtol=1e-6)
    np.testing.assert_allclose(cube.read(slice(1, 4), slice(2, 5)), expected[:, 1:4, 2:5], rtol=1e-6)
    np.testing.assert_allclose(cube.spectrum(2, 3), expected[:, 2, 3], rtol=1e-6)


def test_no_data_that_the_type_rounds_is_found():
    array = np.full((1, 2, 2), np.float32(-3.4e38))
    array[0, 0, 0] = 1
    assert np.isfinite(Cube.from_array(array, nodata=-3.4e38).read()).sum() == 1


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("dtype", "nodata"), [("f4", None), ("f8", 7.0), ("i2", -9999)])
def test_masked_values_are_missing(dtype, nodata, lazy):
    values = np.arange(60).reshape(3, 4, 5).astype(dtype)
    masked = np.ma.masked_greater(values, 50)
    cube = Cube.from_array(da.from_array(masked, chunks=(1, 4, 5)) if lazy else masked, nodata=nodata)
    wanted = np.where((values > 50) | (values == nodata), np.nan, values)
    np.testing.assert_array_equal(np.asarray(cube.values), wanted)
    np.testing.assert_array_equal(cube.read(), wanted)


def test_an_affine_of_nine_numbers_loses_its_last_row():
    assert Cube.from_array(stored(), affine=np.array([3, 0, 5, 0, -3, 7, 0, 0, 1])).affine == (3, 0, 5, 0, -3, 7)


@pytest.mark.parametrize(("y", "x"), [(-1, 0), (5, 0), (0, 6)])
def test_pixels_outside(y, x):
    with pytest.raises(CubeError, match="outside"):
        Cube.from_array(stored()).spectrum(y, x)


def test_contrast_limits_look_at_good_bands_and_valid_pixels():
    array = stored("f4")
    array[2] = 1e9
    array[0, 0] = np.nan
    low, high = Cube.from_array(array, good_bands=[1, 1, 0, 1]).contrast_limits()
    assert 0 <= low < high < 200
    assert Cube.from_array(np.full((2, 3, 3), np.nan)).contrast_limits() == (0.0, 1.0)
    assert Cube.from_array(np.full((2, 3, 3), 7)).contrast_limits() == (7.0, 8.0)


def test_a_sample_is_small():
    cube = Cube.from_array(da.ones((100, 3000, 2000), chunks=(1, 512, 512)))
    assert cube.sample(5).shape[0] == 5
    assert cube.sample(5).size < 5 * 130 * 130


# --- parts ------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_descending_wavelengths_are_turned_round(lazy):
    array = stored()
    cube = Cube.from_array(
        da.from_array(array) if lazy else array,
        wavelengths=WAVELENGTHS[::-1],
        fwhm=[1, 2, 3, 4],
        good_bands=[1, 0, 0, 0],
        scale=[1, 2, 3, 4],
        metadata={"band_names": ("a", "b", "c", "d")},
    )
    np.testing.assert_array_equal(cube.wavelengths, WAVELENGTHS)
    np.testing.assert_array_equal(cube.fwhm, [4, 3, 2, 1])
    np.testing.assert_array_equal(cube.good, [False, False, False, True])
    assert cube.metadata["band_names"] == ("d", "c", "b", "a")
    expected = (array * np.array([1, 2, 3, 4])[:, None, None])[::-1]
    np.testing.assert_array_equal(cube.read(), expected)
    np.testing.assert_array_equal(cube.values.compute(), expected)
    np.testing.assert_array_equal(cube.spectrum(3, 4), expected[:, 3, 4])


@pytest.mark.parametrize("bands", [[2, 0], np.array([True, False, True, False]), 1])
def test_select(bands):
    array = stored()
    cube = Cube.from_array(array, wavelengths=WAVELENGTHS, offset=[0, 1, 2, 3]).select(bands)
    index = np.arange(4)[bands] if np.ndim(bands) else np.array([bands])
    expected = array[index] + index[:, None, None]
    np.testing.assert_array_equal(cube.wavelengths, WAVELENGTHS[index])
    np.testing.assert_array_equal(cube.read(), expected)
    np.testing.assert_array_equal(cube.values.compute(), expected)


def test_a_mask_of_another_length():
    with pytest.raises(CubeError, match="one per band"):
        Cube.from_array(stored()).select(np.ones(3, bool))


@settings(max_examples=60, deadline=None)
@given(*[st.integers(0, 3)] * 2, *[st.integers(1, 3)] * 2, *[st.integers(-3, 8)] * 4)
def test_crops_of_crops(y, x, height, width, y0, y1, x0, x1):
    array = stored(shape=(2, 8, 9))
    cube = Cube.from_array(array, affine=(2.0, 0.0, 100.0, 0.0, -2.0, 50.0)).crop(
        slice(y, y + height), slice(x, x + width)
    )
    expected = array[:, y : y + height, x : x + width]
    rows, columns = slice(y0, y1), slice(x0, x1)
    np.testing.assert_array_equal(cube.read(rows, columns), expected[:, rows, columns])
    np.testing.assert_array_equal(cube.values[:, rows, columns].compute(), expected[:, rows, columns])
    np.testing.assert_array_equal(cube.spectrum(height - 1, width - 1), expected[:, -1, -1])
    assert cube.affine == (2.0, 0.0, 100.0 + 2 * x, 0.0, -2.0, 50.0 - 2 * y)


def test_a_window_with_gaps_is_no_window():
    with pytest.raises(CubeError, match="without a step"):
        Cube.from_array(stored()).crop(slice(0, 4, 2), slice(0, 2))


def test_an_empty_crop_is_no_cube():
    with pytest.raises(CubeError, match="empty"):
        Cube.from_array(stored()).crop(slice(3, 3), slice(0, 2))


# --- layers ---------------------------------------------------------------------------


def full_cube():
    return Cube.from_array(
        stored("i2"),
        wavelengths=WAVELENGTHS,
        spectral_unit="cm-1",
        fwhm=[5, 6, 7, 8],
        good_bands=[1, 1, 0, 1],
        nodata=3,
        scale=0.01,
        offset=0.5,
        pixel_size=(2.0, 2.0),
        affine=(2.0, 0.0, 0.0, 0.0, -2.0, 0.0),
        crs="EPSG:32632",
        name="field",
        metadata={"sensor": "x"},
    )


def test_a_layer_gives_its_cube_back():
    cube = full_cube()
    assert Cube.from_layer(layer_of(cube)) is cube
    _, keywords, _ = cube.layer_data()
    assert keywords["rgb"] is False and keywords["name"] == "field"
    assert keywords["metadata"][METADATA_KEY]["crs"] == "EPSG:32632"


@pytest.mark.parametrize("as_dask", [False, True])
def test_a_layer_with_new_pixels_keeps_the_description(as_dask):
    cube = full_cube()
    data = np.full(cube.shape, 7, np.float32)
    again = Cube.from_layer(layer_of(cube, data=da.from_array(data) if as_dask else data))
    assert again is not cube
    np.testing.assert_array_equal(again.read(), data)
    for key in ("wavelengths", "fwhm", "good_bands"):
        np.testing.assert_array_equal(getattr(again, key), getattr(cube, key))
    for key in ("spectral_unit", "pixel_size", "affine", "crs", "name"):
        assert getattr(again, key) == getattr(cube, key)
    assert dict(again.metadata) == dict(cube.metadata)


def test_a_layer_of_other_bands_loses_wavelengths_that_are_not_its_own():
    layer = layer_of(full_cube(), data=np.ones((3, 5, 6), np.float32))
    assert Cube.from_layer(layer).wavelengths is None


def test_a_multiscale_layer_is_its_finest_level():
    cube = full_cube()
    levels = [cube.values, cube.values[:, ::2, ::2]]
    assert Cube.from_layer(layer_of(cube, data=levels, multiscale=True)) is cube


@pytest.mark.parametrize("as_dask", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_picture_becomes_three_bands(channels, as_dask):
    picture = stored("u1", (5, 6, channels))
    data = da.from_array(picture) if as_dask else picture
    cube = Cube.from_layer(SimpleNamespace(data=data, multiscale=False, rgb=True, metadata={}, name="photo"))
    assert cube.name == "photo"
    np.testing.assert_array_equal(cube.read(), np.moveaxis(picture[..., :3], -1, 0))


def test_a_layer_of_many_axes_is_no_cube():
    with pytest.raises(CubeError, match="4 axes"):
        Cube.from_layer(SimpleNamespace(data=np.zeros((2, 3, 4, 5)), multiscale=False, rgb=False, metadata={}, name=""))


def test_exchanged_data_are_what_is_read() -> None:
    cube = Cube.from_array(np.ones((3, 4, 5), np.float32))
    doubled = cube.replace(data=cube.data * 2)
    assert np.all(doubled.read() == 2)
    assert np.all(doubled.spectrum(1, 2) == 2)


# --- as a picture ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bands", "fields", "expected"),
    [
        (31, {"wavelengths": np.arange(400, 701, 10)}, (24, 15, 6)),
        (31, {"wavelengths": np.arange(400, 701, 10), "good_bands": np.arange(31) != 24}, (23, 15, 6)),
        # reaches not quite to red, but nearly
        (31, {"wavelengths": np.linspace(480, 620, 31)}, (30, 15, 0)),
        # no colours: infrared, Raman shifts that have the numbers of colours, nothing known
        (31, {"wavelengths": np.arange(1000, 1301, 10)}, (25, 15, 4)),
        (31, {"wavelengths": np.arange(400, 701, 10), "spectral_unit": "cm-1"}, (25, 15, 4)),
        (31, {}, (25, 15, 4)),
        (31, {"good_bands": np.arange(31) < 11}, (8, 5, 1)),
        # three are a picture already
        (3, {}, (0, 1, 2)),
        (3, {"wavelengths": [460, 550, 640]}, (2, 1, 0)),
        (3, {"wavelengths": [850, 1200, 1600]}, (2, 1, 0)),
        (2, {}, (0, 0, 0)),
        (1, {"wavelengths": [550]}, (0, 0, 0)),
    ],
)
def test_the_bands_of_a_picture(bands, fields, expected):
    assert Cube.from_array(np.ones((bands, 2, 2)), **fields).rgb_bands() == expected


def test_the_bands_of_a_picture_in_false_colours():
    cube = Cube.from_array(np.ones((31, 2, 2)), wavelengths=np.arange(1000, 1301, 10))
    assert cube.rgb_bands((1300, 1100, 1000)) == (30, 10, 0)
    assert cube.select([0, 1, 2]).rgb_bands((1000, 1020, 1010)) == (0, 2, 1)
    with pytest.raises(CubeError, match="takes three"):
        cube.rgb_bands((1300, 1100))
