"""Three bars on the mean spectrum of a cube: red, green and blue, to drag."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_specfusion.widgets._plot import Line, SpectrumPlot

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SpectrumBars"]

# pyqtgraph takes the Qt binding that is loaded: it comes after qtpy, which chooses one
pg = import_module("pyqtgraph")

COLOURS = ("#e05252", "#45b37d", "#4c9be8")
HEIGHT = 130
CURVE = "#9a9a9a"


class SpectrumBars(QWidget):
    """A plot with a bar for each channel.

    Attributes
    ----------
    moved
        Which bar the user dragged, 0 to 2, and where to.
    """

    moved = Signal(int, float)

    def __init__(self) -> None:
        super().__init__()
        self.plot = SpectrumPlot(marker=False, height=HEIGHT)
        self.plot.setToolTip("The mean spectrum of the cube. Drag the bars to choose red, green and blue.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.bars = []
        for channel, colour in enumerate(COLOURS):
            bar = pg.InfiniteLine(angle=90, movable=True, pen=pg.mkPen(colour, width=2))
            bar.setHoverPen(pg.mkPen(colour, width=4))
            bar.setZValue(10)
            self.plot.item.addItem(bar, ignoreBounds=True)
            bar.sigPositionChanged.connect(lambda _=None, channel=channel: self._dragged(channel))
            self.bars.append(bar)

    def show_spectrum(self, unit: str, wavelengths: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """Draw a spectrum."""
        self.plot.set_axes(unit, "Mean")
        self.plot.draw([Line("mean", wavelengths, values, CURVE)])

    def set_positions(self, wavelengths: Sequence[float]) -> None:
        """Put the bars somewhere, without a signal; a bar in the user's hand stays there."""
        for bar, wavelength in zip(self.bars, wavelengths, strict=True):
            if not bar.moving and bar.value() != wavelength:
                blocked = bar.blockSignals(True)
                bar.setValue(wavelength)
                bar.blockSignals(blocked)

    def _dragged(self, channel: int) -> None:
        self.moved.emit(channel, float(self.bars[channel].value()))
