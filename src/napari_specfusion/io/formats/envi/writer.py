"""Write ENVI images: a raw data file and a text header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import OutputError
from napari_specfusion.io.arrays.blocks import Watch, plan, reads_by_bands, stored_blocks
from napari_specfusion.io.arrays.raw import LAYOUTS, fill, stored_dtype
from napari_specfusion.io.formats.envi.map_info import map_fields
from napari_specfusion.io.metadata.crs import esri_wkt, wgs84_zone
from napari_specfusion.io.metadata.description import OWN_KEY, own_entry
from napari_specfusion.io.metadata.units import fits_dtype
from napari_specfusion.io.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["WRITER"]

_CODES = {"u1": 1, "i2": 2, "u2": 12, "i4": 3, "u4": 13, "i8": 14, "u8": 15, "f4": 4, "f8": 5}
_UNITS = {"nm": "Nanometers", "cm-1": "Wavenumber"}
_DATA_SUFFIXES = ("", ".img", ".dat", ".raw", ".bil", ".bip", ".bsq", ".hyspex", ".sli", ".cube", ".bin")
# Entries of the source header that are rewritten, or that apply only to its own pixels and bands.
_NOT_CARRIED = {
    "samples", "lines", "bands", "header offset", "file type", "data type", "interleave", "byte order", "wavelength",
    "wavelength units", "fwhm", "bbl", "band names", "data ignore value", "reflectance scale factor",
    "data gain values", "data offset values", "map info", "coordinate system string", "projection info", "pixel size",
    "geo points", "rpc info", "x start", "y start", "default bands", "default stretch", "z plot range",
    "z plot titles", "spectra names", "classes", "class lookup", "class names", "file compression",
    "major frame offsets", "minor frame offsets", "data reflectance gain values", "data reflectance offset values",
    "read procedures", "complex function", "solar irradiance", "band number", "description", OWN_KEY,
}  # fmt: skip


def _targets(path: Path, overwrite: bool = False) -> tuple[Path, Path]:
    """Return the data file and the header for the name of either.

    Raises
    ------
    OutputError
        If readers would mistake another file there for the data or for the header.
    """
    known = {f"{path.stem}{suffix}".lower() for suffix in _DATA_SUFFIXES}
    folder = path.parent
    lying = sorted(p for p in folder.iterdir() if p.name.lower() in known and p.is_file()) if folder.is_dir() else []
    if path.suffix.lower() != ".hdr":
        # an existing header of this name takes precedence over the usual one
        appended = path.with_name(f"{path.name}.hdr")
        data, header = path, appended if appended.is_file() else path.with_suffix(".hdr")
    else:
        data, header = path.with_suffix(".img"), path
        if overwrite and path.exists() and len(lying) == 1:
            # keep the name of the existing data: with a second file it would be ambiguous which one is meant
            data = lying[0]
        other = data.with_name(f"{data.name}.hdr")
        if other != path and other.is_file():
            raise OutputError(f"{other.name} next to {path} would be read as the header of its data; move it away.")
    strangers = [p.name for p in lying if p != data]
    if strangers:
        raise OutputError(
            f"{', '.join(strangers)} next to {header} would be read as its data; move it away, or save under another "
            "name."
        )
    return data, header


def _write(
    cube: Cube, parts: tuple[Path, ...], targets: tuple[Path, ...], watch: Watch, *, interleave: str | None = None
) -> list[str]:
    """Write an ENVI image.

    Parameters
    ----------
    cube
        The cube.
    parts
        Temporary data file and header to write.
    targets
        Their final paths.
    watch
        Counts the bytes written.
    interleave
        ``"bsq"``, ``"bil"`` or ``"bip"``; None uses the data file's ending, else the order of the cube.
    """
    data, header = parts
    by_bands = reads_by_bands(cube)
    layout = interleave or data.suffix.lower()[1:]
    if interleave is None and layout not in LAYOUTS:
        layout = "bsq" if by_bands else "bip"
    if layout not in LAYOUTS:
        raise OutputError(f"interleave is {interleave!r}; choose one of {', '.join(LAYOUTS)}.")
    dtype, notes = stored_dtype(cube.dtype, _CODES, "ENVI")
    text, more = _header(cube, dtype, layout)
    data.touch()
    blocks = plan(cube, by_bands and layout != "bip")
    fill(data, 0, cube.shape, layout, dtype, stored_blocks(cube, blocks, watch))
    # lone surrogates, which file names may contain, become question marks; our own entry keeps them
    header.write_text(text, encoding="utf-8", errors="replace")
    return notes + more


def _header(cube: Cube, dtype: np.dtype[Any], layout: str) -> tuple[str, list[str]]:
    """Return the text of the header, and notes on what other programs will not see."""
    bands, height, width = cube.shape
    notes: list[str] = []
    entries: dict[str, str] = {
        "description": "{" + _one_line(cube.name) + "}",
        "samples": str(width),
        "lines": str(height),
        "bands": str(bands),
        "header offset": "0",
        "file type": "ENVI Standard",
        "data type": str(_CODES[dtype.newbyteorder("=").str[1:]]),
        "interleave": layout,
        "byte order": "0",
    }
    held = set()
    if cube.wavelengths is not None:
        entries["wavelength units"] = _UNITS.get(cube.spectral_unit, "Unknown")
        entries["wavelength"] = _listed(cube.wavelengths)
        held |= {"wavelengths"} | ({"spectral_unit"} if cube.spectral_unit in _UNITS else set())
        if cube.fwhm is not None and np.all(cube.fwhm > 0):
            entries["fwhm"] = _listed(cube.fwhm)
            held.add("fwhm")
    if cube.good_bands is not None:
        entries["bbl"] = _listed(cube.good_bands.astype(int))
        held.add("good_bands")
    names = [str(name) for name in cube.band_names]
    if names and not any(set(name) & set(",{}=;") or _broken(name) for name in names):
        entries["band names"] = _listed(names)
    if cube.nodata is not None:
        if fits_dtype(cube.nodata, dtype) is None:
            notes.append(f"the no-data value {cube.nodata:g} was left out: {dtype} cannot hold it")
        else:
            entries["data ignore value"] = _number(cube.nodata)
        held.add("nodata")
    entries |= _scaling(cube, held)
    entries |= _place(cube, held, notes)
    old = cube.metadata.get("header", {})
    for key, value in old.items() if isinstance(old, Mapping) else ():
        if _carried(key, value):
            entries.setdefault(key, f"{{{value}}}" if set(value) & set(",\n") else value)
    entry, more = own_entry(cube, held)
    if entry != "{}":
        # one line: the braces of the JSON double as those of the header's list
        entries[OWN_KEY] = entry
    return "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()), notes + more


def _carried(key: Any, value: Any) -> bool:
    """Whether an entry of the source header can be carried over without contradicting the new header."""
    if not (isinstance(key, str) and key and isinstance(value, str) and value) or key in _NOT_CARRIED:
        return False
    if key != " ".join(key.lower().split()) or set(key) & set("={};") or set(value) & set("{}"):
        return False
    # a line that starts with a semicolon is a comment
    return not any(_broken(line) or line.lstrip().startswith(";") for line in value.split("\n"))


def _broken(text: str) -> bool:
    """Whether some programs would see more than one line in `text`."""
    return text.splitlines() not in ([], [text])


def _scaling(cube: Cube, held: set[str]) -> dict[str, str]:
    """Return scale and offset as a reflectance scale factor if that is exact, else as gains and offsets."""
    scale, offset = np.asarray(cube.scale), np.asarray(cube.offset)
    if not (np.all(np.isfinite(scale)) and np.all(np.isfinite(offset)) and np.all(scale != 0)):
        return {}
    held |= {"scale", "offset"}
    if np.all(scale == 1) and np.all(offset == 0):
        return {}
    if scale.ndim == 0 and np.all(offset == 0) and scale > 0:
        for factor in (float(np.round(1 / scale)), float(1 / scale)):
            if factor > 0 and 1.0 / factor == float(scale):
                return {"reflectance scale factor": _number(factor)}
    return {
        key: _listed(np.broadcast_to(value, cube.bands))
        for key, value, usual in (("data gain values", scale, 1), ("data offset values", offset, 0))
        if np.any(value != usual)
    }


def _place(cube: Cube, held: set[str], notes: list[str]) -> dict[str, str]:
    """Return 'map info' and the reference system as far as ENVI supports them; exact fields are added to `held`."""
    crs = cube.crs or ""
    entries: dict[str, str] = {}
    known = _known_system(crs)
    if cube.affine is not None:
        a, b, c, d, e, f = cube.affine
        # a rotation by 180 degrees means something else to GDAL, so negative pixel sizes express it
        angle, wide = (math.atan2(d, a), math.hypot(a, d)) if d else (0.0, a)
        high = math.sin(angle) * b - math.cos(angle) * e
        sheared = not np.allclose((b, e), (math.sin(angle) * high, -math.cos(angle) * high), atol=1e-9 * abs(high))
        if wide and high and not sheared:
            turned = [f"rotation={_number(math.degrees(angle))}"] if angle else []
            numbers = ["1", "1", *(_number(v) for v in (c, f, wide, high))]
            entries["map info"] = "{" + ", ".join([known[0] or "Arbitrary", *numbers, *known[1:], *turned]) + "}"
        else:
            notes.append("other programs will not see the georeferencing: ENVI cannot store a shear")
    if crs and not ("map info" in entries and known[0]):
        text = crs if "[" in crs and not set(crs) & set("{}\n") else esri_wkt(crs)
        if text is None:
            notes.append(f"other programs will not see the reference system: writing {crs} as WKT needs the extra geo")
        else:
            entries["coordinate system string"] = "{" + text + "}"
    again = map_fields({key: value[1:-1] for key, value in entries.items()}, [])
    held |= {key for key in ("affine", "pixel_size", "crs") if key in again and again[key] == getattr(cube, key)}
    return entries


def _known_system(crs: str) -> tuple[str, ...]:
    """Return the 'map info' words of a reference system that need no WKT."""
    found = wgs84_zone(crs)
    if found is None:
        return ("",)
    zone, south = found
    if not zone:
        return "Geographic Lat/Lon", "WGS-84", "units=Degrees"
    return "UTM", str(zone), "South" if south else "North", "WGS-84", "units=Meters"


def _listed(values: Any) -> str:
    """Return a list in braces, eight values per line."""
    items = [value if isinstance(value, str) else _number(value) for value in values]
    return "{\n" + ",\n".join(", ".join(items[i : i + 8]) for i in range(0, len(items), 8)) + "}"


def _number(value: Any) -> str:
    """Return the shortest text that reads back as the same number."""
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _one_line(text: str) -> str:
    return " ".join(text.replace("{", "(").replace("}", ")").split())


WRITER = Writer("ENVI", (".hdr", ".img", ".dat", ".raw", ".bsq", ".bil", ".bip"), _write, _targets)
