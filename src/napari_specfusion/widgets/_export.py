"""What the Spectra panel writes: its curves as a table or a library, its plot as a picture."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, QRect
from qtpy.QtGui import QPainter, QPixmap
from qtpy.QtSvg import QSvgGenerator

from napari_specfusion.errors import OutputError
from napari_specfusion.io.atomic import replacing
from napari_specfusion.spectra import save_spectra

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_specfusion.spectra import Spectrum

__all__ = ["FILTERS", "export", "with_ending"]

FILTERS = "Table (*.csv);;ENVI library (*.sli);;Picture (*.png);;Drawing (*.svg)"
# pixels of a picture for each of the screen, so that print is sharp
FINER = 2


def with_ending(path: Path, chosen: str) -> Path:
    """Return a path with the ending of the filter that was chosen, if it has none of its own."""
    found = re.search(r"\*(\.\w+)", chosen)
    return path if path.suffix or found is None else path.with_suffix(found[1])


def export(path: Path, spectra: Iterable[Spectrum], plot: QWidget) -> None:
    """Write spectra (``.csv``, ``.sli``), or the plot that shows them (``.png``, ``.svg``), by the ending.

    Raises
    ------
    OutputError
        If the ending is unknown, the format cannot hold the spectra, or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending == ".png":
        _draw_png(path, plot)
    elif ending == ".svg":
        _draw_svg(path, plot)
    elif ending in (".csv", ".sli"):
        # the dialog asked before it named a file that is there
        save_spectra(path, spectra, overwrite=True)
    else:
        raise OutputError(f"{path.name} has an unknown ending; choose .csv, .sli, .png or .svg.")


def _draw_png(path: Path, plot: QWidget) -> None:
    size = plot.size()
    picture = QPixmap(size * FINER)
    picture.setDevicePixelRatio(FINER)
    plot.render(picture)
    with replacing(path) as part:
        if not picture.save(str(part), "PNG"):
            raise OutputError(f"{path} cannot be written; check the folder's permissions, or choose another place.")


def _draw_svg(path: Path, plot: QWidget) -> None:
    size = plot.size()
    with replacing(path) as part:
        drawing = QSvgGenerator()
        drawing.setFileName(str(part))
        drawing.setSize(size)
        drawing.setViewBox(QRect(0, 0, size.width(), size.height()))
        drawing.setTitle("Spectra")
        painter = QPainter()
        if not painter.begin(drawing):
            raise OutputError(f"{path} cannot be written; check the folder's permissions, or choose another place.")
        plot.render(painter, QPoint())
        painter.end()
