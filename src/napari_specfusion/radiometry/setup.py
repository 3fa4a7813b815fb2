"""Check that a cube and its references match, and report problems with the references."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.arguments import short
from napari_specfusion.data.scene import Finding
from napari_specfusion.errors import CalibrationError
from napari_specfusion.io import as_cube
from napari_specfusion.radiometry.files import find_references
from napari_specfusion.radiometry.panel import Field, Reference, integration_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike

__all__ = ["Setup"]

# A pixel is dead if white minus dark is less than this fraction of its median over the band's columns,
DEAD = 0.01
# and a band is dim if it is less than this fraction of that in the brightest band.
DIM = 0.01


@dataclass(frozen=True, eq=False)
class Setup:
    """A cube and its references, opened but not yet checked."""

    raw: Cube
    white: Reference
    dark: Reference
    white_dark: Reference
    no_dark: bool
    times: tuple[float, float] | None
    saturation: float | None

    @classmethod
    def of(
        cls,
        raw: CubeLike,
        white: CubeLike | None,
        dark: CubeLike | None,
        white_dark: CubeLike | None,
        times: tuple[float, float] | None,
        saturation: float | None,
    ) -> Setup:
        """Open the cube and the given references, or those next to it."""
        if isinstance(raw, str | os.PathLike):
            found = find_references(raw)
            raw, white = found.raw, found.white if white is None else white
            dark = found.dark if dark is None else dark
        if white is None:
            raise CalibrationError(
                "There is no white reference: none was given, and there is no WHITEREF_ file next to the capture. "
                "Give one with white=."
            )
        pair = isinstance(times, list | tuple | np.ndarray) and np.shape(np.asarray(times, object)) == (2,)
        if times is not None and not (pair and all(_positive(time) for time in times)):
            raise CalibrationError(
                f"times is {short(times)}; give two numbers above 0, of the cube and of the white reference."
            )
        if saturation is not None and not _positive(saturation):
            raise CalibrationError(
                f"saturation is {short(saturation)}; give the count at which the sensor saturates, above 0, or None."
            )
        cube = as_cube(raw)
        darkness = Reference.of(0 if dark is None else dark, cube, "dark reference")
        own = darkness if white_dark is None else Reference.of(white_dark, cube, "dark reference of the white one")
        bright = Reference.of(white, cube, "white reference", saturation)
        if times is None and (taken := integration_time(cube)) is not None and bright.time is not None:
            times = (taken, bright.time)
        return cls(cube, bright, darkness, own, dark is None, times, saturation)

    @property
    def factor(self) -> float:
        """Factor that corrects reflectance for the white reference's integration time."""
        return 1.0 if self.times is None else float(self.times[1]) / float(self.times[0])

    @property
    def span(self) -> Field:
        """White minus dark."""
        return self.white.field.minus(self.white_dark.field)

    @property
    def mean_span(self) -> NDArray[np.float64]:
        """White minus dark, averaged over lines: ``(bands, 1, columns)``."""
        return self.white.mean - self.white_dark.mean

    @property
    def floor(self) -> NDArray[np.float64]:
        """Threshold for white minus dark ``(bands, 1, 1)``; infinite in bands without light."""
        level = _middle(self.mean_span)[:, None, None]
        return np.where(level > 0, DEAD * level, np.inf)

    def findings(self) -> tuple[Finding, ...]:
        """Return the problems of the references, errors first."""
        wrong = [f for reference in (self.white, self.dark, self.white_dark) for f in _misfits(self.raw, reference)]
        if wrong:
            return tuple(dict.fromkeys(wrong))
        found = [*self._light(), *self._cut_off(), *self._times()]
        return tuple(sorted(found, key=lambda f: ("error", "warning", "info").index(f.level)))

    def _light(self) -> Iterator[Finding]:
        span = self.mean_span
        known = np.isfinite(span)
        if not known.any():
            yield Finding("error", "white reference", "The references hold no data; record them again.")
            return
        darker = float(np.mean(span[known] <= 0))
        if darker > 0.5:
            yield Finding(
                "error",
                "white reference",
                f"The white reference is not brighter than the dark one in {darker:.0%} of its bands and columns; "
                "were the two given the wrong way round?",
            )
            return
        level = _middle(span)
        dim = int(np.sum(~(level > DIM * np.nanmax(level))))
        if dim:
            yield Finding(
                "warning",
                "white reference",
                f"White hardly exceeds dark in {dim} of {len(level)} bands; their reflectance is noise. "
                "Light the panel better, or mark the bands bad.",
            )
        dead = float(np.mean(~(span > self.floor)))
        if dead > 0:
            yield Finding(
                "warning" if dead > 0.01 else "info",
                "dead pixels",
                f"{dead:.2%} of the sensor's bands and columns see no light (white does not exceed dark); they become "
                "NaN, or are interpolated with dead='interpolate'.",
            )
        if self.no_dark:
            yield Finding(
                "warning",
                "dark reference",
                "There is no dark reference, so 0 was used; the sensor's dark counts add to the reflectance.",
            )

    def _cut_off(self) -> Iterator[Finding]:
        level = self.white.saturated(self.saturation)
        if level is not None:
            bands = int((self.white.at_peak > 0).any(1).sum())
            yield Finding(
                "warning",
                "white reference",
                f"The white reference is saturated: {float(self.white.at_peak.mean()):.1%} of its values, in {bands} "
                f"of {self.raw.bands} bands, reach {level:g}. Reflectance will be too high "
                "there; record it again with a shorter integration time, and give times=.",
            )
        for reference in (self.white, self.dark):
            if reference.missing > 0:
                yield Finding(
                    "warning", reference.name, f"{reference.missing:.1%} of the {reference.name}'s values are missing."
                )

    def _times(self) -> Iterator[Finding]:
        if self.times is not None and self.factor != 1:
            yield Finding(
                "info",
                "integration time",
                f"The cube was taken with an integration time of {self.times[0]:g}, the white reference with "
                f"{self.times[1]:g}; reflectance was multiplied by {self.factor:g}.",
            )
        of_dark, of_cube = self.dark.time, integration_time(self.raw)
        if of_dark is not None and of_cube is not None and not np.isclose(of_dark, of_cube):
            yield Finding(
                "warning",
                "integration time",
                f"The dark reference was taken with an integration time of {of_dark:g}, the cube with {of_cube:g}; "
                "dark counts grow with time. Use a dark reference with the cube's integration time.",
            )


