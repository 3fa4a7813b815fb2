"""How a pair is to be aligned: a choice, or an alignment that was made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_specfusion.widgets._forms import choice_combo, choose
from napari_specfusion.widgets._preflight import ALIGN, BY_HAND

if TYPE_CHECKING:
    from napari_specfusion.alignment import Alignment

__all__ = ["AlignChoice"]


class AlignChoice(QWidget):
    """A combo box of the ways to align, and a button that opens the panel to align by hand.

    Attributes
    ----------
    changed
        Another way was chosen.
    by_hand
        The button was pressed.
    """

    changed = Signal()
    by_hand = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._given: Alignment | None = None
        self.combo = choice_combo(ALIGN)
        self.combo.setToolTip("How the guide is brought onto the cube's grid before the two are fused.")
        self.button = QPushButton("By hand ...")
        self.button.setToolTip("Click point pairs, or move the cube over the guide.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.combo, 1)
        row.addWidget(self.button)
        self.combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.button.clicked.connect(lambda _=False: self.by_hand.emit())

    @property
    def how(self) -> str | Alignment:
        """The key of `ALIGN` that is chosen, or the alignment that was made by hand."""
        key = str(self.combo.currentData())
        return self._given if key == BY_HAND and self._given is not None else key

    def give(self, alignment: Alignment) -> None:
        """Choose an alignment that was made by hand, without a signal."""
        self.forget()
        self._given = alignment
        blocked = self.combo.blockSignals(True)
        self.combo.addItem("By hand", BY_HAND)
        choose(self.combo, BY_HAND)
        self.combo.blockSignals(blocked)

    def forget(self) -> None:
        """Offer no alignment by hand any longer, as it is for another pair; without a signal."""
        self._given = None
        blocked = self.combo.blockSignals(True)
        if (index := self.combo.findData(BY_HAND)) >= 0:
            chosen = self.combo.currentIndex() == index
            self.combo.removeItem(index)
            if chosen:
                self.combo.setCurrentIndex(0)
        self.combo.blockSignals(blocked)
