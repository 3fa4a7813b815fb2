"""DataArrays become cubes, and cubes that were DataArrays for a while know all that they knew."""

from __future__ import annotations

from itertools import permutations

import dask.array as da
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError
from napari_specfusion.io import as_cube

VALUES = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
WAVELENGTHS = np.array([450.0, 550.0, 650.0, 750.0])
WKT = 'PROJCS["WGS 84 / UTM zone 32N",GEOGCS["WGS 84"]]'


def labelled(dims=("wavelength", "y", "x"), coords=None, attrs=None, values=VALUES):
    return xarray.DataArray(values, coords or {}, dims, "field", attrs)


def full_cube(**changes):
    fields = {
        "wavelengths": WAVELENGTHS,
        "fwhm": [10.0, 11.0, 12.0, 13.0],
        "good_bands": [True, False, True, True],
        "nodata": 7.0,
        "scale": 0.1,
        "offset": [0.0, 1.0, 2.0, 3.0],
        "affine": (30.0, 0.0, 500000.3, 0.0, -30.0, 5.4e6 + 0.1),
        "pixel_size": (30.0, 30.0),
        "crs": "EPSG:32632",
        "name": "field",
        "metadata": {
            "band_names": ("a", "b", "c", "d"),
            "units": "reflectance",
            "long_name": "surface reflectance",
            # these would be taken for what they say about stored values
            "scale_factor": 2.0,
            "transform": "log",
            "crs": "local",
            "header": {"lines": 5},
        },
    }
    return Cube.from_array(VALUES.astype("u2"), **(fields | changes))


def assert_same(cube, again):
    np.testing.assert_array_equal(cube.values.compute(), again.values.compute())
    for key, value in cube.describe().items():
        if key not in {"nodata", "scale", "offset", "metadata"}:  # applied: the values are the physical ones
            np.testing.assert_equal(getattr(again, key), value, err_msg=key)
    assert again.nodata is None and again.is_physical
    assert again.metadata == cube.metadata


# --- there and back ----------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"wavelengths": None, "fwhm": None},
        {"wavelengths": WAVELENGTHS, "spectral_unit": "cm-1"},
        {"good_bands": None, "metadata": {}, "nodata": None},
        {"crs": None},
        {"crs": WKT},
        {"affine": None},
        {"affine": None, "pixel_size": None, "crs": None},
        {"affine": None, "pixel_size": (2.0, 3.0)},
        {"pixel_size": (5.0, 6.0)},
        {"affine": (1.0, 0.0, -0.5, 0.0, 1.0, -0.5), "pixel_size": (1.0, 1.0), "crs": None},
        {"affine": (20.0, 5.0, 100.0, 5.0, -20.0, 200.0), "pixel_size": tuple(np.hypot([5.0, 20.0], [-20.0, 5.0]))},
    ],
)
def test_a_cube_comes_back_field_by_field(changes):
    cube = full_cube(**changes)
    assert_same(cube, as_cube(cube.to_xarray()))


