"""Read the band description and georeferencing from TIFF tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_specfusion.io.metadata.gdal_items import gdal_fields, gdal_items
from napari_specfusion.io.metadata.units import fits_dtype, numbers, to_standard_unit, wavelength_in_name
from napari_specfusion.io.metadata.xml_text import parse_xml

__all__ = ["describe_tags", "lists_wavelengths"]

_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
_PIXEL_SCALE, _TIEPOINT, _TRANSFORM, _GEO_KEYS = 33550, 33922, 34264, 34735
_MODEL_TYPE, _RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1024, 1025, 2048, 3072
_MODEL_PROJECTED = 1
_POINT = 2
_USER_DEFINED = 32767
_LIST_KEYS = ("wavelength_nm", "wavelengths_nm", "wavelengths", "wavelength")
_UNIT_KEYS = ("wavelength_units", "wavelength_unit", "spectral_unit")

Tags = Mapping[int, Any]


def describe_tags(
    tags: Tags, bands: int, dtype: np.dtype[Any], description: str = "", labels: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the tags as arguments of `Cube`; wavelengths only if there is one per band.

    Parameters
    ----------
    tags
        Tags of the first page, number to value.
    bands
        Number of bands of the image.
    dtype
        Type of the stored values.
    description
        The ImageDescription: JSON in files by tifffile, XML in OME-TIFF.
    labels
        Names of the slices, as ImageJ writes them.
    """
    notes: list[str] = []
    whole, per_band = gdal_items(tags.get(_GDAL_METADATA), bands)
    fields = gdal_fields(whole, per_band, notes)
    if "wavelengths" not in fields:
        fields = _from_text(description, bands, labels, notes) | fields
    nodata = tags.get(_GDAL_NODATA)
    if nodata is not None:
        fields["nodata"] = fits_dtype(nodata, dtype)
        if fields["nodata"] is None:
            notes.append(f"no-data value {nodata} was left out: {dtype} cannot hold it")
    fields |= _geometry(tags, notes)
    fields["metadata"] = {"gdal": whole, "notes": tuple(notes)}
    return fields


def lists_wavelengths(bands: int, description: str, labels: Sequence[str]) -> bool:
    """Whether the description or the slice names hold exactly `bands` wavelengths."""
    return "wavelengths" in _from_text(description, bands, labels, [])


def _from_text(description: str, bands: int, labels: Sequence[str], notes: list[str]) -> dict[str, Any]:
    found = _from_json(description, bands, notes) or _from_ome(description, bands, notes)
    return found or _from_labels(labels, bands) or {}


def _from_json(description: str, bands: int, notes: list[str]) -> dict[str, Any] | None:
    """Return wavelengths and full scale of a JSON description; "full_scale" is the stored value equal to 1."""
    try:
        entries = json.loads(description) if description.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, dict):
        return None
    fields: dict[str, Any] = {}
    values = next((numbers(entries[key]) for key in _LIST_KEYS if isinstance(entries.get(key), list)), None)
    if values is not None and values.size == bands:
        stated = next((entries[key] for key in _UNIT_KEYS if isinstance(entries.get(key), str)), None)
        unit = "nm" if any(key.endswith("_nm") for key in _LIST_KEYS if key in entries) else stated
        converted, _, name, note = to_standard_unit(values, unit)
        notes += [note] if note else []
        if converted is not None:
            fields |= {"wavelengths": converted, "spectral_unit": name}
    full = numbers([entries.get("full_scale")])
    if full is not None and full[0] > 0:
        fields["scale"] = 1.0 / float(full[0])
    return fields


def _from_ome(description: str, bands: int, notes: list[str]) -> dict[str, Any] | None:
    """Return the emission wavelengths of an OME-XML description."""
    if "<OME" not in description[:2000]:
        return None
    root = parse_xml(description)
    if root is None:
        return None
    image = next((node for node in root.iter() if node.tag.endswith("}Image")), None)
    channels = [] if image is None else [node for node in image.iter() if node.tag.endswith("}Channel")]
    values = numbers(node.get("EmissionWavelength") for node in channels)
    if values is None or values.size != bands:
        return None
    converted, _, unit, note = to_standard_unit(values, channels[0].get("EmissionWavelengthUnit", "nm"))
    notes += [note] if note else []
    return None if converted is None else {"wavelengths": converted, "spectral_unit": unit}


def _from_labels(labels: Sequence[str], bands: int) -> dict[str, Any] | None:
    values = numbers(wavelength_in_name(label) for label in labels)
    if values is None or values.size != bands or np.unique(values).size != bands:
        return None
    return {"wavelengths": values}


def _geometry(tags: Tags, notes: list[str]) -> dict[str, Any]:
    """Return affine, pixel size and reference system of the GeoTIFF tags; add a note if the system has no code."""
    keys = tuple(tags.get(_GEO_KEYS) or ())
    # After the header, rows of four: key, tag with the value (0: inline), count, value.
    values = {keys[i]: keys[i + 3] for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}
    fields: dict[str, Any] = {}
    transform, scale, tie = (tuple(tags.get(tag) or ()) for tag in (_TRANSFORM, _PIXEL_SCALE, _TIEPOINT))
    if len(transform) == 16:
        a, b, c, d, e, f = (float(transform[i]) for i in (0, 1, 3, 4, 5, 7))
    elif len(scale) >= 2 and len(tie) >= 6:
        a, b, d, e = float(scale[0]), 0.0, 0.0, -float(scale[1])
        c, f = tie[3] - a * tie[0], tie[4] - e * tie[1]
    else:
        return fields
    if values.get(_RASTER_TYPE) == _POINT:
        c, f = c - 0.5 * (a + b), f - 0.5 * (d + e)
    fields = {"affine": (a, b, c, d, e, f), "pixel_size": (float(np.hypot(b, e)), float(np.hypot(a, d)))}
    # With a projected system, the geographic one is just its base.
    projected = _PROJECTED in values or values.get(_MODEL_TYPE) == _MODEL_PROJECTED
    code = values.get(_PROJECTED if projected else _GEOGRAPHIC, 0)
    if 0 < code < _USER_DEFINED:
        fields["crs"] = f"EPSG:{code}"
    elif projected or _GEOGRAPHIC in values:
        notes.append("the reference system has no EPSG code in the tags and was left out; reader='gdal' may know it")
    return fields
