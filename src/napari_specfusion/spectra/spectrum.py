"""One spectrum: values along a known axis, with a spread where it stands for many pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.arguments import choice, instance, numbers, short, text
from napari_specfusion.errors import SpectrumError
from napari_specfusion.io import as_cube

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike

    from napari_specfusion.data.cube_like import CubeLike

__all__ = ["BAND", "Spectrum", "as_spectrum"]

Floats = NDArray[np.float64]

UNITS = ("nm", "cm-1")
# the unit of positions where wavelengths are unknown
BAND = "band"


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A spectrum.

    Attributes
    ----------
    values
        Values ``(bands,)``, float64; NaN where nothing is known, as in bad bands.
    wavelengths
        Where the bands lie ``(bands,)`` in `spectral_unit`, ascending; None where unknown.
    spectral_unit
        ``"nm"`` for optics, ``"cm-1"`` for Raman shifts.
    fwhm
        Band widths ``(bands,)`` in `spectral_unit`, or None.
    spread
        Standard deviation ``(bands,)`` of the pixels that `values` are the means of, or None.
    name
        What it is called.
    metadata
        What else is known.

    Raises
    ------
    SpectrumError
        If the values are not a list of numbers, or another list has another length.
    """

    values: Floats
    wavelengths: Floats | None = None
    spectral_unit: str = "nm"
    fwhm: Floats | None = None
    spread: Floats | None = None
    name: str = "spectrum"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = _values("values", self.values)
        found: dict[str, Any] = {"values": values}
        for key in ("wavelengths", "fwhm"):
            if (given := getattr(self, key)) is not None:
                found[key] = _like(key, numbers(key, given, error=SpectrumError), values)
        if self.spread is not None:
            found["spread"] = _like("spread", _values("spread", self.spread), values)
        choice("spectral_unit", self.spectral_unit, UNITS, SpectrumError)
        text("name", self.name, SpectrumError)
        if not isinstance(self.metadata, Mapping):
            raise SpectrumError(f"metadata is {short(self.metadata)}; it must be a dictionary.")
        found["metadata"] = MappingProxyType(dict(self.metadata))
        known = found.get("wavelengths")
        if known is not None and np.any(np.diff(known) < 0):
            order = np.argsort(known, kind="stable")
            for key in ("values", "wavelengths", "fwhm", "spread"):
                if key in found:
                    found[key] = found[key][order]
        for key, value in found.items():
            object.__setattr__(self, key, value)

    @classmethod
    def of_pixel(cls, cube: CubeLike, y: int, x: int) -> Self:
        """Return the spectrum of a pixel of a cube, or of what `as_cube` makes one of; bad bands are NaN.

        Raises
        ------
        CubeError
            If the pixel lies outside the cube.
        """
        cube = as_cube(cube)
        values = np.where(cube.good, cube.spectrum(y, x), np.nan)
        name = f"{cube.name} ({y}, {x})"
        return cls(values, cube.wavelengths, cube.spectral_unit, cube.fwhm, name=name, metadata={"pixel": (y, x)})

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.values)

    @property
    def positions(self) -> Floats:
        """Where the bands lie ``(bands,)``: wavelengths, or band numbers from 0 where these are unknown."""
        return np.arange(self.bands, dtype=np.float64) if self.wavelengths is None else self.wavelengths

    @property
    def unit(self) -> str:
        """The unit of `positions`: ``"nm"``, ``"cm-1"`` or ``"band"``."""
        return BAND if self.wavelengths is None else self.spectral_unit

    @property
    def known(self) -> NDArray[np.bool_]:
        """Boolean ``(bands,)``: which values are known."""
        return np.isfinite(self.values)

    def replace(self, **fields: Any) -> Self:
        """Return the spectrum with some fields replaced."""
        return dataclasses.replace(self, **fields)

    def __repr__(self) -> str:
        first, last = self.positions[0], self.positions[-1]
        spread = "" if self.spread is None else ", with spread"
        return f"Spectrum({self.name!r}, {self.bands} bands, {first:g} to {last:g} {self.unit}{spread})"


def as_spectrum(value: object) -> Spectrum:
    """Return a spectrum, or one of plain values.

    Raises
    ------
    SpectrumError
        If it is neither.
    """
    if isinstance(value, list | tuple | np.ndarray):
        return Spectrum(np.asarray(value) if isinstance(value, np.ndarray) else value)  # type: ignore[arg-type]
    return instance("The spectrum", value, Spectrum, "a Spectrum, or a list of numbers", SpectrumError)


def _values(key: str, given: ArrayLike) -> Floats:
    """Return numbers as float64, NaN for what is not finite."""
    try:
        found = np.asarray(given)
    except Exception as problem:  # arrays of other libraries raise anything
        raise SpectrumError(f"{key}: {short(given)} is not a list of numbers; give numbers only.") from problem
    if found.dtype.kind not in "biuf" or found.ndim != 1 or not found.size:
        raise SpectrumError(f"{key} are {short(given)} ({found.dtype}, shape {found.shape}); give a list of numbers.")
    with np.errstate(over="ignore"):
        held = found.astype(np.float64)
    return np.where(np.isfinite(held), held, np.nan)


def _like(key: str, found: Floats, values: Floats) -> Floats:
    if found.shape != values.shape:
        raise SpectrumError(f"{key} has {len(found)} entries for {len(values)} values; give one for each.")
    return found
