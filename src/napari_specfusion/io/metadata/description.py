"""Convert the description of a cube to and from what files store.

`to_attributes` converts a cube's fields to plain data for JSON, `from_attributes` converts them back. Zarr stores keep
them in their attributes, other files as one line of text, our own entry. Each format stores what it can in its
standard fields, for every program; the own entry holds the rest, for this package.
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
# nesting depth of metadata
_DEEPEST = 20

# default values, which need not be stored; the names are part of the file format and must not change
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
# a reader's remarks on one file, and paths of other files, are not properties of the image
_OF_THE_FILE = {OWN_KEY, "notes", "store", UNCERTAIN_KEY}
LONGEST = memory.LONGEST_TEXT


def to_attributes(fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the description of a cube as plain data for JSON, and notes on what was left out.

    Parameters
    ----------
    fields
        As returned by `Cube.describe`; missing fields count as unknown.

    Returns
    -------
    attributes
        All fields except the pixels, under their own names, as numbers, text, lists and dicts; "nan" and "inf" are
        stored as text because JSON has no such numbers.
    notes
        Which metadata were left out.
    """
    notes: list[str] = []
    attributes = {key: _plain(fields.get(key, usual)) for key, usual in _EMPTY.items() if key != "metadata"}
    for key in ("scale", "offset"):
        if np.all(np.asarray(fields.get(key, _EMPTY[key])) == _EMPTY[key]):
            attributes[key] = _EMPTY[key]
    metadata, dropped = _plain_metadata(fields.get("metadata", {}))
    if len(json.dumps(metadata)) > memory.LONGEST_METADATA:
        notes.append("the other metadata were left out: they are longer than 256 kB")
        metadata, dropped = {}, []
    if dropped:
        words = ", ".join(sorted(dropped)[:8])
        notes.append(f"metadata left out because they are not plain text or numbers: {words}")
    return attributes | {"metadata": metadata}, notes


def from_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Convert attributes by `to_attributes`, of this version or an older one, to arguments of `Cube`.

    Missing, damaged or unknown entries are left out.
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
    """Return the non-default fields of a cube as one line of ASCII, and notes on what was left out.

    Parameters
    ----------
    cube
        The cube.
    skip
        Names of the fields that the format stores itself.
    """
    attributes, notes = to_attributes(cube.describe())
    entry = {key: value for key, value in attributes.items() if key not in skip and value != _EMPTY[key]}
    return json.dumps(entry, allow_nan=False), notes


def told_by_name(cube: Cube, name: str) -> set[str]:
    """Return ``{"wavelengths"}`` if an array called `name` restores them exactly when its unit is guessed."""
    if cube.wavelengths is None:
        return set()
    vector = Variable(name, cube.wavelengths.shape, True)
    found = spectral_axis([vector], cube.shape, lambda _: cube.wavelengths)
    return {"wavelengths"} if found is not None and np.array_equal(found[0], cube.wavelengths) else set()


def restored(cube: Cube) -> Cube:
    """Apply the own entry of a cube's file to the cube; without a valid entry, return the cube unchanged.

    Readers put the text in the metadata: under `OWN_KEY`, or among the header's or GDAL's entries.
    """
    metadata = dict(cube.metadata)
    text = metadata.pop(OWN_KEY, None)
    for part in ("header", "gdal"):
        if isinstance(metadata.get(part), Mapping) and OWN_KEY in metadata[part]:
            entries = dict(metadata[part])
            found = entries.pop(OWN_KEY)
            # the ENVI reader strips the outer braces
            text = f"{{{found}}}" if part == "header" else found
            metadata[part] = entries
    return cube if text is None else cube.replace(**_entry_fields(text, metadata))


def _entry_fields(text: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return an own entry as arguments of `Cube`; empty if the text is not a valid entry."""
    try:
        found = json.loads(text) if isinstance(text, str) and len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {}
    fields = from_attributes(found)
    return fields | {"metadata": fields.get("metadata", {}) | metadata}


def _floats(items: list[Any]) -> NDArray[np.float64] | None:
    """Return `items` as numbers, or None if one is not a number; older results have null for NaN in lists."""
    try:
        return np.array([math.nan if n is None else float(n) for n in items], np.float64) if items else None
    except (TypeError, ValueError, OverflowError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    # JSON has neither NaN nor infinity
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _plain_metadata(metadata: Mapping[str, Any], depth: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Return the part of `metadata` made of text, numbers, lists and dicts, and the keys of the rest."""
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
