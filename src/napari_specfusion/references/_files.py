"""The references beside a capture, found by their names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari_specfusion.errors import CalibrationError

__all__ = ["References", "find_references"]


@dataclass(frozen=True)
class References:
    """A capture and the references that lie beside it.

    Attributes
    ----------
    raw
        The capture.
    white, dark
        What was taken of the panel and in the dark; None where there is none.
    """

    raw: Path
    white: Path | None = None
    dark: Path | None = None


def find_references(path: str | os.PathLike[str]) -> References:
    """Find the white and dark reference of a capture by their names.

    Parameters
    ----------
    path
        The capture ``NAME.hdr`` or its data file, with ``WHITEREF_NAME.hdr`` and ``DARKREF_NAME.hdr`` beside it, or
        alone of their kind there; or the folder of one capture, with these in it or in its folder ``capture``.

    Raises
    ------
    CalibrationError
        If a folder holds no capture, or several.
    """
    path = Path(path)
    if path.is_dir():
        path = _capture_in(path)
    beside = {p.name.lower(): p for p in _headers(path.parent)}
    return References(path, _reference(path, "whiteref_", beside), _reference(path, "darkref_", beside))


def _headers(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".hdr") if folder.is_dir() else []


def _capture_in(folder: Path) -> Path:
    inside = next((p for p in folder.iterdir() if p.is_dir() and p.name.lower() == "capture"), folder)
    captures = [p for p in _headers(inside) if not p.name.lower().startswith(("whiteref_", "darkref_"))]
    if len(captures) == 1:
        return captures[0]
    found = ", ".join(p.name for p in captures[:5]) or "none"
    raise CalibrationError(f"{inside} holds {len(captures)} captures ({found}); name the header of one.")


def _reference(path: Path, prefix: str, beside: dict[str, Path]) -> Path | None:
    for name in (f"{prefix}{path.stem}.hdr", f"{prefix}{path.name}.hdr"):
        if name.lower() in beside:
            return beside[name.lower()]
    alone = [p for name, p in beside.items() if name.startswith(prefix)]
    return alone[0] if len(alone) == 1 else None
