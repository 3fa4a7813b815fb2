"""The controls of the panel to align by hand, without what they do."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_specfusion.widgets._compare_views import MODES
from napari_specfusion.widgets._findings import FindingsPanel, StatusLine
from napari_specfusion.widgets._forms import LayerCombo, form, scrolling, words
from napari_specfusion.widgets._layers import is_cube, is_image

__all__ = ["AlignForm", "ask_for_file"]

PATTERN = "Alignment (*.json)"

KEYS_TEXT = "Click the picture, then: arrows move, [ ] turn, - = scale."
KEYS_TIP = (
    "Arrows move by 1 px of the guide, with Shift by 10. [ and ] (or , and .) turn by 0.1\u00b0, with Alt by 1\u00b0. "
    "- and = (or Page Down and Page Up) scale by 0.1 %; Shift with Page Down and Page Up by 1 %."
)


def _button(text: str, tip: str, *, checkable: bool = False) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    return button


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget, 1)
    return row


def ask_for_file(parent: QWidget, *, writing: bool) -> Path | None:
    """Ask for the file of an alignment to write or to read; None where the user thought better of it."""
    if writing:
        chosen, _ = QFileDialog.getSaveFileName(parent, "Save the alignment", "alignment.json", PATTERN)
    else:
        chosen, _ = QFileDialog.getOpenFileName(parent, "Load an alignment", "", PATTERN)
    return Path(chosen) if chosen else None


class AlignForm(QWidget):
    """What the panel shows, from top to bottom."""

    def __init__(self) -> None:
        super().__init__()
        # otherwise napari leaves the lower part of the dock empty
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.cube_combo = LayerCombo(is_cube, "The cube with many bands and few pixels.")
        self.guide_combo = LayerCombo(is_image, "The sharper image of the same area.")
        self.findings = FindingsPanel()

        self.pick_button = _button(
            "Pick point pairs",
            "Click the same place in the cube and in the guide, three times or more.",
            checkable=True,
        )
        self.undo_button = _button("Undo", "Take back the last click.")
        self.clear_button = _button("Clear", "Take all points away.")
        self.turn_label = words()
        self.turn_label.hide()

        self.mode_buttons = {key: _button(title, "", checkable=True) for key, title in MODES.items()}
        self.mode_buttons["overlay"].setToolTip("The cube, see-through, over the guide.")
        self.mode_buttons["checkerboard"].setToolTip("Squares of the cube and of the guide: edges must go on.")
        self.mode_buttons["blink"].setToolTip("The cube and the guide in turns: nothing must jump.")
        self.modes = QButtonGroup(self)
        for button in self.mode_buttons.values():
            self.modes.addButton(button)
        self.mode_buttons["overlay"].setChecked(True)
        self.opacity_slider = QSlider(Qt.Orientation.Horizontal)
        self.opacity_slider.setRange(0, 100)
        self.opacity_slider.setValue(60)
        self.opacity_slider.setToolTip("How much of the cube the overlay shows.")
        self.before_box = QCheckBox("Show where it lay before")
        self.keys_box = QCheckBox("Move the cube with keys")
        self.keys_box.setChecked(True)
        self.keys_box.setToolTip(KEYS_TIP)

        self.refine_button = _button("Refine", "Search for the best match from here, by the content of the images.")
        self.reset_button = _button("Reset", "Lay the cube where it was, and take the points away.")
        self.use_button = _button("Use in Fuse", "Fuse this pair as it lies here.")
        self.save_button = _button("Save ...", "Write the alignment to a file (.json).")
        self.load_button = _button("Load ...", "Read an alignment of images of these sizes from a file.")
        self.cancel_button = _button("Cancel", "Stop the search.")
        self.cancel_button.hide()
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.hide()
        self.status = StatusLine()

        look = QGroupBox("Look")
        looks = QVBoxLayout(look)
        looks.addLayout(_row(*self.mode_buttons.values()))
        looks.addLayout(form(("Opacity", self.opacity_slider)))
        looks.addWidget(self.before_box)
        move = QGroupBox("Move")
        moves = QVBoxLayout(move)
        points = QHBoxLayout()
        points.setSpacing(4)
        points.addWidget(self.pick_button, 2)
        points.addWidget(self.undo_button, 1)
        points.addWidget(self.clear_button, 1)
        moves.addLayout(points)
        moves.addWidget(self.turn_label)
        moves.addWidget(self.keys_box)
        self.keys_label = words(KEYS_TEXT)
        self.keys_label.setToolTip(KEYS_TIP)
        moves.addWidget(self.keys_label)

        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(form(("Cube", self.cube_combo), ("Guide", self.guide_combo)))
        column.addWidget(self.findings)
        column.addWidget(move)
        column.addWidget(look)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(content), 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(9, 0, 9, 9)
        foot.addLayout(_row(self.refine_button, self.use_button))
        foot.addLayout(_row(self.save_button, self.load_button, self.reset_button))
        foot.addLayout(_row(self.progress, self.cancel_button))
        foot.addWidget(self.status)
        outer.addLayout(foot)

    @property
    def action_buttons(self) -> tuple[QPushButton, ...]:
        """The buttons below, in their order."""
        files = self.save_button, self.load_button, self.reset_button
        return self.refine_button, self.use_button, *files, self.cancel_button

    @property
    def needing_a_pair(self) -> tuple[QWidget, ...]:
        """What can be used only where two images are chosen."""
        files = self.save_button, self.load_button, self.reset_button
        looks = self.before_box, self.opacity_slider, *self.mode_buttons.values()
        return self.refine_button, self.use_button, *files, self.pick_button, self.keys_box, *looks
