"""ENVI headers: text to checked numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io._spectral import fits_dtype, numbers, to_standard_unit

__all__ = ["Header", "header_fields", "read_header"]

_DTYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = {6, 9}
_LAYOUTS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}
_LONGEST = 32 << 20
_LONG_LISTS = {"wavelength", "fwhm", "bbl", "band names", "data gain values", "data offset values"}


@dataclass(frozen=True)
class Header:
    """The part of an ENVI header that says where the numbers lie, checked.

    Attributes
    ----------
    stored_shape
        Shape in the order of the file.
    axes
        Which stored axis is the band, y and x axis.
    dtype
        numpy type string with byte order.
    offset
        Bytes before the first number.
    fields
        Every entry of the header, keys in lower case, values as text.
    description
        What the header says about the bands, as arguments of `Cube`.
    """

    stored_shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    dtype: str
    offset: int
    fields: Mapping[str, str]
    description: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data_bytes(self) -> int:
        """Bytes that the data file must have."""
        return self.offset + math.prod(self.stored_shape) * np.dtype(self.dtype).itemsize


def header_fields(path: Path) -> dict[str, str]:
    """Return the entries of the ENVI header `path`: keys in lower case, values as text, braces taken off.

    Raises
    ------
    ReadError
        If the file is no ENVI header, or a list in it is not closed.
    """
    with path.open("rb") as file:
        raw = file.read(_LONGEST + 1)
    text = raw.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if not text.startswith("ENVI") or len(raw) > _LONGEST:
        raise ReadError(
            f"{path} is not an ENVI header: its first line is not 'ENVI'. "
            "Choose the header that belongs to the data, or another reader."
        )
    found: dict[str, str] = {}
    lines = iter(line for line in text.splitlines()[1:] if not line.lstrip().startswith(";"))
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals:
            continue
        name, value = " ".join(key.lower().split()), value.strip()
        if value.startswith("{"):
            parts = [value[1:]]
            while "}" not in parts[-1]:
                more = next(lines, None)
                if more is None:
                    raise ReadError(
                        f"{path}: the list of '{name}' is not closed by a brace; the header was cut short, get it anew."
                    )
                parts.append(more)
            parts[-1] = parts[-1].rpartition("}")[0]
            value = "\n".join(parts).strip()
        found[name] = value
    return found


def read_header(path: Path, own_wavelengths: bool = False) -> Header:
    """Read and check the ENVI header `path`; `own_wavelengths` leaves the header's wavelengths out.

    Raises
    ------
    ReadError
        If an entry without which the data cannot be read is missing or makes no sense.
    """
    entries = header_fields(path)
    _refuse_unsupported(path, entries)
    bands, lines, samples = (_count(path, entries, key) for key in ("bands", "lines", "samples"))
    offset = _count(path, entries, "header offset", default=0, least=0)
    dtype = np.dtype(_DTYPES[_data_type(path, entries)])
    order = _count(path, entries, "byte order", default=0, least=0)
    if order > 1:
        raise ReadError(f"{path}: byte order = {order}; it is 0 (little-endian) or 1 (big-endian). Correct the header.")
    layout = entries.get("interleave", "").lower() or ("bsq" if bands == 1 else "")
    if layout not in _LAYOUTS:
        raise ReadError(
            f"{path}: interleave = {layout!r}; it must be bsq, bil or bip. "
            "Correct the header: a wrong one scrambles the image."
        )
    if bands == 1 and "spectral library" in entries.get("file type", "").lower():
        # A library stores one spectrum per line: each becomes a pixel of a one-column image.
        bands, samples, layout = samples, 1, "bip"
    axes = _LAYOUTS[layout]
    stored = [0, 0, 0]
    for axis, size in zip(axes, (bands, lines, samples), strict=True):
        stored[axis] = size
    notes: list[str] = []
    if "byte order" not in entries or not entries["byte order"]:
        notes.append("the header names no byte order; little-endian was assumed")
    description = _spectral_fields(path, entries, bands, own_wavelengths, notes)
    description |= _value_fields(entries, bands, dtype, notes) | _geometry(entries, notes)
    rest = {key: value for key, value in entries.items() if key not in _LONG_LISTS}
    description["metadata"] = {"header": rest, "notes": tuple(notes)} | _band_names(entries, bands)
    return Header(
        stored_shape=(stored[0], stored[1], stored[2]),
        axes=(axes[0], axes[1], axes[2]),
        dtype=dtype.newbyteorder(">" if order else "<").str,
        offset=offset,
        fields=entries,
        description=description,
    )


def _refuse_unsupported(path: Path, entries: Mapping[str, str]) -> None:
    for key in ("major frame offsets", "minor frame offsets"):
        values = _list(entries.get(key, ""))
        if any(value.strip("0. ") for value in values):
            raise ReadError(
                f"{path}: {key} = {{{', '.join(values)}}}; frames with bytes between them are not supported. "
                "Export the image without frame offsets."
            )
    if entries.get("file compression", "0").strip("0. "):
        raise ReadError(f"{path}: the data are compressed (file compression); export them uncompressed.")
    if entries.get("file type", "").lower().startswith(("tiff", "jp2", "hdf", "nitf")):
        raise ReadError(
            f"{path}: file type = {entries['file type']}; this header describes another format. Open that file itself."
        )


def _count(path: Path, entries: Mapping[str, str], key: str, default: int | None = None, least: int = 1) -> int:
    text = entries.get(key, "")
    if not text:
        if default is None:
            raise ReadError(f"{path}: '{key}' is missing; an ENVI header must give it. Add it, or get the header anew.")
        return default
    values = numbers([text])
    if values is None or values[0] != int(values[0]) or values[0] < least:
        raise ReadError(
            f"{path}: {key} = {text[:40]!r}; it must be a whole number of at least {least}. Correct the header."
        )
    return int(values[0])


def _data_type(path: Path, entries: Mapping[str, str]) -> int:
    code = _count(path, entries, "data type")
    if code in _COMPLEX:
        raise ReadError(f"{path}: data type = {code} is complex; export the magnitude or the real part instead.")
    if code not in _DTYPES:
        raise ReadError(
            f"{path}: data type = {code} is none of ENVI's ({', '.join(map(str, _DTYPES))}); correct the header."
        )
    return code


def _list(text: str) -> list[str]:
    return [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]


def _per_band(entries: Mapping[str, str], key: str, bands: int, notes: list[str]) -> NDArray[np.float64] | None:
    """Return the numbers of an optional list, or None with a note where it does not fit."""
    items = _list(entries.get(key, ""))
    if not items:
        return None
    values = numbers(items)
    if values is None or values.size != bands:
        notes.append(f"'{key}' was left out: {len(items)} entries, of which {bands} must be numbers")
        return None
    return values


def _spectral_fields(
    path: Path, entries: Mapping[str, str], bands: int, own_wavelengths: bool, notes: list[str]
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    items = [] if own_wavelengths else _list(entries.get("wavelength", ""))
    if items:
        values = numbers(items)
        if values is None or values.size != bands:
            kind = (
                "has an entry that is no number" if values is None else f"has {values.size} entries for {bands} bands"
            )
            raise ReadError(f"{path}: the wavelength list {kind}; correct it, or give your own with wavelengths=.")
        converted, factor, unit, note = to_standard_unit(values, entries.get("wavelength units"))
        if note:
            notes.append(note)
        if converted is not None:
            widths = _per_band(entries, "fwhm", bands, notes)
            fields = {"wavelengths": converted, "spectral_unit": unit}
            fields["fwhm"] = None if widths is None else widths * factor
    good = [{"true": "1", "false": "0"}.get(item.lower(), item) for item in _list(entries.get("bbl", ""))]
    flags = _per_band({"bbl": ",".join(good)}, "bbl", bands, notes)
    if flags is not None:
        fields["good_bands"] = flags > 0
    return fields


def _value_fields(entries: Mapping[str, str], bands: int, dtype: np.dtype[Any], notes: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    ignored = entries.get("data ignore value", "")
    if ignored:
        fields["nodata"] = fits_dtype(ignored, dtype)
        if fields["nodata"] is None:
            notes.append(f"data ignore value = {ignored} was left out: {dtype} cannot hold it")
    factor = numbers([entries["reflectance scale factor"]]) if entries.get("reflectance scale factor") else None
    if factor is not None and factor[0] > 0:
        # Gains lead to radiance, the factor to reflectance: a file that has both stores one of the two.
        fields["scale"] = 1.0 / float(factor[0])
        return fields
    for key, name in (("data gain values", "scale"), ("data offset values", "offset")):
        values = _per_band(entries, key, bands, notes)
        if values is not None:
            fields[name] = float(values[0]) if np.all(values == values[0]) else values
    return fields


def _geometry(entries: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    """Return affine, pixel size and reference system of 'map info'."""
    fields: dict[str, Any] = {}
    info = _list(entries.get("map info", ""))
    named = dict(part.lower().split("=", 1) for part in info if "=" in part)
    plain = [part for part in info if "=" not in part]
    values = numbers(plain[1:7]) if len(plain) >= 7 else None
    if info and (values is None or not (values[4] > 0 and values[5] > 0)):
        notes.append("'map info' was left out: it does not hold a reference pixel, its place and a pixel size")
    elif values is not None:
        column, row, east, north, width, height = (float(v) for v in values)
        turn = numbers([named.get("rotation", "0")])
        angle = math.radians(float(turn[0])) if turn is not None else 0.0
        a, b = math.cos(angle) * width, -math.sin(angle) * height
        d, e = -math.sin(angle) * width, -math.cos(angle) * height
        # Reference pixels count from 1 at the outer corner of the first pixel.
        x, y = column - 1, row - 1
        fields = {"affine": (a, b, east - a * x - b * y, d, e, north - d * x - e * y), "pixel_size": (height, width)}
    system = entries.get("coordinate system string", "") or _epsg(plain)
    if system:
        fields["crs"] = system
    return fields


def _epsg(info: list[str]) -> str | None:
    """Return the EPSG code of a 'map info' on WGS 84."""
    if not any(part.lower().replace("-", "").replace(" ", "") == "wgs84" for part in info):
        return None
    if info[0].lower().startswith("geographic"):
        return "EPSG:4326"
    zone = numbers(info[7:8])
    if info[0].lower() != "utm" or zone is None or not 1 <= zone[0] <= 60:
        return None
    south = len(info) > 8 and info[8].lower().startswith("s")
    return f"EPSG:{327 if south else 326}{int(zone[0]):02d}"


def _band_names(entries: Mapping[str, str], bands: int) -> dict[str, Any]:
    names = [name.strip() for name in entries.get("band names", "").replace("\n", " ").split(",")]
    return {"band_names": tuple(names)} if len(names) == bands and any(names) else {}
