"""EnMAP and DESIS products of DLR: a GeoTIFF and a METADATA.XML that describes its bands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import ReadError
from napari_specfusion.files import check_neighbours
from napari_specfusion.io.formats.tiff.reader import read_tiff
from napari_specfusion.io.metadata.units import fits_dtype, numbers
from napari_specfusion.io.metadata.xml import read_xml
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from napari_specfusion.data.cube import Cube

__all__ = ["READER", "read_enmap"]

_METADATA = re.compile(r"(?P<stem>.*)-METADATA\.XML", re.IGNORECASE)
_IMAGE = re.compile(r"(?P<stem>.*)-SPECTRAL_IMAGE(_COG)?\.TIFF?", re.IGNORECASE)
# Names in EnMAP, then in DESIS, in lower case.
_KEYS = {
    "wavelengths": ("wavelengthcenterofband",),
    "fwhm": ("fwhmofband", "wavelengthwidthofband"),
    "scale": ("gainofband",),
    "offset": ("offsetofband",),
}
_BACKGROUND = {"backgroundvalue", "nodatavalue"}


def read_enmap(path: Path, *, wavelengths: Any = None) -> Cube:
    """Open an orthorectified EnMAP or DESIS product (L1C, L2A) by its METADATA.XML or its SPECTRAL_IMAGE.TIF.

    Pixels are read lazily from the TIFF. Without the XML, only the tags of the TIFF describe the bands.

    Parameters
    ----------
    path
        Either of the two files; the other is found next to it.
    wavelengths
        Wavelengths that `open_cube` sets later; those of the XML are then ignored.

    Raises
    ------
    ReadError
        If the image is missing, or the XML is damaged, declares a document type, or describes a different number of
        bands.
    """
    metadata, image = _pair(path)
    if image is None:
        raise ReadError(
            f"{path} has no ...-SPECTRAL_IMAGE.TIF next to it; put it there. Level 1B stores each detector in a "
            "separate file: open those one by one."
        )
    if metadata is None:
        cube = read_tiff(image, wavelengths=wavelengths)
        note = "there is no ...-METADATA.XML next to the image, so its bands are not described"
        return cube.replace(metadata=dict(cube.metadata) | {"notes": (*cube.metadata.get("notes", ()), note)})
    notes: list[str] = []
    fields, bands, background = _description(metadata, notes)
    cube = read_tiff(image, wavelengths=np.arange(bands) if wavelengths is None else wavelengths)
    if cube.bands != bands:
        raise ReadError(
            f"{metadata} describes {bands} bands, but {image.name} has {cube.bands}; use files of one product."
        )
    if wavelengths is not None:
        fields = {key: value for key, value in fields.items() if key not in {"wavelengths", "fwhm"}}
    nodata = fits_dtype(background, cube.dtype)
    if nodata is not None:
        fields["nodata"] = nodata
    stem = _METADATA.fullmatch(metadata.name)
    name = metadata.stem if stem is None else stem["stem"]
    extra = {"product": name, "notes": (*cube.metadata.get("notes", ()), *notes)}
    return cube.replace(name=name, metadata=dict(cube.metadata) | extra, **fields)


def _pair(path: Path) -> tuple[Path | None, Path | None]:
    """Return the metadata file and the image of the product that `path` belongs to; None for a missing file."""
    found: dict[str, Path] = {}
    own = _METADATA.fullmatch(path.name) or _IMAGE.fullmatch(path.name)
    if own is None:
        raise ReadError(f"{path} is neither ...-METADATA.XML nor ...-SPECTRAL_IMAGE.TIF; choose one of these two.")
    for entry in sorted(path.parent.iterdir()):
        for key, pattern in (("metadata", _METADATA), ("image", _IMAGE)):
            match = pattern.fullmatch(entry.name)
            if match is not None and match["stem"].lower() == own["stem"].lower() and entry.is_file():
                found.setdefault(key, entry)
    check_neighbours(path, found.values())
    found["metadata" if _METADATA.fullmatch(path.name) else "image"] = path
    return found.get("metadata"), found.get("image")


def _description(path: Path, notes: list[str]) -> tuple[dict[str, Any], int, str | None]:
    """Return the `Cube` fields given by the XML, its number of bands, and its background value."""
    root = read_xml(path)
    characterisation = next(root.iter("bandCharacterisation"), None)
    # DESIS lists its bands a second time for their geometry; only this list counts.
    bands = [] if characterisation is None else [band for band in characterisation if band.tag in {"bandID", "band"}]
    if not bands:
        raise ReadError(f"{path} describes no bands (bandCharacterisation); choose the METADATA.XML of the product.")
    bands.sort(key=_number)
    columns: dict[str, list[str | None]] = {key: [] for key in _KEYS}
    for band in bands:
        texts = {child.tag.lower(): child.text for child in band}
        for key, names in _KEYS.items():
            columns[key].append(next((texts[name] for name in names if name in texts), None))
    fields: dict[str, Any] = {}
    for key, column in columns.items():
        values = numbers(column)
        if values is not None and not (key == "scale" and np.any(values == 0)):
            fields[key] = values
        elif any(text is not None for text in column):
            notes.append(f"{key} of the bands was left out: for some bands it is missing, 0 or not a number")
    if "wavelengths" not in fields:
        raise ReadError(f"{path} does not give a wavelength for each of {len(bands)} bands; get a new copy.")
    for key in ("scale", "offset"):
        if key in fields and np.all(fields[key] == fields[key][0]):
            fields[key] = float(fields[key][0])
    background = next((e.text for e in root.iter() if e.tag.lower() in _BACKGROUND), None)
    return fields, len(bands), background


def _number(band: Element) -> int:
    number = band.get("number") or band.findtext("bandNumber") or ""
    return int(number) if number.strip().isdecimal() else 0


READER = Reader(
    title="EnMAP or DESIS",
    patterns=("*-metadata.xml", "*-spectral_image.tif", "*-spectral_image.tiff", "*-spectral_image_cog.tif*"),
    read=read_enmap,
)