def _positive(value: Any) -> bool:
    """Whether a value is a number above 0 that floating point can hold."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return real and bool(0 < value < sys.float_info.max)


def _middle(span: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median over columns of each band, 0 for bands without values."""
    known = np.isfinite(span).any((1, 2))
    level = np.zeros(len(span))
    level[known] = np.nanmedian(span[known], axis=(1, 2))
    return level


def _misfits(raw: Cube, reference: Reference) -> Iterator[Finding]:
    """Return the reasons why a reference does not match a cube."""
    bands, height, width = reference.shape
    if bands != raw.bands:
        yield Finding(
            "error",
            reference.name,
            f"The {reference.name} has {bands} bands, the cube {raw.bands}; record both with the same settings, or "
            "select the same bands of both.",
        )
    elif width not in (1, raw.shape[2]) or (width == 1 and height > 1 and raw.shape[2] > 1):
        larger, smaller = max(width, raw.shape[2]), min(width, raw.shape[2])
        binned = f" One is {larger // smaller} times the other: was it binned?" if larger % smaller == 0 else ""
        yield Finding(
            "error",
            reference.name,
            f"The {reference.name} has {height} lines of {width} columns, the cube {raw.shape[1]} of {raw.shape[2]}; a "
            f"reference must have the cube's columns or be one spectrum.{binned} Average, crop or re-record it.",
        )
    elif raw.wavelengths is not None and reference.wavelengths is not None:
        apart = float(np.max(np.abs(raw.wavelengths - reference.wavelengths)))
        step = float(np.median(np.diff(raw.wavelengths))) if raw.bands > 1 else float(raw.wavelengths[0]) / 10
        if apart > step / 2:
            yield Finding(
                "error",
                reference.name,
                f"The wavelengths of the {reference.name} lie up to {apart:.3g} {raw.spectral_unit} from the cube's, "
                f"whose bands are {step:.3g} apart; use a reference with the cube's bands.",
            )
