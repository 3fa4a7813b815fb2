"""A choice among the viewer's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

__all__ = ["LayerCombo"]


class LayerCombo(QComboBox):
    """A combo box of those layers that `accept` lets through; the choice survives changes of the list."""

    def __init__(self, accept: Callable[[Any], bool], tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._accept = accept
        self.setToolTip(tip)
        self.setPlaceholderText("none open")
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def update_layers(self, layers: Iterable[Any]) -> None:
        """Take over the layers there are now, the topmost first."""
        names = [str(layer.name) for layer in reversed(list(layers)) if self._accept(layer)]
        if names == [self.itemText(i) for i in range(self.count())]:
            return
        chosen, before = self.currentText(), [self.itemText(i) for i in range(self.count())]
        gone, new = set(before) - set(names), set(names) - set(before)
        if gone == {chosen} and len(new) == 1 and len(names) == len(before):
            # the chosen layer was renamed
            chosen = new.pop()
        blocked = self.blockSignals(True)
        self.clear()
        self.addItems(names)
        self.setCurrentIndex(names.index(chosen) if chosen in names else -1)
        self.blockSignals(blocked)
        if self.currentText() != chosen:
            self.currentTextChanged.emit(self.currentText())

    def choose(self, layer: Any) -> None:
        """Choose a layer."""
        self.setCurrentIndex(self.findText(str(layer.name)))

    def layer(self, layers: Any) -> Any | None:
        """Return the chosen one of `layers`, or None."""
        name = self.currentText()
        return layers[name] if name and name in layers else None
