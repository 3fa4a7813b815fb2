"""Folders that scanners leave: a capture as an ENVI file, its references beside it, a preview above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_specfusion.io.formats.pictures import ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DARK", "WHITE", "capture_in", "captures_in", "headers_in"]

# how the names of references begin
WHITE, DARK = "whiteref_", "darkref_"
_INNER = "capture"


def headers_in(folder: Path) -> list[Path]:
    """Return the ENVI headers in a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".hdr") if folder.is_dir() else []


def captures_in(folder: Path) -> list[Path]:
    """Return the headers of what a scanner captured, references left out, in a folder or its folder ``capture``."""
    return [p for p in headers_in(_inner(folder) or folder) if not p.name.lower().startswith((WHITE, DARK))]


def capture_in(folder: Path) -> Path | None:
    """Return the header of the only capture in a folder; None where it holds several, or pictures to make a cube of."""
    inner = _inner(folder)
    if inner is None and any(p.suffix.lower() in ENDINGS for p in folder.iterdir()):
        return None
    found = captures_in(folder)
    return found[0] if len(found) == 1 else None


def _inner(folder: Path) -> Path | None:
    return next((p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() == _INNER), None)
