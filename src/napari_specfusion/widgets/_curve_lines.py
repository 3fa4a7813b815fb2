"""Curves as they are drawn: colour tells where one was taken, line style from which cube."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.data.band_axis import gaps
from napari_specfusion.widgets._plot import CUBE_COLOURS, LINE_STYLES, Line
from napari_specfusion.widgets._probe import BAND, Curve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from napari_specfusion.spectra import Spectrum

__all__ = ["cursor_lines", "kept_lines", "library_lines"]

LIBRARY_COLOURS = ("#a0a0a0", "#c08a50", "#5fa0a0", "#a47bb5", "#7fa05a")


def cursor_lines(curves: Iterable[Curve], cubes: Sequence[str], unit: str, band: int | None) -> Iterator[Line]:
    """Return the spectra under the cursor, in the colours of their cubes, with the values at a band."""
    for curve in curves:
        rank = cubes.index(curve.cube)
        values = curve.spectrum.values
        value = f"{values[band]:.4g}" if band is not None and band < len(values) else ""
        colour = CUBE_COLOURS[rank % len(CUBE_COLOURS)]
        yield from _line(curve.cube, curve.spectrum, unit, colour, rank, 2.2, label=f"{curve.cube}  {value}")


def kept_lines(curves: Sequence[Curve], cubes: Sequence[str], unit: str, *, styles_told: bool) -> Iterator[Line]:
    """Return the spectra of pins and regions, in their colours; those of one place in several cubes share one.

    Parameters
    ----------
    curves
        The spectra.
    cubes
        Names of the cubes, the one in front first. Only that has bands for the spread: several hide one another.
    unit
        Of the axis; other spectra are left out.
    styles_told
        Whether the legend tells the line styles of the cubes already.
    """
    shown = [curve for curve in curves if curve.spectrum.unit == unit]
    several = len({curve.cube for curve in shown}) > 1
    named: set[str] = set()
    for curve in shown:
        is_new = curve.place not in named
        named.add(curve.place)
        note = f"{curve.place}, {curve.cube}" if several and not styles_told else curve.place if is_new else ""
        rank = cubes.index(curve.cube)
        spectrum = curve.spectrum if curve.cube == shown[0].cube else curve.spectrum.replace(spread=None)
        yield from _line(f"{curve.cube} {curve.place}", spectrum, unit, curve.colour, rank, 1.3, note=note)


def library_lines(spectra: Iterable[tuple[str, Spectrum]], unit: str) -> Iterator[Line]:
    """Return spectra of a library with what they are called."""
    for number, (name, spectrum) in enumerate(spectra):
        colour = LIBRARY_COLOURS[number % len(LIBRARY_COLOURS)]
        yield from _line(f"library {number}", spectrum, unit, colour, 3, 1.6, label=name)


def _line(
    key: str, spectrum: Spectrum, unit: str, colour: str, rank: int, width: float, label: str = "", note: str = ""
) -> Iterator[Line]:
    style = LINE_STYLES[rank % len(LINE_STYLES)]
    if spectrum.unit != unit:
        return
    x, y, spread = spectrum.positions, spectrum.values, spectrum.spread
    if unit != BAND:
        # no line across what no band has seen
        broken = gaps(x) + 1
        x, y = np.insert(x, broken, x[broken]), np.insert(y, broken, np.nan)
        spread = None if spread is None else np.insert(spread, broken, np.nan)
    yield Line(key, x, y, colour, style, width, label, note, spread)
