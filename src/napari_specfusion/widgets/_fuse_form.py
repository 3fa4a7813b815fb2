"""The fields and buttons of Fuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_specfusion.widgets._align_choice import AlignChoice
from napari_specfusion.widgets._calibration_box import CalibrationBox
from napari_specfusion.widgets._copy_python import CopyPython
from napari_specfusion.widgets._findings import FindingsPanel, StatusLine
from napari_specfusion.widgets._forms import (
    LayerCombo,
    PathEdit,
    choice_combo,
    choose,
    form,
    minutes_spin,
    scrolling,
    words,
)
from napari_specfusion.widgets._fuse_options import DEVICES, TILES, FuseOptions, all_choices
from napari_specfusion.widgets._guide_offer import GuideOffer
from napari_specfusion.widgets._layers import is_cube, is_image
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._preferences import preference
from napari_specfusion.widgets._preview_box import PreviewBox
from napari_specfusion.widgets._queue_box import QueueBox
from napari_specfusion.widgets._reopen import ReopenOffer

if TYPE_CHECKING:
    import napari

    from napari_specfusion.fusion.recipe import Recipe

__all__ = ["FuseForm"]


class FuseForm(Panel):
    """A panel to choose a pair and how to fuse it; `FuseWidget` does something with it."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._build()

    def _build(self) -> None:
        self.cube_combo = LayerCombo(is_cube, "The cube with many bands and few pixels.")
        self.guide_combo = LayerCombo(
            is_image, "The sharper image of the same area: RGB, panchromatic or multispectral."
        )
        self.exchange_button = QToolButton()
        self.exchange_button.setText("\u21c5")
        self.exchange_button.setAccessibleName("Exchange")
        guide_row = QWidget()
        guide_line = QHBoxLayout(guide_row)
        guide_line.setContentsMargins(0, 0, 0, 0)
        guide_line.addWidget(self.guide_combo, 1)
        guide_line.addWidget(self.exchange_button)
        self.ratio_spin = QDoubleSpinBox()
        self.ratio_spin.setRange(1.0, 64.0)
        self.ratio_spin.setDecimals(3)
        self.ratio_spin.setStepType(QDoubleSpinBox.StepType.DefaultStepType)
        self.ratio_spin.setSpecialValueText("from the two sizes")
        self.ratio_spin.setToolTip("Guide pixels per cube pixel. The lowest value takes it from the two sizes.")
        self.align_choice = AlignChoice()
        self._choices = all_choices()
        self.method_combo = choice_combo({key: choice.title for key, choice in self._choices.items()})
        self.method_tip = words()
        self.minutes_spin = minutes_spin(FuseOptions.minutes)
        self.minutes_spin.setToolTip("Time to train the network. Longer is better, with diminishing returns.")
        self.weights_edit = PathEdit(
            "Choose a weight file", "Weights (*.safetensors *.pth *.tar);;All files (*)", "open"
        )

        self.reopen_offer = ReopenOffer(self)
        self.guide_offer = GuideOffer(self)
        self.findings = FindingsPanel()
        self.calibration_box = CalibrationBox(self)
        self.preview_box = PreviewBox(self)
        self.pair_form = form(
            ("Cube", self.cube_combo),
            ("Guide", guide_row),
            ("Ratio", self.ratio_spin),
            ("Align", self.align_choice),
        )
        self.method_form = form(
            ("Method", self.method_combo),
            ("", self.method_tip),
            ("Time", self.minutes_spin),
            ("Weights", self.weights_edit),
        )

        self.tile_combo = choice_combo(TILES)
        self.tile_combo.setToolTip("Size of the tiles the image is fused in. Larger tiles take more memory.")
        self.device_combo = choice_combo(DEVICES)
        self.device_combo.setToolTip("Where to compute. Automatic takes a GPU if there is one.")
        self.out_edit = PathEdit(
            "Save the result in",
            "OME-Zarr (*.zarr)",
            "save",
            "memory",
            "A new .zarr folder. Leave it empty to keep the result in memory.",
        )
        advanced = QWidget()
        advanced_form = form(("Tile", self.tile_combo), ("Device", self.device_combo), ("Result in", self.out_edit))
        advanced.setLayout(advanced_form)
        self.advanced = QCollapsible("Advanced", expandedIcon="\u25be", collapsedIcon="\u25b8")
        self.advanced.addWidget(advanced)
        choose(self.tile_combo, preference("compute", "tile"))
        choose(self.device_combo, preference("compute", "device"))

        self.run_button = QPushButton("Run")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop after the current tile. Runs in the queue go on.")
        self.copy_button = CopyPython(self.viewer, self.recipe)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        buttons.addWidget(self.copy_button)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.status = StatusLine()
        self.queue_box = QueueBox()

        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(self.pair_form)
        column.addWidget(self.reopen_offer)
        column.addWidget(self.guide_offer)
        column.addWidget(self.findings)
        column.addWidget(self.calibration_box)
        column.addLayout(self.method_form)
        column.addWidget(self.preview_box)
        column.addWidget(self.advanced)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(content), 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(9, 0, 9, 9)
        foot.addWidget(self.queue_box)
        foot.addLayout(buttons)
        foot.addWidget(self.progress)
        foot.addWidget(self.status)
        outer.addLayout(foot)
        self.setMinimumWidth(340)

    @property
    def options(self) -> FuseOptions:
        """The choices made below the pair."""
        return FuseOptions(
            method=self.method_combo.currentData(),
            minutes=self.minutes_spin.value(),
            weights=self.weights_edit.path(),
            tile=self.tile_combo.currentData(),
            device=self.device_combo.currentData(),
            out=self.out_edit.path(),
        )

    @property
    def ratio(self) -> float | None:
        """The ratio that was entered; None leaves it to the two sizes."""
        return None if self.ratio_spin.value() == self.ratio_spin.minimum() else self.ratio_spin.value()

    def recipe(self) -> Recipe | None:
        """Return what a run would be begun with; None without a pair."""
        raise NotImplementedError

    def exchange(self) -> None:
        """Take the cube for the guide, and the guide for the cube."""
        if (pair := self._pair()) is not None and is_cube(pair[1]):
            self.cube_combo.choose(pair[1])
            self.guide_combo.choose(pair[0])

    def _show_exchange(self) -> None:
        pair = self._pair()
        can = pair is not None and is_cube(pair[1])
        self.exchange_button.setEnabled(can)
        self.exchange_button.setToolTip(
            "Exchange cube and guide." if can or pair is None else f"{pair[1].name} has too few bands to be the cube."
        )

    def _pair(self) -> tuple[Any, Any] | None:
        layers = self.viewer.layers
        low, guide = self.cube_combo.layer(layers), self.guide_combo.layer(layers)
        return None if low is None or guide is None else (low, guide)
