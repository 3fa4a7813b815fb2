"""Capture folders of scanners: an ENVI capture, its references in the same folder, a preview one level up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_specfusion.io.formats.pictures import ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DARK", "WHITE", "capture_in", "captures_in", "headers_in"]

# name prefixes of references
WHITE, DARK = "whiteref_", "darkref_"
_INNER = "capture"


def headers_in(folder: Path) -> list[Path]:
    """Return the ENVI headers in a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".hdr") if folder.is_dir() else []


def captures_in(folder: Path) -> list[Path]:
    """Return the headers of the captures, without references, in a folder or its subfolder ``capture``."""
    return [p for p in headers_in(_inner(folder) or folder) if not p.name.lower().startswith((WHITE, DARK))]


def capture_in(folder: Path) -> Path | None:
    """Return the header of the only capture in a folder; None if it holds several, or one picture per band."""
    inner = _inner(folder)
    if inner is None and any(p.suffix.lower() in ENDINGS for p in folder.iterdir()):
        return None
    found = captures_in(folder)
    return found[0] if len(found) == 1 else None


def _inner(folder: Path) -> Path | None:
    return next((p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() == _INNER), None)
