"""Wavelengths in a text file of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_wavelengths"]

_LONGEST = 10_000_000


def read_wavelengths(path: Path) -> NDArray[np.float64]:
    """Return the numbers of a text file, one per line or separated by commas, blanks or semicolons.

    A first line of words is skipped.

    Raises
    ------
    ReadError
        If the file cannot be read, or holds something else.
    """
    try:
        if path.stat().st_size > _LONGEST:
            raise ReadError(f"{path} has {path.stat().st_size} bytes; a list of wavelengths has {_LONGEST} at most.")
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{path} cannot be read as text ({error}); choose a text file of numbers.") from error
    if lines and re.search(r"[A-Za-z]{2}", lines[0]):
        lines = lines[1:]
    try:
        return np.array([float(word) for line in lines for word in re.split(r"[\s,;]+", line.strip()) if word])
    except ValueError as error:
        raise ReadError(f"{path} holds more than numbers ({error}); leave one wavelength per line.") from error
