"""What a look at the values of a cube found, and what is done about it, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["Marker", "Remark", "ValueSurvey"]

# level, topic and text of a finding
Remark = tuple[Literal["warning"], str, str]


@dataclass(frozen=True, eq=False)
class Marker:
    """A no-data value that was not declared.

    Attributes
    ----------
    value
        The stored value.
    bands
        Boolean ``(B,)``: the bands in which it means no-data.
    counts
        How often it was seen in each ``(B,)``.
    """

    value: Any
    bands: NDArray[np.bool_]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ValueSurvey:
    """What is remarkable about the values of a cube with B bands.

    Attributes
    ----------
    whole
        Whether every value was looked at, not a sample.
    pixels
        Number of pixels that were looked at.
    low, high
        Physical values ``(B,)`` between which all but a thousandth at either end lie; NaN for an empty band.
    markers
        No-data values that were not declared.
    limit
        Stored magnitude ``(B,)`` beyond which a value is implausible; infinite where there is no limit.
    outliers
        Number ``(B,)`` of values beyond the limit.
    largest
        The largest stored magnitude ``(B,)``, 0 for an empty band.
    empty, constant
        Boolean ``(B,)``: bands without any value, and bands with a single one.
    saturated
        Share ``(B,)`` of the values that lie at an end of the band's range; 0 where that is nothing unusual.
    end
        That end, a stored value ``(B,)``.
    """

    whole: bool
    pixels: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    markers: tuple[Marker, ...]
    limit: NDArray[np.float64]
    outliers: NDArray[np.int64]
    largest: NDArray[np.float64]
    empty: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    saturated: NDArray[np.float64]
    end: NDArray[np.float64]

    @property
    def masks(self) -> bool:
        """Whether a value may have to be treated as missing."""
        return bool(self.markers) or bool(np.isfinite(self.limit).any())

    def missing(self, stored: Any) -> Any:
        """Return where stored values ``(B, y, x)``, an array of numpy or dask, must count as missing."""
        found = np.zeros((len(self.limit), 1, 1), np.bool_)
        for marker in self.markers:
            found = found | ((stored == marker.value) & marker.bands[:, None, None])
        if np.isfinite(self.limit).any():
            with np.errstate(over="ignore"):
                # in the type of the values, so that they are not copied
                limit = self.limit.astype(stored.dtype if stored.dtype.kind == "f" else np.float64)[:, None, None]
            found = found | (stored > limit) | (stored < -limit)
        return found

    def acted_on(self, name: str) -> Iterator[Remark]:
        """Yield level, topic and text of what is left out of a fusion; `name` says which image it is."""
        where = "" if self.whole else " in a sample"
        for marker in self.markers:
            if total := int(marker.counts.sum()):
                yield (
                    "warning",
                    "no-data",
                    f"{_number(total, 'value')} of the {name} ({_named(marker.counts > 0)}) "
                    f"{'is' if total == 1 else 'are'} {marker.value:g}{where}, far from all others: an undeclared "
                    "no-data value. Such values are treated as missing; declare it with nodata=.",
                )
        if total := int(self.outliers.sum()):
            yield (
                "warning",
                "values",
                f"{_number(total, 'value')} of the {name} ({_named(self.outliers > 0)}), up to "
                f"{self.largest.max():g}{where}, cannot belong to the others, and {'is' if total == 1 else 'are'} "
                "treated as missing; mask them, or declare them with nodata=.",
            )
        if self.constant.any() and not self.constant.all():
            what = "is" if self.constant.sum() == 1 else "are each"
            yield (
                "warning",
                "constant",
                f"{_named(self.constant, capital=True)} of the {name} {what} one value everywhere{where}, and left out "
                "of the statistics.",
            )
        if self.empty.any() and not self.empty.all():
            what, be = ("holds", "is") if self.empty.sum() == 1 else ("hold", "are")
            yield (
                "warning",
                "empty",
                f"{_named(self.empty, capital=True)} of the {name} {what} no value{where}, and {be} left out of the "
                "statistics.",
            )

    def remarks(self, name: str) -> Iterator[Remark]:
        """Yield level, topic and text of all that was found."""
        yield from self.acted_on(name)
        if (spikes := self.saturated > 0).any():
            worst = int(np.argmax(self.saturated))
            yield (
                "warning",
                "saturation",
                f"{_named(spikes, capital=True)} of the {name} may be saturated: {self.saturated[worst]:.0%} of band "
                f"{worst + 1} is {self.end[worst]:g}, the end of its range. These values are used as they are.",
            )


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _named(chosen: NDArray[np.bool_], *, capital: bool = False) -> str:
    """Return which bands are chosen, in a few words; they count from 1."""
    which = np.flatnonzero(chosen) + 1
    if len(which) == len(chosen) > 1:
        text = "all bands"
    elif len(which) > 3:
        text = f"{len(which)} bands"
    else:
        text = f"band{'s' if len(which) > 1 else ''} {', '.join(map(str, which))}"
    return text[0].upper() + text[1:] if capital else text
