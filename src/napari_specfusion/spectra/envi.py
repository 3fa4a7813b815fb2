"""Spectral libraries of ENVI: one spectrum per line of a raw data file, described by a header."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion import memory
from napari_specfusion.errors import OutputError, ReadError
from napari_specfusion.io import open_cube
from napari_specfusion.io.atomic import explained, replacing_all
from napari_specfusion.io.formats.envi.header import header_fields
from napari_specfusion.spectra.spectrum import Spectrum
from napari_specfusion.spectra.tables import merged_spreads, with_spreads

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["LIBRARY_ENDINGS", "read_sli", "sli_targets", "write_sli"]

LIBRARY_ENDINGS = (".sli", ".hdr")
_LIBRARY = "spectral library"
UNITS = {"nm": "Nanometers", "cm-1": "Wavenumber", "band": "Unknown"}


def read_sli(path: Path) -> tuple[Spectrum, ...]:
    """Read an ENVI library by its data file or its header.

    Raises
    ------
    ReadError
        If it cannot be read, is an image, or is too large.
    """
    cube = open_cube(path, reader="envi")
    header = cube.metadata["header"]
    if _LIBRARY not in str(header.get("file type", "")).lower():
        raise ReadError(f"{path} is an image, not a spectral library; open it as a cube.")
    if cube.data.nbytes > memory.LARGEST_LIBRARY:
        raise ReadError(
            f"{path} takes {cube.data.nbytes / 1e6:.0f} MB, and libraries of up to "
            f"{memory.LARGEST_LIBRARY / 1e6:.0f} MB are read; split it."
        )
    count = cube.shape[1]
    names = [" ".join(name.split()) for name in str(header.get("spectra names", "")).split(",")]
    if len(names) != count:
        # names may have commas of their own
        names = []
    values = np.where(cube.good[:, None], cube.read()[:, :, 0], np.nan)
    return merged_spreads(
        [
            Spectrum(
                values[:, line],
                cube.wavelengths,
                cube.spectral_unit,
                cube.fwhm,
                name=(names[line] if names else "") or f"{cube.name} {line + 1}",
                metadata={"file": path.name},
            )
            for line in range(count)
        ]
    )


def sli_targets(path: Path) -> tuple[Path, Path]:
    """Return the data file and the header of a library, for the name of either.

    Raises
    ------
    OutputError
        If the header is that of an image, which would be lost.
    """
    header = path.with_suffix(".hdr")
    if header.is_file() and not _is_library(header):
        raise OutputError(f"{header} describes another file, whose header would be lost; save under another name.")
    return path.with_suffix(".sli"), header


def _is_library(header: Path) -> bool:
    try:
        return _LIBRARY in header_fields(header).get("file type", "").lower()
    except ReadError:
        return False


def write_sli(targets: tuple[Path, Path], spectra: Iterable[Spectrum]) -> None:
    """Write spectra as an ENVI library of 64-bit numbers.

    Raises
    ------
    OutputError
        If they differ in their bands, or the files cannot be written.
    """
    flat = with_spreads(spectra)
    first = flat[0]
    other = next((s for s in flat if not np.array_equal(s.positions, first.positions)), None)
    if other is not None:
        raise OutputError(
            f"{first.name} and {other.name} have different bands, which an ENVI library cannot hold; write a .csv, or "
            "a library for each."
        )
    names = [re.sub(r"[,{}=;\s]+", " ", spectrum.name).strip() or "spectrum" for spectrum in flat]
    entries = {
        "description": "{Spectral library}",
        "samples": str(first.bands),
        "lines": str(len(flat)),
        "bands": "1",
        "header offset": "0",
        "file type": "ENVI Spectral Library",
        "data type": "5",
        "interleave": "bsq",
        "byte order": "0",
        "wavelength units": UNITS[first.unit],
        "spectra names": "{\n" + ",\n".join(names) + "}",
    }
    if first.wavelengths is not None:
        entries["wavelength"] = _listed(first.wavelengths.tolist())
        if first.fwhm is not None and all(
            s.fwhm is not None and np.array_equal(s.fwhm, first.fwhm) and np.all(s.fwhm > 0) for s in flat
        ):
            entries["fwhm"] = _listed(first.fwhm.tolist())
    text = "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
    with explained(targets[0]), replacing_all(targets) as (data, header):
        np.stack([spectrum.values for spectrum in flat]).astype("<f8").tofile(data)
        header.write_text(text, encoding="utf-8", errors="replace")


def _listed(values: list[float]) -> str:
    return "{\n" + ",\n".join(repr(value) for value in values) + "}"
