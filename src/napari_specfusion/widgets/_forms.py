"""Small pieces that the dialogs are made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QToolButton,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "LayerCombo",
    "PathEdit",
    "choice_combo",
    "choose",
    "form",
    "minutes_spin",
    "scrolling",
    "single_timer",
    "words",
]

WIDE_LABEL = "Reference "


def form(*rows: tuple[str, QWidget]) -> QFormLayout:
    """Return a form whose fields start at one line and fill the width."""
    layout = QFormLayout()
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    for label, field in rows:
        name = QLabel(label)
        # forms that stand above one another line up
        name.setMinimumWidth(name.fontMetrics().horizontalAdvance(WIDE_LABEL))
        layout.addRow(name, field)
    return layout


def choice_combo(choices: Mapping[Any, str]) -> QComboBox:
    """Return a combo box that shows the values and gives the keys as its data."""
    combo = QComboBox()
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    for key, title in choices.items():
        combo.addItem(title, key)
    return combo


def choose(combo: QComboBox, key: Any) -> None:
    """Choose an entry by its key; an unknown one changes nothing."""
    keys = [combo.itemData(index) for index in range(combo.count())]
    if key in keys:
        combo.setCurrentIndex(keys.index(key))


def scrolling(content: QWidget) -> QScrollArea:
    """Return an area that scrolls its content up and down where it is too tall."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area


def minutes_spin(value: float) -> QDoubleSpinBox:
    """Return a field for a time in minutes."""
    spin = QDoubleSpinBox()
    spin.setRange(0.1, 600.0)
    spin.setDecimals(1)
    spin.setValue(value)
    spin.setSuffix(" min")
    return spin


def words(text: str = "") -> QLabel:
    """Return a label for sentences."""
    label = QLabel(text)
    label.setWordWrap(True)
    return label


def single_timer(parent: QObject, milliseconds: int, callback: Callable[[], None]) -> QTimer:
    """Return a timer that fires once per start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(callback)
    return timer


class PathEdit(QWidget):
    """A line for a path, with a button that browses.

    Attributes
    ----------
    changed
        The path was typed or chosen.
    """

    changed = Signal()

    def __init__(
        self,
        title: str,
        pattern: str,
        mode: Literal["open", "save"],
        placeholder: str = "",
        tip: str = "",
        *,
        folders: bool = False,
    ) -> None:
        super().__init__()
        self._title, self._pattern, self._mode = title, pattern, mode
        self.line = QLineEdit()
        self.line.setPlaceholderText(placeholder)
        self.line.editingFinished.connect(self.changed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.line)
        icons = QStyle.StandardPixmap
        row.addWidget(self._button(icons.SP_FileIcon, "Choose a file", self._browse))
        if folders:
            row.addWidget(self._button(icons.SP_DirIcon, "Choose a folder", self._browse_folders))
        self.setToolTip(tip)

    def _button(self, icon: QStyle.StandardPixmap, tip: str, clicked: Callable[[], None]) -> QToolButton:
        button = QToolButton()
        if (style := QApplication.style()) is not None:
            button.setIcon(style.standardIcon(icon))
        button.setToolTip(tip)
        button.clicked.connect(clicked)
        return button

    def path(self) -> Path | None:
        """Return what was entered, or None."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def set_path(self, path: str | Path) -> None:
        """Enter a path."""
        self.line.setText(str(path))
        self.changed.emit()

    def _browse(self) -> None:
        start = str(self.path() or "")
        if self._mode == "open":
            chosen, _ = QFileDialog.getOpenFileName(self, self._title, start, self._pattern)
        else:
            chosen, _ = QFileDialog.getSaveFileName(self, self._title, start, self._pattern)
        if chosen:
            self.set_path(chosen)

    def _browse_folders(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self._title, str(self.path() or ""))
        if chosen:
            self.set_path(chosen)


class LayerCombo(QComboBox):
    """A combo box of those layers that `accept` lets through; the choice survives changes of the list."""

    def __init__(self, accept: Callable[[Any], bool], tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._accept = accept
        self._suggested = ""
        self.setToolTip(tip)
        self.setPlaceholderText("no layer")
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
            self._suggested = "" if self._suggested != chosen else next(iter(new))
            chosen = new.pop()
        blocked = self.blockSignals(True)
        self.clear()
        self.addItems(names)
        self.setCurrentIndex(names.index(chosen) if chosen in names else -1)
        self.setPlaceholderText("choose a layer" if names else "no layer")
        self.blockSignals(blocked)
        if self.currentText() != chosen:
            self.currentTextChanged.emit(self.currentText())

    def choose(self, layer: Any) -> None:
        """Choose a layer."""
        self.setCurrentIndex(self.findText(str(layer.name)))

    def suggest(self, layer: Any | None) -> None:
        """Choose a layer until the user chooses one; None chooses none."""
        self.setCurrentIndex(-1 if layer is None else self.findText(str(layer.name)))
        self._suggested = self.currentText()

    def is_free(self, layers: Any) -> bool:
        """Whether nothing is chosen, or only what was suggested."""
        return self.layer(layers) is None or self.currentText() == self._suggested

    def layer(self, layers: Any) -> Any | None:
        """Return the chosen one of `layers`, or None."""
        name = self.currentText()
        return layers[name] if name and name in layers else None
