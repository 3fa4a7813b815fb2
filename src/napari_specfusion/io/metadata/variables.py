"""Choose the cube among the named arrays of a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import AmbiguousArrayError, ReadError
from napari_specfusion.io.metadata.axes import find_band_axis
from napari_specfusion.io.metadata.units import guessed_unit, is_count, numbers, to_standard_unit, unit_in_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "SHIFT_NAMES",
    "VAGUE_NAMES",
    "WAVELENGTH_NAMES",
    "Variable",
    "also_held",
    "choose_unfolded",
    "choose_variable",
    "image_size",
    "is_spectral",
    "listed",
    "spectral_axis",
]

WAVELENGTH_NAMES = {
    "band_centers", "band_centres", "bandcenters", "bandcentres", "center", "centers", "centre", "centres", "lam",
    "lambda", "lambda_", "lambdas", "wave", "wavelength", "wavelengths", "waves", "wl", "wls", "wvl", "wvls",
}  # fmt: skip
# vague names, which could also mean running numbers or the bands themselves
VAGUE_NAMES = {"band", "bands", "axis", "x_axis", "xaxis", "spectral_axis"}
SHIFT_NAMES = {
    "raman_shift", "raman_shifts", "ramanshift", "shift", "shifts", "shift_cm", "wavenumber", "wavenumbers",
}  # fmt: skip
_MOST_LISTED = 20
# steps back in wavelengths at most, and bands for each: sensors have two to five detectors
_MOST_OVERLAPS, _BANDS_OF_A_DETECTOR = 4, 16
_SIZE_NAMES = (
    ("nrow", "ncol"), ("nrows", "ncols"), ("rows", "cols"), ("rows", "columns"), ("row", "col"), ("height", "width"),
    ("h", "w"), ("ny", "nx"), ("lines", "samples"), ("m", "n"),
)  # fmt: skip


@dataclass(frozen=True)
class Variable:
    """Name and shape of an array in a file.

    Attributes
    ----------
    name
        Its name in the file.
    shape
        As shown by the programs that write this format.
    numeric
        Whether it holds real numbers.
    """

    name: str
    shape: tuple[int, ...]
    numeric: bool

    def __str__(self) -> str:
        kind = "" if self.numeric else "not numeric, "
        return f"{self.name} ({kind}{' x '.join(map(str, self.shape)) or 'one value'})"

    @property
    def field(self) -> str:
        """Its name without the struct it is in."""
        return self.name.rpartition(".")[2]

    @property
    def is_size(self) -> bool:
        """Whether its name is a usual one for a height or a width."""
        return any(self.field.lower() in pair for pair in _SIZE_NAMES)

    @property
    def is_image(self) -> bool:
        """Whether it has at least two axes longer than one."""
        return (
            self.numeric and len(self.shape) in {2, 3} and sum(n > 1 for n in self.shape) >= 2 and 0 not in self.shape
        )


def choose_variable(
    variables: Sequence[Variable], requested: str | None, path: Path, usual: int | None = None
) -> Variable:
    """Return the requested array, else the 3-D one with the most bands (the largest of these), else the only 2-D one.

    Parameters
    ----------
    variables
        The arrays of the file.
    requested
        Name of the requested array.
    path
        The file, for error messages.
    usual
        Axis that programs of this format use for the bands, as in `find_band_axis`.

    Raises
    ------
    ReadError
        If there is no array, or the choice is ambiguous; the message lists the candidates.
    """
    images = [v for v in variables if v.is_image]
    if requested is not None:
        for variable in variables:
            if variable.name == requested:
                if variable.numeric and len(variable.shape) in {2, 3} and 0 not in variable.shape:
                    return variable
                raise ReadError(f"{path}: {requested!r} is not an image ({variable}); choose one of {listed(images)}.")
        raise ReadError(f"{path} has no variable {requested!r}; choose one of {listed(images)}.")
    deepest = [v for v in images if len(v.shape) == 3] or images
    if not deepest:
        raise ReadError(f"{path} has no numeric 2-D or 3-D array, only {listed(variables)}; save the cube as one.")

    def weight(variable: Variable) -> tuple[int, int]:
        shape = variable.shape
        bands = shape[find_band_axis(shape, usual=usual).axis] if len(shape) == 3 else 1
        return bands, math.prod(shape)

    heaviest = max(map(weight, deepest))
    best = [v for v in deepest if weight(v) == heaviest]
    if len(best) > 1 or (len(deepest) > 1 and len(best[0].shape) == 2):
        raise AmbiguousArrayError(f"{path} has several possible cubes: {listed(deepest)}. Name one with array=.")
    return best[0]


def also_held(variables: Sequence[Variable], chosen: Variable, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the findings of `metadata`, plus one that lists the other 3-D arrays in the file."""
    others = [v for v in variables if v.is_image and len(v.shape) == 3 and v.name != chosen.name]
    if len(chosen.shape) != 3 or not others:
        return {}
    message = f'The file also holds {listed(others)}; open one with array="{others[0].name}".'
    return {"findings": (*metadata.get("findings", ()), ("info", message))}


