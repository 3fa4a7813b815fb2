"""A table of measures: one line each, one column for each result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_specfusion.quality.table import best_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_specfusion.quality.table import Measure

__all__ = ["MeasureTable"]

SCROLL_BAR = 16
ARROWS = {"higher": "\u2191", "lower": "\u2193"}


class MeasureTable(QTableWidget):
    """Measures of several results; as tall as its lines, so that it never scrolls up and down."""

    def __init__(self) -> None:
        super().__init__(0, 1)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        if (names := self.verticalHeader()) is not None:
            names.setVisible(False)
        self._header = QHeaderView(Qt.Orientation.Horizontal)
        self._header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setHorizontalHeader(self._header)
        self.setToolTip("Bold marks the best value of a row. The arrow shows whether higher or lower is better.")

    def fill(self, results: Mapping[str, Any], measures: Sequence[Measure]) -> None:
        """Show the measures of results, which are their attributes; those that none has are left out."""
        known = {m: [float(getattr(result, m.key)) for result in results.values()] for m in measures}
        shown = {m: values for m, values in known.items() if not values or not all(map(math.isnan, values))}
        self.setRowCount(len(shown))
        self.setColumnCount(1 + len(results))
        self.setHorizontalHeaderLabels(["", *results])
        for row, (measure, values) in enumerate(shown.items()):
            title = QTableWidgetItem(f"{measure.title} {ARROWS[measure.better]}")
            title.setToolTip(measure.tip)
            self.setItem(row, 0, title)
            best = best_of(measure, values)
            for column, value in enumerate(values, start=1):
                item = QTableWidgetItem(measure.shown(value) or "\u2013")
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(measure.tip)
                font = item.font()
                font.setBold(value == best)
                item.setFont(font)
                self.setItem(row, column, item)
        self.resizeRowsToContents()
        rows = sum(self.rowHeight(row) for row in range(self.rowCount()))
        bar = SCROLL_BAR if self._header.length() > self.width() else 0
        self.setFixedHeight(self._header.sizeHint().height() + rows + 2 * self.frameWidth() + bar)
