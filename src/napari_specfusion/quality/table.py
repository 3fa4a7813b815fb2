"""Measures in tables: their labels, their units, and several results side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Better", "Measure", "Row", "best_of", "format_rows", "plain_values"]

Better = Literal["higher", "lower"]


class Measure(NamedTuple):
    """A measure of quality, with its label and format in tables."""

    key: str
    label: str
    unit: str
    better: Better
    digits: int
    tip: str = ""

    @property
    def title(self) -> str:
        """Label and unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    def shown(self, value: float) -> str:
        """Return a value as tables show it, or an empty text where it is not known."""
        return "" if np.isnan(value) else f"{value:.{self.digits}f}"


class Row(NamedTuple):
    """One line of a quality table."""

    name: str
    value: float
    unit: str
    better: Better


def best_of(measure: Measure, values: Iterable[float]) -> float | None:
    """Return the best of several values; None where fewer than two are known."""
    known = [value for value in values if not np.isnan(value)]
    return (max if measure.better == "higher" else min)(known) if len(known) > 1 else None


def format_rows(rows: Mapping[str, Any], measures: Sequence[Measure]) -> str:
    """Return several results side by side as plain text; a star marks the best of each column.

    Parameters
    ----------
    rows
        Results by the name of the method; each has the measures as attributes.
    measures
        The columns.
    """
    names = ["method", *rows]
    columns = [[name.ljust(max(map(len, names))) for name in names]]
    for measure in measures:
        values = [float(getattr(result, measure.key)) for result in rows.values()]
        winner = best_of(measure, values)
        marks = [" *"[int(value == winner)] for value in values]
        cells = [
            measure.title + " ",
            *((measure.shown(v) or "-") + mark for v, mark in zip(values, marks, strict=True)),
        ]
        width = max(map(len, cells))
        columns.append([cell.rjust(width) for cell in cells])
    lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def plain_values(result: Any, measures: Sequence[Measure]) -> dict[str, Any]:
    """Return a result as plain data, for JSON: the measures, those per band, and the wavelengths; None if not known."""
    found: dict[str, Any] = {measure.key: _plain(float(getattr(result, measure.key))) for measure in measures}
    found["bands"] = {key: [_plain(float(v)) for v in values] for key, values in result.bands.items()}
    wavelengths: NDArray[np.float64] | None = result.wavelengths
    found["wavelengths"] = None if wavelengths is None else wavelengths.tolist()
    found["spectral_unit"] = result.spectral_unit
    found["coverage"] = _plain(float(result.coverage))
    return found


def _plain(value: float) -> float | None:
    # JSON knows neither NaN nor infinity
    return value if np.isfinite(value) else None
