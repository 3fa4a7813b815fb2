"""Write TIFF: bands as separate samples with GDAL and GeoTIFF tags, or as channels of an OME-TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

from napari_specfusion.errors import OutputError
from napari_specfusion.io.arrays.blocks import Watch, plan, reads_by_bands, stored_blocks
from napari_specfusion.io.arrays.raw import fill, stored_dtype
from napari_specfusion.io.metadata.crs import wgs84_zone
from napari_specfusion.io.metadata.description import OWN_KEY, own_entry
from napari_specfusion.io.metadata.units import fits_dtype
from napari_specfusion.io.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["OME_WRITER", "WRITER"]

_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
_OME_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
_UNITS = {"nm": "Nanometers", "cm-1": "Wavenumber"}
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
_PIXEL_SCALE, _TIEPOINT, _TRANSFORM, _GEO_KEYS, _GEO_DOUBLES, _GEO_TEXT = 33550, 33922, 34264, 34735, 34736, 34737
_MOST_BANDS = 65535
# a classic TIFF has 32-bit offsets; leave some room for the tags
_CLASSIC = (1 << 32) - (32 << 20)

Tag = tuple[int, str, int, Any, bool]


def _write(cube: Cube, parts: tuple[Path, ...], targets: tuple[Path, ...], watch: Watch) -> list[str]:
    """Write a TIFF with one page and planar bands."""
    return _write_pages(cube, parts[0], watch, ome=False)


def _write_ome(cube: Cube, parts: tuple[Path, ...], targets: tuple[Path, ...], watch: Watch) -> list[str]:
    """Write an OME-TIFF with one page per band."""
    return _write_pages(cube, parts[0], watch, ome=True)


def _write_pages(cube: Cube, part: Path, watch: Watch, ome: bool) -> list[str]:
    import tifffile

    if not ome and cube.bands > _MOST_BANDS:
        raise OutputError(f"{cube.name} has {cube.bands} bands, a TIFF at most {_MOST_BANDS}; save as .zarr or .hdr.")
    dtype, notes = stored_dtype(cube.dtype, _OME_TYPES if ome else _TYPES, "OME-TIFF" if ome else "TIFF")
    tags, more = _tags(cube, dtype)
    layout: dict[str, Any] = (
        {"ome": True, "metadata": _ome(cube), "shape": cube.shape}
        if ome
        else {"metadata": None, "planarconfig": "separate", "shape": cube.shape if cube.bands > 1 else cube.shape[1:]}
    )
    # First write an empty uncompressed layout, then fill in blocks in any order.
    place = tifffile.imwrite(
        part,
        dtype=dtype,
        photometric="minisblack",
        bigtiff=cube.data.size * dtype.itemsize + 512 * cube.bands > _CLASSIC,
        byteorder="<",
        extratags=tags,
        software="napari-specfusion",
        returnoffset=True,
        **layout,
    )
    assert place is not None
    fill(part, place[0], cube.shape, "bsq", dtype, stored_blocks(cube, plan(cube, reads_by_bands(cube)), watch))
    return notes + more


def _ome(cube: Cube) -> dict[str, Any]:
    """Return the OME-XML metadata: channel names, and wavelengths if they are positive."""
    metadata: dict[str, Any] = {"axes": "CYX", "Name": _clean(cube.name)}
    known = cube.wavelengths
    if known is None:
        return metadata
    channel: dict[str, Any] = {"Name": [f"{value:g} {cube.spectral_unit}" for value in known]}
    if cube.spectral_unit == "nm" and np.all(known > 0):
        channel |= {"EmissionWavelength": known.tolist(), "EmissionWavelengthUnit": ["nm"] * cube.bands}
    return metadata | {"Channel": channel}


def _tags(cube: Cube, dtype: np.dtype[Any]) -> tuple[list[Tag], list[str]]:
    """Return GDAL and GeoTIFF tags, and notes on what other programs will not see."""
    notes: list[str] = []
    held = {"good_bands", "scale", "offset"}
    per_band: list[tuple[str, Any, str]] = []
    if cube.wavelengths is not None:
        per_band.append(("wavelength", [repr(float(v)) for v in cube.wavelengths], ""))
        per_band.append(("wavelength_units", [_UNITS.get(cube.spectral_unit, "Unknown")] * cube.bands, ""))
        held |= {"wavelengths"} | ({"spectral_unit"} if cube.spectral_unit in _UNITS else set())
        if cube.fwhm is not None and np.all(cube.fwhm > 0):
            per_band.append(("fwhm", [repr(float(v)) for v in cube.fwhm], ""))
            held.add("fwhm")
    if cube.good_bands is not None:
        per_band.append(("bbl", [str(int(v)) for v in cube.good_bands], ""))
    for key, usual in (("scale", 1.0), ("offset", 0.0)):
        values = np.broadcast_to(getattr(cube, key), cube.bands)
        if not np.all(np.isfinite(values)) or (key == "scale" and np.any(values == 0)):
            held.discard(key)
        elif np.any(values != usual):
            per_band.append((key.upper(), [repr(float(v)) for v in values], key))
    if names := cube.band_names:
        per_band.append(("DESCRIPTION", [_clean(str(name)) for name in names], "description"))
    tags: list[Tag] = []
    if cube.nodata is not None:
        held.add("nodata")
        if fits_dtype(cube.nodata, dtype) is None:
            notes.append(f"the no-data value {cube.nodata:g} was left out: {dtype} cannot hold it")
        else:
            whole = float(cube.nodata).is_integer()
            tags.append(_text(_GDAL_NODATA, str(int(cube.nodata)) if whole else repr(float(cube.nodata))))
    place, missing = _geo_tags(cube, held)
    entry, more = own_entry(cube, held)
    items = [
        f'<Item name="{name}" sample="{band}"{f" role={chr(34)}{role}{chr(34)}" if role else ""}>'
        f"{escape(values[band])}</Item>"
        for band in range(cube.bands)
        for name, values, role in per_band
    ]
    if entry != "{}":
        items.append(f'<Item name="{OWN_KEY}">{escape(entry)}</Item>')
    if items:
        tags.append(_text(_GDAL_METADATA, "<GDALMetadata>\n" + "\n".join(items) + "\n</GDALMetadata>"))
    return tags + place, notes + missing + more


def _geo_tags(cube: Cube, held: set[str]) -> tuple[list[Tag], list[str]]:
    """Return the GeoTIFF tags; fields that they store exactly are added to `held`."""
    if cube.affine is None:
        return [], []
    a, b, c, d, e, f = (float(v) for v in cube.affine)
    keys, exact = _geo_keys(cube.crs)
    notes = []
    if cube.crs and keys is None:
        notes.append(f"other programs will not see the reference system: writing {cube.crs[:40]} needs the extra geo")
    tags: list[Tag] = []
    if b == d == 0 and a > 0 > e:
        tags += [_doubles(_PIXEL_SCALE, (a, -e, 0.0)), _doubles(_TIEPOINT, (0.0, 0.0, 0.0, c, f, 0.0))]
    else:
        tags.append(_doubles(_TRANSFORM, (a, b, 0, c, d, e, 0, f, 0, 0, 0, 0, 0, 0, 0, 1)))
    held.add("affine")
    if cube.pixel_size == (float(np.hypot(b, e)), float(np.hypot(a, d))):
        held.add("pixel_size")
    if cube.crs and exact:
        held.add("crs")
    # without a reference system, only store that pixels are areas
    return tags + (keys or [(_GEO_KEYS, "H", 8, (1, 1, 0, 1, 1025, 0, 1, 1), True)]), notes


def _geo_keys(crs: str | None) -> tuple[list[Tag] | None, bool]:
    """Return the tags of a reference system, or None if it is unknown, and whether they are exact.

    GDAL, if installed, can write any system: its tags are copied from a one-pixel file. Without it, only the codes of
    UTM on WGS 84 and of geographic coordinates are known.
    """
    if not crs:
        return None, False
    try:
        import rasterio
        from rasterio.errors import CRSError
    except ImportError:
        known = wgs84_zone(crs)
        if known is None:
            return None, False
        model, place = (1, 3072) if known[0] else (2, 2048)
        code = int(crs.upper().removeprefix("EPSG:"))
        return [(_GEO_KEYS, "H", 16, (1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, 1, place, 0, 1, code), True)], True
    import tifffile

    shape: dict[str, Any] = {"width": 1, "height": 1, "count": 1, "dtype": "uint8"}
    try:
        with rasterio.MemoryFile() as memory:
            # any origin except (0, 0), which GDAL treats as missing
            place = rasterio.Affine(1, 0, 1, 0, -1, 1)
            with memory.open(driver="GTiff", crs=rasterio.crs.CRS.from_user_input(crs), transform=place, **shape):
                pass
            memory.seek(0)
            with tifffile.TiffFile(memory) as tiff:
                found = {tag.code: tag.value for tag in tiff.pages.first.tags.values()}
    except (CRSError, UnicodeError):
        return None, False
    if _GEO_KEYS not in found:
        return None, False
    keys = tuple(int(v) for v in found[_GEO_KEYS])
    tags: list[Tag] = [(_GEO_KEYS, "H", len(keys), keys, True)]
    if _GEO_DOUBLES in found:
        tags.append(_doubles(_GEO_DOUBLES, np.atleast_1d(found[_GEO_DOUBLES]).tolist()))
    if _GEO_TEXT in found:
        tags.append(_text(_GEO_TEXT, str(found[_GEO_TEXT])))
    rows = {keys[i]: keys[i + 3] for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}
    return tags, f"EPSG:{rows.get(3072, rows.get(2048))}" == crs


def _doubles(code: int, values: Any) -> Tag:
    return code, "d", len(values), tuple(float(v) for v in values), True


def _text(code: int, text: str) -> Tag:
    data = text.encode("utf-8") + b"\0"
    return code, "s", len(data), data, True


def _clean(text: str) -> str:
    """Return `text` without the control characters that XML forbids."""
    return "".join(letter for letter in text if letter.isprintable())


WRITER = Writer("TIFF", (".tif", ".tiff"), _write)
OME_WRITER = Writer("OME-TIFF", (".ome.tif", ".ome.tiff"), _write_ome)
