"""A cube as an xarray DataArray; `napari_specfusion.io.metadata.data_array` converts it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import CubeError, needs_extra

if TYPE_CHECKING:
    import xarray

    from napari_specfusion.data.cube import Cube

__all__ = ["CLASHING", "KEPT_APART", "pixel_size_of", "to_data_array"]

CLASHING = frozenset(
    {
        "_FillValue", "add_offset", "band_names", "bbl", "crs", "fwhm", "good_bands", "good_wavelengths",
        "grid_mapping", "missing_value", "nodata", "nodatavals", "offsets", "pixel_size", "scale_factor", "scales",
        "transform",
    }
)  # fmt: skip
"""Attributes with a meaning of their own: metadata under these names would be misread."""
KEPT_APART = "specfusion_metadata"
"""The attribute that holds metadata under such names."""


def to_data_array(cube: Cube) -> xarray.DataArray:
    """Return `cube` as a labelled array, as `Cube.to_xarray` describes it."""
    try:
        import xarray
    except ImportError as error:
        raise CubeError(f"to_xarray {needs_extra('xarray')}.") from error
    spectral = "band" if cube.wavelengths is None else "wavelength"
    metadata = dict(cube.metadata)
    coords: dict[str, Any] = _place(cube)
    if cube.wavelengths is not None:
        coords["wavelength"] = (spectral, cube.wavelengths, {"units": cube.spectral_unit})
    if cube.fwhm is not None:
        coords["fwhm"] = (spectral, cube.fwhm, {"units": cube.spectral_unit})
    if cube.good_bands is not None:
        coords["good_bands"] = (spectral, cube.good_bands)
    if names := cube.band_names:
        del metadata["band_names"]
        coords["band_names"] = (spectral, np.array(names, dtype=object))
    attrs = {key: value for key, value in metadata.items() if key not in CLASHING}
    if apart := {key: value for key, value in metadata.items() if key in CLASHING}:
        attrs[KEPT_APART] = apart
    if cube.pixel_size is not None and (cube.affine is None or cube.pixel_size != pixel_size_of(cube.affine)):
        attrs["pixel_size"] = cube.pixel_size
    array = xarray.DataArray(cube.values, coords, (spectral, "y", "x"), cube.name, attrs)
    if "spatial_ref" in coords:
        array.encoding["grid_mapping"] = "spatial_ref"
    return array


def pixel_size_of(affine: tuple[float, ...]) -> tuple[float, float]:
    """Return the size (y, x) of a pixel that an affine implies."""
    a, b, _, d, e, _ = affine
    return float(np.hypot(b, e)), float(np.hypot(a, d))


def _place(cube: Cube) -> dict[str, Any]:
    """Return the coordinates of the pixels."""
    coords: dict[str, Any] = {}
    reference: dict[str, str] = {} if cube.crs is None else {"spatial_ref": cube.crs, "crs_wkt": _wkt(cube.crs)}
    if cube.affine is not None:
        a, b, c, d, e, f = cube.affine
        # in GDAL's order, with all digits; the coordinates themselves are rounded
        reference["GeoTransform"] = " ".join(repr(v) for v in (c, a, b, f, d, e))
        rows, columns = (np.arange(n, dtype=np.float64) for n in cube.shape[1:])
        if b == d == 0:
            coords = {"y": f + e * (rows + 0.5), "x": c + a * (columns + 0.5)}
        else:
            # The axes of a rotated image are not map coordinates. Row and column show which part a selection kept.
            coords = {"row": ("y", rows), "column": ("x", columns)}
    if reference:
        coords["spatial_ref"] = ((), 0, reference)
    return coords


def _wkt(crs: str) -> str:
    """Return a reference system as WKT, or unchanged if pyproj is needed and not installed."""
    if "[" in crs:
        return crs
    try:
        from pyproj import CRS
        from pyproj.exceptions import CRSError
    except ImportError:
        return crs
    try:
        return str(CRS.from_user_input(crs).to_wkt())
    except CRSError:
        return crs
