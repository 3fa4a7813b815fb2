"""Open cube: choose a file or folder, see what is in it, add it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout

from napari_specfusion.errors import ReadError
from napari_specfusion.io import READERS, find_reader, open_cube
from napari_specfusion.scene import Finding
from napari_specfusion.widgets._findings import FindingsPanel
from napari_specfusion.widgets._forms import PathEdit, form
from napari_specfusion.widgets._layers import layer_data
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._worker import Job, Report, ShouldStop

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_specfusion.cube import Cube

__all__ = ["OpenWidget", "describe_cube", "read_wavelengths"]


class OpenWidget(Panel):
    """Open a cube with the options that a drop onto the window cannot ask for."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.cube: Cube | None = None
        self._job: Job | None = None
        self.path_edit = PathEdit(
            "Choose a cube",
            _patterns(),
            "open",
            "a file or folder",
            "ENVI, TIFF, MATLAB, NPY, NPZ, Zarr, or a folder of one picture per band.",
            folders=True,
        )
        self.variable_edit = QLineEdit()
        self.variable_edit.setPlaceholderText("the largest cube")
        self.variable_edit.setToolTip("Which variable or data set of the file holds the cube.")
        self.axes_edit = QLineEdit()
        self.axes_edit.setPlaceholderText("found out")
        self.axes_edit.setToolTip("What its axes are, in order: y, x and b for the bands, such as yxb.")
        self.wavelengths_edit = PathEdit(
            "Choose wavelengths",
            "Text (*.txt *.csv *.dat);;All files (*)",
            "open",
            "from the file",
            "A text file with one number per band, in nm; it wins over what the cube's file says.",
        )
        self.found = FindingsPanel()
        self.add_button = QPushButton("Add to viewer")
        self.add_button.setToolTip("Add a layer; pixels are read when they are looked at.")
        self.add_button.clicked.connect(self.add)
        self.form = form(
            ("File", self.path_edit),
            ("Variable", self.variable_edit),
            ("Axes", self.axes_edit),
            ("Wavelengths", self.wavelengths_edit),
        )
        layout = QVBoxLayout(self)
        layout.addLayout(self.form)
        layout.addWidget(self.found)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.add_button)
        layout.addLayout(row)
        layout.addStretch(1)
        self.setMinimumWidth(380)
        self.path_edit.changed.connect(self.look)
        self.wavelengths_edit.changed.connect(self.look)
        self.variable_edit.editingFinished.connect(self.look)
        self.axes_edit.editingFinished.connect(self.look)
        self._show(None)

    def look(self) -> None:
        """Open what is chosen, without its pixels, and say what it is."""
        if self._job is not None:
            self._job.stop()
            self._job = None
        path = self.path_edit.path()
        if path is None:
            self._show(None)
            return
        choices = {key: edit.text().strip() for key, edit in self._choices(path).items()}
        wavelengths = self.wavelengths_edit.path()

        def read(report: Report, should_stop: ShouldStop) -> Cube | ReadError:
            try:
                return _open(path, choices, wavelengths)
            except ReadError as error:
                return error

        self._job = Job(f"Opening {path.name}", read)
        self._job.succeeded.connect(self._looked)
        self.found.show_verdict("wait", f"Opening {path.name} ...")
        self.add_button.setEnabled(False)
        self.start_job(self._job)

    def _looked(self, outcome: Cube | ReadError) -> None:
        if self.sender() is self._job:
            self._job = None
            self._show(outcome)

    def _show(self, outcome: Cube | ReadError | None) -> None:
        self.cube = None if isinstance(outcome, ReadError) else outcome
        path = self.path_edit.path()
        asked = {} if path is None else self._choices(path)
        for edit in (self.variable_edit, self.axes_edit):
            self.form.setRowVisible(edit, edit in asked.values())
        self.add_button.setEnabled(self.cube is not None)
        if outcome is None:
            self.found.show_verdict("info", "Choose a file or folder.")
        elif isinstance(outcome, ReadError):
            self.found.show_verdict("error", "This cannot be opened.", (), (Finding("error", "file", str(outcome)),))
        else:
            facts, findings = describe_cube(outcome)
            self.found.show_verdict("good", outcome.name, facts, findings)

    def _choices(self, path: Path) -> dict[str, QLineEdit]:
        """Return the fields that the reader of `path` has a use for, by its names for them."""
        fields = {"variable": self.variable_edit, "dataset": self.variable_edit, "axes": self.axes_edit}
        options = _options(path)
        return {key: edit for key, edit in fields.items() if key in options}

    def add(self) -> None:
        """Add the cube as a layer."""
        if self.cube is not None:
            data, keywords, _ = layer_data(self.cube)
            self.viewer.add_image(data, **keywords)


def describe_cube(cube: Cube) -> tuple[list[tuple[str, str]], list[Finding]]:
    """Return what a cube is, as label and value, and what a user should know about it."""
    bands, height, width = cube.shape
    facts = [("Size", f"{height} x {width} pixels, {bands} bands"), ("Values", str(cube.dtype))]
    findings = []
    if cube.wavelengths is None:
        findings.append(Finding("info", "wavelengths", "No wavelengths are known; bands are shown by their number."))
    else:
        facts.append(("Spectrum", f"{cube.wavelengths[0]:g} to {cube.wavelengths[-1]:g} {cube.spectral_unit}"))
    if bad := int((~cube.good).sum()):
        facts.append(("Bad bands", f"{bad}"))
    if cube.nodata is not None:
        facts.append(("No-data", f"{cube.nodata:g}"))
    if cube.pixel_size is not None:
        facts.append(("Pixel", f"{cube.pixel_size[0]:g} x {cube.pixel_size[1]:g}"))
    return facts, findings


def read_wavelengths(path: Path) -> NDArray[np.float64]:
    """Return the numbers of a text file, one per line or separated by commas, blanks or semicolons.

    A first line of words is skipped.

    Raises
    ------
    ReadError
        If the file cannot be read, or holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(f"{path} cannot be read as text ({error}); choose a text file of numbers.") from error
    if lines and re.search(r"[A-Za-z]{2}", lines[0]):
        lines = lines[1:]
    try:
        return np.array([float(word) for line in lines for word in re.split(r"[\s,;]+", line.strip()) if word])
    except ValueError as error:
        raise ReadError(f"{path} holds more than numbers ({error}); leave one wavelength per line.") from error


def _open(path: Path, choices: dict[str, str], wavelengths: Path | None) -> Cube:
    fields: dict[str, Any] = {key: value for key, value in choices.items() if value}
    if wavelengths is not None:
        fields["wavelengths"] = read_wavelengths(wavelengths)
    return open_cube(path, **fields)


def _options(path: Path) -> tuple[str, ...]:
    reader = find_reader(path) if path.exists() else None
    return () if reader is None else READERS[reader].options


def _patterns() -> str:
    known = sorted({pattern for reader in READERS.values() for pattern in reader.patterns if pattern.startswith("*.")})
    return f"Cubes ({' '.join(known)});;All files (*)"
