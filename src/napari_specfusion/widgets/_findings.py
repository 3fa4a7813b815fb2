"""A verdict with its reasons: coloured marks and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QFont, QPainter
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_specfusion.widgets._plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtGui import QPaintEvent

    from napari_specfusion.data.scene import Finding
    from napari_specfusion.widgets._preflight import Mood

__all__ = ["FindingsPanel", "Mark", "StatusLine", "wrapped"]

# colour and sign: the sign tells what the colour does, for those who do not see it
_MARKS: dict[str, tuple[str, str]] = {
    "wait": ("#8a8d91", "\u2026"),
    "run": ("#4a86c5", "\u25b8"),
    "good": ("#2e9e5b", "\u2713"),
    "info": ("#4a86c5", "i"),
    "warning": ("#d9920f", "!"),
    "error": ("#cf3f3f", "\u00d7"),
}


class FindingsPanel(QFrame):
    """A headline with a mark, facts in two columns, and findings one below the other."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(8, 8, 8, 8)
        self._body: QWidget | None = None
        self.headline = ""

    def show_verdict(
        self,
        mood: Mood,
        headline: str,
        facts: Iterable[tuple[str, str]] = (),
        findings: Iterable[Finding] = (),
    ) -> None:
        """Replace what the panel shows."""
        if self._body is not None:
            self._layout.removeWidget(self._body)
            self._body.hide()
            self._body.deleteLater()
        self.headline = headline
        self._body = QWidget()
        grid = QGridLayout(self._body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(2, 1)
        grid.setVerticalSpacing(6)
        title = wrapped(headline)
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        grid.addWidget(Mark(mood, 18), 0, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(title, 0, 1, 1, 2)
        for name, value in facts:
            row = grid.rowCount()
            grid.addWidget(QLabel(name), row, 1)
            grid.addWidget(wrapped(value), row, 2)
        for finding in findings:
            row = grid.rowCount()
            grid.addWidget(Mark(finding.level, 16), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(wrapped(plain(finding.message)), row, 1, 1, 2)
        self._layout.addWidget(self._body)


class StatusLine(QWidget):
    """What a panel does or did, in a sentence; what went wrong gets a mark, and stays until something else is said."""

    def __init__(self) -> None:
        super().__init__()
        self._label = wrapped("")
        self._label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._marks = {mood: Mark(mood, 16) for mood in ("warning", "error")}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for mark in self._marks.values():
            row.addWidget(mark, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._label, 1)
        self.setText("")

    @property
    def failed(self) -> bool:
        """Whether it says what went wrong."""
        return not self._marks["error"].isHidden()

    def text(self) -> str:
        """Return what it says."""
        return self._label.text()

    def setText(self, words: str) -> None:
        """Say something; nothing takes no room."""
        self._say(words, "")

    def warn(self, words: str) -> None:
        """Say what needs attention."""
        self._say(words, "warning")

    def fail(self, words: str) -> None:
        """Say what went wrong."""
        self._say(words, "error")

    def _say(self, words: str, mood: str) -> None:
        for name, mark in self._marks.items():
            mark.setVisible(name == mood)
        self._label.setText(plain(words))
        self.setVisible(bool(words))


def wrapped(words: str) -> QLabel:
    """Return a label whose lines break where it ends, and whose words can be copied."""
    label = QLabel(words)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # a wrapped label asks for its natural width otherwise, and widens the whole dock
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
    return label


class Mark(QWidget):
    """A round coloured mark with a sign in it."""

    def __init__(self, level: str, size: int) -> None:
        super().__init__()
        self._colour, self._sign = _MARKS[level]
        self.setFixedSize(size, size)
        self.setAccessibleName(level)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the mark."""
        size = min(self.width(), self.height())
        box = QRectF(0, 0, size, size)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(self._colour))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.drawEllipse(box)
        font = QFont(self.font())
        font.setBold(True)
        font.setPixelSize(round(size * 0.7))
        painter.setFont(font)
        painter.setPen(QColor("white"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._sign)
        painter.end()
