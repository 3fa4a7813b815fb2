from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_specfusion.widgets._plot import MOST_NOTES, SCALE_CHANGED, Line, SpectrumPlot

if TYPE_CHECKING:
    import pytest


def line(key: str, **fields: Any) -> Line:
    return Line(key, np.arange(6.0), np.array([1, 2, np.nan, 4, 5, 6.0]), "#ff0000", **fields)


def test_a_band_is_drawn_around_a_curve_in_pieces(qtbot: Any) -> None:
    plot = SpectrumPlot()
    qtbot.addWidget(plot)
    plot.draw([line("a", spread=np.full(6, 0.5)), line("b")])
    assert plot.bands() == ("a",)
    path = plot._bands["a"].path()
    assert len(path.toSubpathPolygons()) == 2
    box = path.boundingRect()
    assert (box.left(), box.right(), box.top(), box.bottom()) == (0, 5, 0.5, 6.5)
    plot.draw([line("a")])
    assert plot.bands() == () and set(plot.curve_data()) == {"a"}


def test_the_legend_stays_short(qtbot: Any) -> None:
    plot = SpectrumPlot()
    qtbot.addWidget(plot)
    plot.draw([line("a", label="cube <b>"), *(line(str(n), note=f"pin {n}") for n in range(MOST_NOTES + 3))])
    text = plot.legend.text()
    assert "cube &lt;b&gt;" in text and text.count("<br>") == 1
    assert f"pin&nbsp;{MOST_NOTES - 1}" in text and f"pin&nbsp;{MOST_NOTES}" not in text and "and 3 more" in text
    plot.draw([])
    assert plot.legend.isHidden()


def test_what_looks_the_same_is_not_drawn_again(qtbot: Any) -> None:
    plot = SpectrumPlot()
    qtbot.addWidget(plot)
    plot.set_axes("nm", "Value")
    plot.draw([line("a", label="cube 1"), line("b", spread=np.ones(6))])
    plot.grab()
    changes: list[str] = []
    plot._curves["a"].sigPlotChanged.connect(lambda _: changes.append("a"))
    plot._curves["b"].sigPlotChanged.connect(lambda _: changes.append("b"))
    path = plot._bands["b"].path()
    picture = plot.item.getAxis("left").picture
    assert picture is not None
    # as a step to another band does
    plot.set_axes("nm", "Value")
    plot.draw([line("a", label="cube 2"), line("b", spread=np.ones(6))])
    assert not changes and "cube 2" in plot.legend.text() and plot._bands["b"].path() == path
    assert plot.item.getAxis("left").picture is picture
    plot.draw([replace(line("a"), y=np.arange(6.0)), replace(line("b", spread=np.ones(6)), width=3.0)])
    assert set(changes) == {"a", "b"}
    changes.clear()
    plot.draw([replace(line("a"), y=np.arange(6.0)), line("b", spread=np.zeros(6))])
    assert set(changes) == {"b"}


def test_the_marker_moves_over_a_grid_that_is_not_drawn_again(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plot = SpectrumPlot()
    qtbot.addWidget(plot)
    plot.draw([line("a")])
    plot.set_marker(1.0)
    plot.show()
    qtbot.waitExposed(plot)
    qtbot.wait(200)
    axis = plot.item.getAxis("left")
    painted: list[str] = []
    monkeypatch.setattr(type(axis), "paint", lambda self, *args: painted.append(self.orientation))
    for position in (2.0, 3.0):
        plot.set_marker(position)
        qtbot.wait(50)
    assert not painted


def test_lines_are_as_wide_on_a_fine_screen(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plot = SpectrumPlot()
    qtbot.addWidget(plot)
    plot.set_theme("dark")
    lines = [line("a", width=1.5)]
    for scale in (1.0, 2.0):
        monkeypatch.setattr(plot, "devicePixelRatioF", lambda scale=scale: scale)
        if SCALE_CHANGED is None:
            plot._take_scale()
        else:
            QApplication.sendEvent(plot, QEvent(SCALE_CHANGED))
        plot.draw(lines)
        assert plot._curves["a"].opts["pen"].widthF() == 1.5 * scale
        assert plot.marker.pen.widthF() == scale
