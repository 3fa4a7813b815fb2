"""The list of queued runs in the Fuse panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QScrollArea, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_specfusion.widgets._findings import Mark, wrapped
from napari_specfusion.widgets._plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtGui import QResizeEvent

    from napari_specfusion.widgets._queue import QueuedRun, RunQueue, RunState

__all__ = ["QueueBox"]

# in pixels; more runs than fit are scrolled
HIGHEST = 190
# that napari's style draws around an area, above and below
BORDER = 2
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
        self._area = _Area(content)
        self._column.addWidget(self._area)
        at = queue.runs.index(queue.running) if queue.running is not None else len(queue.runs) - 1
        content.adjustSize()
        self._area.ensureWidgetVisible(self.buttons[at])

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


class _Area(QScrollArea):
    """As tall as what it holds, up to a limit; the height of wrapped lines is known only with the width."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setWidget(content)

    def sizeHint(self) -> QSize:
        """Return the height of the content at the present width."""
        content, usual = self.widget(), super().sizeHint()
        assert content is not None
        # an area lets its content be no lower than the content's least height, whatever its lines take
        height = max(content.heightForWidth(self.width()), content.minimumSizeHint().height())
        return QSize(usual.width(), min(HIGHEST, height + BORDER))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take the height for a new width."""
        super().resizeEvent(event)
        self.updateGeometry()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the height for a new content, such as one in another font."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)