def choose_unfolded(
    variables: Sequence[Variable], scalars: Mapping[str, float], given: tuple[int, int] | None
) -> Variable | None:
    """Return the largest 2-D array that can be folded into an image, if there is no 3-D one; else None."""
    images = [v for v in variables if v.is_image]
    if any(len(v.shape) == 3 for v in images):
        return None
    fitting = [v for v in images if image_size(v.shape, scalars, given) is not None]
    return max(fitting, key=lambda v: math.prod(v.shape), default=None)


def image_size(
    shape: tuple[int, ...], scalars: Mapping[str, float], given: tuple[int, int] | None
) -> tuple[int, int, int] | None:
    """Return height, width and pixel axis of an unfolded ``(bands, pixels)`` image, or None.

    `scalars` are the single numbers in the file, by name; `given` is the size given by the user.
    """
    lower = {name.lower(): value for name, value in scalars.items()}
    pairs = [given] if given is not None else [(lower.get(a), lower.get(b)) for a, b in _SIZE_NAMES]
    for height, width in pairs:
        if height is None or width is None or not all(n > 0 and float(n).is_integer() for n in (height, width)):
            continue
        fitting = [axis for axis, size in enumerate(shape) if size == height * width]
        if fitting:
            return int(height), int(width), fitting[-1]
    return None


def spectral_axis(
    variables: Sequence[Variable], shape: Sequence[int], load: Callable[[str], Any]
) -> tuple[NDArray[np.float64], str] | None:
    """Return the wavelengths of an array of `shape`, found in the same file, and their unit; or None.

    Only a vector with a spectral name and the length of one axis counts, and it must be monotonic. Under a name that
    means nothing else, it may step back where the ranges of two detectors overlap, as AVIRIS's do.
    The size of numbers without a unit decides between micrometres and nanometres.
    """
    for variable in variables:
        vector = variable.numeric and math.prod(variable.shape) == max(variable.shape, default=0)
        name = variable.field.lower()
        if not vector or not is_spectral(name) or math.prod(variable.shape) not in shape:
            continue
        values = numbers(np.ravel(load(variable.name)))
        if values is None or not _is_in_order(values, _MOST_OVERLAPS if name in WAVELENGTH_NAMES else 0):
            continue
        unit = unit_in_name(name) or ("cm-1" if name in SHIFT_NAMES else None)
        if unit is None and (is_count(values) or (name in VAGUE_NAMES and guessed_unit(values) is None)):
            continue
        converted, _, unit_name, _ = to_standard_unit(values, unit)
        if converted is not None:
            return converted, unit_name
    return None


def _is_in_order(values: NDArray[np.float64], overlaps: int) -> bool:
    """Whether values rise, or fall, but for some steps; each detector has dozens of bands."""
    steps = np.diff(values)
    wrong = min(np.count_nonzero(steps <= 0), np.count_nonzero(steps >= 0))
    return bool(wrong <= min(overlaps, len(steps) // _BANDS_OF_A_DETECTOR))


def is_spectral(name: str) -> bool:
    """Whether a name, ignoring a unit or a number at its end, is used for wavelengths or shifts; vague names count."""
    stem = name.rstrip("0123456789").rstrip("_")
    for unit in ("_nm", "_um", "_micrometers", "_microns", "_nanometers"):
        stem = stem.removesuffix(unit)
    return bool({name, stem} & (WAVELENGTH_NAMES | SHIFT_NAMES | VAGUE_NAMES))


def listed(variables: Sequence[Variable]) -> str:
    """Return names and shapes as text."""
    rest = len(variables) - _MOST_LISTED
    words = ", ".join(map(str, variables[:_MOST_LISTED])) or "none"
    return f"{words} and {rest} more" if rest > 0 else words
