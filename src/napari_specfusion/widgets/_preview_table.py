"""A table of previews: one line for each method, to click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_specfusion.fusion.previewing import PREVIEW_MEASURES
from napari_specfusion.quality.table import best_of
from napari_specfusion.widgets._measure_table import ARROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.fusion.previewing import Preview

__all__ = ["PreviewTable"]

# short and on two lines, so that all columns fit into a dock
HEADS = {"cube_residual": "Cube", "guide_residual": "Guide", "reduced_psnr": "Trial", "seconds": "Time"}
FAILED = "failed"


class PreviewTable(QTableWidget):
    """Methods and their scores; as tall as its lines, so that it never scrolls up and down.

    Attributes
    ----------
    chosen
        The method whose line was clicked, or reached with the keys.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__(0, 1 + len(PREVIEW_MEASURES))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setAccessibleName("Preview")
        if (names := self.verticalHeader()) is not None:
            names.setVisible(False)
        self._header = QHeaderView(Qt.Orientation.Horizontal)
        self._header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self._header.setMinimumSectionSize(20)
        self.setHorizontalHeader(self._header)
        # there are sections from here on
        self._header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._head()
        self._methods: list[str] = []
        self.itemSelectionChanged.connect(self._selected)

    def _head(self) -> None:
        self.setHorizontalHeaderItem(0, QTableWidgetItem("Method"))
        for column, measure in enumerate(PREVIEW_MEASURES, start=1):
            item = QTableWidgetItem(f"{HEADS[measure.key]} {ARROWS[measure.better]}\n{measure.unit}")
            item.setToolTip(measure.tip)
            self.setHorizontalHeaderItem(column, item)

    def fill(self, tiles: Sequence[Preview]) -> None:
        """Show previews; the line that is selected stays so."""
        before = self.signalsBlocked()
        self.blockSignals(True)
        self._methods = [tile.method for tile in tiles]
        self.setRowCount(len(tiles))
        # the quickest is not the best
        best = {m.key: best_of(m, (getattr(tile, m.key) for tile in tiles)) for m in PREVIEW_MEASURES[:-1]}
        for row, tile in enumerate(tiles):
            name = QTableWidgetItem(tile.method)
            name.setToolTip(tile.error or tile.note or f"Show {tile.method} and choose it for the run.")
            self.setItem(row, 0, name)
            for column, measure in enumerate(PREVIEW_MEASURES, start=1):
                value = float(getattr(tile, measure.key))
                text = (FAILED if column == 1 else "") if tile.error else measure.shown(value) or "\u2013"
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(tile.error or tile.note or measure.tip)
                font = item.font()
                font.setBold(value == best.get(measure.key))
                item.setFont(font)
                self.setItem(row, column, item)
        self.blockSignals(before)
        self.resizeRowsToContents()
        rows = sum(self.rowHeight(row) for row in range(self.rowCount()))
        self.setFixedHeight(self._header.sizeHint().height() + rows + 2 * self.frameWidth())

    def select(self, method: str) -> None:
        """Select the line of a method without saying so."""
        before = self.signalsBlocked()
        self.blockSignals(True)
        self.selectRow(self._methods.index(method))
        self.blockSignals(before)

    def _selected(self) -> None:
        rows = {index.row() for index in self.selectedIndexes()}
        if len(rows) == 1 and (row := rows.pop()) < len(self._methods):
            self.chosen.emit(self._methods[row])
