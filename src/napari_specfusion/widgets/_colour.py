"""Colour: pictures, indices and components of a cube, as layers over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui import magicgui
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_specfusion.colour import COMBINATIONS, INDICES
from napari_specfusion.colour.reading import mean_spectrum
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.widgets._bars import SpectrumBars
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._follow import followed_by
from napari_specfusion.widgets._forms import LayerCombo, choice_combo, choose, form, scrolling
from napari_specfusion.widgets._layers import cube_to_show, is_cube
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._pictures import TOOLS, add_picture
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from magicgui.widgets import FunctionGui

    from napari_specfusion.progress import Progress

__all__ = ["ColourWidget"]

# what the fields of a form are followed by
SUFFIXES = {"nm": " nm", "cm-1": " cm\u207b\u00b9"}
OWN = "own"


class ColourWidget(Panel):
    """Make a picture of a cube in the background, and add it as a layer that follows the cube."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._job: Job | None = None
        self.cube_combo = LayerCombo(is_cube, "The cube to make a picture of.")
        self.cube_combo.currentTextChanged.connect(self._cube_changed)
        self.tool_combo: QComboBox = choice_combo({key: tool.title for key, tool in TOOLS.items()})
        self.tool_combo.setToolTip("What to make.")
        self.tool_combo.currentIndexChanged.connect(self._show_form)
        self.forms: dict[str, FunctionGui[Any, Any]] = {
            # the two that are bound have no field
            key: magicgui(tool.show, viewer={"bind": viewer}, layer={"bind": None}, call_button=False, labels=False)
            for key, tool in TOOLS.items()
        }
        # fields in rows, by tool
        self.pages: dict[str, QWidget] = {}
        self.bars = SpectrumBars()
        self.bars.moved.connect(lambda channel, at: setattr(self._wavelengths()[channel], "value", at))
        # whose mean spectrum is drawn
        self._drawn: Cube | None = None
        self._add_presets()
        self.add_button = QPushButton("Add layer")
        self.add_button.setToolTip("Compute it, and add it over the cube.")
        self.add_button.clicked.connect(lambda _=False: self.add())
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop what is being computed.")
        self.cancel_button.clicked.connect(lambda _=False: self.cancel())
        self.status = StatusLine()
        self._lay_out()
        self._show_form()
        self.refresh()

    def _add_presets(self) -> None:
        """Make lists of well-known wavelengths and formulas that fill the fields, and say what the fields hold."""
        bands, formula = self._wavelengths(), self.forms["index"]["formula"]
        self.combination: QComboBox = choice_combo({OWN: OWN} | {name: name for name in COMBINATIONS})
        self.combination.setToolTip("Well-known combinations of three wavelengths.")
        self.combination.currentTextChanged.connect(self._take_combination)
        self.index: QComboBox = choice_combo({OWN: OWN} | {name: name for name in INDICES})
        self.index.setToolTip("Well-known indices.")
        self.index.currentTextChanged.connect(self._take_index)
        for field in bands:
            field.changed.connect(self._name_combination)
        formula.changed.connect(self._name_index)
        self._name_combination()
        self._name_index()

    def _wavelengths(self) -> list[Any]:
        return [self.forms["composite"][name] for name in ("red", "green", "blue")]

    def _take_combination(self, name: str) -> None:
        for field, wavelength in zip(self._wavelengths(), COMBINATIONS.get(name, ()), strict=False):
            field.value = wavelength

    def _name_combination(self) -> None:
        held = tuple(field.value for field in self._wavelengths())
        choose(self.combination, next((name for name, known in COMBINATIONS.items() if known == held), OWN))
        self.bars.set_positions(held)

    def _take_index(self, name: str) -> None:
        if name in INDICES:
            self.forms["index"]["formula"].value = INDICES[name]

    def _name_index(self) -> None:
        held = str(self.forms["index"]["formula"].value).strip()
        choose(self.index, next((name for name, known in INDICES.items() if held in (name, known)), OWN))

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form(("Cube", self.cube_combo), ("Picture", self.tool_combo)))
        presets = {"composite": ("Combination", self.combination), "index": ("Index", self.index)}
        for key, one in self.forms.items():
            fields = [(field.label, field.native) for field in one if field.name not in ("viewer", "layer")]
            page = self.pages[key] = QWidget()
            rows = form(*([presets[key]] if key in presets else []), *fields)
            rows.setContentsMargins(0, 0, 0, 0)
            page.setLayout(rows)
            # its fields stand in the page; what held them goes with it, unseen
            one.native.setParent(page)
            one.native.hide()
            if key == "composite":
                rows.addRow(self.bars)
            layout.addWidget(page)
        for key in ("true colour", "composite", "component colours"):
            self.forms[key]["stretch"].native.setSuffix(" %")
            self.forms[key]["stretch"].native.setDecimals(1)
        for field in self._wavelengths():
            field.native.setDecimals(1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout.addLayout(buttons)
        layout.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(content), 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(9, 0, 9, 9)
        foot.addWidget(self.status)
        outer.addLayout(foot)
        self.setMinimumWidth(300)

    # --- listening -------------------------------------------------------------------

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Follow the layers and the selection."""
        layers = self.viewer.layers
        changes = (layers.events.inserted, layers.events.removed, layers.events.reordered, layers.events.renamed)
        return [
            *((event, self.refresh) for event in changes),
            (layers.selection.events.active, self.refresh),
            (self.viewer.events.theme, self._take_theme),
        ]

    def refresh(self, event: Any = None) -> None:
        """Offer the cubes there are; the selected one is suggested, or that of the selected picture."""
        layers = self.viewer.layers
        self._take_theme()
        self.cube_combo.update_layers(layers)
        if self.cube_combo.is_free(layers):
            active = layers.selection.active
            if active is not None and (lead := followed_by(active)) is not None:
                active = lead
            if active is None or not is_cube(active):
                active = next((layer for layer in reversed(layers) if is_cube(layer)), None)
            self.cube_combo.suggest(active)
        self._update_buttons()

    def _take_theme(self, event: Any = None) -> None:
        self.bars.plot.set_theme(self.viewer.theme)

    def _cube_changed(self) -> None:
        layer = self.cube_combo.layer(self.viewer.layers)
        if layer is not None:
            suffix = SUFFIXES.get(Cube.from_layer(layer).spectral_unit, "")
            for field in self._wavelengths():
                field.native.setSuffix(suffix)
        self._draw_spectrum()
        self._update_buttons()

    def _show_form(self) -> None:
        for key, page in self.pages.items():
            page.setVisible(key == self.tool_combo.currentData())
        self.status.setText("")
        self._draw_spectrum()

    def _draw_spectrum(self) -> None:
        """Read the mean spectrum under the bars in the background, where it is to be seen."""
        layer = self.cube_combo.layer(self.viewer.layers)
        if layer is None or self.tool_combo.currentData() != "composite":
            return
        cube = Cube.from_layer(layer)
        self.bars.setVisible(cube.wavelengths is not None)
        if cube is self._drawn or cube.wavelengths is None:
            return
        self._drawn = cube
        job = Job(f"Looking at {cube.name}", lambda report, should_stop: (cube, mean_spectrum(cube)))
        job.succeeded.connect(self._spectrum_read)
        self.start_job(job)

    def _spectrum_read(self, found: tuple[Cube, tuple[Any, Any]]) -> None:
        cube, (wavelengths, values) = found
        if cube is self._drawn:
            self.bars.show_spectrum(cube.spectral_unit, wavelengths, values)

    def _update_buttons(self) -> None:
        self.add_button.setEnabled(self.cube_combo.layer(self.viewer.layers) is not None and self._job is None)
        self.cancel_button.setEnabled(self._job is not None)

    # --- computing -------------------------------------------------------------------

    def add(self) -> None:
        """Make the picture that the form describes."""
        layer, key = self.cube_combo.layer(self.viewer.layers), self.tool_combo.currentData()
        if layer is None or self._job is not None:
            return
        tool = TOOLS[key]
        options = {name: value for name, value in self.forms[key].asdict().items() if name not in ("viewer", "layer")}
        try:
            cube = cube_to_show(layer)
        except SpecFusionError as error:
            self.status.fail(str(error))
            return
        self._job = Job(
            f"{tool.title} of {cube.name}",
            lambda report, should_stop: (
                layer,
                tool.compute(cube, **options, progress=report, should_stop=should_stop),
            ),
        )
        self._job.reported.connect(self._progressed)
        self._job.succeeded.connect(self._made)
        self._job.failed.connect(self.status.fail)
        self._job.ended.connect(self._ended)
        self.status.setText(f"{self._job.title} \u2026")
        self._update_buttons()
        self.start_job(self._job)

    def cancel(self) -> None:
        """Stop what is being computed."""
        if self._job is not None:
            self._job.stop()
            self.cancel_button.setEnabled(False)
            self.status.setText("Stopping \u2026")

    def _made(self, found: tuple[Any, Cube]) -> None:
        layer, picture = found
        if layer not in self.viewer.layers:
            self.status.warn("The cube was removed meanwhile; no layer was added.")
            return
        added = add_picture(self.viewer, layer, picture)
        # it is selected, and only now known to follow the cube
        self.refresh()
        self.status.setText(f"Added \u201c{added.name}\u201d.")

    def _progressed(self, step: Progress) -> None:
        if self._job is not None and not self._job.stopping:
            self.status.setText(f"{step.message}, part {step.done + 1} of {step.total}")

    def _ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.status.setText("Stopped.")
        self._job = None
        self._update_buttons()
