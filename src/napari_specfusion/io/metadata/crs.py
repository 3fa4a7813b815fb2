"""Reference systems between EPSG's codes and the words of formats.

WGS 84 in degrees and in UTM is arithmetic, and known without any package. All others come from PROJ's own tables,
through pyproj of the extra ``geo``.
"""

from __future__ import annotations

import re

from napari_specfusion.errors import needs_extra

__all__ = ["esri_wkt", "named_system", "wgs84_zone"]

# what ENVI calls a datum, without blanks, to what PROJ calls the system in degrees on it
_DATUMS = {
    "wgs84": "WGS 84",
    "wgs72": "WGS 72",
    "northamerica1983": "NAD83",
    "nad83": "NAD83",
    "northamerica1927": "NAD27",
    "nad27": "NAD27",
    "europeanterrestrialreference1989": "ETRS89",
    "etrs89": "ETRS89",
    "european1950": "ED50",
    "ed50": "ED50",
    "gda94": "GDA94",
    "geocentricdatumofaustralia1994": "GDA94",
    "sirgas2000": "SIRGAS 2000",
}
# PROJ looks for names that are alike, too: only what is no mere name is handed to it
_FORMAL = re.compile(r"\s*(?:[A-Za-z]+:\w+\s*$|\+proj=|[A-Z_]+\[)")


def named_system(datum: str, zone: int | None, south: bool, notes: list[str]) -> str | None:
    """Return the code of a system in degrees (`zone` None) or UTM on a datum that is well known, or None.

    Parameters
    ----------
    datum
        As ENVI names it: "WGS-84", "North America 1983".
    zone, south
        Zone of UTM, and whether it is the southern one.
    notes
        Takes that a package is missing that would know the code.
    """
    name = _DATUMS.get(datum.lower().replace("-", "").replace(" ", ""))
    if name is None or (zone is not None and not 1 <= zone <= 60):
        return None
    if name == "WGS 84":
        return "EPSG:4326" if zone is None else f"EPSG:{(32700 if south else 32600) + zone}"
    system = name if zone is None else f"{name} / UTM zone {zone}{'S' if south else 'N'}"
    try:
        from pyproj import CRS
        from pyproj.exceptions import CRSError
    except ImportError:
        notes.append(f"the reference system {system} was left out: its code {needs_extra('pyproj')}")
        return None
    try:
        found = CRS.from_user_input(system)
    except CRSError:
        return None
    code = found.to_authority()
    # names that are merely alike do not count
    return ":".join(code) if code is not None and found.name == system else None


def wgs84_zone(crs: str) -> tuple[int, bool] | None:
    """Return zone and southern half of a code of UTM on WGS 84; zone 0 for plain degrees, None for other systems."""
    code = crs.upper().removeprefix("EPSG:")
    number = int(code) if code.isascii() and code.isdecimal() and len(code) < 7 else 0
    if number == 4326:
        return 0, False
    south = number > 32700
    zone = number - (32700 if south else 32600)
    return (zone, south) if 1 <= zone <= 60 else None


def esri_wkt(crs: str) -> str | None:
    """Return a system as ENVI spells it out, or None where pyproj is missing or does not know it."""
    if not _FORMAL.match(crs):
        return None
    try:
        from pyproj import CRS
        from pyproj.exceptions import CRSError
    except ImportError:
        return None
    try:
        return str(CRS.from_user_input(crs).to_wkt("WKT1_ESRI"))
    except (CRSError, UnicodeError):
        return None
