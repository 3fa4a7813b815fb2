"""A pair of images to fuse, and checks of whether they match."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_specfusion import memory
from napari_specfusion.arguments import choice, instance, short
from napari_specfusion.data.clean import Cleaning
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.summary import html_summary, scene_rows, scene_title, text_summary
from napari_specfusion.data.surveying import survey_values
from napari_specfusion.errors import SceneError
from napari_specfusion.progress import Watch
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from napari_specfusion.alignment.alignment import Alignment
    from napari_specfusion.data.survey import ValueSurvey

__all__ = ["Finding", "Scene", "as_ratio", "cube_findings"]

Level = Literal["error", "warning", "info"]
_LEVELS: tuple[Level, ...] = ("error", "warning", "info")
MAX_RATIO = 64
MAX_DENOMINATOR = 16
# Sizes are read as a simple ratio such as 5/2 or 15/4 first, then as a whole one with some pixels left over, and only
# then as one such as 41/10.
LIKELY_DENOMINATOR = 4


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes
    ----------
    level
        ``"error"`` stops a run, ``"warning"`` needs attention, ``"info"`` is for information.
    topic
        Subject, in a word or two.
    message
        The finding and the remedy.
    """

    level: Level
    topic: str
    message: str


@dataclass(frozen=True, eq=False)
class Scene:
    """A low-resolution cube and its high-resolution guide.

    Attributes
    ----------
    hsi
        The low-resolution cube.
    guide
        The high-resolution image with few bands.
    ratio
        HR pixels per LR pixel, exact; None derives it from the two sizes.
    shift
        (y, x) displacement of the LR grid in HR pixels; None means unknown. At 0 an LR pixel covers its cell of
        ``ratio`` x ``ratio`` HR pixels.
    centre
        ``"cell"``: the shift counts from the cell's middle. ``"corner"``: from the cell's first pixel, as the CAVE
        benchmarks sample; it is converted to the cell convention at once.
    psf
        The cube's PSF on the guide's grid; None means unknown.
    srf
        The guide's response at the cube's bands; None means unknown.
    reference
        The truth at the guide's resolution, where it is known (simulated pairs).
    alignment
        How the guide was brought onto the cube's grid, if `align` did so.

    Raises
    ------
    SceneError
        If the sizes and the ratio do not match, or the response does not match the bands.
    """

    hsi: Cube
    guide: Cube
    ratio: Fraction | int | float | None = None
    shift: tuple[float, float] | None = None
    centre: Literal["cell", "corner"] = "cell"
    psf: Psf | None = None
    srf: Srf | None = None
    reference: Cube | None = None
    alignment: Alignment | None = None

    def __post_init__(self) -> None:
        for name, image in (("hsi", self.hsi), ("guide", self.guide)):
            instance(name, image, Cube, "a Cube, such as as_cube(...)", SceneError)
        for name, kind in (("psf", Psf), ("srf", Srf), ("reference", Cube)):
            if getattr(self, name) is not None:
                instance(name, getattr(self, name), kind, f"a {kind.__name__}, or None", SceneError)
        if self.alignment is not None and not hasattr(self.alignment, "transform"):
            raise SceneError(f"alignment is {short(self.alignment)}; give an Alignment, or None.")
        ratio = ratio_of(self.hsi, self.guide) if self.ratio is None else as_ratio(self.ratio)
        object.__setattr__(self, "ratio", ratio)
        _check_extents(self.hsi, self.guide, ratio)
        choice("centre", self.centre, ("cell", "corner"), SceneError)
        if self.centre == "corner" or self.shift is not None:
            y, x = _checked_shift((0.0, 0.0) if self.shift is None else self.shift)
            half = (float(ratio) - 1) / 2 if self.centre == "corner" else 0.0
            object.__setattr__(self, "shift", (y - half, x - half))
            object.__setattr__(self, "centre", "cell")
        if self.srf is not None and (self.srf.guide_bands, self.srf.bands) != (self.guide.bands, self.hsi.bands):
            raise SceneError(
                f"The spectral response is {self.srf.guide_bands} x {self.srf.bands}; this pair needs "
                f"{self.guide.bands} x {self.hsi.bands} (guide bands x cube bands)."
            )

    @property
    def factor(self) -> Fraction:
        """The ratio, exact."""
        assert isinstance(self.ratio, Fraction)
        return self.ratio

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the fused image: the part of the guide that the cube covers."""
        (_, sharp_y, sharp_x), (_, coarse_y, coarse_x) = self.guide.shape, self.hsi.shape
        return min(sharp_y, math.floor(coarse_y * self.factor)), min(sharp_x, math.floor(coarse_x * self.factor))

    def replace(self, **fields: Any) -> Self:
        """Return the scene with some fields replaced."""
        return dataclasses.replace(self, **fields)

    def check(self, watch: Watch | None = None) -> tuple[Finding, ...]:
        """Check the pair without calibrating it; errors come first.

        Looks at every value of a pair of up to 256 MB, and at a sample of a larger one.

        Parameters
        ----------
        watch
            Can stop it.

        Raises
        ------
        Cancelled
            If `watch` stops it.
        """
        if watch is not None:
            instance("watch", watch, Watch, "a Watch, or None", SceneError)
        return tuple(sorted(_findings(self, watch), key=lambda finding: _LEVELS.index(finding.level)))

    @property
    def is_small(self) -> bool:
        """Whether the pair is small enough to be kept in memory."""
        return self._size <= memory.KEPT_PAIR

    @property
    def is_seen_whole(self) -> bool:
        """Whether odd values are looked for in the whole pair, not in a sample."""
        return self._size <= memory.SURVEYED_PAIR

    @property
    def _size(self) -> int:
        return int(self.hsi.data.nbytes + self.guide.data.nbytes)

    def __repr__(self) -> str:
        return text_summary(scene_title(self), scene_rows(self))

    def _repr_html_(self) -> str:
        return html_summary(scene_title(self), scene_rows(self))


def cube_findings(cube: Cube, topic: str = "file") -> tuple[Finding, ...]:
    """Return the findings from opening or making a cube: the pairs of level and message in its metadata.

    Parameters
    ----------
    cube
        The cube.
    topic
        Topic of the findings.
    """
    found = cube.metadata.get("findings", ())
    # files may hold anything under this name
    pairs = [item for item in found if isinstance(item, list | tuple)] if isinstance(found, list | tuple) else []
    return tuple(Finding(pair[0], topic, str(pair[1])) for pair in pairs if len(pair) == 2 and pair[0] in _LEVELS)


def as_ratio(value: int | float | Fraction | np.number[Any]) -> Fraction:
    """Return a ratio as an exact fraction with a small denominator.

    Raises
    ------
    SceneError
        If it is not a number above 1 and at most 64.
    """
    plain: object = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, int | float | Fraction) or not _is_finite(plain):
        raise SceneError(f"The ratio is {short(value)}; it must be a number of HR pixels per LR pixel, such as 4.")
    ratio = Fraction(plain).limit_denominator(MAX_DENOMINATOR)
    if not 1 < ratio <= MAX_RATIO:
        raise SceneError(
            f"The ratio is {float(plain):g}; it must be above 1 and at most {MAX_RATIO}. "
            "Are the cube and the guide swapped?"
        )
    return ratio


def _is_finite(value: float | Fraction) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def ratio_of(hsi: Cube, guide: Cube) -> Fraction:
    """Return the ratio that the sizes of two images imply.

    Raises
    ------
    SceneError
        If the guide is not larger than the cube, or the two axes imply different ratios.
    """
    (low_y, low_x), (high_y, high_x) = hsi.shape[1:], guide.shape[1:]
    if high_y <= low_y or high_x <= low_x:
        raise SceneError(
            f"The guide is {high_y} x {high_x} pixels, the cube {low_y} x {low_x}: "
            "a guide must be larger than the cube. Are the two swapped?"
        )
    exact = Fraction(high_y, low_y), Fraction(high_x, low_x)
    denominator = exact[0].denominator if exact[0] == exact[1] else math.inf
    if denominator <= LIKELY_DENOMINATOR:
        return as_ratio(exact[0])
    # sizes that differ by less than an LR pixel still mean one whole ratio
    whole = round(math.sqrt(float(exact[0] * exact[1])))
    if whole > 1 and all(abs(high - whole * low) < whole for low, high in ((low_y, high_y), (low_x, high_x))):
        return as_ratio(whole)
    if denominator <= MAX_DENOMINATOR:
        return as_ratio(exact[0])
    raise SceneError(
        f"A guide of {high_y} x {high_x} over a cube of {low_y} x {low_x} pixels gives a ratio of "
        f"{float(exact[0]):.3g} along y and {float(exact[1]):.3g} along x; crop both to the same area, "
        "or give the ratio."
    )


def _checked_shift(shift: Any) -> tuple[float, float]:
    try:
        y, x = (float(component) for component in shift)
    except Exception:  # arrays of other libraries raise anything
        y = x = math.nan
    if not (math.isfinite(y) and math.isfinite(x)):
        raise SceneError(f"The shift is {short(shift)}; give two finite numbers (y, x) of HR pixels, or None.")
    return y, x


def _check_extents(hsi: Cube, guide: Cube, ratio: Fraction) -> None:
    for axis, low, high in zip("yx", hsi.shape[1:], guide.shape[1:], strict=True):
        if high <= low:
            raise SceneError(
                f"The guide has {high} pixels along {axis}, the cube {low}: a guide must be larger than the cube. "
                "Are the two swapped?"
            )
        if abs(high - ratio * low) >= float(ratio) * max(1.0, 0.02 * low):
            raise SceneError(
                f"At ratio {float(ratio):g} a cube of {low} pixels along {axis} covers {float(ratio * low):g} of the "
                f"guide's {high}; crop both to the same area, or give the ratio that fits."
            )


def _findings(scene: Scene, watch: Watch | None) -> Iterator[Finding]:
    hsi, guide, ratio = scene.hsi, scene.guide, scene.factor
    covered = float(ratio * hsi.shape[1]), float(ratio * hsi.shape[2])
    yield Finding(
        "info",
        "size",
        f"{hsi.bands} bands of {hsi.shape[1]} x {hsi.shape[2]} become {scene.shape[0]} x {scene.shape[1]} pixels, "
        f"{float(ratio):g} times sharper.",
    )
    if covered != guide.shape[1:]:
        yield Finding(
            "warning",
            "extent",
            f"The cube covers {covered[0]:g} x {covered[1]:g} of the guide's {guide.shape[1]} x {guide.shape[2]} "
            "pixels, counted from the top left; crop one of them if their top left corners differ.",
        )
    if guide.bands >= hsi.bands:
        yield Finding(
            "warning",
            "bands",
            f"The guide has {guide.bands} bands, the cube {hsi.bands}: fusion expects a cube with more. "
            "Are the two swapped?",
        )
    yield from cube_findings(hsi, "cube")
    yield from cube_findings(guide, "guide")
    for name, cube in (("cube", hsi), ("guide", guide)):
        yield from _value_findings(name, cube, survey_values(cube, whole=scene.is_seen_whole, watch=watch))
    yield from _overlap_findings(hsi, guide)
    gigabytes = 4 * hsi.bands * math.prod(scene.shape) / 1e9
    if gigabytes > 2:
        yield Finding(
            "warning",
            "memory",
            f"The fused cube takes {gigabytes:.1f} GB; write it to a .zarr folder (out=...) instead of memory.",
        )


def _value_findings(name: str, cube: Cube, survey: ValueSurvey) -> Iterator[Finding]:
    if survey.empty.all():
        where = "" if survey.whole else " in a sample"
        yield Finding("error", "no-data", f"The {name} holds no valid value{where}; check its no-data value.")
        return
    for level, topic, message in survey.remarks(name):
        yield Finding(level, topic, message)
    sample = Cleaning.masking(survey).apply(cube).sample(5)
    missing = float(np.mean(~np.isfinite(sample)))
    if missing == 1:
        return
    if missing > 0.05:
        yield Finding("warning", "no-data", f"{missing:.0%} of the {name} is no-data; those pixels stay empty.")
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    if low == high:
        yield Finding("error", "values", f"The {name} is {low:g} everywhere in a sample: there is nothing to fuse.")
    elif high > 0 and low < -0.1 * high:
        yield Finding(
            "warning",
            "values",
            f"The {name} holds values down to {low:g}: is that an undeclared no-data value?",
        )


def _overlap_findings(hsi: Cube, guide: Cube) -> Iterator[Finding]:
    if hsi.wavelengths is None:
        yield Finding(
            "info", "wavelengths", "The cube has no wavelengths; fusion works without them, spectra show band numbers."
        )
    elif guide.wavelengths is not None and hsi.spectral_unit == guide.spectral_unit:
        low, high = float(hsi.wavelengths.min()), float(hsi.wavelengths.max())
        outside = guide.wavelengths[(guide.wavelengths < low - 20) | (guide.wavelengths > high + 20)]
        if len(outside) == len(guide.wavelengths):
            yield Finding(
                "warning",
                "spectral overlap",
                f"The guide's bands ({outside.min():g}-{outside.max():g}) lie outside the cube's ({low:g}-{high:g} "
                f"{hsi.spectral_unit}): its detail may not match theirs.",
            )
