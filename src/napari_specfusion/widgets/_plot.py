"""A plot of curves over the spectrum, in the colours of napari's theme."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainterPath, QPolygonF
from qtpy.QtWidgets import QGraphicsPathItem, QLabel, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["CUBE_COLOURS", "LINE_STYLES", "Line", "SpectrumPlot"]

# pyqtgraph takes the Qt binding that is loaded: it comes after qtpy, which chooses one
pg = import_module("pyqtgraph")

CUBE_COLOURS = ("#4c9be8", "#f28e2b", "#45b37d", "#b07cd8", "#9a9a9a")
LINE_STYLES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
    Qt.PenStyle.DashDotDotLine,
)
# how the legend draws the styles
STROKES = dict(
    zip(
        LINE_STYLES,
        ("\u2501\u2501\u2501", "\u2578\u2578\u2578", "\u2509\u2509\u2509", "\u2578\u2509\u2578", "\u2578\u2509\u2509"),
        strict=True,
    )
)
FEW_BANDS = 12
# Qt before 6.6 does not tell
SCALE_CHANGED = getattr(QEvent.Type, "DevicePixelRatioChange", None)
# entries beside one another in the legend, at most
MOST_NOTES = 16
# how much of what lies below the band around a curve covers, of 255
BAND_ALPHA = 60
# bad bands, on a light and on a dark ground
SHADE, NO_LINE = (128, 128, 128, 70), (0, 0, 0, 0)
AXIS_LABELS = {"nm": ("Wavelength", "nm"), "cm-1": ("Raman shift", "cm\u207b\u00b9"), "band": ("Band", "")}


@dataclass(frozen=True, eq=False)
class Line:
    """One curve as it is drawn.

    Attributes
    ----------
    key
        Tells it from the others.
    x, y
        Positions and values ``(n,)``; broken at NaN.
    colour, style, width
        Its look.
    label
        Puts it into the legend, on a line of its own.
    note
        Puts it into the legend, after the lines and beside the other notes.
    spread
        Half the width ``(n,)`` of a band around it, or None.
    """

    key: str
    x: NDArray[Any]
    y: NDArray[Any]
    colour: str
    style: Qt.PenStyle = Qt.PenStyle.SolidLine
    width: float = 1.5
    label: str = ""
    note: str = ""
    spread: NDArray[Any] | None = None


class _View(pg.PlotWidget):  # type: ignore[misc,name-defined]
    """A plot that takes the room there is instead of asking for 640 x 480 pixels."""

    def sizeHint(self) -> QSize:
        """Return the least size."""
        return QSize(self.minimumSize())


class SpectrumPlot(QWidget):
    """Curves over the spectrum and a line that marks a band.

    Attributes
    ----------
    marker_moved
        Where the user dragged the marker to.
    """

    marker_moved = Signal(float)

    def __init__(self, *, marker: bool = True, height: int = 220) -> None:
        super().__init__()
        self.view = _View()
        self.view.setMinimumHeight(height)
        self.view.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        # beside the curves, so that it never hides one, and wrapped, so that no name is cut off
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.legend)
        layout.addWidget(self.view, 1)
        self.item = self.view.getPlotItem()
        self.item.showGrid(x=True, y=True, alpha=0.15)
        for menu in (self.item.ctrlMenu, self.item.vb.menu):
            # pyqtgraph leaves its menus without a parent: they would outlive the plot
            menu.setParent(self, Qt.WindowType.Popup)
        self.item.hideButtons()
        # the lower ends of letters need more room than the axis takes
        self.item.layout.setContentsMargins(1, 1, 1, 5)
        self.item.getAxis("left").enableAutoSIPrefix(False)
        for side in ("left", "bottom"):
            # the marker moves over their grid, which is drawn slowly
            self.item.getAxis(side).setCacheMode(QGraphicsPathItem.CacheMode.DeviceCoordinateCache)
        self._curves: dict[str, Any] = {}
        # what is drawn already
        self._lines: dict[str, Line] = {}
        self._bands: dict[str, QGraphicsPathItem] = {}
        self._axes = ("", "")
        self._bad: tuple[tuple[float, float], ...] = ()
        self._shades: list[Any] = []
        self.marker = pg.InfiniteLine(angle=90, movable=True)
        self.marker.setZValue(10)
        self._text = QColor("white")
        self.marker.setVisible(False)
        if marker:
            self.item.addItem(self.marker, ignoreBounds=True)
            self.marker.sigPositionChanged.connect(self._dragged)

    def set_theme(self, theme: str) -> None:
        """Take over the colours of a napari theme."""
        colours = get_theme(theme)
        background, text = (QColor(c.as_hex("long")) for c in (colours.background, colours.text))
        self.view.setBackground(background)
        for side in ("left", "bottom"):
            axis = self.item.getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)
        self._text = text
        self._take_scale()

    def _take_scale(self) -> None:
        """Draw as wide on a fine screen as on a coarse one: pyqtgraph counts the screen's own dots."""
        self._lines.clear()
        self.marker.setPen(self._pen(self._text, 1))
        self.marker.setHoverPen(self._pen(self._text, 3))

    def _pen(self, colour: Any, width: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> Any:
        return pg.mkPen(colour, width=width * self.devicePixelRatioF(), style=style)

    def event(self, event: QEvent | None) -> bool:
        """Follow the screen's scale, which may be another one where the window was moved to."""
        if event is not None and event.type() == SCALE_CHANGED:
            self._take_scale()
        return super().event(event)

    def set_axes(self, unit: str, left: str) -> None:
        """Name the axes."""
        if (unit, left) == self._axes:
            # a label that is set anew has its axis drawn anew
            return
        self._axes = unit, left
        name, symbol = AXIS_LABELS.get(unit, (unit, ""))
        self.item.setLabel("bottom", f"{name} [{symbol}]" if symbol else name)
        self.item.setLabel("left", left)

    def draw(self, lines: Iterable[Line]) -> None:
        """Show these curves and no others."""
        lines = list(lines)
        wanted = {line.key for line in lines}
        for key in self._curves.keys() - wanted:
            self.item.removeItem(self._curves.pop(key))
        for key in self._bands.keys() - {line.key for line in lines if line.spread is not None}:
            self.item.removeItem(self._bands.pop(key))
        for line in lines:
            if (held := self._lines.get(line.key)) is not None and _looks_like(line, held):
                continue
            curve = self._curves.get(line.key)
            if curve is None:
                curve = self._curves[line.key] = pg.PlotDataItem(connect="finite")
                self.item.addItem(curve)
            curve.setPen(self._pen(line.colour, line.width, line.style))
            # few bands are measurements, not a curve: show where they are
            curve.setSymbol("o" if len(line.x) <= FEW_BANDS else None)
            curve.setSymbolSize(6)
            curve.setSymbolBrush(line.colour)
            curve.setSymbolPen(None)
            curve.setData(np.asarray(line.x, float), np.asarray(line.y, float))
            if line.spread is not None:
                self._draw_band(line)
        self._lines = {line.key: line for line in lines}
        named = [f"{_stroke(line)} {escape(line.label)}" for line in lines if line.label]
        notes = [f"{_stroke(line)}&nbsp;{_unbroken(line.note)}" for line in lines if line.note]
        if len(notes) > MOST_NOTES:
            notes = [*notes[:MOST_NOTES], f"and {len(notes) - MOST_NOTES} more"]
        self.legend.setText("<br>".join([*named, *(["&nbsp; ".join(notes)] if notes else [])]))
        self.legend.setVisible(bool(self.legend.text()))

    def _draw_band(self, line: Line) -> None:
        item = self._bands.get(line.key)
        if item is None:
            item = self._bands[line.key] = QGraphicsPathItem()
            item.setPen(pg.mkPen(None))
            item.setZValue(-5)
            self.item.addItem(item)
        colour = QColor(line.colour)
        colour.setAlpha(BAND_ALPHA)
        item.setBrush(colour)
        item.setPath(_band_path(line))

    def bands(self) -> tuple[str, ...]:
        """Return the keys of the curves that have a band around them."""
        return tuple(self._bands)

    def curve_data(self) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Return what is drawn: x and y by key."""
        return {key: curve.getOriginalDataset() for key, curve in self._curves.items()}

    def set_marker(self, position: float | None) -> None:
        """Put the marker somewhere, or hide it; a marker in the user's hand stays there."""
        self.marker.setVisible(position is not None)
        if position is not None and not self.marker.moving and self.marker.value() != position:
            blocked = self.marker.blockSignals(True)
            self.marker.setValue(position)
            self.marker.blockSignals(blocked)

    def set_bad(self, ranges: Sequence[tuple[float, float]]) -> None:
        """Shade where the bands are bad."""
        ranges = tuple(ranges)
        if ranges == self._bad:
            return
        self._bad = ranges
        for item in self._shades:
            self.item.removeItem(item)
        self._shades = [pg.LinearRegionItem(values, movable=False, brush=SHADE, pen=NO_LINE) for values in ranges]
        for item in self._shades:
            item.setZValue(-10)
            self.item.addItem(item, ignoreBounds=True)

    def _dragged(self) -> None:
        self.marker_moved.emit(float(self.marker.value()))


def _looks_like(line: Line, other: Line) -> bool:
    """Whether two lines are drawn in the same way; what they are called is up to the legend."""
    if line is other:
        return True
    if (line.colour, line.style, line.width) != (other.colour, other.style, other.width):
        return False
    pairs = ((line.x, other.x), (line.y, other.y), (line.spread, other.spread))
    return all(a is b or (a is not None and b is not None and _same(a, b)) for a, b in pairs)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return np.array_equal(one, other, equal_nan=True)


def _stroke(line: Line) -> str:
    return f"<span style='color:{line.colour}'>{STROKES[line.style]}</span>"


def _unbroken(words: str) -> str:
    """Return words as HTML that stays on one line."""
    return escape(words).replace(" ", "&nbsp;").replace("-", "&#8209;")


def _band_path(line: Line) -> QPainterPath:
    """Return the outline of a band, in pieces where the curve is broken."""
    assert line.spread is not None
    low, high = line.y - line.spread, line.y + line.spread
    path = QPainterPath()
    seen = np.isfinite(low) & np.isfinite(high)
    for piece in np.split(np.arange(len(seen)), np.flatnonzero(np.diff(seen)) + 1):
        if len(piece) and seen[piece[0]]:
            x = np.concatenate([line.x[piece], line.x[piece][::-1]])
            y = np.concatenate([high[piece], low[piece][::-1]])
            path.addPolygon(QPolygonF([QPointF(float(a), float(b)) for a, b in zip(x, y, strict=True)]))
            path.closeSubpath()
    return path
