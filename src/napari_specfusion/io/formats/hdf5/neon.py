"""NEON airborne reflectance (AOP), in HDF5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.io.formats.hdf5.arrays import hdf_cube
from napari_specfusion.io.formats.hdf5.file import attribute, child, text, vector
from napari_specfusion.io.formats.hdf5.product import Product, band_fields
from napari_specfusion.io.metadata.units import fits_dtype, numbers, to_standard_unit

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["PRODUCT"]


def _site(file: Any) -> str | None:
    """Return the name of the site's group, such as "SJER"."""
    return next((str(name) for name in file if child(file, f"{name}/Reflectance/Reflectance_Data") is not None), None)


def _matches(file: Any) -> bool:
    return len(file) <= 16 and _site(file) is not None


def _read(path: Path, file: Any) -> Cube:
    site = _site(file)
    group = child(file, f"{site}/Reflectance")
    dataset = child(group, "Reflectance_Data")
    spectral = child(group, "Metadata/Spectral_Data")
    wavelengths = None if spectral is None else child(spectral, "Wavelength")
    fields = band_fields(dataset.shape[-1], wavelengths, None if spectral is None else child(spectral, "FWHM"))
    if "wavelengths" in fields:
        centres, factor, _, _ = to_standard_unit(fields["wavelengths"], attribute(wavelengths, "Units"))
        fields["wavelengths"] = centres
        if "fwhm" in fields:
            fields["fwhm"] = fields["fwhm"] * factor
        fields |= _good_bands(group, dataset, centres)
    scale = numbers([attribute(dataset, "Scale_Factor")])
    if scale is not None and scale[0] > 0:
        fields["scale"] = 1.0 / float(scale[0])
    fields["nodata"] = fits_dtype(attribute(dataset, "Data_Ignore_Value"), dataset.dtype)
    fields |= _geometry(child(group, "Metadata/Coordinate_System"))
    return hdf_cube(path, dataset, "yxb", name=path.stem, metadata={"product": "NEON AOP", "site": site}, **fields)


def _good_bands(group: Any, dataset: Any, wavelengths: Any) -> dict[str, Any]:
    """Mark the bands inside the product's water vapour windows as bad."""
    if wavelengths is None:
        return {}
    good, named = np.ones(wavelengths.size, bool), False
    for number in (1, 2):
        for item in (group, dataset):
            window = vector(attribute(item, f"Band_Window_{number}_Nanometers"))
            if window is not None and window.size == 2:
                good &= (wavelengths < window.min()) | (wavelengths > window.max())
                named = True
    return {"good_bands": good} if named else {}


def _geometry(group: Any) -> dict[str, Any]:
    """Return affine, pixel size and reference system from the map info, which is in ENVI style."""
    if group is None:
        return {}
    fields: dict[str, Any] = {}
    values = numbers((text(child(group, "Map_Info")) or "").split(",")[1:7])
    if values is not None and values.size == 6 and np.all(values[4:] > 0):
        column, row, x, y, width, height = (float(value) for value in values)
        fields["affine"] = (width, 0.0, x - (column - 1) * width, 0.0, -height, y + (row - 1) * height)
        fields["pixel_size"] = (height, width)
    code = (text(child(group, "EPSG Code")) or "").strip()
    if code.isdecimal():
        fields["crs"] = f"EPSG:{int(code)}"
    return fields


PRODUCT = Product("NEON AOP reflectance", _matches, _read)
