"""Find the references of a capture by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.errors import CalibrationError
from napari_specfusion.files import as_path
from napari_specfusion.io.formats.envi.specim import DARK, WHITE, captures_in, headers_in

if TYPE_CHECKING:
    import os

__all__ = ["References", "find_references"]


@dataclass(frozen=True)
class References:
    """A capture and its references.

    Attributes
    ----------
    raw
        The capture.
    white, dark
        The references of the panel and in the dark; None if missing.
    """

    raw: Path
    white: Path | None = None
    dark: Path | None = None


def find_references(path: str | os.PathLike[str]) -> References:
    """Find the white and dark references of a capture by their names.

    Parameters
    ----------
    path
        The capture ``NAME.hdr`` or its data file, with ``WHITEREF_NAME.hdr`` and ``DARKREF_NAME.hdr`` in the same
        folder (a file with another name but this prefix is accepted if it is the only one); or a folder with one
        capture and its references, directly or in the subfolder ``capture``.

    Raises
    ------
    CalibrationError
        If a folder does not hold exactly one capture.
    """
    path = as_path(path)
    if path.is_dir():
        path = _capture_in(path)
    neighbours = {p.name.lower(): p for p in headers_in(path.parent)}
    return References(path, _reference(path, WHITE, neighbours), _reference(path, DARK, neighbours))


def _capture_in(folder: Path) -> Path:
    captures = captures_in(folder)
    if len(captures) == 1:
        return captures[0]
    found = ", ".join(p.name for p in captures[:5]) or "none"
    raise CalibrationError(f"{folder} holds {len(captures)} captures ({found}); give the header of one.")


def _reference(path: Path, prefix: str, neighbours: dict[str, Path]) -> Path | None:
    for name in (f"{prefix}{path.stem}.hdr", f"{prefix}{path.name}.hdr"):
        if name.lower() in neighbours:
            return neighbours[name.lower()]
    alone = [p for name, p in neighbours.items() if name.startswith(prefix)]
    return alone[0] if len(alone) == 1 else None
