"""Planet's Tanager: radiance and surface reflectance, basic (swath) and ortho (grid), in HDF-EOS 5."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_specfusion.io.formats.hdf5.arrays import hdf_cube
from napari_specfusion.io.formats.hdf5.file import attribute, child, text
from napari_specfusion.io.formats.hdf5.product import Product, band_fields
from napari_specfusion.io.metadata.units import fits_dtype

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["PRODUCT"]

_GROUPS = ("HDFEOS/GRIDS/HYP", "HDFEOS/SWATHS/HYP")
_DATASETS = ("surface_reflectance", "ortho_surface_reflectance", "toa_radiance", "ortho_radiance")


def _dataset(file: Any) -> Any:
    names = (f"{group}/Data Fields/{name}" for group in _GROUPS for name in _DATASETS)
    return next((item for item in (child(file, name) for name in names) if item is not None), None)


def _matches(file: Any) -> bool:
    return len(getattr(_dataset(file), "shape", None) or ()) == 3


def _read(path: Path, file: Any) -> Cube:
    dataset = _dataset(file)
    centres, widths, good = (attribute(dataset, key) for key in ("wavelengths", "fwhm", "good_wavelengths"))
    metadata: dict[str, Any] = {"product": "Tanager", "quantity": str(dataset.name).rpartition("/")[2]}
    fields = band_fields(dataset.shape[0], centres, widths, good)
    if "/GRIDS/" in dataset.name:
        fields |= _grid(file, dataset.shape)
    else:
        framing = attribute(child(file, "HDFEOS/SWATHS/HYP/Geolocation Fields"), "Planet_Ortho_Framing")
        metadata |= {"notes": ("in sensor geometry, not on a map grid; Planet_Ortho_Framing gives the grid",)}
        metadata |= {} if framing is None else {"Planet_Ortho_Framing": str(framing)}
    fill = attribute(dataset, "_FillValue")
    fields["nodata"] = fits_dtype(dataset.fillvalue or None if fill is None else fill, dataset.dtype)
    return hdf_cube(path, dataset, "byx", name=path.stem, metadata=metadata, **fields)


def _grid(file: Any, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return affine, pixel size and reference system from the HDF-EOS structure metadata."""
    fields: dict[str, Any] = {}
    code = attribute(child(file, "HDFEOS/GRIDS/HYP"), "epsg_code")
    if code is not None and str(code).isdecimal():
        fields["crs"] = f"EPSG:{int(code)}"
    structure = text(child(file, "HDFEOS INFORMATION/StructMetadata.0")) or ""
    corners = [
        re.search(key + r"=\(([-+.\deE]{1,30}),([-+.\deE]{1,30})\)", structure)
        for key in ("UpperLeftPointMtrs", "LowerRightMtrs")
    ]
    try:
        (left, top), (right, bottom) = ((float(c[1]), float(c[2])) for c in corners if c is not None)
    except ValueError:  # a corner is missing or not a number
        return fields
    width, height = (right - left) / shape[2], (top - bottom) / shape[1]
    if width > 0 and height > 0:
        fields |= {"affine": (width, 0.0, left, 0.0, -height, top), "pixel_size": (height, width)}
    return fields


PRODUCT = Product("Tanager", _matches, _read)
