"""Tables of spectra: positions in the first column, a spectrum in each other one."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.files import text_of
from napari_specfusion.io.atomic import replacing
from napari_specfusion.io.metadata.units import guessed_unit, is_count, to_standard_unit, unit_in_name
from napari_specfusion.spectra.spectrum import BAND, Spectrum

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["merged_spreads", "read_table", "spread_name", "table", "with_spreads", "write_table"]

Floats = NDArray[np.float64]

MOST_COLUMNS = 10_000
# what the name of a spread ends in
SPREAD = " std"
# of the file at hand, only so much is told
TOLD = 40


def read_table(path: Path) -> tuple[Spectrum, ...]:
    """Read a table of spectra.

    Columns are separated by commas, semicolons or tabs. The first line has titles; the first one may hold the unit of
    the wavelengths. A spectrum has no band where its cell is empty, and a band without a value where it is ``nan``.

    Raises
    ------
    ReadError
        If it is no such table.
    """
    lines = [line for line in text_of(path, memory.LARGEST_LIBRARY_TEXT).splitlines() if line.strip()]
    if not lines:
        raise ReadError(f"{path} is empty; choose a table of spectra.")
    mark = max(",;\t", key=lines[0].count)
    if lines[0].count(mark) > MOST_COLUMNS:
        raise ReadError(
            f"{path} has more than {MOST_COLUMNS} columns; write a spectrum in each column, not in each row."
        )
    try:
        rows = list(csv.reader(lines, delimiter=mark))
    except csv.Error as error:
        raise ReadError(f"{path} cannot be read as a table ({error}); write it as plain CSV.") from error
    titles = [title.strip() for title in rows[0]]
    if len(titles) < 2 or all(_number(title) is not None for title in titles if title):
        raise ReadError(
            f"{path} has no titles, or only one column; write a title for each: nm, and the names of spectra."
        )
    numbers = np.full((len(rows) - 1, len(titles)), np.nan)
    held = np.zeros(numbers.shape, bool)
    for line, row in enumerate(rows[1:]):
        for column, cell in enumerate(row[: len(titles)]):
            if cell.strip():
                value = _number(cell)
                if value is None:
                    raise ReadError(f"{path}, line {line + 2}: {cell[:TOLD]!r} is not a number; leave the cell empty.")
                numbers[line, column], held[line, column] = value, True
    positions = numbers[:, 0]
    if not len(positions) or not np.all(np.isfinite(positions)):
        raise ReadError(f"{path} has rows without a wavelength in the first column; remove them.")
    wavelengths, unit = _positions(path, titles[0], positions)
    spectra = [
        Spectrum(
            numbers[held[:, column], column],
            None if wavelengths is None else wavelengths[held[:, column]],
            unit,
            name=title or f"column {column + 1}",
            metadata={"file": path.name},
        )
        for column, title in enumerate(titles)
        if column > 0 and held[:, column].any()
    ]
    if not spectra:
        raise ReadError(f"{path} holds wavelengths, but no values; choose another file.")
    return merged_spreads(spectra)


def _positions(path: Path, title: str, positions: Floats) -> tuple[Floats | None, str]:
    """Return wavelengths and their unit; None for band numbers."""
    if title.lower() == BAND or (unit_in_name(title) is None and is_count(positions)):
        return None, "nm"
    unit = unit_in_name(title) or guessed_unit(np.unique(positions))
    converted, _, standard, note = to_standard_unit(positions, unit)
    if converted is None:
        raise ReadError(f"{path}: {note}; put the unit into the title of the first column: nm, um or cm-1.")
    return converted, standard


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else math.nan


# --- spreads, which have a column of their own -----------------------------------------------


def spread_name(name: str) -> str:
    """Return what the column of the spread of a spectrum is called."""
    return f"{name}{SPREAD}"


def with_spreads(spectra: Iterable[Spectrum]) -> list[Spectrum]:
    """Return spectra without spreads, each followed by its spread as a spectrum of its own."""
    flat = []
    for spectrum in spectra:
        flat.append(spectrum.replace(spread=None))
        if spectrum.spread is not None:
            flat.append(spectrum.replace(values=spectrum.spread, spread=None, name=spread_name(spectrum.name)))
    return flat


def merged_spreads(spectra: Sequence[Spectrum]) -> tuple[Spectrum, ...]:
    """Return spectra with the spreads that follow them, as `with_spreads` wrote them."""
    merged: list[Spectrum] = []
    for spectrum in spectra:
        before = merged[-1] if merged else None
        if before is None or spectrum.name != spread_name(before.name) or before.spread is not None:
            merged.append(spectrum)
            continue
        known = dict(zip(spectrum.positions.tolist(), spectrum.values.tolist(), strict=True))
        merged[-1] = before.replace(spread=np.array([known.get(at, np.nan) for at in before.positions.tolist()]))
    return tuple(merged)


# --- writing ------------------------------------------------------------------------------


def table(spectra: Iterable[Spectrum]) -> list[list[str]]:
    """Return spectra as rows of text: a header, then one row per position that any of them has.

    Cells are empty where a spectrum has no such position, and ``nan`` where it has no value there.
    """
    flat = with_spreads(spectra)
    unit = flat[0].unit if flat else BAND
    columns = [dict(zip(s.positions.tolist(), s.values.tolist(), strict=True)) for s in flat]
    rows = [
        [_text(position), *(_text(column.get(position)) for column in columns)]
        for position in sorted(set().union(*columns))
    ]
    return [[unit, *(spectrum.name for spectrum in flat)], *rows]


def write_table(path: Path, spectra: Iterable[Spectrum]) -> None:
    """Write spectra as a comma-separated table.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8", errors="replace") as file:
        csv.writer(file).writerows(table(spectra))


def _text(value: float | None) -> str:
    """Return the shortest text that reads back as the same number, of single precision if it is one."""
    if value is None:
        return ""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return (str(single) if float(single) == value else repr(value)).removesuffix(".0")
