"""Read wavelengths, FWHM, bad bands, scale and offset from GDAL metadata, in all common styles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.io.metadata.units import numbers, to_standard_unit
from napari_specfusion.io.metadata.xml_text import parse_xml

__all__ = ["GdalItems", "gdal_fields", "gdal_items"]

_WAVELENGTH = ("wavelength", "central_wavelength", "center_wavelength", "centre_wavelength", "wavelength_center")
_LISTS = ("wavelength_nm", "wavelengths_nm", "wavelengths", "wavelength")
_UNITS = ("wavelength_units", "wavelength_unit", "wavelength units")
_FLAGS = ("bbl", "good_band", "good_bands")
_FLAG_LISTS = ("bbl", "bad_bands")
_IN_TEXT = re.compile(
    r"(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|um|µm|microns?|micromet(?:er|re)s?|cm-1|cm\^-1|1/cm)(?![A-Za-z])",
    re.IGNORECASE,
)

Items = Mapping[str, str]
GdalItems = tuple[dict[str, str], list[dict[str, str]]]
"""Metadata items of the file and of each band, with lower-case keys."""


def gdal_items(xml: Any, bands: int) -> GdalItems:
    """Return the items of the XML in a TIFF's GDAL_METADATA tag (42112), all metadata domains merged."""
    whole: dict[str, str] = {}
    per_band: list[dict[str, str]] = [{} for _ in range(bands)]
    root = parse_xml(xml) if isinstance(xml, str | bytes) else None
    for item in root.iter("Item") if root is not None else ():
        key, text, sample = item.get("name", "").lower(), (item.text or "").strip(), item.get("sample")
        if sample is None:
            whole.setdefault(key, text)
        elif sample.isascii() and sample.isdecimal() and len(sample) < 10 and int(sample) < bands:
            per_band[int(sample)].setdefault(key, text)
    return whole, per_band


def gdal_fields(whole: Items, per_band: Sequence[Items], notes: list[str]) -> dict[str, Any]:
    """Convert the items to arguments of `Cube`: wavelengths, spectral_unit, fwhm, good_bands, scale, offset.

    Wavelengths are searched in the band items (``wavelength``; ``CENTRAL_WAVELENGTH_UM`` of GDAL 3.10), in
    ``Band_1 = 472.02 Nanometers``, in ENVI-style lists, and in the band descriptions. Anything guessed or left out is
    added to `notes`.
    """
    fields = _spectral(whole, per_band, notes)
    flags = _first(_column(per_band, key) for key in _FLAGS)
    if flags is None:
        flags = _first(numbers(_split(whole.get(key, ""))) for key in _FLAG_LISTS)
    if flags is not None and flags.size == len(per_band):
        fields["good_bands"] = flags > 0
    for key, neutral in (("scale", "1"), ("offset", "0")):
        texts = [items.get(key) for items in per_band]
        # GDAL omits both for bands with scale 1 and offset 0.
        values = numbers(neutral if text is None else text for text in texts) if any(texts) else None
        if values is not None and not (key == "scale" and np.any(values == 0)):
            fields[key] = float(values[0]) if np.all(values == values[0]) else values
    return fields


def _spectral(whole: Items, per_band: Sequence[Items], notes: list[str]) -> dict[str, Any]:
    bands = len(per_band)
    values, widths, unit = _stated(whole, per_band)
    if values is None or values.size != bands:
        known = sum(any(key in items for key in _WAVELENGTH) for items in per_band)
        if 0 < known < bands:
            notes.append(f"wavelengths were left out: only {known} of {bands} bands have one")
        return {}
    converted, factor, unit_name, note = to_standard_unit(values, unit)
    if note:
        notes.append(note)
    if converted is None:
        return {}
    fields: dict[str, Any] = {"wavelengths": converted, "spectral_unit": unit_name}
    if widths is not None and widths.size == bands and np.all(widths >= 0) and np.any(widths > 0):
        fields["fwhm"] = widths * factor
    return fields


def _stated(
    whole: Items, per_band: Sequence[Items]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, str | None]:
    """Return wavelengths, FWHM and unit from the first source that has a wavelength for every band."""
    unit = _first(items.get(key) for items in (*per_band[:1], whole) for key in _UNITS)
    widths = _column(per_band, "fwhm")
    if widths is None:
        widths = numbers(_split(whole.get("fwhm", "")))
    for key in _WAVELENGTH:
        values = _column(per_band, key)
        if values is not None:
            return values, widths, unit
    values = _column(per_band, "central_wavelength_um")
    if values is not None:
        return values, _column(per_band, "fwhm_um"), "um"
    named = [_split(whole.get(f"band_{index + 1}", "")) for index in range(len(per_band))]
    values = numbers(parts[0] if parts else None for parts in named)
    if values is not None:
        return values, widths, named[0][1] if len(named[0]) > 1 else unit
    for key in _LISTS:
        values = numbers(_split(whole.get(key, "")))
        if values is not None and values.size == len(per_band):
            return values, widths, "nm" if key.endswith("_nm") else unit
    found = [_IN_TEXT.search(items.get("description", "")) for items in per_band]
    matches = [match for match in found if match is not None]
    values = numbers(match[1] for match in matches)
    if len(matches) == len(per_band) and len({match[2].lower() for match in matches}) == 1:
        return values, widths, matches[0][2]
    return None, None, None


def _first(candidates: Any) -> Any:
    return next((value for value in candidates if value is not None), None)


def _column(per_band: Sequence[Items], key: str) -> NDArray[np.float64] | None:
    return numbers(band.get(key) for band in per_band)


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,;]+", text.strip("{}[]() \n\t")) if part]
