"""What a cube says to xarray. That nothing is lost on the way back is tested with the reader, in io."""

from __future__ import annotations

import sys

import dask.array as da
import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError


def cube_of(data, **fields):
    place = {"affine": (30.0, 0.0, 500.0, 0.0, -20.0, 900.0), "crs": "EPSG:32632"}
    return Cube.from_array(data, wavelengths=[450.0, 550.0, 650.0], name="field", **{**place, **fields})


def test_values_are_physical_and_lazy():
    def fail(block):
        raise AssertionError("read")

    lazy = da.ones((3, 4, 5), chunks=2, dtype="u2").map_blocks(fail, dtype="u2")
    assert cube_of(lazy, nodata=1).to_xarray().chunks is not None
    array = cube_of(np.full((3, 4, 5), 8, "u2"), scale=0.5, nodata=9).to_xarray()
    assert array.dtype == np.float32 and (array == 4).all()


def test_coordinates_and_attributes():
    array = cube_of(np.ones((3, 4, 5)), fwhm=[1, 2, 3], good_bands=[1, 0, 1], metadata={"units": "1"}).to_xarray()
    assert array.name == "field" and array.dims == ("wavelength", "y", "x")
    assert array.wavelength.attrs["units"] == "nm"
    assert array.sel(wavelength=540, method="nearest").fwhm == 2
    assert array.good_bands.dtype == bool
    assert array.x.values.tolist() == [515, 545, 575, 605, 635]
    assert array.y.values.tolist() == [890, 870, 850, 830]
    assert array.attrs == {"units": "1"}


def test_the_reference_system_is_written_as_wkt():
    pytest.importorskip("pyproj")
    reference = cube_of(np.ones((3, 4, 5))).to_xarray().spatial_ref.attrs
    assert reference["crs_wkt"].startswith("PROJCRS[") and reference["spatial_ref"] == "EPSG:32632"
    assert reference["GeoTransform"] == "500.0 30.0 0.0 900.0 0.0 -20.0"
    unknown = cube_of(np.ones((3, 4, 5)), crs="local grid").to_xarray().spatial_ref.attrs
    assert unknown["crs_wkt"] == "local grid"


def test_bands_without_wavelengths_are_bands():
    array = Cube.from_array(np.ones((3, 4, 5))).to_xarray()
    assert array.dims == ("band", "y", "x") and not array.coords and not array.attrs


def test_without_xarray_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(CubeError, match=r'pip install "napari-specfusion\[xarray\]"'):
        Cube.from_array(np.ones((3, 4, 5))).to_xarray()
