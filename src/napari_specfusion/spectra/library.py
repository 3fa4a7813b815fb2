"""Spectral libraries: read from files of several formats, searched by words, written as a table or for ENVI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

from napari_specfusion.arguments import flag, instance, text
from napari_specfusion.errors import OutputError, ReadError, SpectrumError
from napari_specfusion.files import as_path, check_file
from napari_specfusion.io.atomic import check_targets
from napari_specfusion.spectra.envi import LIBRARY_ENDINGS, read_sli, sli_targets, write_sli
from napari_specfusion.spectra.spectrum import Spectrum
from napari_specfusion.spectra.tables import read_table, write_table
from napari_specfusion.spectra.text_files import read_text_file

if TYPE_CHECKING:
    import os
    from pathlib import Path

__all__ = ["SpectralLibrary", "as_library", "read_library", "save_spectra"]

TEXT_ENDINGS = (".txt", ".asc", ".csv")
# spectra in a folder, at most: the largest library in use, of USGS, has about 7000 files
MOST_FILES = 50_000


@dataclass(frozen=True, eq=False)
class SpectralLibrary(Sequence[Spectrum]):
    """Spectra that were read together.

    Attributes
    ----------
    spectra
        The spectra.
    name
        Name of the file or the folder.
    notes
        What was left out, and why.
    """

    spectra: tuple[Spectrum, ...]
    name: str = "library"
    notes: tuple[str, ...] = field(default=(), repr=False)

    @overload
    def __getitem__(self, at: int) -> Spectrum: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Spectrum, ...]: ...
    def __getitem__(self, at: int | slice) -> Spectrum | tuple[Spectrum, ...]:
        return self.spectra[at]

    def __len__(self) -> int:
        return len(self.spectra)

    def __iter__(self) -> Iterator[Spectrum]:
        return iter(self.spectra)

    def search(self, words: str) -> SpectralLibrary:
        """Return the spectra whose name or description has all of the words, in any order and case.

        Raises
        ------
        SpectrumError
            If the words are no text.
        """
        wanted = text("words", words, SpectrumError).lower().split()
        found = tuple(spectrum for spectrum in self.spectra if _has(spectrum, wanted))
        return SpectralLibrary(found, self.name, self.notes)

    def __repr__(self) -> str:
        return f"SpectralLibrary({self.name!r}, {len(self)} spectra)"


def _has(spectrum: Spectrum, words: list[str]) -> bool:
    told = " ".join([spectrum.name, *(str(value) for value in spectrum.metadata.values())]).lower()
    return all(word in told for word in words)


def as_library(spectra: object) -> SpectralLibrary:
    """Return spectra as a library.

    Raises
    ------
    SpectrumError
        If they are no spectra.
    """
    if isinstance(spectra, SpectralLibrary):
        return spectra
    if isinstance(spectra, Spectrum):
        return SpectralLibrary((spectra,))
    words = "a SpectralLibrary, or a list of Spectrum"
    try:
        entries = list(spectra)  # type: ignore[call-overload]
    except Exception as problem:  # arrays of other libraries raise anything
        raise SpectrumError(f"The spectra are of type {type(spectra).__name__}; give {words}.") from problem
    return SpectralLibrary(tuple(instance("An entry", entry, Spectrum, words, SpectrumError) for entry in entries))


def read_library(path: str | os.PathLike[str]) -> SpectralLibrary:
    """Read a spectral library from a file, or from all files in a folder.

    Parameters
    ----------
    path
        An ENVI library (``.sli`` or its ``.hdr``), a table (``.csv``: wavelengths in the first column, a spectrum in
        each other one), a text file of ECOSTRESS or ASTER, or of the USGS (splib06 and splib07), or a folder of such
        files. The files of splib07 find their wavelengths in the files beside them, or one folder up.

    Returns
    -------
    SpectralLibrary
        Wavelengths in nm, percent as fractions, deleted channels as NaN.

    Raises
    ------
    ReadError
        If a file cannot be read; in a folder, if none can.
    """
    path = as_path(path)
    check_file(path, folder=True)
    if not path.is_dir():
        return SpectralLibrary(_read_file(path), path.stem)
    spectra: list[Spectrum] = []
    notes: list[str] = []
    for file in _files(path):
        try:
            spectra += _read_file(file)
        except ReadError as error:
            notes.append(str(error))
    if not spectra:
        told = f" The first problem: {notes[0]}" if notes else ""
        raise ReadError(f"{path} holds no spectra; choose a folder of .sli, .csv or .txt files.{told}")
    return SpectralLibrary(tuple(spectra), path.name, tuple(notes))


def _read_file(path: Path) -> tuple[Spectrum, ...]:
    ending = path.suffix.lower()
    if ending in LIBRARY_ENDINGS:
        return read_sli(path)
    return read_table(path) if ending == ".csv" else read_text_file(path)


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.rglob("*")):
        # not through links, which may lead anywhere
        if path.suffix.lower() in (".sli", *TEXT_ENDINGS) and path.is_file() and not path.is_symlink():
            found.append(path)
        if len(found) > MOST_FILES:
            raise ReadError(f"{folder} holds more than {MOST_FILES} files; choose a folder inside it.")
    return found


def save_spectra(
    path: str | os.PathLike[str], spectra: SpectralLibrary | Iterable[Spectrum], *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write spectra to a file that `read_library` reads again.

    Parameters
    ----------
    path
        ``.csv``, a table with a row for each wavelength that any of the spectra has; or ``.sli``, an ENVI library, with
        its ``.hdr``.
    spectra
        Spectra, all in nm, all in cm-1, or all without wavelengths. In an ENVI library all must have the same bands.
    overwrite
        Whether to replace existing files.

    Returns
    -------
    tuple of Path
        The files written, the one to open last. A spread is written as a further column or spectrum, ``NAME std``.

    Raises
    ------
    OutputError
        If the ending is unknown, the format cannot hold the spectra, or a file cannot be written.
    """
    path = as_path(path, OutputError)
    library = as_library(spectra)
    replace = flag("overwrite", overwrite, OutputError)
    if not len(library):
        raise OutputError("There are no spectra to write; give at least one.")
    units = sorted({spectrum.unit for spectrum in library})
    if len(units) > 1:
        raise OutputError(f"The spectra have positions in {' and '.join(units)}; write them to a file for each unit.")
    ending = path.suffix.lower()
    if ending == ".csv":
        check_targets((path,), replace, 0)
        write_table(path, library)
        return (path,)
    if ending in LIBRARY_ENDINGS:
        targets = sli_targets(path)
        check_targets(targets, replace, 0)
        write_sli(targets, library)
        return targets
    raise OutputError(f"{path.name} has an unknown ending; write to .csv, or to .sli for ENVI.")
