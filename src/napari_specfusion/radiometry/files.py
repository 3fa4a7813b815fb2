"""The references beside a capture, found by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.errors import CalibrationError
from napari_specfusion.io.formats.envi.specim import DARK, WHITE, captures_in, headers_in

if TYPE_CHECKING:
    import os

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
    beside = {p.name.lower(): p for p in headers_in(path.parent)}
    return References(path, _reference(path, WHITE, beside), _reference(path, DARK, beside))


def _capture_in(folder: Path) -> Path:
    captures = captures_in(folder)
    if len(captures) == 1:
        return captures[0]
    found = ", ".join(p.name for p in captures[:5]) or "none"
    raise CalibrationError(f"{folder} holds {len(captures)} captures ({found}); name the header of one.")


def _reference(path: Path, prefix: str, beside: dict[str, Path]) -> Path | None:
    for name in (f"{prefix}{path.stem}.hdr", f"{prefix}{path.name}.hdr"):
        if name.lower() in beside:
            return beside[name.lower()]
    alone = [p for name, p in beside.items() if name.startswith(prefix)]
    return alone[0] if len(alone) == 1 else None
