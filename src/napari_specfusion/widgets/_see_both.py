"""The rows of a panel that show two layers at once: swipe, or side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_specfusion.widgets._forms import LayerCombo, choice_combo, choose
from napari_specfusion.widgets._layers import is_image
from napari_specfusion.widgets._swipe import SideBySide, Swipe

if TYPE_CHECKING:
    from napari_specfusion.widgets._panel import Panel

__all__ = ["SeeBoth"]

OFF, SWIPE, BESIDE = "off", "swipe", "beside"
STEPS = 1000


class SeeBoth(QWidget):
    """Choose another layer and how to see it with the first one."""

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._first: Any = None
        self._view: Swipe | SideBySide | None = None
        self.other_combo = LayerCombo(is_image, "The layer to see the result with.")
        self.how_combo = choice_combo({OFF: "off", SWIPE: "swipe", BESIDE: "side by side"})
        self.how_combo.setMinimumContentsLength(9)
        self.how_combo.setToolTip("Swipe shows the result left of a line and the other layer right of it.")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue(STEPS // 2)
        self.slider.setToolTip("Where the line stands.")
        self.follow_check = QCheckBox("Follow the mouse")
        self.follow_check.setChecked(True)
        self.swipe_row = QWidget()
        self._lay_out()
        self.how_combo.currentIndexChanged.connect(lambda _: self.show_both())
        self.other_combo.currentTextChanged.connect(lambda _: self.show_both())
        self.slider.valueChanged.connect(self._slid)
        self.swipe_row.hide()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(QLabel("See with"))
        row.addWidget(self.other_combo, 3)
        row.addWidget(self.how_combo, 2)
        line = QHBoxLayout(self.swipe_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.slider, 1)
        line.addWidget(self.follow_check)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.swipe_row)

    def offer(self, first: Any, other: Any) -> None:
        """Take the first layer, and suggest the other one; a view of a layer that is gone ends."""
        layers = self._panel.viewer.layers
        self.other_combo.update_layers(layers)
        if self.other_combo.is_free(layers) and self._view is None:
            self.other_combo.suggest(other)
        gone = first != self._first
        self._first = first
        chosen = self.other_combo.layer(layers)
        if self._view is not None and (gone or chosen is None):
            self.show_both()

    def show_both(self) -> None:
        """Show the two as chosen."""
        self._drop()
        other, how = self.other_combo.layer(self._panel.viewer.layers), self.how_combo.currentData()
        if how != OFF and (self._first is None or other is None or other == self._first):
            choose(self.how_combo, OFF)
            return
        if how == SWIPE:
            self._view = Swipe(self._panel, self._first, other, self.slider.value() / STEPS)
        elif how == BESIDE:
            self._view = SideBySide(self._panel.viewer, self._first, other)
        self.swipe_row.setVisible(how == SWIPE)

    def end(self) -> None:
        """Give the layers back as they were."""
        self._drop()
        blocked = self.how_combo.blockSignals(True)
        choose(self.how_combo, OFF)
        self.how_combo.blockSignals(blocked)
        self.swipe_row.hide()

    def mouse_moved(self, viewer: Any, event: Any) -> None:
        """Let the line follow the mouse."""
        if isinstance(self._view, Swipe) and self.follow_check.isChecked():
            low, high = self._view.edges
            self.slider.setValue(round(STEPS * (float(event.position[-1]) - low) / max(high - low, 1e-30)))

    def _slid(self, value: int) -> None:
        if isinstance(self._view, Swipe):
            self._view.move(value / STEPS)

    def _drop(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            view.end()
