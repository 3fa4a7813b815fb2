"""Spectra of layers at points of the world, and how they are written down; no Qt."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.io.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["BAND", "Curve", "band_positions", "probe", "table", "write_csv"]

BAND = "band"


@dataclass(frozen=True, eq=False)
class Curve:
    """One spectrum.

    Attributes
    ----------
    cube
        Name of the layer it was taken from.
    pixel
        Row and column in that layer.
    positions
        Where the bands lie ``(bands,)``, in `unit`.
    values
        Physical values ``(bands,)``; NaN for bad bands and missing data.
    unit
        ``"nm"``, ``"cm-1"``, or ``"band"`` where positions are band numbers.
    """

    cube: str
    pixel: tuple[int, int]
    positions: NDArray[np.float64]
    values: NDArray[np.floating[Any]]
    unit: str


def band_positions(cube: Cube) -> tuple[NDArray[np.float64], str]:
    """Return where the bands of a cube lie, and in which unit; band numbers where that is unknown."""
    if cube.wavelengths is None:
        return np.arange(cube.bands, dtype=np.float64), BAND
    return cube.wavelengths, cube.spectral_unit


def probe(layer: Any, point: Sequence[float]) -> Curve | None:
    """Return the spectrum of a cube layer at a point (y, x) of the world; None beside the image."""
    at = layer.world_to_data((0.0,) * (layer.ndim - 2) + tuple(point))
    row, column = (round(float(v)) for v in at[-2:])
    cube = Cube.from_layer(layer)
    if not (0 <= row < cube.shape[1] and 0 <= column < cube.shape[2]):
        return None
    positions, unit = band_positions(cube)
    values = np.where(cube.good, cube.spectrum(row, column), np.nan)
    return Curve(str(layer.name), (row, column), positions, values, unit)


def table(curves: Iterable[Curve]) -> list[list[str]]:
    """Return curves as rows of text: a header, then one row per position that any of them has.

    Cells stay empty where a curve has no such position, or no value there.
    """
    curves = list(curves)
    unit = curves[0].unit if curves else BAND
    header = [unit, *(f"{c.cube} ({c.pixel[0]}, {c.pixel[1]})" for c in curves)]
    columns = [dict(zip(c.positions.tolist(), c.values.tolist(), strict=True)) for c in curves]
    rows = [
        [f"{position:g}", *(_cell(column.get(position)) for column in columns)]
        for position in sorted(set().union(*columns))
    ]
    return [header, *rows]


def write_csv(path: Path, curves: Iterable[Curve]) -> None:
    """Write curves as a comma-separated table.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(table(curves))


def _cell(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.7g}"