@settings(max_examples=40, deadline=None)
@given(
    a=st.floats(1e-5, 1e4),
    e=st.floats(1e-5, 1e4),
    c=st.floats(-1e7, 1e7),
    f=st.floats(-1e7, 1e7),
    up=st.booleans(),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_the_place_comes_back_exactly(a, e, c, f, up, shape):
    affine = (a, 0.0, c, 0.0, e if up else -e, f)
    cube = Cube.from_array(np.ones(shape), affine=affine, pixel_size=(e, a), crs="EPSG:32632")
    again = as_cube(cube.to_xarray())
    assert (again.affine, again.crs) == (cube.affine, cube.crs)
    assert again.pixel_size == pytest.approx(cube.pixel_size)


@pytest.mark.parametrize("affine", [(30.0, 0.0, 500.0, 0.0, -30.0, 900.0), (20.0, 5.0, 100.0, 5.0, -20.0, 200.0)])
def test_a_part_of_an_array_lies_where_the_cropped_cube_does(affine):
    cube = full_cube(affine=affine)
    part = as_cube(cube.to_xarray().isel(y=slice(1, 4), x=slice(2, 6), wavelength=[0, 2]))
    wanted = cube.select([0, 2]).crop(slice(1, 4), slice(2, 6))
    np.testing.assert_array_equal(part.values.compute(), wanted.values.compute())
    np.testing.assert_allclose(part.affine, wanted.affine)
    np.testing.assert_array_equal(part.fwhm, wanted.fwhm)
    assert part.band_names == ("a", "c")


def test_every_second_pixel_is_twice_as_large():
    part = as_cube(full_cube(affine=(20.0, 5.0, 100.0, 5.0, -20.0, 200.0)).to_xarray().isel(y=slice(1, None, 2)))
    a, b, c, d, e, f = part.affine
    assert (b, e) == (10.0, -40.0)
    # the centre of its first pixel is that of the second row
    np.testing.assert_allclose((c + a / 2 + b / 2, f + d / 2 + e / 2), (100 + 10 + 7.5, 200 + 2.5 - 30))


# --- dimensions --------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("names", [("band", "y", "x"), ("Wavelength", "lat", "lon"), ("c", "row", "column")])
@pytest.mark.parametrize("lazy", [False, True])
def test_dimensions_in_any_order(order, names, lazy):
    values = da.from_array(VALUES) if lazy else VALUES
    cube = as_cube(labelled([names[axis] for axis in order], values=values.transpose(order)))
    np.testing.assert_array_equal(cube.read(), VALUES)
    assert (cube.source is None) is lazy


@pytest.mark.parametrize(
    "dims", [("dim_0", "dim_1", "dim_2"), ("feature", "y", "x"), ("band", "a", "b"), ("band", "y", "b")]
)
def test_dimensions_with_one_meaning_left(dims):
    np.testing.assert_array_equal(as_cube(labelled(dims)).read(), VALUES)


def test_one_plane_is_one_band():
    array = full_cube().to_xarray()
    plane = as_cube(array.isel(wavelength=2))
    assert plane.shape == (1, 5, 6)
    assert plane.wavelengths.tolist() == [650] and plane.fwhm.tolist() == [12]
    assert as_cube(labelled(("y", "x"), values=VALUES[0])).shape == (1, 5, 6)
    one = as_cube(array.expand_dims(time=1).transpose("y", "time", "wavelength", "x"))
    assert one.shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (labelled(("a", "b", "c_")), "rename them to 'wavelength', 'y' and 'x'"),
        (labelled(("wavelength", "x"), values=VALUES[0]), "wavelength: 5, x: 6"),
        (labelled(("time", "wavelength", "y", "x"), values=VALUES[None].repeat(2, 0)), r"isel\(time=0\)"),
        (labelled(("band", "wavelength", "y")), "2 dimensions that could be band"),
        (labelled(("y", "x", "channel"), values=VALUES.astype(complex)), "complex"),
    ],
)
def test_what_is_no_image_is_refused(array, words):
    with pytest.raises(CubeError, match=words):
        as_cube(array)


def test_a_dataset_is_asked_for_one_of_its_arrays():
    with pytest.raises(CubeError, match="'data', 'mask'"):
        as_cube(xarray.Dataset({"data": labelled(), "mask": labelled()}))


# --- bands -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "attrs", "unit", "expected"),
    [
        ("wavelength", WAVELENGTHS, {"units": "nm"}, "nm", WAVELENGTHS),
        ("wavelength", WAVELENGTHS / 1000, {"units": "µm"}, "nm", WAVELENGTHS),
        ("wavelength", WAVELENGTHS / 1000, {"units": "micrometers"}, "nm", WAVELENGTHS),
        ("wavelength", WAVELENGTHS * 1e-9, {"units": "m"}, "nm", WAVELENGTHS),
        ("wavelength", WAVELENGTHS, {}, "nm", WAVELENGTHS),
        ("wavelength", WAVELENGTHS / 1000, {}, "nm", WAVELENGTHS),
        ("band", WAVELENGTHS / 1000, {"standard_name": "radiation_wavelength", "units": "um"}, "nm", WAVELENGTHS),
        ("band", WAVELENGTHS, {}, "nm", WAVELENGTHS),
        ("band", [450, 550, 650, 750], {"units": "nm"}, "nm", WAVELENGTHS),
        ("band", ["blue 450 nm", "550 nm", "650 nm", "750 nm"], {}, "nm", WAVELENGTHS),
        ("wavenumber", [500.0, 600.0, 700.0, 800.0], {}, "cm-1", [500, 600, 700, 800]),
        ("raman_shift", [500.0, 600.0, 700.0, 800.0], {"units": "1/cm"}, "cm-1", [500, 600, 700, 800]),
        # whole numbers may count the bands, also those that are left of them
        ("band", [1, 2, 3, 4], {}, "nm", None),
        ("band", [110, 120, 130, 140], {}, "nm", None),
        ("band", ["B1", "B2", "B3", "B4"], {}, "nm", None),
        ("wavelength", [450.0, np.nan, 650.0, 750.0], {"units": "nm"}, "nm", None),
        ("wavelength", WAVELENGTHS, {"units": "seconds"}, "nm", None),
    ],
)
def test_wavelengths(name, values, attrs, unit, expected):
    cube = as_cube(labelled((name, "y", "x"), {name: (name, values, attrs)}))
    assert cube.spectral_unit == unit
    if expected is None:
        assert cube.wavelengths is None
    else:
        np.testing.assert_allclose(cube.wavelengths, expected)


