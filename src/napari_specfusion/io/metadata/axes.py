"""Rules that find the band axis of a stored array."""

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
# largest aspect ratio of a picture
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
    """The band axis, and how it was found.

    Attributes
    ----------
    axis
        0, 1 or 2.
    certainty
        ``"certain"``: the file or the user says so. ``"likely"``: the shape leaves little doubt. ``"weak"``: a guess
        that must be reported to the user.
    reason
        The reason, as a clause that follows "because".
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
    """Find which of three axes holds the bands, how certain that is, and why.

    The first rule that applies decides:

    1. The file names its axes (`named`): certain.
    2. The number of wavelengths fits exactly one axis: certain. If it fits several: the usual one among them, likely,
       else the first of them, weak.
    3. Two axes are equal: the third is the band axis, likely. If all three are equal: the usual one, else the first,
       weak, or certain for a single value.
    4. A picture or a guide: the first or last axis has 2 to 4 entries (or 1, if the image is 128 x 128 or larger), the
       other two have at least 16 and differ by at most a factor of 4: that axis, likely.
    5. A map of point spectra: the first or last axis is the longest and at least twice as long as the others, which
       are at most 128 long and differ by at most a factor of 4: the longest axis, likely if it is four times as long,
       else weak.
    6. An image: the shortest axis is at most half as long as the next: the shortest, likely if it is the first or
       last and the other two have 128 entries or more, or are equal within 10 %; else weak.
    7. Otherwise: the usual axis of the format, likely; without one, the shorter of the first and the last, weak.

    Rules 4 to 6 never override the usual axis of a format; if they disagree with it, it becomes weak.

    Parameters
    ----------
    shape
        Shape of the stored array, three axes.
    count
        Number of wavelengths, from the file or the user; None if unknown.
    named
        Band axis according to the axis names in the file.
    usual
        Axis that programs of this format use for the bands; None if there is no convention.
    """
    sizes = tuple(int(n) for n in shape)
    if named is not None:
        return BandAxis(named, "certain", "the axis names say so")
    allowed = [0, 1, 2]
    if count is not None:
        fitting = [axis for axis in allowed if sizes[axis] == count]
        if len(fitting) == 1:
            return BandAxis(fitting[0], "certain", f"only that axis is as long as the {count} wavelengths")
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
        doubt = f"files of this format have their bands there, although {seen.reason}"
        return BandAxis(usual, "weak", doubt)
    if seen is not None:
        return seen
    return BandAxis(0 if sizes[0] < sizes[2] else 2, "weak", "that axis is shorter than the one at the other end")


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
    """Return the band axis according to the names of three axes, or None.

    This is the axis with a spectral name, such as "band" or "wavelength", else the one besides rows and columns.
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
    """Return the band axis: the requested one, else the only one that fits the wavelengths, else `declared`.

    Parameters
    ----------
    shape
        Shape of the stored array, three axes.
    wavelengths
        Number of wavelengths, if known.
    declared
        Band axis according to the file.
    requested
        Band axis given by the user; negative numbers count from the end.
    path
        The file, for the error message.

    Raises
    ------
    ReadError
        If `requested` is not a valid axis.
    """
    if requested is not None:
        if not -3 <= requested < 3:
            raise ReadError(f"{path}: band_axis={requested} is not an axis of shape {tuple(shape)}; give 0, 1 or 2.")
        return requested % 3
    fitting = [axis for axis, size in enumerate(shape) if size == wavelengths]
    return fitting[0] if len(fitting) == 1 else declared


def bands_first(axis: int) -> Order:
    """Return the axis order that moves `axis` to the front and keeps the other two in order."""
    first, second = (other for other in range(3) if other != axis)
    return axis, first, second


def letters_of(axis: int) -> str:
    """Return the letters of three axes with the bands on `axis`, such as "yxb" for 2."""
    letters = ["y", "x"]
    letters.insert(axis, "b")
    return "".join(letters)


def order_of(axes: str, shape: Sequence[int], what: str) -> Order:
    """Return the axis order that turns an array with the axes named by the user into ``(bands, y, x)``.

    Parameters
    ----------
    axes
        A permutation of "byx", or of "yx" for an array with two axes, which is treated as ``(1, *shape)``.
    shape
        Shape of the array.
    what
        Name of the array or its file, for the error message.

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
    """Return the axis order that turns a stored array into ``(bands, y, x)``, and metadata with a finding if unsure.

    Parameters
    ----------
    shape
        Shape of the stored array: three axes, or two, to which the readers prepend one of length one.
    count, named, usual
        As in `find_band_axis`.
    axes, band_axis
        Given by the user; `axes` takes precedence.
    path
        The file, for error messages and the finding.

    Raises
    ------
    ReadError
        If `axes` or `band_axis` does not fit the shape.
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
    """Return metadata entries that report a guess: a finding, and the shape it refers to.

    Parameters
    ----------
    shape
        Shape of the stored array.
    taken
        The band axis that was assumed.
    name
        Name of the array, for the finding.
    """
    known, letters = candidates(shape), letters_of(taken.axis)
    others = " or ".join(f'axes="{other}" for {words}' for other, words in known.items() if other != letters)
    message = (
        f"Nothing says which axis of {name} ({_times(shape)}) holds the bands; it was opened as {known[letters]}, "
        f"because {taken.reason}. If that is wrong, give {others}."
    )
    guess = {"shape": tuple(int(n) for n in shape), "taken": letters}
    return {UNCERTAIN_KEY: guess, "findings": (("warning", message),)}


def candidates(shape: Sequence[int]) -> dict[str, str]:
    """Return the possible readings of a 3-D array, letters to words: ``{"yxb": "200 bands of 145 x 145", ...}``."""
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
