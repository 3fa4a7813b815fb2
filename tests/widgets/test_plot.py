from __future__ import annotations

from typing import Any

import numpy as np

from napari_specfusion.widgets._plot import MOST_NOTES, Line, SpectrumPlot


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