@pytest.mark.parametrize(
    ("values", "attrs", "words"),
    [
        (WAVELENGTHS, {}, "read as nanometres"),
        (WAVELENGTHS, {"units": "seconds"}, "'seconds' were left out"),
        ([450.0, np.nan, 650.0, 750.0], {"units": "nm"}, "wavelength were left out: they are not finite"),
    ],
)
def test_what_is_guessed_or_left_out_is_noted(values, attrs, words):
    (note,) = as_cube(labelled(coords={"wavelength": ("wavelength", values, attrs)})).metadata["notes"]
    assert words in note
    known = labelled(coords={"wavelength": ("wavelength", WAVELENGTHS, {"units": "nm"})})
    assert "notes" not in as_cube(known).metadata


def test_wavelengths_that_fall_are_turned_round():
    cube = as_cube(labelled(coords={"wavelength": WAVELENGTHS[::-1], "band_names": ("wavelength", list("dcba"))}))
    np.testing.assert_array_equal(cube.wavelengths, WAVELENGTHS)
    np.testing.assert_array_equal(cube.read(), VALUES[::-1])
    assert cube.band_names == tuple("abcd")


def test_wavelengths_beside_the_bands_as_emit_has_them():
    coords = {
        "wavelengths": ("bands", WAVELENGTHS / 1000, {"units": "um"}),
        "fwhm": ("bands", [0.01] * 4),
        "good_wavelengths": ("bands", [1.0, 0.0, 1.0, 1.0]),
    }
    cube = as_cube(labelled(("downtrack", "crosstrack", "bands"), coords, values=VALUES.transpose(1, 2, 0)))
    np.testing.assert_allclose(cube.wavelengths, WAVELENGTHS)
    np.testing.assert_allclose(cube.fwhm, 10)
    assert cube.good_bands.tolist() == [True, False, True, True]


def test_widths_and_good_bands_may_be_attributes():
    attrs = {
        "fwhm": [0.01, 0.02, 0.03, 0.04],
        "bbl": (1, 1, 0, 1),
        "long_name": ("a", "b", "c", "d"),
        "instrument": "X",
    }
    cube = as_cube(labelled(coords={"wavelength": ("wavelength", WAVELENGTHS / 1000, {"units": "um"})}, attrs=attrs))
    np.testing.assert_allclose(cube.fwhm, [10, 20, 30, 40])
    assert cube.good_bands.tolist() == [True, True, False, True]
    assert cube.band_names == ("a", "b", "c", "d")
    assert cube.metadata["instrument"] == "X" and "fwhm" not in cube.metadata


# --- values ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fill", [{"_FillValue": 3}, {"nodata": 3.0}, {"missing_value": np.int16(3)}, {"nodatavals": (3, 3)}]
)
def test_stored_values_become_physical_ones(fill):
    cube = as_cube(labelled(attrs={"scale_factor": 0.5, "add_offset": 1.0, **fill}, values=VALUES.astype("i2")))
    assert (cube.dtype, cube.nodata, cube.scale, cube.offset) == (np.int16, 3, 0.5, 1)
    expected = VALUES * 0.5 + 1
    expected[VALUES == 3] = np.nan
    np.testing.assert_allclose(cube.read(), expected)


