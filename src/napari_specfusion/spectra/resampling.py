"""A spectrum as other bands would see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.arguments import choice, numbers
from napari_specfusion.data.band_axis import gaps
from napari_specfusion.errors import SpectrumError
from napari_specfusion.spectra.spectrum import UNITS, as_spectrum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from napari_specfusion.spectra.spectrum import Spectrum

__all__ = ["difference", "resample", "resampled_values"]

Floats = NDArray[np.float64]

# a Gaussian is cut off at so many of its widths; beyond, it weighs less than 1/500
REACH = 1.5
# half of what a band sees must be known
LEAST_KNOWN = 0.5


def resample(
    spectrum: Spectrum, wavelengths: ArrayLike, fwhm: ArrayLike | None = None, spectral_unit: str | None = None
) -> Spectrum:
    """Return a spectrum as bands at other wavelengths would see it.

    Each band is a Gaussian. Where the spectrum is too coarse for that, it is taken as straight between its bands. One
    that lies at these wavelengths already stays as it is.

    Parameters
    ----------
    spectrum
        A spectrum with wavelengths.
    wavelengths
        Centres of the bands ``(n,)``.
    fwhm
        Widths of the bands ``(n,)``; None takes the distance to the next one.
    spectral_unit
        Unit of both, ``"nm"`` or ``"cm-1"``; None takes the spectrum's.

    Returns
    -------
    Spectrum
        With `wavelengths`; NaN where the spectrum does not cover a band, or has a gap. The spread is resampled alike.

    Raises
    ------
    SpectrumError
        If the spectrum has no wavelengths, or those of another unit.
    """
    spectrum = as_spectrum(spectrum)
    centres = numbers("wavelengths", wavelengths, error=SpectrumError)
    widths = None if fwhm is None else numbers("fwhm", fwhm, centres.shape, SpectrumError)
    unit = spectrum.spectral_unit if spectral_unit is None else choice("unit", spectral_unit, UNITS, SpectrumError)
    check_comparable(spectrum, unit)
    order = np.argsort(centres, kind="stable")
    centres, widths = centres[order], None if widths is None else widths[order]
    rows = [spectrum.values] if spectrum.spread is None else [spectrum.values, spectrum.spread]
    found = resampled_values(spectrum, np.stack(rows), centres, widths)
    spread = found[1] if len(rows) > 1 else None
    return spectrum.replace(values=found[0], wavelengths=centres, fwhm=widths, spread=spread)


def difference(spectrum: Spectrum, other: Spectrum) -> Spectrum:
    """Return a spectrum less another one, which is first resampled to its wavelengths.

    Parameters
    ----------
    spectrum, other
        Spectra with wavelengths of the same unit, or without wavelengths and of the same number of bands.

    Returns
    -------
    Spectrum
        At the wavelengths of the first; without a spread. NaN where either is unknown.

    Raises
    ------
    SpectrumError
        If the two cannot be compared.
    """
    spectrum, other = as_spectrum(spectrum), as_spectrum(other)
    if spectrum.wavelengths is not None and other.wavelengths is not None:
        taken = resample(other, spectrum.wavelengths, spectrum.fwhm, spectrum.spectral_unit).values
    elif spectrum.unit == other.unit and spectrum.bands == other.bands:
        taken = other.values
    else:
        raise SpectrumError(
            f"{spectrum.name} has {spectrum.bands} bands in {spectrum.unit}, {other.name} {other.bands} in "
            f"{other.unit}; give both wavelengths, or the same number of bands."
        )
    return spectrum.replace(values=spectrum.values - taken, spread=None)


def check_comparable(spectrum: Spectrum, unit: str) -> None:
    """Raise a SpectrumError unless a spectrum has wavelengths in a unit."""
    if spectrum.wavelengths is None:
        raise SpectrumError(f"{spectrum.name} has no wavelengths; give them with replace(wavelengths=...).")
    if spectrum.spectral_unit != unit:
        raise SpectrumError(
            f"{spectrum.name} has wavelengths in {spectrum.spectral_unit}, and {unit} are needed; choose another "
            "spectrum."
        )


def resampled_values(like: Spectrum, values: Floats, centres: Floats, widths: Floats | None) -> Floats:
    """Return values ``(n, bands)`` of spectra that have the wavelengths of `like`, at other ones: ``(n, centres)``.

    Parameters
    ----------
    like
        One of them.
    values
        NaN where nothing is known.
    centres, widths
        Ascending centres of the bands, and their widths or None.
    """
    known = like.wavelengths
    assert known is not None
    if len(known) == len(centres) and np.allclose(known, centres, rtol=0, atol=1e-6):
        return values.copy()
    weights = _weights(known, like.fwhm, centres, _steps(centres) if widths is None else widths)
    seen = np.isfinite(values)
    # most libraries know all they have bands for
    share = np.broadcast_to(weights.sum(axis=1), (len(values), len(centres))) if seen.all() else seen @ weights.T
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (np.where(seen, values, 0) @ weights.T) / share
    # what no weight sees is not known either
    return np.asarray(np.where(share > LEAST_KNOWN, found, np.nan))


def _weights(known: Floats, own: Floats | None, centres: Floats, widths: Floats) -> Floats:
    """Return the weights ``(centres, known)``; rows sum to 1, or to 0 where nothing is known of a band."""
    cells = _steps(known)
    weights = np.zeros((len(centres), len(known)))
    # a spectrum is blurred already by its own bands
    blurred = np.zeros(len(centres)) if own is None else np.interp(centres, known, own)
    kernels = np.sqrt(np.maximum(np.square(widths) - np.square(blurred), 0))
    broken = np.zeros(max(len(known) - 1, 0), bool)
    broken[gaps(known)] = True
    for row, (centre, width) in enumerate(zip(centres, kernels, strict=True)):
        first, last = np.searchsorted(known, [centre - width / 2, centre + width / 2])
        if last - first > 2:
            start, end = np.searchsorted(known, [centre - REACH * width, centre + REACH * width])
            near = slice(int(start), int(end))
            away = (known[near] - centre) / width
            bell = np.exp(-4 * np.log(2) * away**2) * cells[near]
            # what rises or falls steadily stays as it is, also at an end, where half of a band is not seen
            bell *= 1 - away * (bell @ away) / (bell @ away**2)
            weights[row, near] = bell / bell.sum()
            continue
        right = int(np.clip(np.searchsorted(known, centre), 1, max(len(known) - 1, 1)))
        _straight(weights[row], known, cells, broken, centre, right)
    return weights


def _straight(row: Floats, known: Floats, cells: Floats, broken: NDArray[np.bool_], centre: float, right: int) -> None:
    """Set the weights of a straight line through the bands beside `centre`; half a step beyond an end is its value."""
    nearest = int(np.argmin(np.abs(known - centre)))
    within = len(known) > 1 and known[0] <= centre <= known[-1] and not broken[right - 1]
    if within and known[right] > known[right - 1]:
        share = (centre - known[right - 1]) / (known[right] - known[right - 1])
        row[right - 1], row[right] = 1 - share, share
    elif abs(known[nearest] - centre) <= cells[nearest] / 2:
        row[nearest] = 1


def _steps(positions: Floats) -> Floats:
    """Return the distance of each band to the nearer of its neighbours."""
    if len(positions) < 2:
        return np.ones(len(positions))
    steps = np.diff(positions)
    return np.asarray(np.minimum(np.append(steps, steps[-1]), np.insert(steps, 0, steps[0])))


def resample_all(spectra: Sequence[Spectrum], like: Spectrum) -> list[Spectrum]:
    """Return spectra at the bands of another one, whose unit they have; much faster than one by one.

    Spreads are left out.
    """
    assert like.wavelengths is not None
    found = list(spectra)
    for group in _grouped(spectra).values():
        values = np.stack([spectra[number].values for number in group])
        values = resampled_values(spectra[group[0]], values, like.wavelengths, like.fwhm)
        for number, row in zip(group, values, strict=True):
            found[number] = spectra[number].replace(
                values=row, wavelengths=like.wavelengths, fwhm=like.fwhm, spread=None
            )
    return found


def _grouped(spectra: Sequence[Spectrum]) -> dict[bytes, list[int]]:
    """Return the numbers of the spectra that have the same bands, by what these are."""
    groups: dict[bytes, list[int]] = {}
    for number, spectrum in enumerate(spectra):
        widths = b"" if spectrum.fwhm is None else spectrum.fwhm.tobytes()
        groups.setdefault(spectrum.positions.tobytes() + widths, []).append(number)
    return groups
