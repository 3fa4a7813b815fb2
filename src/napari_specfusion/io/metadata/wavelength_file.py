"""Read wavelengths from a text file: a list, or a table with a wavelength column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.files import text_of
from napari_specfusion.io.metadata.units import guessed_unit, is_count, to_standard_unit, unit_in_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["read_wavelengths"]

_MOST_COLUMNS = 1000
_SEPARATOR = re.compile(r"[\s,;]+")
# titles of wavelength columns, in order of preference
_KINDS = (
    re.compile(r"wave ?length|wvl|lambda|\u03bb|\bwl\b", re.IGNORECASE),
    re.compile(r"\b(?:band)? ?cent(?:er|re)s?\b", re.IGNORECASE),
    re.compile(
        r"(?<![a-z])(?:nm|nanomet(?:er|re)s?|[u\u00b5\u03bc]m|micromet(?:er|re)s?|microns?)(?![a-z])", re.IGNORECASE
    ),
    re.compile(r"wave ?number|raman|shift|cm-1|1/cm|cm\^-1", re.IGNORECASE),
)
_NOT_CENTRES = re.compile(r"fwhm|width|uncert|error|flag", re.IGNORECASE)


def read_wavelengths(path: Path) -> tuple[NDArray[np.float64], str | None]:
    """Return the wavelengths in a text file, and their unit if the file gives it.

    A file without columns is a list of numbers in nm, one per line or separated by commas, blanks or semicolons; a
    title line is skipped. In a table, the column titled wavelength, wl, lambda, centre, nm, µm, wavenumber or cm-1 is
    used, in that order of preference; without such a title, the only monotonic column in the range of wavelengths that
    is not a column of running numbers.

    Returns
    -------
    values
        In nm, or in cm-1.
    unit
        ``"nm"`` or ``"cm-1"``; None for a list of numbers without a title, which are in nm.

    Raises
    ------
    ReadError
        If the file cannot be read, holds something else, or the column is ambiguous; the message lists the columns.
    """
    lines = [line for line in text_of(path, memory.LONGEST_WAVELENGTHS).splitlines() if line.strip()]
    title = lines.pop(0) if lines and _is_title(lines[0]) else ""
    rows = [_numbers(path, line) for line in lines]
    widths = {len(row) for row in rows}
    flat = np.array([value for row in rows for value in row])
    steps = np.diff(flat)
    # a list wrapped over several lines rises throughout, unlike a table
    is_list = len(rows) == 1 or len(widths) != 1 or widths == {1} or (not title and bool(np.all(steps > 0)))
    if is_list:
        return _converted(path, flat, title) if title and widths == {1} else (flat, None)
    if len(rows[0]) > _MOST_COLUMNS:
        raise ReadError(f"{path} has {len(rows[0])} columns; keep only one wavelength per line.")
    return _of_table(path, np.array(rows), _titles(title, lines[0], len(rows[0])))


def _is_title(line: str) -> bool:
    """Whether a line is a title: it has a word of two letters, or consists of single letters."""
    return bool(re.search(r"[A-Za-z\u00b5\u03bc\u03bb]{2}", line) or re.fullmatch(r"[\sA-Za-z,;#\"']+", line))


def _numbers(path: Path, line: str) -> list[float]:
    try:
        return [float(word) for word in _SEPARATOR.split(line.strip()) if word]
    except ValueError as error:
        raise ReadError(f"{path} holds more than numbers ({error}); keep only one wavelength per line.") from error


def _titles(title: str, line: str, count: int) -> list[str]:
    """Split the title line like the numbers; return "column 1", ... if there are too few titles."""
    mark = next((mark for mark in (",", ";", "\t") if mark in line), None)
    words = [word.strip(" #\"'") for word in (title.split() if mark is None else title.split(mark))]
    return words[:count] if len(words) >= count else [f"column {number}" for number in range(1, count + 1)]


def _of_table(path: Path, table: NDArray[np.float64], titles: Sequence[str]) -> tuple[NDArray[np.float64], str | None]:
    sound = [i for i in range(table.shape[1]) if bool(np.all(np.isfinite(table[:, i])))]
    for kind in _KINDS:
        plain = [titles[i].replace("_", " ") for i in range(len(titles))]
        named = [i for i in sound if kind.search(plain[i]) and not _NOT_CENTRES.search(plain[i])]
        if named:
            in_nm = [i for i in named if unit_in_name(titles[i]) == "nm"]
            chosen = (in_nm or named)[0]
            return _converted(path, table[:, chosen], titles[chosen])
    fitting = [i for i in sound if guessed_unit(table[:, i]) is not None and not is_count(table[:, i])]
    if len(fitting) != 1:
        raise ReadError(
            f"{path} has {table.shape[1]} columns ({', '.join(titles[:20])}), of which "
            f"{len(fitting) or 'none'} could be the wavelengths; "
            "name one column wavelength_nm, or remove the others."
        )
    return _converted(path, table[:, fitting[0]], titles[fitting[0]])


def _converted(path: Path, values: NDArray[np.float64], title: str) -> tuple[NDArray[np.float64], str | None]:
    unit = unit_in_name(title) or ("cm-1" if _KINDS[-1].search(title.replace("_", " ")) else guessed_unit(values))
    if unit is None:
        return values, None
    converted, _, standard, note = to_standard_unit(values, unit)
    if converted is None:
        raise ReadError(f"{path}: {note}; give nm, um or cm-1.")
    return converted, standard
