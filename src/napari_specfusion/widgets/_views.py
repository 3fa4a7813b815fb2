"""A row of choices: how spectra are shown, and which cube is taken off the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_specfusion.spectra import (
    Spectrum,
    derivative,
    difference,
    normalise,
    remove_baseline,
    remove_continuum,
    smooth,
)
from napari_specfusion.widgets._forms import choice_combo
from napari_specfusion.widgets._probe import BAND, Curve

__all__ = ["VIEWS", "View", "ViewBar"]


@dataclass(frozen=True)
class View:
    """A way to show spectra.

    Attributes
    ----------
    title
        What it is called.
    function
        From a spectrum and the value of the field.
    axis
        What the axis of the values is called.
    option
        Which field it has: "window", "stiffness" or none.
    """

    title: str
    function: Callable[[Spectrum, int], Spectrum]
    axis: str = "Value"
    option: str = ""


def _scaled(scale: str) -> Callable[[Spectrum, int], Spectrum]:
    return lambda spectrum, _: normalise(spectrum, scale)


VIEWS: Mapping[str, View] = {
    "measured": View("As measured", lambda spectrum, _: spectrum),
    "continuum": View("Continuum removed", lambda spectrum, _: remove_continuum(spectrum), "Continuum = 1"),
    "derivative": View("First derivative", lambda s, window: derivative(s, window), "First derivative", "window"),
    "smooth": View("Smoothed", lambda s, window: smooth(s, window), option="window"),
    "baseline": View("Baseline removed", lambda s, power: remove_baseline(s, 10.0**power), option="stiffness"),
    "area": View("Area = 1", _scaled("area"), "Value, area = 1"),
    "maximum": View("Maximum = 1", _scaled("maximum"), "Value, maximum = 1"),
    "vector": View("Vector length = 1", _scaled("vector"), "Value, length = 1"),
    "snv": View("Mean 0, deviation 1 (SNV)", _scaled("snv"), "Value, SNV"),
}
# range, step, start, what stands around the number, and what it means
_FIELDS = {
    "window": (3, 99, 2, 9, "", " bands", "How many bands are taken together: more are smoother."),
    "stiffness": (2, 9, 1, 5, "10^", "", "How stiff the baseline is: a higher number follows broad peaks less."),
}
NOTHING = "nothing"


class ViewBar(QWidget):
    """The choices.

    Attributes
    ----------
    changed
        Something was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.view_combo: QComboBox = choice_combo({key: view.title for key, view in VIEWS.items()})
        self.view_combo.setToolTip("How the spectra are shown, and exported.")
        self.fields = {name: _field(*numbers) for name, numbers in _FIELDS.items()}
        self.minus_label = QLabel("minus")
        self.minus_combo: QComboBox = choice_combo({None: NOTHING})
        self.minus_combo.setToolTip("Show how the other cubes differ from this one.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        row, second = QHBoxLayout(), QHBoxLayout()
        layout.addLayout(row)
        layout.addLayout(second)
        row.addWidget(self.view_combo, 1)
        for name, field in self.fields.items():
            row.addWidget(field)
            field.valueChanged.connect(partial(self._typed, name))
        second.addWidget(self.minus_label)
        second.addWidget(self.minus_combo, 1)
        self.view_combo.currentIndexChanged.connect(self._chosen)
        self.minus_combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        self._chosen()
        self.update_cubes([])

    @property
    def view(self) -> View:
        """The view that is chosen."""
        return VIEWS[self.view_combo.currentData()]

    @property
    def minus(self) -> str | None:
        """Name of the cube that is taken off the others; None for none."""
        name = self.minus_combo.currentData()
        return None if name is None else str(name)

    def update_cubes(self, names: Iterable[str]) -> None:
        """Offer the cubes there are; without two there is no difference."""
        names = list(dict.fromkeys(names))
        held = [self.minus_combo.itemData(at) for at in range(1, self.minus_combo.count())]
        if names != held:
            chosen = self.minus_combo.currentData()
            blocked = self.minus_combo.blockSignals(True)
            self.minus_combo.clear()
            for name in (None, *names):
                self.minus_combo.addItem(name or NOTHING, name)
            self.minus_combo.setCurrentIndex(names.index(chosen) + 1 if chosen in names and len(names) > 1 else 0)
            self.minus_combo.blockSignals(blocked)
        self.minus_label.setVisible(len(names) > 1)
        self.minus_combo.setVisible(len(names) > 1)

    def shown(self, spectrum: Spectrum) -> Spectrum:
        """Return a spectrum in the view that is chosen."""
        option = self.view.option
        return self.view.function(spectrum, self.fields[option].value() if option else 0)

    def shown_curves(self, curves: Iterable[Curve]) -> list[Curve]:
        """Return curves in the view, less those of the cube that is taken off at the same place."""
        found = [Curve(c.cube, c.place, self.shown(c.spectrum), c.colour, c.pixel) for c in curves]
        if self.minus is None:
            return found
        taken = {curve.place: curve.spectrum for curve in found if curve.cube == self.minus}
        return [
            Curve(c.cube, c.place, difference(c.spectrum, taken[c.place]), c.colour, c.pixel)
            for c in found
            if c.cube != self.minus and c.place in taken and _comparable(c.spectrum, taken[c.place])
        ]

    def _chosen(self) -> None:
        for name, field in self.fields.items():
            field.setVisible(name == self.view.option)
        self.changed.emit()

    def _typed(self, name: str, value: int) -> None:
        if name == "window" and value % 2 == 0:
            # a band is in the middle of its window
            self.fields[name].setValue(value + 1)
        else:
            self.changed.emit()


def _comparable(one: Spectrum, other: Spectrum) -> bool:
    return one.unit == other.unit and (one.unit != BAND or one.bands == other.bands)


def _field(low: int, high: int, step: int, value: int, before: str, after: str, tip: str) -> QSpinBox:
    field = QSpinBox()
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setValue(value)
    field.setPrefix(before)
    field.setSuffix(after)
    field.setToolTip(tip)
    return field
