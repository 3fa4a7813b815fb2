"""ENVI headers: text to checked numbers."""

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
    return _parsed(path)[0]


def _text(raw: bytes) -> str:
    """Decode a header: as its byte order mark says, else as UTF-8, else as Latin-1, which older programs write."""
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _parsed(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the entries of a header, and the keys that stand in it twice with different values."""
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
            value = line.strip()  # a list that begins on the line after its key
        else:
            key, equals, value = line.partition("=")
            if not equals:
                continue
            name, value = _key(key), value.strip()
        if value.startswith("{"):
            value = _braced(path, name, value, lines)
            if name in _LONG_LISTS - {"band names"}:
                # a word begins a comment; before a number, a semicolon stands for a comma
                value = re.sub(r";[ \t]*[^\W\d][^\n]*", "", value)
        elif name in _PLAIN:
            value = value.partition(";")[0].strip()
        if found.get(name) and value and found[name] != value:
            twice.append(name)
        # A blank never takes away what was said before.
        found[name] = value or found.get(name, "")
    return found, twice


def _key(text: str) -> str:
    """Return a key as ENVI spells it, whatever its case, blanks and underscores."""
    name = " ".join(text.lower().split())
    return _SPELLING.get(re.sub(r"[\s_]+", "", name), name)


def _braced(path: Path, name: str, first: str, lines: Iterator[str]) -> str:
    """Return what stands between the braces of a list that begins in `first` and may go on over `lines`."""
    parts = [first[1:]]
    while "}" not in parts[-1]:
        more = next(lines, None)
        if more is None:
            raise ReadError(
                f"{path}: the list of '{name}' is not closed by a brace; the header was cut short, get it anew."
            )
        parts.append(more)
    parts[-1] = parts[-1].rpartition("}")[0]
    return "\n".join(parts).strip()


def read_header(path: Path, own_wavelengths: bool = False) -> Header:
    """Read and check the ENVI header `path`; `own_wavelengths` leaves the header's wavelengths out.

    Raises
    ------
    ReadError
        If an entry without which the data cannot be read is missing or makes no sense.
    """
    entries, twice = _parsed(path)
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
    notes = [f"'{key}' stands twice in the header; the last value was taken" for key in twice]
    if "byte order" not in entries or not entries["byte order"]:
        notes.append("the header names no byte order; little-endian was assumed")
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
                f"{path}: {key} = {{{', '.join(values)}}}; frames with bytes between them are not supported. "
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
    """Return the items between commas or line ends; those between blanks where a list of numbers has no commas."""
    items = [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]
    if numbers(items) is None:
        split = text.replace(",", " ").replace(";", " ").split()
        if numbers(split) is not None:
            return split
    return items


def _per_band(
    entries: Mapping[str, str], key: str, bands: int, notes: list[str], words: Mapping[str, str] | None = None
) -> NDArray[np.float64] | None:
    """Return the numbers of an optional list, or None with a note where it does not fit."""
    items = _list(entries.get(key, ""))
    if not items:
        return None
    values = numbers([(words or {}).get(item.lower(), item) for item in items])
    if values is None or values.size != bands:
        notes.append(f"'{key}' was left out: {len(items)} entries, of which {bands} must be numbers")
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
    """Return the wavelengths as the header gives them, and their unit: from the list, else from the band names."""
    unit = entries.get("wavelength units")
    items = _list(entries.get("wavelength", ""))
    if not items:
        named = _band_names(entries, bands).get("band_names", ())
        values, found = wavelengths_in_names(named)
        if values is not None:
            notes.append("the header lists no wavelengths; they were taken from the band names")
        return values, found or unit
    values = numbers(items)
    if values is None:
        values, found = wavelengths_in_names(items)
        unit = unit or found
    if values is None or values.size != bands:
        kind = "has an entry that is no number" if values is None else f"has {values.size} entries for {bands} bands"
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
        # Gains lead to radiance, the factor to reflectance: a file that has both stores one of the two.
        fields["scale"] = 1 / factor
        return fields
    if text:
        notes.append(f"reflectance scale factor = {text[:40]} was left out: it must be a number above 0")
    # Reflectance before radiance, where a file tells the way to both.
    kind = "data reflectance" if entries.get("data reflectance gain values") else "data"
    gains = _per_band(entries, f"{kind} gain values", bands, [])
    if gains is not None and np.any(gains == 0):
        notes.append(f"'{kind} gain values' were left out, and offsets with them: a gain of 0 leaves nothing of a band")
        return fields
    for key, name in ((f"{kind} gain values", "scale"), (f"{kind} offset values", "offset")):
        values = _per_band(entries, key, bands, notes)
        if values is not None:
            fields[name] = float(values[0]) if np.all(values == values[0]) else values
    return fields


def _band_names(entries: Mapping[str, str], bands: int) -> dict[str, Any]:
    names = [name.strip() for name in entries.get("band names", "").replace("\n", " ").split(",")]
    return {"band_names": tuple(names)} if len(names) == bands and any(names) else {}
