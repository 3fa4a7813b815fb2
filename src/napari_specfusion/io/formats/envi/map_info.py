"""Georeferencing of an ENVI image: 'map info' and related entries."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from napari_specfusion.io.metadata.crs import named_system
from napari_specfusion.io.metadata.units import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["map_fields"]

_METRES = {"", "m", "meter", "meters", "metre", "metres"}


def map_fields(entries: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    """Return `affine`, `pixel_size` and `crs` of a header's entries; whatever is left out is added to `notes`."""
    fields: dict[str, Any] = {}
    info = [part.strip() for part in re.split(r"[,\n]", entries.get("map info", "")) if part.strip()]
    named = {key.strip(): value.strip() for key, _, value in (p.lower().partition("=") for p in info if "=" in p)}
    plain = [part for part in info if "=" not in part]
    values = numbers(plain[1:7]) if len(plain) >= 7 else None
    if values is not None and values[4] and values[5]:
        fields = _grid([float(v) for v in values], _angle(named.get("rotation", ""), notes))
    elif info:
        notes.append("'map info' was left out: it must give a reference pixel, its coordinates and a pixel size")
    if not fields:
        fields = _pixel_size(entries.get("pixel size", ""))
    system, units = entries.get("coordinate system string", ""), named.get("units", "")
    if not system and plain and plain[0].lower() == "utm" and units not in _METRES:
        notes.append(f"the reference system was left out: 'map info' is in {units[:40]}, but UTM is in metres")
    else:
        system = system or _system(plain, notes) or ""
    if system:
        fields["crs"] = system
    return fields


def _grid(values: list[float], angle: float) -> dict[str, Any]:
    """Return the affine of a grid turned by `angle` (radians, counter-clockwise; pi mirrors), and its pixel size."""
    column, row, east, north, width, height = values
    if abs(angle) == math.pi:
        # GDAL means rows from south to north, with columns unchanged
        angle, height = 0.0, -height
    a, b = math.cos(angle) * width, math.sin(angle) * height
    d, e = math.sin(angle) * width, -math.cos(angle) * height
    # Reference pixels are counted from 1 at the outer corner of the first pixel.
    x, y = column - 1, row - 1
    affine = (a, b, east - a * x - b * y, d, e, north - d * x - e * y)
    if not all(map(math.isfinite, affine)):
        return {}
    return {"affine": affine, "pixel_size": (abs(height), abs(width))}


def _angle(text: str, notes: list[str]) -> float:
    angle = numbers([text]) if text else None
    if text and angle is None:
        notes.append(f"rotation={text[:40]} of 'map info' was left out: it is not a number of degrees")
    turn = 0.0 if angle is None else math.fmod(float(angle[0]), 360)
    if abs(turn) == 180:
        notes.append("rotation=180 of 'map info' was read as rows from south to north, as GDAL writes them")
    return math.radians(turn)


def _pixel_size(text: str) -> dict[str, Any]:
    """Return the pixel size of an image without map coordinates: 'pixel size' is (x, y, units)."""
    sizes = numbers(text.replace("\n", ",").split(",")[:2])
    if sizes is None or sizes.size != 2 or not (sizes > 0).all():
        return {}
    return {"pixel_size": (float(sizes[1]), float(sizes[0]))}


def _system(info: list[str], notes: list[str]) -> str | None:
    """Return the EPSG code of a 'map info' in degrees or UTM on a datum that is well known."""
    projection = info[0].lower() if info else ""
    zone = None
    if projection == "utm":
        found = numbers(info[7:8])
        if found is None or not float(found[0]).is_integer():
            return None
        zone = int(found[0])
    elif not projection.startswith("geographic"):
        return None
    south = len(info) > 8 and info[8].lower().startswith("s")
    return next(filter(None, (named_system(part, zone, south, notes) for part in info[7:])), None)
