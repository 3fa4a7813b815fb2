"""Colour pictures of a cube: as an eye would see it, and from three bands of one's choice."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.arguments import numbers
from napari_specfusion.colour.observer import VISIBLE, rgb_weights, to_srgb
from napari_specfusion.colour.reading import band_near, checked_cut, mapped, picture_of, stretched, watch_of
from napari_specfusion.errors import CubeError
from napari_specfusion.io import as_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.progress import Progress, ShouldStop

__all__ = ["COMBINATIONS", "composite", "true_colour"]

CHANNELS = ("red", "green", "blue")
COMBINATIONS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "natural": (640.0, 550.0, 460.0),
        "colour infrared": (850.0, 650.0, 550.0),
        "short-wave infrared": (2200.0, 1650.0, 850.0),
        "vegetation": (1650.0, 850.0, 650.0),
    }
)
"""Known combinations: the wavelengths shown as red, green and blue, in nm, by name."""

# true colour needs good bands from the one to the other, none further apart than that, in nm
BLUE_END, RED_END, WIDEST_GAP = 470.0, 630.0, 60.0


def true_colour(
    cube: CubeLike,
    stretch: float = 2.0,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return a cube in the colours that an eye would see, by the CIE 1931 observer, as sRGB.

    Values are taken as reflectance under white light: what reflects all wavelengths alike is grey. Counts and radiance
    keep the colour of the light. Between bands a spectrum is taken as straight, so bad bands are bridged; outside the
    range of the cube it is taken as constant.

    Parameters
    ----------
    cube
        A cube with wavelengths in nm, or what `as_cube` makes one of. It is read in strips.
    stretch
        Percent of the pixels, 0 to 25, that are brighter than white. All colours are brightened alike.
    progress, should_stop
        As `fuse` takes them.

    Returns
    -------
    Cube
        Red, green and blue ``(3, y, x)``, 0 to 1, float32, in memory; NaN where a visible band is missing.

    Raises
    ------
    CubeError
        If good bands do not cover 470 to 630 nm without gaps of more than 60 nm.
    Cancelled
        If `should_stop` says so.
    """
    cube = as_cube(cube)
    cut, watch = checked_cut(stretch), watch_of(progress, should_stop)
    known = cube.wavelengths
    if known is None or cube.spectral_unit != "nm":
        raise CubeError(f"{cube.name} has no wavelengths in nm; true colour needs them.")
    bands = np.flatnonzero(cube.good & (known >= VISIBLE[0]) & (known <= VISIBLE[-1]))
    seen = known[bands]
    if not len(seen) or seen[0] > BLUE_END or seen[-1] < RED_END:
        good = known[cube.good] if cube.good.any() else known
        raise CubeError(
            f"The good bands of {cube.name} lie from {good.min():g} to {good.max():g} nm; true colour needs "
            f"{BLUE_END:g} to {RED_END:g} nm. Make a composite of three of its bands instead."
        )
    middle = seen[max(0, np.searchsorted(seen, BLUE_END, "right") - 1) : np.searchsorted(seen, RED_END) + 1]
    if (gap := float(np.diff(middle).max())) > WIDEST_GAP:
        raise CubeError(
            f"Visible bands of {cube.name} lie {gap:g} nm apart; true colour needs one every {WIDEST_GAP:g} nm. Make a "
            "composite of three of its bands instead."
        )
    weights = rgb_weights(seen).astype(np.float32)
    image = mapped(cube, bands, 3, lambda v: np.tensordot(weights, v, axes=1), watch, "Mixing the colours")
    stretched(image, cut, together=True)
    for channel in image:
        channel[:] = to_srgb(channel)
    return picture_of(cube, image, "true colour", CHANNELS, observer="CIE 1931", stretch=cut)


def composite(
    cube: CubeLike,
    wavelengths: Sequence[float] | str = "natural",
    stretch: float = 2.0,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return a colour picture of the good bands nearest to three wavelengths.

    Parameters
    ----------
    cube
        A cube with wavelengths, or what `as_cube` makes one of. Only the three bands are read.
    wavelengths
        What to show as red, green and blue, in the unit of the cube's wavelengths; or one of `COMBINATIONS`: "natural"
        (640, 550, 460 nm), "colour infrared" (850, 650, 550), "short-wave infrared" (2200, 1650, 850), "vegetation"
        (1650, 850, 650).
    stretch
        Percent of the pixels, 0 to 25, that are clipped at either end of each channel.
    progress, should_stop
        As `fuse` takes them.

    Returns
    -------
    Cube
        Red, green and blue ``(3, y, x)``, 0 to 1, float32, in memory; NaN where a value is missing.

    Raises
    ------
    CubeError
        If there is no good band near a wavelength.
    Cancelled
        If `should_stop` says so.
    """
    cube = as_cube(cube)
    cut, watch = checked_cut(stretch), watch_of(progress, should_stop)
    if isinstance(wavelengths, str):
        if wavelengths not in COMBINATIONS:
            raise CubeError(f"wavelengths is {wavelengths!r}; give three numbers, or one of {', '.join(COMBINATIONS)}.")
        title, chosen = wavelengths, COMBINATIONS[wavelengths]
    else:
        red, green, blue = (float(w) for w in numbers("wavelengths", wavelengths, (3,), CubeError))
        chosen = (red, green, blue)
        title = next((name for name, known in COMBINATIONS.items() if known == chosen), "")
    bands = [band_near(cube, wavelength) for wavelength in chosen]
    assert cube.wavelengths is not None
    shown = tuple(float(w) for w in cube.wavelengths[bands])
    title = title or f"{', '.join(f'{w:.0f}' for w in shown)} {cube.spectral_unit}"
    image = mapped(cube, bands, 3, lambda values: values, watch, "Reading three bands")
    stretched(image, cut)
    return picture_of(cube, image, title, CHANNELS, rgb_wavelengths=list(shown), stretch=cut)
