"""Where an ENVI image lies on the ground: 'map info' and what goes with it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from napari_specfusion.io.metadata.units import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["map_fields"]

# EPSG codes of a datum: geographic, UTM north before zone 1, UTM south before zone 1
_DATUMS: dict[str, tuple[int, int, int | None]] = {
    "wgs84": (4326, 32600, 32700),
    "northamerica1983": (4269, 26900, None),
    "nad83": (4269, 26900, None),
    "northamerica1927": (4267, 26700, None),
    "nad27": (4267, 26700, None),
    "europeanterrestrialreference1989": (4258, 25800, None),
    "etrs89": (4258, 25800, None),
}
_METRES = {"", "m", "meter", "meters", "metre", "metres"}
# zones for which EPSG has a code with these bases; WGS 84 has all
_ZONES = {26900: range(1, 24), 26700: range(1, 23), 25800: range(28, 39)}


def map_fields(entries: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    """Return `affine`, `pixel_size` and `crs` of a header's entries; `notes` takes what had to be left out."""
    fields: dict[str, Any] = {}
    info = [part.strip() for part in re.split(r"[,\n]", entries.get("map info", "")) if part.strip()]
    named = {key.strip(): value.strip() for key, _, value in (p.lower().partition("=") for p in info if "=" in p)}
    plain = [part for part in info if "=" not in part]
    values = numbers(plain[1:7]) if len(plain) >= 7 else None
    if values is not None and values[4] and values[5]:
        fields = _grid([float(v) for v in values], _angle(named.get("rotation", ""), notes))
    elif info:
        notes.append("'map info' was left out: it does not hold a reference pixel, its place and a pixel size")
    if not fields:
        fields = _pixel_size(entries.get("pixel size", ""))
    system, units = entries.get("coordinate system string", ""), named.get("units", "")
    if not system and plain and plain[0].lower() == "utm" and units not in _METRES:
        notes.append(f"the reference system was left out: 'map info' is in {units[:40]}, and UTM's codes mean metres")
    else:
        system = system or _epsg(plain) or ""
    if system:
        fields["crs"] = system
    return fields


def _grid(values: list[float], angle: float) -> dict[str, Any]:
    """Return the affine of a grid turned by `angle` (radians, counter-clockwise; pi mirrors), and its pixel size."""
    column, row, east, north, width, height = values
    if abs(angle) == math.pi:
        # in GDAL's files rows run from south to north then, and columns as ever
        angle, height = 0.0, -height
    a, b = math.cos(angle) * width, math.sin(angle) * height
    d, e = math.sin(angle) * width, -math.cos(angle) * height
    # Reference pixels count from 1 at the outer corner of the first pixel.
    x, y = column - 1, row - 1
    affine = (a, b, east - a * x - b * y, d, e, north - d * x - e * y)
    if not all(map(math.isfinite, affine)):
        return {}
    return {"affine": affine, "pixel_size": (abs(height), abs(width))}


def _angle(text: str, notes: list[str]) -> float:
    angle = numbers([text]) if text else None
    if text and angle is None:
        notes.append(f"rotation={text[:40]} of 'map info' was left out: it is no number of degrees")
    turn = 0.0 if angle is None else math.fmod(float(angle[0]), 360)
    if abs(turn) == 180:
        notes.append("rotation=180 of 'map info' was taken for rows from south to north, as GDAL writes them")
    return math.radians(turn)


def _pixel_size(text: str) -> dict[str, Any]:
    """Return the pixel size of an image without a place on the map: 'pixel size' is (x, y, units)."""
    sizes = numbers(text.replace("\n", ",").split(",")[:2])
    if sizes is None or sizes.size != 2 or not (sizes > 0).all():
        return {}
    return {"pixel_size": (float(sizes[1]), float(sizes[0]))}


def _epsg(info: list[str]) -> str | None:
    """Return the EPSG code of a 'map info' in degrees or UTM on a datum that is well known."""
    words = (part.lower().replace("-", "").replace(" ", "") for part in info[7:])
    datum = next((_DATUMS[word] for word in words if word in _DATUMS), None)
    if datum is None:
        return None
    geographic, north, south = datum
    if info[0].lower().startswith("geographic"):
        return f"EPSG:{geographic}"
    zone = numbers(info[7:8])
    if info[0].lower() != "utm" or zone is None or zone[0] not in _ZONES.get(north, range(1, 61)):
        return None
    base = south if len(info) > 8 and info[8].lower().startswith("s") else north
    return None if base is None else f"EPSG:{base + int(zone[0])}"
