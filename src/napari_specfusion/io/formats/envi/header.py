"""Parse and check ENVI headers."""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.files import check_file
from napari_specfusion.io.formats.envi.map_info import map_fields
from napari_specfusion.io.metadata.units import fits_dtype, numbers, to_standard_unit, wavelengths_in_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Header", "header_fields", "read_header"]

_DTYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = {6, 9}
_FOREIGN = ("tiff", "jp2", "jpeg", "hdf", "nitf", "envi meta", "envi virtual")
_LAYOUTS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_LONG_LISTS = {
    "wavelength",
    "fwhm",
    "bbl",
    "band names",
    "data gain values",
    "data offset values",
    "data reflectance gain values",
    "data reflectance offset values",
}
_PLAIN = {
    "bands",
    "lines",
    "samples",
    "data type",
    "interleave",
    "byte order",
    "header offset",
    "file type",
    "file compression",
    "wavelength units",
    "data ignore value",
    "reflectance scale factor",
}
_KEYS = (
    _LONG_LISTS
    | _PLAIN
    | {"major frame offsets", "minor frame offsets", "map info", "coordinate system string", "pixel size"}
)
_SPELLING = {key.replace(" ", ""): key for key in _KEYS} | {"wavelengths": "wavelength", "bandname": "band names"}


@dataclass(frozen=True)
class Header:
    """The checked entries of an ENVI header.

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
        All entries of the header, with lower-case keys and text values.
    description
        The header's description of the bands, as arguments of `Cube`.
    """

    stored_shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    dtype: str
    offset: int
    fields: Mapping[str, str]
    description: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data_bytes(self) -> int:
        """Minimum size of the data file in bytes."""
        return self.offset + math.prod(self.stored_shape) * np.dtype(self.dtype).itemsize


def header_fields(path: Path) -> dict[str, str]:
    """Return the entries of the ENVI header `path`: lower-case keys, text values without braces.

    Raises
    ------
    ReadError
        If the file is not an ENVI header, or a list in it is not closed.
    """
    return _parsed(path)[0]


def _text(raw: bytes) -> str:
    """Decode a header by its byte order mark, else as UTF-8, else as Latin-1, which older programs write."""
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _parsed(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the entries of a header, and the keys that occur twice with different values."""
    check_file(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        raw = file.read(min(size, memory.LONGEST_HEADER))
    text = _text(raw).lstrip()
    if not text.startswith("ENVI") or size > memory.LONGEST_HEADER:
        raise ReadError(
            f"{path} is not an ENVI header: its first line is not 'ENVI', or it is longer than "
            f"{memory.LONGEST_HEADER >> 20} MB. Choose the header that belongs to the data, or another reader."
        )
    found: dict[str, str] = {}
    twice: list[str] = []
    name = ""
    lines = iter(line for line in re.split(r"\r\n|\r|\n", text)[1:] if not line.lstrip().startswith(";"))
    for line in lines:
        if line.lstrip().startswith("{") and name and not found[name]:
            value = line.strip()  # the list begins on the line after its key
        else:
            key, equals, value = line.partition("=")
            if not equals:
                continue
            name, value = _key(key), value.strip()
        if value.startswith("{"):
            value = _braced(path, name, value, lines)
            if name in _LONG_LISTS - {"band names"}:
                # a semicolon before a word starts a comment; before a number it acts as a comma
                value = re.sub(r";[ \t]*[^\W\d][^\n]*", "", value)
        elif name in _PLAIN:
            value = value.partition(";")[0].strip()
        if found.get(name) and value and found[name] != value:
            twice.append(name)
        # An empty value never overrides an earlier one.
        found[name] = value or found.get(name, "")
    return found, twice


def _key(text: str) -> str:
    """Return a key in ENVI's spelling, regardless of its case, blanks and underscores."""
    name = " ".join(text.lower().split())
    return _SPELLING.get(re.sub(r"[\s_]+", "", name), name)


def _braced(path: Path, name: str, first: str, lines: Iterator[str]) -> str:
    """Return the text between the braces of a list that begins in `first` and may continue over `lines`."""
    parts = [first[1:]]
    while "}" not in parts[-1]:
        more = next(lines, None)
        if more is None:
            raise ReadError(
                f"{path}: the list of '{name}' is not closed by a brace; the header is truncated, get a new copy."
            )
        parts.append(more)
    parts[-1] = parts[-1].rpartition("}")[0]
    return "\n".join(parts).strip()


def read_header(path: Path, own_wavelengths: bool = False) -> Header:
    """Read and check the ENVI header `path`; `own_wavelengths` ignores the header's wavelengths.

    Raises
    ------
    ReadError
        If a required entry is missing or invalid.
    """
    entries, twice = _parsed(path)
    _refuse_unsupported(path, entries)
    bands, lines, samples = (_count(path, entries, key) for key in ("bands", "lines", "samples"))
    offset = _count(path, entries, "header offset", default=0, least=0)
    dtype = np.dtype(_DTYPES[_data_type(path, entries)])
    order = _count(path, entries, "byte order", default=0, least=0)
    if order > 1:
        raise ReadError(f"{path}: byte order = {order}; it must be 0 (little-endian) or 1 (big-endian). Correct it.")
    layout = entries.get("interleave", "").lower() or ("bsq" if bands == 1 else "")
    if layout not in _LAYOUTS:
        raise ReadError(
            f"{path}: interleave = {layout!r}; it must be bsq, bil or bip. "
            "Correct the header: a wrong one scrambles the image."
        )
    if bands == 1 and "spectral library" in entries.get("file type", "").lower():
        # A spectral library stores one spectrum per line: each becomes a pixel of a one-column image.
        bands, samples, layout = samples, 1, "bip"
    axes = _LAYOUTS[layout]
    stored = [0, 0, 0]
    for axis, size in zip(axes, (bands, lines, samples), strict=True):
        stored[axis] = size
    notes = [f"'{key}' occurs twice in the header; the last value was used" for key in twice]
    if "byte order" not in entries or not entries["byte order"]:
        notes.append("the header gives no byte order; little-endian was assumed")
    description = _spectral_fields(path, entries, bands, own_wavelengths, notes)
    description |= _value_fields(entries, bands, dtype, notes) | map_fields(entries, notes)
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
                f"{path}: {key} = {{{', '.join(values)}}}; gaps between frames are not supported. "
                "Export the image without frame offsets."
            )
    if entries.get("file compression", "0").strip("0. "):
        raise ReadError(f"{path}: the data are compressed (file compression); export them uncompressed.")
    if entries.get("file type", "").lower().startswith(_FOREIGN):
        raise ReadError(
            f"{path}: file type = {entries['file type']}; this header describes another format. Open that file itself."
        )