@pytest.mark.parametrize("attrs", [{"_FillValue": np.nan}, {"_FillValue": 1e9}, {"nodata": "none"}, {"nodata": None}])
def test_fill_values_that_say_nothing(attrs):
    assert as_cube(labelled(attrs=attrs, values=VALUES.astype("i2"))).nodata is None


def test_attributes_of_any_kind_are_no_reason_to_fail():
    odd = [[1], [1, 2]]
    attrs = dict.fromkeys(("fwhm", "scale_factor", "_FillValue", "transform", "pixel_size", "bbl"), odd) | {3: "three"}
    cube = as_cube(labelled(attrs=attrs))
    assert cube.is_physical and cube.fwhm is None and cube.affine is None
    assert cube.metadata == {"3": "three"}


# --- place -------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [("y", "x"), ("latitude", "longitude")])
def test_coordinates_are_the_centres_of_pixels(dims):
    coords = {dims[0]: 90 - 0.25 * np.arange(5), dims[1]: 10 + 0.5 * np.arange(6)}
    cube = as_cube(labelled(("band", *dims), coords))
    assert cube.affine == (0.5, 0, 9.75, 0, -0.25, 90.125)
    assert cube.pixel_size == (0.25, 0.5)


def test_coordinates_in_float32_are_even_enough():
    coords = {"lat": (45 + 3e-4 * np.arange(5)).astype("f4"), "lon": (120 - 3e-4 * np.arange(6)).astype("f4")}
    np.testing.assert_allclose(as_cube(labelled(("band", "lat", "lon"), coords)).pixel_size, 3e-4, rtol=0.02)


@pytest.mark.parametrize(
    ("coords", "noted"),
    [
        ({}, False),
        ({"y": np.arange(5), "x": np.arange(6)}, False),
        ({"y": [0, 1, 2, 3, 7], "x": np.arange(6)}, True),
        ({"y": list("abcde"), "x": np.arange(6)}, False),
        ({"y": np.full(5, 2.0), "x": np.arange(6)}, True),
    ],
)
def test_coordinates_that_are_no_place(coords, noted):
    cube = as_cube(labelled(("band", "y", "x"), coords))
    assert cube.affine is None
    assert ("notes" in cube.metadata) is noted


def test_a_cut_that_left_an_old_transform_behind_lies_where_its_coordinates_say():
    reference = xarray.DataArray(0, attrs={"crs_wkt": WKT, "GeoTransform": "100 10 0 500 0 -10"})
    array = labelled(("band", "y", "x"), {"y": 495 - 10.0 * np.arange(5), "x": 105 + 10.0 * np.arange(6)})
    array = array.assign_coords(spatial_ref=reference)
    assert as_cube(array).affine == (10, 0, 100, 0, -10, 500)
    assert as_cube(array.isel(x=slice(2, None))).affine == (10, 0, 120, 0, -10, 500)
    assert as_cube(array.isel(x=[3], y=[1])).affine == (10, 0, 130, 0, -10, 490)
    assert as_cube(array.drop_vars(["x", "y"])).affine == (10, 0, 100, 0, -10, 500)


@pytest.mark.parametrize("name", ["spatial_ref", "crs", "utm"])
def test_the_reference_system_has_several_homes(name):
    array = labelled(("band", "y", "x")).assign_coords({name: xarray.DataArray(0, attrs={"crs_wkt": WKT})})
    if name == "utm":
        array.attrs["grid_mapping"] = name
    assert as_cube(array).crs == WKT
    assert as_cube(labelled(attrs={"crs": "EPSG:4326"})).crs == "EPSG:4326"


# --- what as_cube adds -------------------------------------------------------------


def test_given_name_and_wavelengths_win():
    cube = as_cube(full_cube().to_xarray(), wavelengths=[1.0, 2.0, 3.0, 4.0], name="other")
    assert cube.name == "other" and cube.wavelengths.tolist() == [1, 2, 3, 4]
    assert as_cube(xarray.DataArray(VALUES)).name == "cube"


def test_arrays_in_other_clothes_are_arrays():
    array = labelled()
    array.data = np.ma.masked_equal(VALUES, 3)
    assert as_cube(array).shape == (4, 5, 6)
