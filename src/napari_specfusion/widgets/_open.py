"""Open cube: choose a file or folder, see what is in it, add it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_specfusion.data.computed import load_scheduler
from napari_specfusion.data.scene import Finding
from napari_specfusion.errors import AmbiguousArrayError, ReadError
from napari_specfusion.io import READERS
from napari_specfusion.widgets._band_look import add_cube
from napari_specfusion.widgets._findings import FindingsPanel
from napari_specfusion.widgets._forms import PathEdit, choice_combo, choose, form, scrolling
from napari_specfusion.widgets._open_options import Asked, Looked, asked_axes, describe_cube, look_at
from napari_specfusion.widgets._origins import keep_origin
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._worker import Job, Report, ShouldStop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import napari

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.widgets._preflight import Mood

__all__ = ["OpenWidget"]

_TEXT = "Text (*.txt *.csv *.dat);;All files (*)"
# what to call the axes, and the letters that `open_cube` takes for them
_AXES = {
    None: "Automatic",
    "byx": "bands, rows, columns",
    "yxb": "rows, columns, bands",
    "ybx": "rows, bands, columns",
    "bxy": "bands, columns, rows",
    "xyb": "columns, rows, bands",
    "xby": "columns, bands, rows",
}


class OpenWidget(Panel):
    """Open a cube with the options that a drop onto the window cannot ask for."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._outcome = Looked()
        self._job: Job | None = None
        self._asked: Asked | None = None
        self._listed: Path | None = None
        self._answered = False
        self.path_edit = PathEdit(
            "Choose a cube",
            _patterns(),
            "open",
            "a file or folder",
            "ENVI, TIFF, HDF5, MATLAB, NumPy, Zarr, or a folder of one picture per band.",
            folders=True,
        )
        self.array_combo = choice_combo({None: "Automatic"})
        self.array_combo.setToolTip("Which array of the file holds the cube.")
        self.bands_combo = choice_combo({})
        self.bands_combo.setToolTip(
            "Which axis holds the bands. The file does not say for sure; the first entry is a guess."
        )
        self.axes_combo = choice_combo(_AXES)
        self.axes_combo.setToolTip("Order of the array's axes.")
        self.size_edit = QLineEdit()
        self.size_edit.setPlaceholderText("rows x columns")
        self.size_edit.setToolTip("Rows and columns of the image, for an array of bands by pixels.")
        self.linear_check = QCheckBox("Undo the sRGB gamma")
        self.linear_check.setToolTip("Makes the values proportional to light, as fusion expects.")
        self.wavelengths_edit = PathEdit(
            "Choose wavelengths",
            _TEXT,
            "open",
            "from the file",
            "A text file: one number per band in nm, or a table with a wavelength column.",
        )
        self.form = form(
            ("File", self.path_edit),
            ("Array", self.array_combo),
            ("Bands", self.bands_combo),
            ("Axes", self.axes_combo),
            ("Size", self.size_edit),
            ("Gamma", self.linear_check),
            ("Wavelengths", self.wavelengths_edit),
        )
        self.reflectance_check = QCheckBox("Turn counts into reflectance")
        self.reflectance_check.setToolTip("Computes (raw - dark) / (white - dark), times the panel's reflectance.")
        self.white_edit = PathEdit(
            "Choose the white reference", _patterns(), "open", "none", "An image of the white panel."
        )
        self.dark_edit = PathEdit(
            "Choose the dark reference", _patterns(), "open", "none", "An image with the lens closed."
        )
        self.panel_spin = QDoubleSpinBox()
        self.panel_spin.setRange(0.01, 2)
        self.panel_spin.setSingleStep(0.01)
        self.panel_spin.setValue(1)
        self.panel_spin.setToolTip("Reflectance of the white panel, from its certificate.")
        inner = QWidget()
        inner_layout = QVBoxLayout(inner)
        inner_layout.setContentsMargins(0, 0, 0, 0)
        inner_layout.addWidget(self.reflectance_check)
        inner_layout.addLayout(form(("White", self.white_edit), ("Dark", self.dark_edit), ("Panel", self.panel_spin)))
        self.reflectance_box = QCollapsible("Reflectance", expandedIcon="\u25be", collapsedIcon="\u25b8")
        self.reflectance_box.addWidget(inner)
        self.found = FindingsPanel()
        self.add_button = QPushButton("Add to viewer")
        self.add_button.setToolTip("Add a layer. Its pixels are read when they come into view.")
        self.add_button.clicked.connect(self.add)
        content = QWidget()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(content))
        layout = QVBoxLayout(content)
        layout.addLayout(self.form)
        layout.addWidget(self.reflectance_box)
        layout.addWidget(self.found)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.add_button)
        layout.addLayout(row)
        layout.addStretch(1)
        self.setMinimumWidth(340)
        for other in (self.wavelengths_edit.changed, self.array_combo.activated, self.axes_combo.activated):
            other.connect(self._withdraw_question)
        self.bands_combo.activated.connect(self._answer_question)
        for signal in (
            self.path_edit.changed,
            self.wavelengths_edit.changed,
            self.array_combo.activated,
            self.axes_combo.activated,
            self.size_edit.editingFinished,
            self.linear_check.clicked,
            self.reflectance_check.clicked,
        ):
            signal.connect(self.look)
        for changed in (self.white_edit.changed, self.dark_edit.changed, self.panel_spin.editingFinished):
            changed.connect(self._references_changed)
        self._show(Looked())

    @property
    def cube(self) -> Cube | None:
        """What would be added."""
        return self._outcome.cube

    def look(self) -> None:
        """Open what is chosen, without its pixels, and say what it is."""
        if self._job is not None:
            self._job.stop()
            self._job = None
        path = self.path_edit.path()
        if path is None:
            self._listed = None
            self._show(Looked())
            return
        fresh = path != self._listed
        if fresh:
            self._forget()
            self._listed = path
        asked = Asked(
            path,
            self._options(),
            self.wavelengths_edit.path(),
            (self.white_edit.path(), self.dark_edit.path()) if self.reflectance_check.isChecked() else None,
            self.panel_spin.value(),
        )

        def read(report: Report, should_stop: ShouldStop) -> Looked:
            found = look_at(asked)
            # before the window shows it
            load_scheduler()
            return found

        self._asked = asked
        self._job = Job(f"Opening {path.name}", read)
        self._job.succeeded.connect(self._looked)
        self._job.failed.connect(self._failed)
        self.found.show_verdict("wait", f"Opening {path.name} ...")
        self.add_button.setEnabled(False)
        self.start_job(self._job)

    def _looked(self, outcome: Looked) -> None:
        if self.sender() is self._job:
            self._job = None
            self._show(outcome)

    def _failed(self, message: str) -> None:
        if self.sender() is self._job:
            self._job = None
            self._show(Looked(error=ReadError(message)))

    def _references_changed(self) -> None:
        if self.reflectance_check.isChecked():
            self.look()

    def _forget(self) -> None:
        """Take back what was found in another file and chosen for it."""
        self._outcome = Looked()
        self._withdraw_question()
        for combo in (self.array_combo, self.axes_combo):
            combo.setCurrentIndex(0)
        self.size_edit.clear()
        for check in (self.linear_check, self.reflectance_check):
            check.setChecked(False)
        for edit in (self.white_edit, self.dark_edit):
            edit.line.clear()

    def _withdraw_question(self) -> None:
        """Forget which axis the bands are on: another array, or what else is known of it, may settle it."""
        self._answered = False
        _refill(self.bands_combo, {})

    def _answer_question(self) -> None:
        self._answered = True
        self.look()

    def _options(self) -> dict[str, Any]:
        """Return what the form says, as far as the reader has a use for it."""
        name, axes = self.array_combo.currentData(), self.axes_combo.currentData()
        chosen: dict[str, Any] = {"array": name}
        flat = next((len(a.shape) == 2 for a in self._outcome.arrays if a.name == name), False)
        chosen["axes"] = axes.replace("b", "") if flat and isinstance(axes, str) else axes
        if chosen["axes"] is None and self._answered:
            chosen["axes"] = self.bands_combo.currentData()
        chosen["linear"] = self.linear_check.isChecked() or None
        size = re.findall(r"\d+", self.size_edit.text())
        chosen["size"] = (int(size[0]), int(size[1])) if len(size) == 2 else None
        return {key: value for key, value in chosen.items() if key in self._outcome.options and value is not None}

    def _show(self, outcome: Looked) -> None:
        self._outcome = outcome
        self._offer()
        self.add_button.setEnabled(outcome.cube is not None)
        if isinstance(outcome.error, AmbiguousArrayError):
            words = "Several arrays in this file could be the cube. Choose one under Array."
            self.found.show_verdict("warning", "Which array is the cube?", (), (Finding("info", "array", words),))
        elif outcome.error is not None:
            message = Finding("error", "file", str(outcome.error))
            self.found.show_verdict("error", "This cannot be opened.", (), (message,))
        elif outcome.cube is None:
            self.found.show_verdict("info", "Choose a file or folder.")
        else:
            facts, findings = describe_cube(outcome.cube)
            mood: Mood = "warning" if any(f.level == "warning" for f in findings) else "good"
            self.found.show_verdict(mood, outcome.cube.name, facts, findings)

    def _offer(self) -> None:
        """Show the choices that there are, and hide those that make no sense."""
        cube, takes, arrays = self._outcome.cube, self._outcome.options, self._outcome.arrays
        _refill(self.array_combo, {None: "Automatic"} | {array.name: str(array) for array in arrays})
        if question := asked_axes(cube):
            _refill(self.bands_combo, question)
        curved = self.linear_check.isChecked() or (cube is not None and cube.metadata.get("transfer") is not None)
        flat = bool(arrays) and all(len(array.shape) == 2 for array in arrays)
        unfolded = flat and (cube is None or bool(self.size_edit.text()))
        self.form.setRowVisible(self.array_combo, len(arrays) > 1)
        self.form.setRowVisible(self.axes_combo, "axes" in takes)
        self.form.setRowVisible(self.bands_combo, self.bands_combo.count() > 0)
        self.form.setRowVisible(self.size_edit, "size" in takes and unfolded)
        self.form.setRowVisible(self.linear_check, "linear" in takes and curved)
        beside = self._outcome.references
        if beside is not None and beside.white is not None and self.white_edit.path() is None:
            self.white_edit.line.setText(str(beside.white))
            self.dark_edit.line.setText(str(beside.dark or ""))
            self.reflectance_box.expand(animate=False)

    def add(self) -> None:
        """Add the cube as a layer."""
        if self.cube is not None:
            layer = add_cube(self.viewer, self.cube)
            if (asked := self._asked) is not None:
                keep_origin(layer, asked.origin())


def _refill(combo: QComboBox, choices: Mapping[Any, str]) -> None:
    """Offer other choices; what was chosen stays chosen where it is still there."""
    if {combo.itemData(index): combo.itemText(index) for index in range(combo.count())} == dict(choices):
        return
    chosen = combo.currentData()
    combo.clear()
    for key, title in choices.items():
        combo.addItem(title, key)
    choose(combo, chosen)


def _patterns() -> str:
    known = sorted({pattern for reader in READERS.values() for pattern in reader.patterns if pattern.startswith("*.")})
    return f"Cubes ({' '.join(known)});;All files (*)"
