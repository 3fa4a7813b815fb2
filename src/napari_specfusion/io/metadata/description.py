"""What a format has no place for, as one line of JSON that this package writes beside the pixels and finds again.

Formats say what they can in their own words, for every program; the entry holds the rest, for this one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.io.metadata.axes import UNCERTAIN_KEY
from napari_specfusion.io.metadata.variables import Variable, spectral_axis

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["LONGEST", "OWN_KEY", "own_entry", "plain_fields", "restored", "told_by_name"]

OWN_KEY = "specfusion"
# tables of metadata in tables of metadata
_DEEPEST = 20

_LISTS = ("wavelengths", "fwhm", "good_bands")
_UNITS = ("nm", "cm-1")
_TUPLES = {"affine": 6, "pixel_size": 2}
# what a reader remarked on one file, and where another lies, is no property of the image
_OF_THE_FILE = {OWN_KEY, "notes", "store", UNCERTAIN_KEY}
_LONGEST_METADATA = 256 << 10
LONGEST = 64 << 20


def plain_fields(cube: Cube, skip: Collection[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Return the description of a cube as JSON can hold it, and what had to be left out, in words.

    Parameters
    ----------
    cube
        The cube.
    skip
        Names of the fields that the format holds in its own words.
    """
    notes: list[str] = []
    fields: dict[str, Any] = {}
    for key, value in cube.describe().items():
        if key in skip or value is None or (key in {"scale", "offset"} and np.all(value == (key == "scale"))):
            continue
        if key != "metadata":
            fields[key] = _plain(value)
    metadata, dropped = _plain_metadata(cube.metadata)
    if len(json.dumps(metadata)) > _LONGEST_METADATA:
        notes.append("the further metadata were left out: they are longer than 256 kB")
        metadata, dropped = {}, []
    if dropped:
        words = ", ".join(sorted(dropped)[:8])
        notes.append(f"of the further metadata {words} were left out: no plain text or numbers")
    if metadata and "metadata" not in skip:
        fields["metadata"] = metadata
    return fields, notes


def own_entry(cube: Cube, skip: Collection[str] = ()) -> tuple[str, list[str]]:
    """Return `plain_fields` as one line of ASCII."""
    fields, notes = plain_fields(cube, skip)
    return json.dumps(fields, allow_nan=False), notes


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
    return cube if text is None else cube.replace(**_fields_of(text, metadata))


def _fields_of(text: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what an entry says as arguments of `Cube`; text that is none says nothing."""
    try:
        found = json.loads(text) if isinstance(text, str) and len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {}
    known: dict[str, Any] = {"metadata": metadata}
    for key, value in found.items():
        if key in _LISTS or key in {"scale", "offset"}:
            values = _floats(value if isinstance(value, list) else [value])
            if values is not None:
                known[key] = values if isinstance(value, list) else float(values[0])
        elif key in _TUPLES and isinstance(value, list):
            values = _floats(value)
            if values is not None and values.size == _TUPLES[key]:
                known[key] = tuple(float(v) for v in values)
        elif key == "nodata" and isinstance(value, int | float | str):
            known |= _nodata(value)
        elif isinstance(value, str) and (key in {"name", "crs"} or (key == "spectral_unit" and value in _UNITS)):
            known[key] = value
    more = found.get("metadata")
    if isinstance(more, dict):
        known["metadata"] = {key: tuple(v) if isinstance(v, list) else v for key, v in more.items()} | metadata
    return known


def _floats(items: list[Any]) -> NDArray[np.float64] | None:
    """Return `items` as numbers, "nan" and "inf" among them, or None if one is no number."""
    try:
        return np.array([float(item) for item in items], np.float64) if items else None
    except (TypeError, ValueError, OverflowError):
        return None


def _nodata(value: float | str) -> dict[str, float]:
    try:
        return {"nodata": float(value)}
    except (ValueError, OverflowError):
        return {}


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
