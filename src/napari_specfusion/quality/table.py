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


def format_rows(rows: Mapping[str, Any], measures: Sequence[Measure], *, across: bool = False) -> str:
    """Return several results side by side as plain text; a star marks the best of each measure.

    Parameters
    ----------
    rows
        Results by the name of the method; each has the measures as attributes.
    measures
        The columns.
    across
        Whether the methods are the columns instead, which suits many measures.
    """
    lines = [["method", *rows]]
    for measure in measures:
        values = [float(getattr(result, measure.key)) for result in rows.values()]
        winner = best_of(measure, values)
        marks = [" *"[int(value == winner)] for value in values]
        cells = [(measure.shown(v) or "-") + mark for v, mark in zip(values, marks, strict=True)]
        lines.append([measure.title + (" " * (not across)), *cells])
    table = lines if across else [list(line) for line in zip(*lines, strict=True)]
    if across:
        # above the numbers, and not above their stars
        table[0] = [table[0][0], *(f"{name} " for name in table[0][1:])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    text = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in table
    ]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])


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
