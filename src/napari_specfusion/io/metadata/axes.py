"""Which axis of a stored array holds the bands: all rules in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "UNCERTAIN_KEY",
    "BandAxis",
    "Order",
    "band_axis_of",
    "bands_first",
    "candidates",
    "find_band_axis",
    "is_picture",
    "letters_of",
    "named_axis",
    "order_of",
    "requested_order",
    "uncertain",
]

Order = tuple[int, int, int]
Certainty = Literal["certain", "likely", "weak"]

UNCERTAIN_KEY = "uncertain_axes"
# a picture or a guide has few bands
_FEW_BANDS = 4
_PICTURE_SIDE, _FULL_IMAGE_SIDE = 16, 128
# sides of a picture are of one size, more or less
_LONGEST_PICTURE, _ALIKE = 4.0, 1.1
# a map of point spectra has short sides and long spectra
_LONGEST_MAP = 128
_SPECTRAL_NAMES = ("band", "wavelength", "wavenumber", "lambda", "spectral", "channel", "raman")
_EXACT_SPECTRAL_NAMES = {"b", "c", "wl", "wvl", "wave", "energy"}
_ROW_NAMES = {"y", "row", "rows", "line", "lines", "lat", "latitude", "height", "northing"}
_COLUMN_NAMES = {"x", "column", "columns", "col", "cols", "sample", "samples", "lon", "longitude", "width", "easting"}
_PLACES = ("first", "middle", "last")


@dataclass(frozen=True)
class BandAxis:
    """The axis of the bands, and how it was found.

    Attributes
    ----------
    axis
        0, 1 or 2.
    certainty
        ``"certain"``: the file or the user says so. ``"likely"``: the shape leaves little doubt. ``"weak"``: a guess
        that the user must be told of.
    reason
        Why, as the end of a sentence that begins with "because".
    """

    axis: int
    certainty: Certainty
    reason: str


def find_band_axis(
    shape: Sequence[int],
    count: int | None = None,
    *,
    named: int | None = None,
    usual: int | None = None,
) -> BandAxis:
    """Return which of three axes holds the bands, how certain that is, and why.

    The rules, in order; the first that applies decides:

    1. Names of the axes in the file win (`named`): certain.
    2. The number of wavelengths fits exactly one axis: certain. If it fits several: the usual one of them, likely,
       else the first of them, weak.
    3. Two axes are equal: the third is spectral, likely. If all three are equal, the usual one, else the first: weak,
       but for a single number.
    4. A picture or a guide: the first or last axis has 2 to 4 entries (or 1 beside 128 x 128 and more), the other two
       at least 16 and differ by a factor of 4 at most: that axis, likely.
    5. A map of point spectra: the first or last axis is the longest and at least twice as long as the others, which
       are no longer than 128 and differ by a factor of 4 at most: the longest axis, likely from four times on, else
       weak.
    6. An image: the shortest axis is at most half as long as the next: the shortest, likely where it is the first or
       last and the other two have 128 entries or more, or are equal within 10 %; else weak.
    7. Nothing of these: the usual axis of the format, likely; without one, the shorter of the first and the last, weak.

    Where the format has a usual axis, rules 4 to 6 do not overrule it. If they point elsewhere it is weak.

    Parameters
    ----------
    shape
        Shape of the stored array, three axes.
    count
        Number of wavelengths, in the file or given; None where none are known.
    named
        Axis that the names of the axes tell.
    usual
        Axis that programs of this format use for the bands; None where there is no such custom.
    """
    sizes = tuple(int(n) for n in shape)
    if named is not None:
        return BandAxis(named, "certain", "the names of the axes say so")
    allowed = [0, 1, 2]
    if count is not None:
        fitting = [axis for axis in allowed if sizes[axis] == count]
        if len(fitting) == 1:
            return BandAxis(fitting[0], "certain", f"that axis alone is as long as the {count} wavelengths")
        if fitting:
            reason = f"several axes are as long as the {count} wavelengths"
            return BandAxis(usual, "likely", reason) if usual in fitting else BandAxis(fitting[0], "weak", reason)
    if len(set(sizes)) == 1:
        axis = 0 if usual is None else usual
        return BandAxis(axis, "certain" if sizes[0] == 1 else "weak", "all axes are equally long")
    if len(set(sizes)) == 2:
        odd = next(axis for axis in allowed if sizes.count(sizes[axis]) == 1)
        return BandAxis(odd, "likely", "the other two axes are equally long")
    seen = _picture(sizes) or _map(sizes) or _image(sizes)
    if usual is not None:
        if seen is None or seen.axis == usual:
            return BandAxis(usual, "likely", "files of this format have their bands there")
        doubt = f"files of this format have their bands there, though {seen.reason}"
        return BandAxis(usual, "weak", doubt)
    if seen is not None:
        return seen
    return BandAxis(0 if sizes[0] < sizes[2] else 2, "weak", "that axis is the shorter of the first and the last")


def _picture(sizes: tuple[int, ...]) -> BandAxis | None:
    for axis in (0, 2):
        low, high = sorted(sizes[:axis] + sizes[axis + 1 :])
        least = _FULL_IMAGE_SIDE if sizes[axis] == 1 else _PICTURE_SIDE
        if sizes[axis] <= _FEW_BANDS and low >= least and high <= _LONGEST_PICTURE * low:
            return BandAxis(axis, "likely", f"its shape is that of a picture with {sizes[axis]} bands")
    return None


def _map(sizes: tuple[int, ...]) -> BandAxis | None:
    low, high, longest = sorted(sizes)
    axis = sizes.index(longest)
    if axis == 1 or longest < 2 * high or high > _LONGEST_MAP or high > _LONGEST_PICTURE * low:
        return None
    return BandAxis(axis, "likely" if longest >= 4 * high else "weak", "its shape is that of a map of long spectra")


def _image(sizes: tuple[int, ...]) -> BandAxis | None:
    shortest, low, high = sorted(sizes)
    axis = sizes.index(shortest)
    if 2 * shortest > low:
        return None
    plain = axis != 1 and shortest > 1 and (low >= _FULL_IMAGE_SIDE or high <= _ALIKE * low)
    return BandAxis(
        axis, "likely" if plain else "weak", "its shape is that of an image with fewer bands than rows and columns"
    )


def named_axis(names: Sequence[str | None]) -> int | None:
    """Return the axis that the names of three axes tell for the bands, or None.

    The one with a spectral name, such as "band" or "wavelength"; else the one beside rows and columns.
    """
    words = [str(name or "").strip().lower() for name in names]
    spectral = [
        axis
        for axis, word in enumerate(words)
        if word in _EXACT_SPECTRAL_NAMES or any(part in word for part in _SPECTRAL_NAMES)
    ]
    if len(spectral) == 1:
        return spectral[0]
    rows = [axis for axis, word in enumerate(words) if word in _ROW_NAMES]
    columns = [axis for axis, word in enumerate(words) if word in _COLUMN_NAMES]
    if not spectral and len(rows) == len(columns) == 1 and len(words) == 3:
        return 3 - rows[0] - columns[0]
    return None


def band_axis_of(
    shape: Sequence[int], wavelengths: int | None, declared: int, requested: int | None, path: Path
) -> int:
    """Return the axis of the bands: the requested one, else the one that alone fits the wavelengths, else `declared`.

    Parameters
    ----------
    shape
        Shape of the stored array, three axes.
    wavelengths
        Number of wavelengths where some are known.
    declared
        What the file says.
    requested
        What the user says; negative counts from the end.
    path
        The file, for the error.

    Raises
    ------
    ReadError
        If `requested` is no axis.
    """
    if requested is not None:
        if not -3 <= requested < 3:
            raise ReadError(f"{path}: band_axis={requested} is no axis of shape {tuple(shape)}; give 0, 1 or 2.")
        return requested % 3
    fitting = [axis for axis, size in enumerate(shape) if size == wavelengths]
    return fitting[0] if len(fitting) == 1 else declared


def bands_first(axis: int) -> Order:
    """Return the order of axes that brings `axis` to the front and keeps the other two."""
    first, second = (other for other in range(3) if other != axis)
    return axis, first, second


def letters_of(axis: int) -> str:
    """Return what three axes are with the bands on `axis`, such as "yxb" for 2."""
    letters = ["y", "x"]
    letters.insert(axis, "b")
    return "".join(letters)


def order_of(axes: str, shape: Sequence[int], what: str) -> Order:
    """Return the order of axes that makes ``(bands, y, x)`` of an array whose axes the user names.

    Parameters
    ----------
    axes
        A permutation of "byx", or of "yx" for an array of two axes, which is taken as ``(1, *shape)``.
    shape
        Shape of the array.
    what
        Name of the array or its file, for the error.

    Raises
    ------
    ReadError
        If `axes` does not fit the shape.
    """
    letters = axes.lower() if isinstance(axes, str) else ""
    if sorted(letters) != sorted("byx" if len(shape) == 3 else "yx"):
        wanted = "a permutation of byx, such as yxb" if len(shape) == 3 else "yx or xy"
        raise ReadError(f"{what}: axes={axes!r} does not fit the shape {tuple(shape)}; give {wanted}.")
    letters = letters if len(shape) == 3 else f"b{letters}"
    return letters.index("b"), letters.index("y"), letters.index("x")


def requested_order(
    shape: Sequence[int],
    count: int | None,
    axes: str | None,
    band_axis: int | None,
    path: Path,
    *,
    named: int | None = None,
    usual: int | None = None,
) -> tuple[Order, dict[str, Any]]:
    """Return the order that makes ``(bands, y, x)`` of a stored array, and metadata that tell of a doubt.

    Parameters
    ----------
    shape
        Shape of the stored array: three axes, or two, to which the readers add a first one of length one.
    count, named, usual
        As `find_band_axis` takes them.
    axes, band_axis
        What the user says: the first wins.
    path
        The file, for errors and the finding.

    Raises
    ------
    ReadError
        If what the user says does not fit.
    """
    if axes is not None:
        return order_of(axes, shape, str(path)), {}
    if len(shape) == 2:
        return (0, 1, 2), {}
    if band_axis is not None:
        return bands_first(band_axis_of(shape, None, 0, band_axis, path)), {}
    found = find_band_axis(shape, count, named=named, usual=usual)
    return bands_first(found.axis), uncertain(shape, found, path.name) if found.certainty == "weak" else {}


def uncertain(shape: Sequence[int], taken: BandAxis, name: str) -> dict[str, Any]:
    """Return the entries of a cube's metadata that tell of a guess: a finding in words, and the shape it is about.

    Parameters
    ----------
    shape
        Shape of the stored array.
    taken
        Where its bands were looked for.
    name
        What to call it.
    """
    known, letters = candidates(shape), letters_of(taken.axis)
    others = " or ".join(f'axes="{other}" for {words}' for other, words in known.items() if other != letters)
    message = (
        f"Nothing says which axis of {name} ({_times(shape)}) holds the bands; it was opened as {known[letters]}, "
        f"because {taken.reason}. If that is wrong, give {others}."
    )
    told = {"shape": tuple(int(n) for n in shape), "taken": letters}
    return {UNCERTAIN_KEY: told, "findings": (("warning", message),)}


def candidates(shape: Sequence[int]) -> dict[str, str]:
    """Return what an array of three axes could be, as letters and words: ``{"yxb": "200 bands of 145 x 145", ...}``."""
    found = {}
    for axis in range(3):
        bands, height, width = (int(shape[i]) for i in bands_first(axis))
        found[letters_of(axis)] = f"{bands} band{'' if bands == 1 else 's'} of {height} x {width}"
    return found


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(int(n)) for n in shape)


def is_picture(shape: Sequence[int]) -> bool:
    """Whether an array has the shape of a picture or a guide, by the fourth rule of `find_band_axis`."""
    return len(shape) == 3 and _picture(tuple(int(n) for n in shape)) is not None
