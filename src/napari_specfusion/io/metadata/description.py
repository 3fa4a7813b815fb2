"""The one translation between what a cube says about its numbers and what files keep of it.

`to_attributes` makes plain data for JSON of a cube's fields, `from_attributes` makes fields of it again. Zarr stores
have it among their attributes, other files as one line of text, the own entry: formats say what they can in their own
words, for every program; the entry holds the rest, for this one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.data.cube import METADATA_KEY
from napari_specfusion.io.metadata.axes import UNCERTAIN_KEY
from napari_specfusion.io.metadata.variables import Variable, spectral_axis

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["LONGEST", "OWN_KEY", "from_attributes", "own_entry", "restored", "to_attributes", "told_by_name"]

OWN_KEY = METADATA_KEY
# tables of metadata in tables of metadata
_DEEPEST = 20

# what a cube says that says nothing in particular; these names are those in every file, and stay
_EMPTY: dict[str, Any] = {
    "wavelengths": None,
    "spectral_unit": None,
    "fwhm": None,
    "good_bands": None,
    "nodata": None,
    "scale": 1.0,
    "offset": 0.0,
    "pixel_size": None,
    "affine": None,
    "crs": None,
    "name": None,
    "metadata": {},
}
_UNITS = ("nm", "cm-1")
_TUPLES = {"affine": 6, "pixel_size": 2}
# what a reader remarked on one file, and where another lies, is no property of the image
_OF_THE_FILE = {OWN_KEY, "notes", "store", UNCERTAIN_KEY}
LONGEST = memory.LONGEST_TEXT


def to_attributes(fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the description of a cube as JSON can hold it, and what had to be left out, in words.

    Parameters
    ----------
    fields
        As `Cube.describe` returns them; what is missing counts as unknown.

    Returns
    -------
    attributes
        Every field of a cube but the pixels, under its own name: numbers, text, and lists and tables of them; "nan" and
        "inf" are text, which JSON has no number for.
    notes
        What of the metadata is missing.
    """
    notes: list[str] = []
    attributes = {key: _plain(fields.get(key, usual)) for key, usual in _EMPTY.items() if key != "metadata"}
    for key in ("scale", "offset"):
        if np.all(np.asarray(fields.get(key, _EMPTY[key])) == _EMPTY[key]):
            attributes[key] = _EMPTY[key]
    metadata, dropped = _plain_metadata(fields.get("metadata", {}))
    if len(json.dumps(metadata)) > memory.LONGEST_METADATA:
        notes.append("the further metadata were left out: they are longer than 256 kB")
        metadata, dropped = {}, []
    if dropped:
        words = ", ".join(sorted(dropped)[:8])
        notes.append(f"of the further metadata {words} were left out: no plain text or numbers")
    return attributes | {"metadata": metadata}, notes


def from_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `to_attributes` made, of this version or an older one, as arguments of `Cube`.

    What is missing, damaged or unknown is left out.
    """
    fields: dict[str, Any] = {}
    for key, value in attributes.items():
        if value is None:
            continue
        if key in {"wavelengths", "fwhm", "good_bands", "scale", "offset"}:
            values = _floats(value if isinstance(value, list) else [value])
            if values is not None and (isinstance(value, list) or key in {"scale", "offset"}):
                fields[key] = values if isinstance(value, list) else float(values[0])
        elif key in _TUPLES and isinstance(value, list):
            values = _floats(value)
            if values is not None and values.size == _TUPLES[key]:
                fields[key] = tuple(float(v) for v in values)
        elif key == "nodata" and isinstance(value, int | float | str):
            values = _floats([value])
            if values is not None:
                fields[key] = float(values[0])
        elif isinstance(value, str) and (key in {"name", "crs"} or (key == "spectral_unit" and value in _UNITS)):
            fields[key] = value
        elif key == "metadata" and isinstance(value, Mapping):
            fields[key] = {name: tuple(v) if isinstance(v, list) else v for name, v in value.items()}
    return fields


def own_entry(cube: Cube, skip: Collection[str] = ()) -> tuple[str, list[str]]:
    """Return what a cube says in particular as one line of ASCII, and what had to be left out, in words.

    Parameters
    ----------
    cube
        The cube.
    skip
        Names of the fields that the format holds in its own words.
    """
    attributes, notes = to_attributes(cube.describe())
    told = {key: value for key, value in attributes.items() if key not in skip and value != _EMPTY[key]}
    return json.dumps(told, allow_nan=False), notes


def told_by_name(cube: Cube, name: str) -> set[str]:
    """Return ``{"wavelengths"}`` if an array called `name` gives them back as they are; its unit is guessed."""
    if cube.wavelengths is None:
        return set()
    beside = Variable(name, cube.wavelengths.shape, True)
    found = spectral_axis([beside], cube.shape, lambda _: cube.wavelengths)
    return {"wavelengths"} if found is not None and np.array_equal(found[0], cube.wavelengths) else set()


def restored(cube: Cube) -> Cube:
    """Return a cube as read with what its file's entry says put in; a file without one, or with another's, as it is.

    Readers leave the text in the metadata: under `OWN_KEY`, or among the header's or GDAL's entries.
    """
    metadata = dict(cube.metadata)
    text = metadata.pop(OWN_KEY, None)
    for part in ("header", "gdal"):
        if isinstance(metadata.get(part), Mapping) and OWN_KEY in metadata[part]:
            entries = dict(metadata[part])
            found = entries.pop(OWN_KEY)
            # ENVI takes the outer braces for its own
            text = f"{{{found}}}" if part == "header" else found
            metadata[part] = entries
    return cube if text is None else cube.replace(**_entry_fields(text, metadata))


def _entry_fields(text: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what an entry says as arguments of `Cube`; text that is none says nothing."""
    try:
        found = json.loads(text) if isinstance(text, str) and len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {}
    fields = from_attributes(found)
    return fields | {"metadata": fields.get("metadata", {}) | metadata}


def _floats(items: list[Any]) -> NDArray[np.float64] | None:
    """Return `items` as numbers, or None if one is no number; results once had null for NaN in lists."""
    try:
        return np.array([math.nan if n is None else float(n) for n in items], np.float64) if items else None
    except (TypeError, ValueError, OverflowError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    # JSON knows neither NaN nor infinity
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _plain_metadata(metadata: Mapping[str, Any], depth: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Return the part of `metadata` that is text, numbers, lists and tables of them, and the keys of the rest."""
    kept: dict[str, Any] = {}
    dropped: list[str] = []
    for key, value in metadata.items():
        if key in _OF_THE_FILE:
            continue
        if isinstance(value, Mapping):
            if depth == _DEEPEST:
                dropped.append(str(key))
                continue
            kept[str(key)], below = _plain_metadata(value, depth + 1)
            dropped += [f"{key}.{name}" for name in below]
            continue
        try:
            plain = _plain(value)
            json.dumps(plain, allow_nan=False)
            kept[str(key)] = plain
        except (TypeError, ValueError, RecursionError):
            dropped.append(str(key))
    return kept, dropped
