"""Quality: how close an estimate comes to a reference, as a table, a plot and maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_specfusion.data.cube import Cube
from napari_specfusion.quality.metrics import MEASURES, Quality, evaluate, quality_maps
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._forms import LayerCombo, choice_combo, form, scrolling, words
from napari_specfusion.widgets._layers import (
    is_cube,
    place_over,
    plane_shape,
    run_of,
    suggest_estimate,
    suggest_reference,
)
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._plot import CUBE_COLOURS, LINE_STYLES, Line, SpectrumPlot
from napari_specfusion.widgets._worker import Job, Report, ShouldStop

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_specfusion.progress import Progress

__all__ = ["QualityWidget"]

# title, colormap, tip
MAPS = {
    "sam": ("SAM", "inferno", "Spectral angle at each pixel, in degrees."),
    "rmse": ("RMSE", "magma", "Error at each pixel, over all bands."),
}
SCROLL_BAR = 16
ARROWS = {"higher": "\u2191", "lower": "\u2193"}


class QualityWidget(Panel):
    """Compare estimates with a reference; each one compared adds a column to the table and a curve to the plot."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.results: dict[str, Quality] = {}
        self._of = ""
        self._estimate: Any = None
        self._told = ""
        self._job: Job | None = None
        self._build()
        self._take_theme()
        self.refresh()

    def _build(self) -> None:
        self.reference_combo = LayerCombo(is_cube, "The sharp cube that is known to be true.")
        self.estimate_combo = LayerCombo(is_cube, "The cube to compare, on the same pixels.")
        self.ratio_spin = QDoubleSpinBox()
        self.ratio_spin.setRange(1, 64)
        self.ratio_spin.setValue(4)
        self.ratio_spin.setToolTip("Guide pixels per cube pixel in the fusion. Only ERGAS depends on it.")
        self.ratio_note = words()
        self.compare_button = QPushButton("Compare")
        self.compare_button.setToolTip("Compute all measures and add them to the table.")
        self.compare_button.clicked.connect(self.compare)
        self.table = QTableWidget(len(MEASURES), 1)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setShowGrid(False)
        if (names := self.table.verticalHeader()) is not None:
            names.setVisible(False)
        self._header = QHeaderView(Qt.Orientation.Horizontal)
        self._header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setHorizontalHeader(self._header)
        self.table.setToolTip("Bold marks the best value of a row. The arrow shows whether higher or lower is better.")
        self.band_combo: QComboBox = choice_combo({m.key: f"{m.label} per band" for m in MEASURES if m.key != "sam"})
        self.band_combo.currentIndexChanged.connect(self._draw)
        self.plot = SpectrumPlot(marker=False, height=120)
        maps = QHBoxLayout()
        self.map_buttons = {}
        for key, (title, _, tip) in MAPS.items():
            button = self.map_buttons[key] = QPushButton(f"Add {title} map")
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, key=key: self.add_map(key))
            maps.addWidget(button)
        self.status = StatusLine()
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(
            form(
                ("Estimate", self.estimate_combo),
                ("Reference", self.reference_combo),
                ("Ratio", self.ratio_spin),
                ("", self.ratio_note),
            )
        )
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop what is being computed.")
        self.cancel_button.clicked.connect(lambda _=False: self.cancel())
        buttons = QHBoxLayout()
        buttons.addWidget(self.compare_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.table)
        layout.addWidget(self.band_combo)
        layout.addWidget(self.plot, 1)
        layout.addLayout(maps)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(content), 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(9, 0, 9, 9)
        foot.addWidget(self.status)
        outer.addLayout(foot)
        self.setMinimumWidth(340)
        self.estimate_combo.currentTextChanged.connect(self._estimate_changed)
        self.reference_combo.currentTextChanged.connect(self._chosen)
        self.ratio_spin.valueChanged.connect(self._chosen)
        self._fill_table()

    # --- listening ------------------------------------------------------------------

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Follow the layer list and the theme."""
        events = self.viewer.layers.events
        changes = (events.inserted, events.removed, events.reordered, events.renamed)
        return [*((event, self.refresh) for event in changes), (self.viewer.events.theme, self._take_theme)]

    def refresh(self, event: Any = None) -> None:
        """Offer the cubes there are; choose the latest result and its reference where the user chose none."""
        self._take_theme()
        layers = self.viewer.layers
        for combo in (self.reference_combo, self.estimate_combo):
            combo.update_layers(layers)
        if self.estimate_combo.is_free(layers) and (estimate := suggest_estimate(layers)) is not None:
            self.estimate_combo.suggest(estimate)
        self._suggest_reference()
        self._chosen()
        # rows are as tall as the style of the window says, which is not known before
        self._fill_table()

    def _suggest_reference(self) -> None:
        layers = self.viewer.layers
        if self.reference_combo.is_free(layers):
            self.reference_combo.suggest(suggest_reference(self.estimate_combo.layer(layers), layers))

    def _estimate_changed(self) -> None:
        self._suggest_reference()
        self._chosen()

    def _chosen(self) -> None:
        """Take the ratio from the run of the estimate, and say what is missing."""
        layers = self.viewer.layers
        estimate, reference = self.estimate_combo.layer(layers), self.reference_combo.layer(layers)
        run = None if estimate is None else run_of(estimate)
        if estimate is not None and estimate != self._estimate:
            # once, so that another ratio can be entered after it
            self._estimate = estimate
            if run is not None:
                self.ratio_spin.setValue(run.ratio)
        if estimate is None or run is None:
            note = "" if estimate is None else "Not known from the estimate: enter it."
        elif self.ratio_spin.value() == run.ratio:
            note = f"From the run of {estimate.name}."
        else:
            note = f"The run of {estimate.name} had {run.ratio:g}."
        self.ratio_note.setText(note)
        self.ratio_note.setVisible(bool(note))
        missing = self._missing(estimate, reference)
        if missing != self._told and self._job is None:
            # what went wrong stays to be read
            self._told = missing
            self.status.setText(missing)
        self._update_buttons()

    def _missing(self, estimate: Any | None, reference: Any | None) -> str:
        if estimate is not None and reference is None:
            bands, height, width = plane_shape(estimate)
            return f"Open the true cube of {height} x {width} pixels and {bands} bands to compare {estimate.name} with."
        return ""

    def _take_theme(self, event: Any = None) -> None:
        self.plot.set_theme(self.viewer.theme)

    def _pair(self) -> tuple[Any, Any] | None:
        layers = self.viewer.layers
        reference, estimate = self.reference_combo.layer(layers), self.estimate_combo.layer(layers)
        return None if reference is None or estimate is None or reference == estimate else (reference, estimate)

    def _update_buttons(self) -> None:
        ready = self._pair() is not None and self._job is None
        for button in (self.compare_button, *self.map_buttons.values()):
            button.setEnabled(ready)
        self.cancel_button.setEnabled(self._job is not None)

    # --- measuring -------------------------------------------------------------------

    def compare(self) -> None:
        """Measure the chosen estimate."""
        if (pair := self._pair()) is None or self._job is not None:
            return
        reference, estimate, ratio = Cube.from_layer(pair[0]), Cube.from_layer(pair[1]), self.ratio_spin.value()
        names = str(pair[0].name), str(pair[1].name)
        self._start(
            f"Comparing {names[1]} with {names[0]}",
            lambda report, should_stop: (
                names,
                evaluate(reference, estimate, ratio, progress=report, should_stop=should_stop),
            ),
            self._compared,
        )

    def add_map(self, key: str) -> None:
        """Compute a map of the error and add it as a layer."""
        if (pair := self._pair()) is None or self._job is not None:
            return
        reference, estimate = Cube.from_layer(pair[0]), Cube.from_layer(pair[1])
        self._start(
            f"Mapping the {MAPS[key][0]} of {pair[1].name}",
            lambda report, should_stop: (
                key,
                pair,
                quality_maps(reference, estimate, should_stop=should_stop)[key].compute(),
            ),
            self._mapped,
        )

    def cancel(self) -> None:
        """Stop what is being computed."""
        if self._job is not None:
            self._job.stop()
            self.cancel_button.setEnabled(False)
            self.status.setText("Stopping ...")

    def _start(self, title: str, function: Callable[[Report, ShouldStop], Any], done: Callable[[Any], None]) -> None:
        self._job = Job(title, function)
        self._job.reported.connect(self._progressed)
        self._job.succeeded.connect(done)
        self._job.failed.connect(self._failed)
        self._job.ended.connect(self._ended)
        self.status.setText(f"{title} ...")
        self._update_buttons()
        self.start_job(self._job, matters=True)

    def _compared(self, outcome: tuple[tuple[str, str], Quality]) -> None:
        (reference, estimate), quality = outcome
        if reference != self._of:
            self.results.clear()
            self._of = reference
        self.results[estimate] = quality
        self.status.setText(f"Compared with {reference} on {quality.coverage:.0%} of the values.")
        self._fill_table()
        self._draw()

    def _mapped(self, outcome: tuple[str, tuple[Any, Any], Any]) -> None:
        key, (reference, estimate), values = outcome
        title, colormap, _ = MAPS[key]
        layer = self.viewer.add_image(
            values, name=f"{title} of {estimate.name}", colormap=colormap, units=("pixel", "pixel")
        )
        place_over(layer, reference)
        self.status.setText("")

    def _failed(self, message: str) -> None:
        self.status.fail(message)

    def _progressed(self, step: Progress) -> None:
        if self._job is not None and not self._job.stopping:
            self.status.setText(f"{step.message}, block {step.done + 1} of {step.total}")

    def _ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.status.setText("Stopped.")
        self._job = None
        self._update_buttons()

    # --- showing ---------------------------------------------------------------------

    def _fill_table(self) -> None:
        self.table.setColumnCount(1 + len(self.results))
        self.table.setHorizontalHeaderLabels(["", *self.results])
        for row, measure in enumerate(MEASURES):
            unit = f" [{measure.unit}]" if measure.unit else ""
            self.table.setItem(row, 0, QTableWidgetItem(f"{measure.label}{unit} {ARROWS[measure.better]}"))
            values = [getattr(quality, measure.key) for quality in self.results.values()]
            known = [value for value in values if not math.isnan(value)]
            best = (max if measure.better == "higher" else min)(known) if len(known) > 1 else None
            for column, value in enumerate(values, start=1):
                item = QTableWidgetItem("\u2013" if math.isnan(value) else f"{value:.{measure.digits}f}")
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                font = item.font()
                font.setBold(value == best)
                item.setFont(font)
                self.table.setItem(row, column, item)
        self.table.resizeRowsToContents()
        rows = sum(self.table.rowHeight(row) for row in range(len(MEASURES)))
        bar = SCROLL_BAR if self._header.length() > self.table.width() else 0
        self.table.setFixedHeight(self._header.sizeHint().height() + rows + 2 * self.table.frameWidth() + bar)

    def _draw(self) -> None:
        key = self.band_combo.currentData()
        lines = []
        unit = "band"
        for index, (name, quality) in enumerate(self.results.items()):
            values = quality.bands[key]
            known = quality.wavelengths
            unit = "band" if known is None else quality.spectral_unit
            positions = np.arange(len(values)) if known is None else known
            style = LINE_STYLES[index % len(LINE_STYLES)]
            lines.append(Line(name, positions, values, CUBE_COLOURS[index % len(CUBE_COLOURS)], style, 2.0, name))
        measure = next(m for m in MEASURES if m.key == key)
        self.plot.set_axes(unit, f"{measure.label} [{measure.unit}]" if measure.unit else measure.label)
        self.plot.draw(lines)
