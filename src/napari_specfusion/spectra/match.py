"""Which spectra of a library look like a given one, and where in a cube it is found: the spectral angle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.arguments import whole
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import SpectrumError
from napari_specfusion.io import as_cube
from napari_specfusion.listing import Listing
from napari_specfusion.progress import ShouldStop, Watch
from napari_specfusion.spectra.library import as_library
from napari_specfusion.spectra.resampling import check_comparable, resample, resample_all
from napari_specfusion.spectra.spectrum import Spectrum, as_spectrum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.data.sources import Source
    from napari_specfusion.progress import Progress
    from napari_specfusion.spectra.library import SpectralLibrary

__all__ = ["Match", "angle_map", "angle_picture", "rank_spectra"]

Floats = NDArray[np.float64]

# fewer bands in common tell nothing
FEWEST_BANDS = 3
# a spectrum that covers less of the other one's known bands is not compared with it
LEAST_COVER = 0.5


@dataclass(frozen=True)
class Match:
    """How much a spectrum of a library looks like a given one.

    Attributes
    ----------
    angle
        Spectral angle in degrees, 0 for spectra that differ by a factor only.
    name
        What it is called.
    bands
        Number of bands in which the two were compared.
    spectrum
        The spectrum of the library, as it was read.
    """

    angle: float
    name: str
    bands: int
    spectrum: Spectrum = field(repr=False, compare=False)


def rank_spectra(
    spectrum: Spectrum, library: SpectralLibrary | Iterable[Spectrum], count: int | None = None
) -> Listing[Match]:
    """Return the spectra of a library by their spectral angle to a given one, the smallest first.

    Each is resampled to the bands of the given one. After F. A. Kruse et al., Remote Sensing of Environment 44(2-3),
    1993.

    Parameters
    ----------
    spectrum
        What to look for, with wavelengths.
    library
        A library, or any spectra.
    count
        How many to return; None returns all.

    Returns
    -------
    Listing of Match
        Without spectra that cover less than half of the known bands, or have wavelengths of another unit.

    Raises
    ------
    SpectrumError
        If the spectrum has no wavelengths, or no spectrum of the library can be compared with it.
    """
    spectrum = as_spectrum(spectrum)
    check_comparable(spectrum, spectrum.spectral_unit)
    most = None if count is None else whole("count", count, 1, error=SpectrumError)
    entries = [entry for entry in as_library(library) if entry.unit == spectrum.unit]
    values = [entry.values for entry in resample_all(entries, spectrum)]
    angles, bands = _angles(np.stack(values or [np.full(spectrum.bands, np.nan)]), spectrum.values)
    enough = (bands >= FEWEST_BANDS) & (bands >= LEAST_COVER * spectrum.known.sum()) & np.isfinite(angles)
    matches = [
        Match(float(angle), entry.name, int(count), entry)
        for entry, angle, count, is_enough in zip(entries, angles, bands, enough, strict=False)
        if is_enough
    ]
    if not matches:
        raise SpectrumError(
            f"No spectrum of the library covers half of the bands of {spectrum.name}; choose another library."
        )
    return Listing(sorted(matches, key=lambda match: match.angle)[:most])


def angle_map(cube: CubeLike, spectrum: Spectrum) -> Cube:
    """Return the spectral angle between a spectrum and every pixel of a cube, lazily.

    Parameters
    ----------
    cube
        A cube, or what `as_cube` makes one of. Nothing is read before the result is.
    spectrum
        A spectrum, which is resampled to the wavelengths of the cube. Where either has none, it must have as many
        bands.

    Returns
    -------
    Cube
        Degrees ``(1, y, x)``, float32. Only good bands that both know count; NaN where a pixel has none, or is zero.

    Raises
    ------
    SpectrumError
        If the spectrum does not fit the cube.
    """
    cube, spectrum = as_cube(cube), as_spectrum(spectrum)
    bands, target = _target(cube, spectrum)
    target = target.reshape(-1, 1, 1)
    # sums over the bands, chunk by chunk: a large cube never is in memory as a whole
    seen = cube.values[bands].astype(np.float64)
    known = da.isfinite(seen)
    seen = da.where(known, seen, 0.0)
    product = (seen * target).sum(axis=0)
    lengths = da.square(seen).sum(axis=0), da.where(known, np.square(target), 0.0).sum(axis=0)
    angles = da.map_blocks(_degrees, product, *lengths, dtype=np.float32)
    return _map_of(cube, spectrum, angles[None])


def angle_picture(
    cube: CubeLike,
    spectrum: Spectrum,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return what `angle_map` does, in memory: the cube is read in strips.

    Raises
    ------
    SpectrumError
        If the spectrum does not fit the cube.
    Cancelled
        If `should_stop` says so.
    """
    cube, spectrum = as_cube(cube), as_spectrum(spectrum)
    watch = Watch(progress, should_stop, "Stopped; no angle was mapped.")
    bands, target = _target(cube, spectrum)
    chosen, (_, height, width) = cube.select(bands), cube.shape
    angles = np.empty((1, height, width), np.float32)
    step = max(1, memory.STRIP // (3 * 8 * len(bands) * width))
    starts = range(0, height, step)
    for done, start in enumerate(starts):
        watch.tell(done, len(starts), "Mapping the angle")
        rows = slice(start, min(start + step, height))
        seen = chosen.read(rows).astype(np.float64)
        known = np.isfinite(seen)
        seen[~known] = 0
        product, square = np.tensordot(target, seen, axes=1), np.einsum("byx,byx->yx", seen, seen)
        angles[0, rows] = _degrees(product, square, np.tensordot(np.square(target), known.astype(np.float64), axes=1))
    return _map_of(cube, spectrum, da.from_array(angles, chunks=angles.shape, name=False), ArraySource(angles))


def _target(cube: Cube, spectrum: Spectrum) -> tuple[NDArray[np.intp], Floats]:
    """Return the bands that count, and the values of the spectrum there, near 1 so that no square is lost."""
    values = _on_bands_of(cube, spectrum)
    bands = np.flatnonzero(cube.good & np.isfinite(values))
    if len(bands) < FEWEST_BANDS:
        raise SpectrumError(
            f"{spectrum.name} is known in {len(bands)} good bands of {cube.name}; at least {FEWEST_BANDS} are needed. "
            "Choose another spectrum."
        )
    return bands, values[bands] / (np.max(np.abs(values[bands])) or 1.0)


def _map_of(cube: Cube, spectrum: Spectrum, angles: da.Array, source: Source | None = None) -> Cube:
    return cube.replace(
        data=angles,
        source=source,
        wavelengths=None,
        fwhm=None,
        good_bands=None,
        nodata=None,
        scale=1.0,
        offset=0.0,
        name=f"{cube.name}: angle to {spectrum.name}",
        metadata={"band_names": ("angle",), "made_from": cube.name, "angle_to": spectrum.name, "unit": "degrees"},
    )


def _on_bands_of(cube: Cube, spectrum: Spectrum) -> Floats:
    if cube.wavelengths is not None and spectrum.wavelengths is not None:
        return resample(spectrum, cube.wavelengths, cube.fwhm, cube.spectral_unit).values
    if spectrum.bands != cube.bands:
        raise SpectrumError(
            f"{spectrum.name} has {spectrum.bands} bands, {cube.name} {cube.bands}; without wavelengths they must have "
            "the same number."
        )
    return spectrum.values


def _angles(values: Floats, target: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the angles ``(n,)`` of rows ``(n, bands)`` to a target, and how many bands each has in common with it."""
    known = np.isfinite(values) & np.isfinite(target)
    rows, targets = np.where(known, values, 0), np.where(known, target, 0)
    lengths = np.linalg.norm(rows, axis=1), np.linalg.norm(targets, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = rows / lengths[0][:, None], targets / lengths[1][:, None]
    # the arc cosine of a product loses half the digits of small angles
    angles = 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return np.degrees(angles), known.sum(axis=1)


def _degrees(product: Floats, square: Floats, other: Floats) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = product / np.sqrt(square * other)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))).astype(np.float32)