def _count(path: Path, entries: Mapping[str, str], key: str, default: int | None = None, least: int = 1) -> int:
    text = entries.get(key, "")
    if not text:
        if default is None:
            raise ReadError(f"{path}: '{key}' is missing from the ENVI header; add it, or get a new copy.")
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
            f"{path}: data type = {code} is unknown; ENVI's are {', '.join(map(str, _DTYPES))}. Correct the header."
        )
    return code


def _list(text: str) -> list[str]:
    """Split a list at commas or line ends, or at blanks if a list of numbers has no commas."""
    items = [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]
    if numbers(items) is None:
        split = text.replace(",", " ").replace(";", " ").split()
        if numbers(split) is not None:
            return split
    return items


def _per_band(
    entries: Mapping[str, str], key: str, bands: int, notes: list[str], words: Mapping[str, str] | None = None
) -> NDArray[np.float64] | None:
    """Return the numbers of an optional list; None, with a note, if they do not fit the bands."""
    items = _list(entries.get(key, ""))
    if not items:
        return None
    values = numbers([(words or {}).get(item.lower(), item) for item in items])
    if values is None or values.size != bands:
        notes.append(f"'{key}' was left out: it has {len(items)} entries, but must be {bands} numbers")
        return None
    return values


def _spectral_fields(
    path: Path, entries: Mapping[str, str], bands: int, own_wavelengths: bool, notes: list[str]
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if not own_wavelengths:
        values, unit = _band_centres(path, entries, bands, notes)
        if values is not None:
            converted, factor, unit, note = to_standard_unit(values, unit)
            if note:
                notes.append(note)
            if converted is not None:
                widths = _per_band(entries, "fwhm", bands, notes)
                fields = {"wavelengths": converted, "spectral_unit": unit}
                fields["fwhm"] = None if widths is None else widths * factor
    flags = _per_band(entries, "bbl", bands, notes, {"true": "1", "false": "0"})
    if flags is not None:
        fields["good_bands"] = flags > 0
    return fields


def _band_centres(
    path: Path, entries: Mapping[str, str], bands: int, notes: list[str]
) -> tuple[NDArray[np.float64] | None, str | None]:
    """Return the header's wavelengths and their unit, from the list or else from the band names."""
    unit = entries.get("wavelength units")
    items = _list(entries.get("wavelength", ""))
    if not items:
        named = _band_names(entries, bands).get("band_names", ())
        values, found = wavelengths_in_names(named)
        if values is not None:
            notes.append("the header lists no wavelengths; they were read from the band names")
        return values, found or unit
    values = numbers(items)
    if values is None:
        values, found = wavelengths_in_names(items)
        unit = unit or found
    if values is None or values.size != bands:
        kind = "has an entry that is not a number" if values is None else f"has {values.size} entries for {bands} bands"
        raise ReadError(f"{path}: the wavelength list {kind}; correct it, or give your own with wavelengths=.")
    return values, unit


def _value_fields(entries: Mapping[str, str], bands: int, dtype: np.dtype[Any], notes: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    ignored = entries.get("data ignore value", "")
    if ignored:
        fields["nodata"] = fits_dtype(ignored, dtype)
        if fields["nodata"] is None:
            notes.append(f"data ignore value = {ignored} was left out: {dtype} cannot hold it")
    text = entries.get("reflectance scale factor", "")
    number = numbers([text]) if text else None
    factor = 0.0 if number is None else float(number[0])
    if factor > 0 and math.isfinite(1 / factor):
        # Gains convert to radiance, the factor to reflectance: in a file with both, only one applies to the data.
        fields["scale"] = 1 / factor
        return fields
    if text:
        notes.append(f"reflectance scale factor = {text[:40]} was left out: it must be a number above 0")
    # Prefer reflectance to radiance if a file has gains for both.
    kind = "data reflectance" if entries.get("data reflectance gain values") else "data"
    gains = _per_band(entries, f"{kind} gain values", bands, [])
    if gains is not None and np.any(gains == 0):
        notes.append(f"'{kind} gain values' and offsets were left out: a gain of 0 would erase a band")
        return fields
    for key, name in ((f"{kind} gain values", "scale"), (f"{kind} offset values", "offset")):
        values = _per_band(entries, key, bands, notes)
        if values is not None:
            fields[name] = float(values[0]) if np.all(values == values[0]) else values
    return fields


def _band_names(entries: Mapping[str, str], bands: int) -> dict[str, Any]:
    names = [name.strip() for name in entries.get("band names", "").replace("\n", " ").split(",")]
    return {"band_names": tuple(names)} if len(names) == bands and any(names) else {}
