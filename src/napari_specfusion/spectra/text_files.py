"""Text files of one spectrum each, as the ECOSTRESS and USGS libraries have them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.files import bytes_of, check_file
from napari_specfusion.io.metadata.units import to_standard_unit
from napari_specfusion.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_text_file"]

Floats = NDArray[np.float64]

# what the USGS writes for a deleted channel is -1.23e34
DELETED = -1e30
# "Wavelength (micrometers)"
_ENTRY = re.compile(r"\s*([A-Za-z][A-Za-z .]{0,40}?)\s*:\s*(.*)")
_RECORD = re.compile(r"\s*(s\d{2}\w*|splib\w*)\s+Record\s*=\s*(\d+)\s*:\s*(.*)", re.IGNORECASE)
_NOT_CENTRES = re.compile(r"bandpass|bandwidth|resolution", re.IGNORECASE)
# lines before the numbers, at most
LONGEST_HEADER = 400
# beside a file of splib07 there are a few files of wavelengths among thousands of spectra
MOST_WAVELENGTH_FILES = 200


def read_text_file(path: Path) -> tuple[Spectrum, ...]:
    """Read a text file of ECOSTRESS or ASTER, of splib06 or of splib07; or two columns, wavelengths and values.

    Raises
    ------
    ReadError
        If it is none of these, or the wavelengths of a file of splib07 are missing.
    """
    lines = _lines(path)
    if (record := _RECORD.match(lines[0])) is not None:
        return () if record[3].lower().startswith(("wavelength", "bandpass")) else (_splib07(path, lines, record[3]),)
    header, rows = _parted(path, lines)
    widths = {len(row) for row in rows}
    if not rows or len(widths) != 1 or not widths <= {2, 3}:
        raise ReadError(
            f"{path} is no text of ECOSTRESS or USGS: it needs two columns, wavelengths and values. Choose another."
        )
    numbers = np.array(rows)
    entries = _entries(header)
    if "x units" in entries or "y units" in entries:
        return (_ecostress(path, entries, numbers),)
    name = next((line.strip() for line in reversed(header) if _is_title(line)), path.stem)
    return (_made(path, name, numbers[:, 0], numbers[:, 1], None, {"history": _history(header)}),)


def _lines(path: Path) -> list[str]:
    raw = bytes_of(path, memory.LARGEST_LIBRARY_TEXT)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # a micro sign in a description
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or "\0" in text:
        raise ReadError(f"{path} is empty, or no text; choose a file with a spectrum.")
    return lines


def _parted(path: Path, lines: list[str]) -> tuple[list[str], list[list[float]]]:
    """Return the lines before the first row of numbers, and the rows from there on."""
    start = next((at for at, line in enumerate(lines[:LONGEST_HEADER]) if len(_numbers(line) or ()) > 1), None)
    if start is None:
        return lines, []
    rows = []
    for at, line in enumerate(lines[start:], start=start + 1):
        row = _numbers(line)
        if row is None:
            raise ReadError(f"{path}, line {at}: {line[:40]!r} are not numbers; the file is damaged.")
        rows.append(row)
    return lines[:start], rows


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(word) for word in re.split(r"[\s,;]+", line.strip()) if word]
    except ValueError:
        return None


def _made(
    path: Path, name: str, positions: Floats, values: Floats, unit: str | None, metadata: dict[str, str]
) -> Spectrum:
    if not np.all(np.isfinite(positions)):
        raise ReadError(f"{path} has wavelengths that are not finite; the file is damaged.")
    wavelengths, _, standard, note = to_standard_unit(positions, unit)
    if wavelengths is None:
        raise ReadError(f"{path}: {note}; give nm or um.")
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(values) & (values > DELETED), values, np.nan)
    told = {key: value for key, value in metadata.items() if value}
    return Spectrum(known, wavelengths, standard, name=name[:200], metadata={"file": path.name, **told})


# --- ECOSTRESS and ASTER ------------------------------------------------------------------


def _entries(header: list[str]) -> dict[str, str]:
    """Return what stands after colons, by what stands before; a line without one goes on with the last entry."""
    entries: dict[str, str] = {}
    last = ""
    for line in header:
        if (found := _ENTRY.fullmatch(line)) is not None:
            last = " ".join(found[1].lower().split())
            entries[last] = found[2].strip()
        elif last:
            entries[last] = f"{entries[last]} {line.strip()}".strip()
    return entries


def _ecostress(path: Path, entries: dict[str, str], numbers: Floats) -> Spectrum:
    unit = re.search(r"\(([^()]*)\)", entries.get("x units", ""))
    values = numbers[:, 1]
    if "percent" in entries.get("y units", "").lower():
        values = values / 100
    told = ("type", "class", "subclass", "sample no.", "particle size", "description")
    name = entries.get("name") or path.stem
    metadata = {key: entries.get(key, "") for key in told}
    return _made(path, name, numbers[:, 0], values, unit[1] if unit else None, metadata)


# --- USGS ---------------------------------------------------------------------------------


def _is_title(line: str) -> bool:
    """Whether a line of the header of splib06 may be the title: not the history, nor a rule."""
    return bool(re.search(r"[A-Za-z]{2}", line)) and not re.match(r"\s*(copy of|line \d)", line, re.IGNORECASE)


def _history(header: list[str]) -> str:
    return next((line.strip() for line in reversed(header) if line.lower().lstrip().startswith("copy of")), "")


def _splib07(path: Path, lines: list[str], title: str) -> Spectrum:
    """Return the spectrum of a file that holds values only, with the wavelengths that another file has."""
    values = _column(path, lines)
    found = _wavelengths_for(path, title, len(values))
    if found is None:
        raise ReadError(
            f"{path} holds {len(values)} values without wavelengths, and no file of as many wavelengths lies beside it "
            "or one folder up; put the file of its spectrometer there."
        )
    return _made(path, " ".join(title.split()), found, values, "um", {})


def _column(path: Path, lines: list[str]) -> Floats:
    values = [_numbers(line) for line in lines[1:]]
    if not values or any(value is None or len(value) != 1 for value in values):
        raise ReadError(f"{path} must hold one number in each line after the first; the file is damaged.")
    return np.array(values, np.float64)[:, 0]


def _wavelengths_for(path: Path, title: str, count: int) -> Floats | None:
    """Return the wavelengths beside a file that are as many; of several, those of the spectrometer that is named."""
    fitting = []
    for folder in (path.parent, path.parent.resolve().parent):
        for candidate in _wavelength_files(folder):
            heading, values = _wavelengths_in(candidate, candidate.stat().st_mtime_ns)
            if len(values) == count:
                fitting.append((heading, values))
        if fitting:
            break
    words = {word.upper()[:4] for word in re.findall(r"[A-Za-z]{3,}\d*", title)}
    best = max(
        fitting,
        key=lambda one: len(words & {word.upper()[:4] for word in re.findall(r"[A-Za-z]{3,}\d*", one[0])}),
        default=None,
    )
    return None if best is None else best[1]


def _wavelength_files(folder: Path) -> list[Path]:
    found = [p for p in folder.glob("*avelength*.txt") if p.is_file() and not p.is_symlink()]
    return sorted(p for p in found if not _NOT_CENTRES.search(p.name))[:MOST_WAVELENGTH_FILES]


@lru_cache(maxsize=64)
def _wavelengths_in(path: Path, changed: int) -> tuple[str, Floats]:
    """Return the heading of a file of wavelengths, and its values; none if it is something else."""
    try:
        check_file(path)
        lines = _lines(path)
        record = _RECORD.match(lines[0])
        return (record[3] if record else path.stem), _column(path, lines)
    except ReadError:
        return "", np.empty(0)
