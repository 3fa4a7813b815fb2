"""Parse wavelengths, units and fill values as files write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "fits_dtype",
    "guessed_unit",
    "is_count",
    "numbers",
    "photon_wavelengths",
    "to_standard_unit",
    "unit_in_name",
    "wavelength_in_name",
    "wavelengths_in_names",
]

_NANOMETRES = {
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "cm": 1e7,
    "centimeter": 1e7,
    "centimetre": 1e7,
    "mm": 1e6,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "m": 1e9,
    "meter": 1e9,
    "metre": 1e9,
    "angstrom": 0.1,
    "å": 0.1,
    "a": 0.1,
}
_WAVENUMBERS = {"cm-1", "cm -1", "1/cm", "cm^-1", "cm⁻¹", "wavenumber", "rel. 1/cm", "raman shift"}
# h c / e, in eV nm
_EV_NM = 1239.841984
# typographic minus signs and LaTeX braces
_PLAIN = str.maketrans({"\u2212": "-", "\u2013": "-", "{": None, "}": None, "$": None})
_UNKNOWN = {"", "unknown", "none", "n/a", "na"}
# Bounded repeats and no overlapping numbers: matching takes linear time even on long names.
_NUMBER = r"(?<!\d)(?<!\d\.)(\d{1,9}(?:\.\d{1,15})?)"
_IN_NAME = re.compile(_NUMBER + r"\s{0,3}nm", re.IGNORECASE)
_WITH_UNIT = re.compile(
    _NUMBER + r"\s{0,3}(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?|cm-1|cm\^-1|cm⁻¹|1/cm)(?![a-z])",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"[(\[]([^()\[\]]{1,20})[)\]]$")


def to_standard_unit(
    values: NDArray[np.float64], unit: str | None
) -> tuple[NDArray[np.float64] | None, float, str, str | None]:
    """Return wavelengths in nm or cm-1, the factor applied, the unit, and a note on any guess.

    Without a unit, a median below 100 means micrometres, up to 30000 nanometres. Values in other units (an index,
    a frequency) give None.
    """
    word = (unit or "").translate(_PLAIN).strip().lower()
    bracketed = _BRACKETS.search(word)  # "wavelength (nm)"
    word = bracketed[1].strip() if bracketed else word
    singular = word if word in _NANOMETRES else word.removesuffix("s")
    if singular in _NANOMETRES:
        factor = _NANOMETRES[singular]
        return values * factor, factor, "nm", None
    if word in _WAVENUMBERS or singular in _WAVENUMBERS:
        return values, 1.0, "cm-1", None
    if word not in _UNKNOWN:
        return (
            None,
            1.0,
            "nm",
            f"wavelengths in {(unit or '')[:40]!r} were left out: the unit must be a length or cm-1",
        )
    middle = float(np.median(values)) if values.size else 0.0
    if 0 < middle < 100:
        return values * 1e3, 1e3, "nm", "the wavelengths have no unit; by their size they were read as micrometres"
    if 100 <= middle <= 30000:
        return values, 1.0, "nm", "the wavelengths have no unit; by their size they were read as nanometres"
    return None, 1.0, "nm", f"the wavelengths have no unit, and their median of {middle:g} is implausible in nm and um"


def is_count(values: NDArray[np.float64]) -> bool:
    """Whether values are running numbers: 0, 1, 2, ... or 1, 2, 3, ..., up or down."""
    steps = np.diff(values)
    return bool(values.size > 1 and np.all(np.abs(steps) == 1) and min(values[0], values[-1]) in (0, 1))


def guessed_unit(values: NDArray[np.float64]) -> str | None:
    """Guess the unit of wavelengths by their size: "um" from 0.3 to 20, "nm" from 100 to 30000, else None.

    Running numbers and non-monotonic values also give None.
    """
    steps = np.diff(values)
    if values.size < 2 or not (np.all(steps > 0) or np.all(steps < 0)) or is_count(values):
        return None
    low, high = float(values.min()), float(values.max())
    if low >= 0.3 and high <= 20:
        return "um"
    return "nm" if low >= 100 and high <= 30000 else None


def unit_in_name(name: str) -> str | None:
    """Return the unit given or implied by a name such as "wavelength_um", "Centre (nm)" or "Raman shift"."""
    words = re.split(r"[\s_()\[\],;]+", name.translate(_PLAIN).strip().lower())
    for word in reversed(words):
        singular = word if word in _NANOMETRES else word.removesuffix("s")
        # "m", "a" and "mm" may be words or other units
        if singular in _NANOMETRES and singular not in {"m", "a", "mm", "cm"}:
            return singular
        if word in {"cm-1", "1/cm", "cm^-1", "cm⁻¹"}:
            return "cm-1"
        if word.startswith(("wavenumber", "raman")):
            return "cm-1"
    return None


def photon_wavelengths(energies: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Convert photon energies in eV to wavelengths in nm: 1239.84 / E; None unless all are above 0."""
    return _EV_NM / energies if energies.size and bool(np.all(energies > 0)) else None


def numbers(items: Iterable[Any]) -> NDArray[np.float64] | None:
    """Return `items` as finite numbers, or None if any is not a finite number."""
    try:
        values = np.array([float(item) for item in items], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return values if values.size and bool(np.all(np.isfinite(values))) else None


def wavelength_in_name(name: str) -> float | None:
    """Return the number before the last "nm" in `name`, or None."""
    found = _IN_NAME.findall(name)
    return float(found[-1]) if found else None


def wavelengths_in_names(names: Sequence[str]) -> tuple[NDArray[np.float64] | None, str | None]:
    """Return the wavelengths in band names and their unit, or None if any name lacks one.

    Names look like ``"Band 1 (450.5 nm)"``, each ending in its wavelength and all in one unit; or they are bare
    monotonic numbers other than running numbers, with None as their unit.
    """
    if not names:
        return None, None
    found = [_WITH_UNIT.findall(name) for name in names]
    if all(found):
        units = {hits[-1][1].lower() for hits in found}
        return (numbers(hits[-1][0] for hits in found), units.pop()) if len(units) == 1 else (None, None)
    bare = numbers(names)
    if bare is None or bare.size < 2:
        return None, None
    steps = np.diff(bare)
    counts = bool(np.all(steps == 1)) and bare[0] in (0, 1)
    ordered = bool(np.all(steps > 0) or np.all(steps < 0))
    return (bare, None) if ordered and not counts and bare.min() > 0 else (None, None)


def fits_dtype(value: Any, dtype: np.dtype[Any]) -> float | None:
    """Return the fill value `value` as a number if data of `dtype` can hold it; else None."""
    try:
        number = float(str(value).strip().replace(",", "."))
    except ValueError:
        return None
    if dtype.kind == "f":
        # Headers may round the type's largest number up, out of its range, so compare the value as stored.
        with np.errstate(over="ignore"):
            held = not np.isfinite(number) or bool(np.isfinite(dtype.type(number)))
        return number if held else None
    if dtype.kind not in "iu" or not np.isfinite(number):
        return None
    limits = np.iinfo(dtype)
    return number if number == int(number) and limits.min <= number <= limits.max else None
