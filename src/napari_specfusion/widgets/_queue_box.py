"""The list of queued runs in the Fuse panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QScrollArea, QToolButton, QVBoxLayout, QWidget

from napari_specfusion.widgets._findings import Mark, wrapped
from napari_specfusion.widgets._forms import scrolling
from napari_specfusion.widgets._plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.widgets._queue import QueuedRun, RunQueue, RunState

__all__ = ["QueueBox"]

# in pixels; more runs than fit are scrolled
HIGHEST = 190
MARKS: Mapping[RunState, str] = {
    "waiting": "wait",
    "running": "run",
    "done": "good",
    "failed": "error",
    "stopped": "warning",
}


class QueueBox(QWidget):
    """Shows the runs of a queue: the pair, the method and what became of it, each with a button that removes it.

    Attributes
    ----------
    removed
        The run whose button was pressed.
    """

    removed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._area: QScrollArea | None = None
        # by run, in their order
        self.buttons: list[QToolButton] = []
        self.lines: list[str] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.hide()

    def show_queue(self, queue: RunQueue) -> None:
        """Show a queue as it is now; nothing where there is no more than a single run to tell about."""
        if self._area is not None:
            self._column.removeWidget(self._area)
            self._area.hide()
            self._area.deleteLater()
            self._area = None
        self.buttons, self.lines = [], []
        self.setVisible(queue.is_worth_showing)
        if not queue.is_worth_showing:
            return
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(4)
        for run in queue.runs:
            self._add(grid, run)
        grid.setRowStretch(grid.rowCount(), 1)
        self._area = area = scrolling(content)
        area.setFrameShape(QFrame.Shape.StyledPanel)
        area.setFixedHeight(min(HIGHEST, content.sizeHint().height() + 2 * area.frameWidth()))
        self._column.addWidget(area)
        at = queue.runs.index(queue.running) if queue.running is not None else len(queue.runs) - 1
        content.adjustSize()
        area.ensureWidgetVisible(self.buttons[at])

    def _add(self, grid: QGridLayout, run: QueuedRun) -> None:
        row = grid.rowCount()
        line = f"{run.pair}\n{run.method} \u00b7 {run.state}"
        if run.message:
            line += f"\n{plain(run.message)}"
        button = QToolButton()
        button.setText("\u00d7")
        button.setAutoRaise(True)
        button.setAccessibleName(f"Remove {run.pair}, {run.method}")
        button.setToolTip("Cancel stops this run." if run.state == "running" else "Take this run out of the list.")
        button.setEnabled(run.state != "running")
        button.clicked.connect(lambda _=False: self.removed.emit(run))
        grid.addWidget(Mark(MARKS[run.state], 16), row, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(wrapped(line), row, 1)
        grid.addWidget(button, row, 2, Qt.AlignmentFlag.AlignTop)
        self.buttons.append(button)
        self.lines.append(line)
