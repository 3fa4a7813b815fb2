"""EMIT on the International Space Station: reflectance (L2A) and radiance (L1B), in NetCDF 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_specfusion.io.formats.hdf5.arrays import hdf_cube
from napari_specfusion.io.formats.hdf5.file import attribute, child
from napari_specfusion.io.formats.hdf5.product import Product, band_fields
from napari_specfusion.io.metadata.units import fits_dtype

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["PRODUCT"]

_DATASETS = ("reflectance", "radiance", "reflectance_uncertainty")


def _dataset(file: Any) -> Any:
    found = (child(file, name) for name in _DATASETS)
    return next((item for item in found if item is not None and len(getattr(item, "shape", None) or ()) == 3), None)


def _matches(file: Any) -> bool:
    return child(file, "sensor_band_parameters/wavelengths") is not None and _dataset(file) is not None


def _read(path: Path, file: Any) -> Cube:
    dataset, group = _dataset(file), child(file, "sensor_band_parameters")
    fields = band_fields(
        dataset.shape[2], child(group, "wavelengths"), child(group, "fwhm"), child(group, "good_wavelengths")
    )
    note = "in sensor geometry, not on a map grid; the lookup table location/glt_x, glt_y orthorectifies it"
    known = {key: attribute(file, key) for key in ("title", "geotransform", "spatial_ref", "time_coverage_start")}
    return hdf_cube(
        path,
        dataset,
        "yxb",
        name=path.stem,
        nodata=fits_dtype(attribute(dataset, "_FillValue"), dataset.dtype),
        metadata={"product": "EMIT", "notes": (note,)} | {k: v for k, v in known.items() if v is not None},
        **fields,
    )


PRODUCT = Product("EMIT", _matches, _read)
