"""The fields of the Quality panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_specfusion.quality.judgement import JUDGEMENTS
from napari_specfusion.quality.metrics import MEASURES
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._forms import LayerCombo, choice_combo, form, scrolling, words
from napari_specfusion.widgets._layers import is_cube, is_image
from napari_specfusion.widgets._map_layer import PAIR_MAPS, REFERENCE_MAPS
from napari_specfusion.widgets._measure_table import MeasureTable
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._plot import SpectrumPlot
from napari_specfusion.widgets._see_both import SeeBoth

if TYPE_CHECKING:
    import napari

    from napari_specfusion.quality.table import Measure
    from napari_specfusion.widgets._map_layer import MapKind

__all__ = ["BY_PAIR", "BY_REFERENCE", "QualityForm"]

BY_REFERENCE, BY_PAIR = "reference", "pair"
# measures of the pair that are known band by band
BAND_KEYS = ("cube_residual", "d_s", "negative", "outside", "excess")


class QualityForm(Panel):
    """What to judge, by what, and what came of it; without any action.

    Attributes
    ----------
    mode_combo
        Whether a reference or the pair judges.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.mode_combo = choice_combo({BY_REFERENCE: "a reference", BY_PAIR: "the cube and the guide"})
        self.mode_combo.setToolTip(
            "With a reference the error itself is measured. Without one, the two images that were fused must do."
        )
        self.estimate_combo = LayerCombo(is_cube, "The cube to judge.")
        self.reference_combo = LayerCombo(is_cube, "The sharp cube that is known to be true, on the same pixels.")
        self.cube_combo = LayerCombo(is_cube, "The cube that was fused.")
        self.guide_combo = LayerCombo(is_image, "The guide that was fused.")
        self.ratio_spin = QDoubleSpinBox()
        self.ratio_spin.setRange(1, 64)
        self.ratio_spin.setValue(4)
        self.ratio_spin.setToolTip("Guide pixels per cube pixel in the fusion. Only ERGAS depends on it.")
        self.ratio_note = words()
        self.trial_check = QCheckBox("Try the method one scale down")
        self.trial_check.setToolTip(
            "Blur both images once more, fuse them by the same method, and compare the result with the cube."
        )
        self.trial_check.setChecked(True)
        self.compare_button = QPushButton("Compare")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop what is being computed.")
        self.table = MeasureTable()
        self.band_combo = QComboBox()
        self.plot = SpectrumPlot(marker=False, height=120)
        self.map_combo = QComboBox()
        self.map_button = QPushButton("Add map")
        self.see_both = SeeBoth(self)
        self.status = StatusLine()
        self._lay_out()

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        self._form = form(
            ("Result", self.estimate_combo),
            ("Judge by", self.mode_combo),
            ("Reference", self.reference_combo),
            ("Ratio", self.ratio_spin),
            ("", self.ratio_note),
            ("Cube", self.cube_combo),
            ("Guide", self.guide_combo),
            ("", self.trial_check),
        )
        layout.addLayout(self._form)
        buttons = QHBoxLayout()
        buttons.addWidget(self.compare_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.table)
        layout.addWidget(self.band_combo)
        layout.addWidget(self.plot, 1)
        maps = QHBoxLayout()
        maps.addWidget(self.map_combo, 2)
        maps.addWidget(self.map_button, 1)
        layout.addLayout(maps)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(content), 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(9, 0, 9, 9)
        foot.addWidget(self.see_both)
        foot.addWidget(self.status)
        outer.addLayout(foot)

    @property
    def by_pair(self) -> bool:
        """Whether the pair judges."""
        return bool(self.mode_combo.currentData() == BY_PAIR)

    @property
    def maps(self) -> dict[str, MapKind]:
        """The maps that can be added."""
        return PAIR_MAPS if self.by_pair else REFERENCE_MAPS

    def band_measure(self) -> Measure | None:
        """Return the measure to plot band by band."""
        measures = {m.key: m for m in (*MEASURES, *JUDGEMENTS)}
        return measures.get(self.band_combo.currentData())

    def show_mode(self) -> None:
        """Offer what the chosen mode has."""
        by_pair = self.by_pair
        rows: dict[QWidget, bool] = dict.fromkeys((self.reference_combo, self.ratio_spin), not by_pair)
        rows |= dict.fromkeys((self.cube_combo, self.guide_combo, self.trial_check), by_pair)
        rows[self.ratio_note] = not by_pair and bool(self.ratio_note.text())
        for row, visible in rows.items():
            self._form.setRowVisible(row, visible)
        self.compare_button.setText("Judge" if by_pair else "Compare")
        self.compare_button.setToolTip("Compute all measures and add them to the table.")
        known = {m.key: m for m in JUDGEMENTS}
        plotted = [known[key] for key in BAND_KEYS] if by_pair else [m for m in MEASURES if m.key not in ("sam", "q2n")]
        _offer(self.band_combo, {m.key: f"{m.label} per band" for m in plotted})
        _offer(self.map_combo, {key: kind.title for key, kind in self.maps.items()})
        for place, kind in enumerate(self.maps.values()):
            self.map_combo.setItemData(place, kind.tip, Qt.ItemDataRole.ToolTipRole)
        self.map_button.setToolTip("Compute the chosen map and add it as a layer over the result.")


def _offer(combo: QComboBox, choices: dict[str, str]) -> None:
    if [combo.itemData(i) for i in range(combo.count())] == list(choices):
        return
    blocked = combo.blockSignals(True)
    combo.clear()
    for key, title in choices.items():
        combo.addItem(title, key)
    combo.blockSignals(blocked)
