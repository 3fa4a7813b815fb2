"""A spectral library beside the plot: open, search, rank by angle to a picked spectrum, and map that angle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QStyle,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_specfusion.errors import SpectrumError
from napari_specfusion.spectra import SpectralLibrary, rank_spectra, read_library, resample
from napari_specfusion.spectra.resampling import resample_all
from napari_specfusion.widgets._forms import choice_combo, single_timer
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_specfusion.spectra import Match, Spectrum
    from napari_specfusion.widgets._panel import Panel
    from napari_specfusion.widgets._worker import Report, ShouldStop

__all__ = ["LibraryBox"]

PATTERN = "Spectral libraries (*.sli *.hdr *.csv *.txt *.asc);;All files (*)"
# how the choice of an entry begins
LIBRARY = "Library: "
# of the list, at most; a search finds the others
MOST_ROWS = 2000
# drawn at once, at most
MOST_DRAWN = 5
TYPING = 250
HEIGHT, TALLEST = 96, 150


class LibraryBox(QWidget):
    """Closed, one button; open, the picked spectrum and a list of the library.

    Attributes
    ----------
    changed
        Other spectra of the library are to be drawn.
    map_asked
        The angle of this spectrum is to be mapped.
    told
        What was done, or went wrong, in words; and whether it went wrong.
    """

    changed = Signal()
    map_asked = Signal(object)
    told = Signal(str, bool)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self._panel = panel
        self.library = SpectralLibrary(())
        self._ranking: Job | None = None
        self._soon = single_timer(self, TYPING, self._rank)
        self._loading: Job | None = None
        self._matches: dict[int, Match] = {}
        # the library at the bands that were last ranked at
        self._at_bands: tuple[bytes, list[Spectrum]] = (b"", [])
        self._choices: dict[str, Spectrum] = {}
        self.toggle = QToolButton()
        self.toggle.setText("Library and angle map")
        self.toggle.setToolTip("Find spectra of a library that look like a picked one, and where in the cube it is.")
        self.toggle.setCheckable(True)
        self.toggle.setAutoRaise(True)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.toggled.connect(self._open)
        self.body = QWidget()
        self.picked_combo: QComboBox = choice_combo({})
        self.picked_combo.setPlaceholderText("pin a point, or draw a region")
        self.picked_combo.setToolTip("The spectrum to look for: a pin, a region, or one chosen in the library.")
        self.picked_combo.currentIndexChanged.connect(self._rank)
        self.map_button = QPushButton("Angle map")
        self.map_button.setToolTip("Add a layer with the angle between this spectrum and each pixel: bright is alike.")
        self.map_button.clicked.connect(lambda _=False: self.map_asked.emit(self.picked()))
        self.search_edit = QLineEdit()
        self.search_edit.setPlaceholderText("search the library")
        self.search_edit.setToolTip("Words of the name or the description, in any order.")
        self.search_edit.setClearButtonEnabled(True)
        self._typing = single_timer(self, TYPING, self._fill)
        self.search_edit.textChanged.connect(lambda _: self._typing.start())
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderLabels(["Angle", "Spectrum"])
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.setToolTip("The spectra that are selected are drawn, scaled to the picked one.")
        self.tree.setMinimumHeight(HEIGHT)
        # the plot has the rest of the room
        self.tree.setMaximumHeight(TALLEST)
        if (header := self.tree.header()) is not None:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.itemSelectionChanged.connect(self._selected)
        self._lay_out()
        self._open(False)

    def _lay_out(self) -> None:
        icons = QStyle.StandardPixmap
        self.file_button = _icon_button(icons.SP_FileIcon, "Open a library: .sli, .csv, or text of ECOSTRESS or USGS")
        self.file_button.clicked.connect(lambda _=False: self._browse(folder=False))
        self.folder_button = _icon_button(icons.SP_DirIcon, "Open all spectra in a folder")
        self.folder_button.clicked.connect(lambda _=False: self._browse(folder=True))
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.picked_combo, 1)
        first.addWidget(self.map_button)
        second.addWidget(self.file_button)
        second.addWidget(self.folder_button)
        second.addWidget(self.search_edit, 1)
        inner = QVBoxLayout(self.body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addLayout(first)
        inner.addLayout(second)
        inner.addWidget(self.tree)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.toggle)
        layout.addWidget(self.body)

    def _open(self, opened: bool) -> None:
        self.body.setVisible(opened)
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._rank()
        self.changed.emit()

    # --- the picked spectrum -----------------------------------------------------------

    def offer(self, spectra: Iterable[tuple[str, Spectrum]]) -> None:
        """Offer spectra of pins and regions to be looked for."""
        chosen, before = self.picked_combo.currentText(), self.picked()
        self._choices = dict(spectra)
        if (entry := self._chosen_entry()) is not None:
            self._choices[f"{LIBRARY}{entry.name}"] = entry
        names = list(self._choices)
        if names != [self.picked_combo.itemText(at) for at in range(self.picked_combo.count())]:
            blocked = self.picked_combo.blockSignals(True)
            self.picked_combo.clear()
            self.picked_combo.addItems(names)
            if chosen.startswith(LIBRARY) and entry is not None:
                # another one was selected in the list
                chosen = names[-1]
            self.picked_combo.setCurrentIndex(names.index(chosen) if chosen in names else min(0, len(names) - 1))
            self.picked_combo.blockSignals(blocked)
        if not _same(before, self.picked()):
            self.map_button.setEnabled(self.picked() is not None)
            # a pin that is dragged is ranked where it rests
            self._soon.start()

    def picked(self) -> Spectrum | None:
        """Return the spectrum to look for."""
        return self._choices.get(self.picked_combo.currentText())

    def _chosen_entry(self) -> Spectrum | None:
        items = self.tree.selectedItems()
        return self._entry(items[0]) if len(items) == 1 else None

    def _entry(self, item: QTreeWidgetItem) -> Spectrum:
        return self.library[int(item.data(0, Qt.ItemDataRole.UserRole))]

    # --- the library --------------------------------------------------------------------

    def _browse(self, *, folder: bool) -> None:
        if folder:
            path = QFileDialog.getExistingDirectory(self, "Open a folder of spectra")
        else:
            path, _ = QFileDialog.getOpenFileName(self, "Open a spectral library", "", PATTERN)
        if path:
            self.load(Path(path))

    def load(self, path: Path) -> None:
        """Read a library in the background, and show it in place of the one there was."""
        self._loading = job = Job(f"Reading {path.name}", lambda report, should_stop: read_library(path))
        job.succeeded.connect(lambda library: self.show_library(library) if job is self._loading else None)
        job.failed.connect(lambda words: self.told.emit(words, True))
        self.told.emit(f"Reading {path.name} \u2026", False)
        self._panel.start_job(job)

    def show_library(self, library: SpectralLibrary) -> None:
        """Show a library."""
        self.library, self._matches, self._at_bands = library, {}, (b"", [])
        self._fill()
        self._rank()
        left_out = f"; {len(library.notes)} files could not be read" if library.notes else ""
        self.told.emit(f"{library.name}: {len(library)} spectra{left_out}.", False)

    def _rank(self) -> None:
        """Sort the library by the angle to the picked spectrum, in the background."""
        picked = self.picked()
        self.map_button.setEnabled(picked is not None)
        # what is closed, or itself of the library, needs no ranking
        of_library = self.picked_combo.currentText().startswith(LIBRARY)
        if not len(self.library) or self.body.isHidden() or of_library:
            return
        if self._ranking is not None:
            self._ranking.stop()
            self._ranking = None
        if picked is None or picked.wavelengths is None:
            self._matches = {}
            self._fill()
            return
        bands, entries = _bands(picked), self._at_bands
        numbers = [number for number, spectrum in enumerate(self.library) if spectrum.unit == picked.unit]
        same_unit = [self.library[number] for number in numbers]

        def rank(report: Report, should_stop: ShouldStop) -> tuple[bytes, list[Spectrum], dict[int, Match]]:
            # the spectra of one cube have the same bands: the library is resampled to them once
            seen = entries[1] if entries[0] == bands else resample_all(same_unit, picked)
            places = {id(spectrum): number for number, spectrum in zip(numbers, seen, strict=True)}
            try:
                ranked = rank_spectra(picked, seen)
            except SpectrumError:
                # told when the list has no angles
                return bands, seen, {}
            return bands, seen, {places[id(match.spectrum)]: match for match in ranked}

        self._ranking = job = Job("Ranking the library", rank)
        job.succeeded.connect(lambda found: self._ranked(*found) if job is self._ranking else None)
        self._panel.start_job(job)

    def _ranked(self, bands: bytes, entries: list[Spectrum], matches: dict[int, Match]) -> None:
        self._ranking = None
        self._matches, self._at_bands = matches, (bands, entries)
        self._fill()
        if not matches:
            self.told.emit("No spectrum of the library covers half of the bands of the picked one.", False)

    def _fill(self) -> None:
        """List what the search finds, the most alike first."""
        wanted = {id(spectrum) for spectrum in self.library.search(self.search_edit.text())}
        found = [number for number, spectrum in enumerate(self.library) if id(spectrum) in wanted]
        found.sort(key=lambda number: self._matches[number].angle if number in self._matches else np.inf)
        chosen = {id(self._entry(item)) for item in self.tree.selectedItems()}
        blocked = self.tree.blockSignals(True)
        self.tree.clear()
        for number in found[:MOST_ROWS]:
            match = self._matches.get(number)
            item = QTreeWidgetItem([f"{match.angle:.2f}\u00b0" if match else "", self.library[number].name])
            item.setData(0, Qt.ItemDataRole.UserRole, number)
            item.setToolTip(1, _told(self.library[number]))
            self.tree.addTopLevelItem(item)
            item.setSelected(id(self.library[number]) in chosen)
        self.tree.blockSignals(blocked)
        self.changed.emit()

    def _selected(self) -> None:
        self.changed.emit()

    def drawn(self, like: Spectrum | None) -> list[tuple[str, Spectrum]]:
        """Return the spectra that are selected, with names: at the bands of another one, and scaled to the picked one.

        Parameters
        ----------
        like
            A spectrum with the bands to draw at; None draws nothing.
        """
        if self.body.isHidden() or like is None or like.wavelengths is None:
            return []
        found = []
        for item in self.tree.selectedItems()[:MOST_DRAWN]:
            entry = self._entry(item)
            if entry.unit != like.unit:
                continue
            seen = resample(entry, like.wavelengths, like.fwhm)
            factor = _factor(seen, self.picked())
            name = entry.name if factor is None else f"{entry.name}  \u00d7{factor:.3g}"
            found.append((name, seen if factor is None else seen.replace(values=seen.values * factor, spread=None)))
        return found


def _bands(spectrum: Spectrum) -> bytes:
    """Return what tells the bands of a spectrum from those of others."""
    widths = b"" if spectrum.fwhm is None else spectrum.fwhm.tobytes()
    return spectrum.unit.encode() + spectrum.positions.tobytes() + widths


def _same(one: Spectrum | None, other: Spectrum | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or (
        np.array_equal(one.values, other.values, equal_nan=True) and np.array_equal(one.positions, other.positions)
    )


def _factor(seen: Spectrum, picked: Spectrum | None) -> float | None:
    """Return the number that brings a spectrum nearest to the picked one; None where they share no bands."""
    if picked is None or picked.wavelengths is None or picked.unit != seen.unit:
        return None
    target = picked if picked.bands == seen.bands else resample(picked, seen.positions, seen.fwhm)
    both = np.isfinite(seen.values) & np.isfinite(target.values)
    length = float(np.sum(seen.values[both] ** 2))
    factor = float(np.sum(seen.values[both] * target.values[both])) / length if length > 0 else 0.0
    return factor if factor > 0 else None


def _told(spectrum: Spectrum) -> str:
    lines = [spectrum.name, *(f"{key}: {str(value)[:200]}" for key, value in spectrum.metadata.items())]
    return "\n".join(lines)


def _icon_button(icon: QStyle.StandardPixmap, tip: str) -> QToolButton:
    button = QToolButton()
    if (style := QApplication.style()) is not None:
        button.setIcon(style.standardIcon(icon))
    button.setToolTip(tip)
    return button
