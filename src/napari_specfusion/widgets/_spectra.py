"""Spectra: what lies under the cursor and under the pins, of every cube in view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_specfusion.data.band_axis import bad_ranges, gaps, next_good
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._forms import single_timer
from napari_specfusion.widgets._layers import is_cube
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._pins import Pins
from napari_specfusion.widgets._plot import CUBE_COLOURS, LINE_STYLES, Line, SpectrumPlot
from napari_specfusion.widgets._probe import BAND, Curve, band_positions, probe, write_csv
from napari_specfusion.widgets._readout import (
    band_shown,
    describe_band,
    hide_band_text,
    show_band_text,
    step_to_band,
)
from napari_specfusion.widgets._reopen import ReopenOffer, replace_layer
from napari_specfusion.widgets._wavelengths import WavelengthBar, bring_to, link_bands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari

__all__ = ["SpectraWidget"]

# 30 Hz: moves in between are dropped, the last one counts
INTERVAL = 33
HINT = "Move over an image to see its spectrum. Shift+click pins a point. Drag the line to change the band."


class SpectraWidget(Panel):
    """Plot the spectrum of each visible cube at the cursor, and at pinned points.

    Colour tells where a spectrum was taken: the cube's own colour for the cursor, the point's for a pin. Line style
    tells from which cube.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.pins = Pins(viewer, self._pins_changed)
        self.plot = SpectrumPlot()
        self.plot.marker_moved.connect(self._choose_band)
        self.bar = WavelengthBar()
        self.bar.chosen.connect(self._go_to_band)
        self.reopen_offer = ReopenOffer(self)
        self.reopen_offer.found.connect(self._look_at_files)
        self.reopen_offer.accepted.connect(lambda layer, cube: replace_layer(self.viewer, layer, cube))
        self.info = QLabel(HINT)
        self.info.setWordWrap(True)
        self.status = StatusLine()
        self.clear_button = QPushButton("Clear pins")
        self.clear_button.setToolTip("Remove all pinned points.")
        self.clear_button.clicked.connect(self.pins.clear)
        self.export_button = QPushButton("Export CSV \u2026")
        self.export_button.setToolTip("Save the pinned spectra, or those under the cursor, as a table.")
        self.export_button.clicked.connect(self._export)
        buttons = QHBoxLayout()
        buttons.addWidget(self.clear_button)
        buttons.addStretch(1)
        buttons.addWidget(self.export_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.reopen_offer)
        layout.addWidget(self.bar)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.info)
        layout.addWidget(self.status)
        layout.addLayout(buttons)
        self.setMinimumSize(340, 240)

        self._point: tuple[float, float] | None = None
        self._cursor: list[Curve] = []
        self._pinned: list[tuple[int, Curve]] = []
        # None: take the spectra of the pins again
        self._shown: tuple[str, ...] | None = None
        self._last_band = 0
        # where the slider was last, by unit
        self._wavelengths: dict[str, float] = {}
        self._timer = single_timer(self, INTERVAL, self.update_curves)
        self._take_theme()
        self.refresh()

    # --- listening ---------------------------------------------------------------

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Follow layers, slider and theme."""
        layers = self.viewer.layers
        changes = (layers.events.inserted, layers.events.removed, layers.events.reordered, layers.events.renamed)
        return [
            *((event, self.refresh) for event in changes),
            (layers.selection.events.active, self._show_band),
            (layers.events, self._layer_changed),
            (self.viewer.dims.events.current_step, self._show_band),
            (self.viewer.events.theme, self._take_theme),
        ]

    def mouse(self) -> list[tuple[list[Callable[..., Any]], Callable[..., Any]]]:
        """Follow the cursor, and take Shift+clicks."""
        return [
            (self.viewer.mouse_move_callbacks, self._moved),
            (self.viewer.mouse_drag_callbacks, self._clicked),
        ]

    def let_go(self) -> None:
        """Listen to the pins no longer, either; leave no text behind."""
        if self._listening:
            hide_band_text(self.viewer)
        self.pins.let_go()
        super().let_go()

    def refresh(self, event: Any = None) -> None:
        """Take over what is in view now."""
        self._take_theme()
        self.pins.follow()
        self._pins_changed()
        self._show_band()
        self._look_at_files()

    def _look_at_files(self) -> None:
        self.reopen_offer.look(self.cubes())

    def _pins_changed(self, event: Any = None) -> None:
        self._shown = None
        self._timer.start()

    def _moved(self, viewer: Any, event: Any) -> None:
        if self.viewer.dims.ndisplay == 2:
            self.point_at((float(event.position[-2]), float(event.position[-1])))

    def _clicked(self, viewer: Any, event: Any) -> None:
        if event.type == "mouse_press" and "Shift" in event.modifiers and self.viewer.dims.ndisplay == 2:
            self.pins.add((float(event.position[-2]), float(event.position[-1])))

    def _take_theme(self, event: Any = None) -> None:
        self.plot.set_theme(self.viewer.theme)

    # --- curves --------------------------------------------------------------------

    def point_at(self, point: tuple[float, float]) -> None:
        """Show the spectra at a point (y, x) of the world, as if the cursor were there."""
        self._point = point
        if not self._timer.isActive():
            self._timer.start()

    def cubes(self) -> list[Any]:
        """Return the visible cube layers, topmost first."""
        return [layer for layer in reversed(list(self.viewer.layers)) if is_cube(layer) and layer.visible]

    def _lead(self) -> Any | None:
        """Return the cube that band and axis follow: the topmost that is seen, or side by side the selected one."""
        cubes = self.cubes()
        active = self.viewer.layers.selection.active
        if self._side_by_side and active in cubes:
            return active
        return next((cube for cube in cubes if cube.opacity > 0), None)

    @property
    def _side_by_side(self) -> bool:
        # napari before 0.9 has the grid on the viewer itself
        holder = self.viewer.canvas if hasattr(self.viewer, "canvas") else self.viewer
        return bool(holder.grid.enabled)

    def _layer_changed(self, event: Any) -> None:
        if event.type in ("visible", "opacity"):
            self._shown = None
            self._show_band()

    def update_curves(self) -> None:
        """Take the spectra at the cursor and at the pins, and draw them."""
        cubes = self.cubes()
        names = tuple(str(cube.name) for cube in cubes)
        try:
            if names != self._shown:
                self._shown = names
                self._pinned = [
                    (index, curve)
                    for index, point in enumerate(self.pins.points())
                    for cube in cubes
                    if (curve := probe(cube, point)) is not None
                ]
            self._cursor = [c for cube in cubes if self._point and (c := probe(cube, self._point)) is not None]
        except SpecFusionError as error:
            self.status.fail(str(error))
            return
        lead = self._lead()
        unit = BAND if lead is None else band_positions(Cube.from_layer(lead))[1]
        self.plot.set_axes(unit, "Value")
        self.plot.draw(self._lines(unit))
        self._describe()
        self.clear_button.setEnabled(bool(self.pins.points()))
        self.export_button.setEnabled(bool(self.curves()))

    def curves(self) -> list[Curve]:
        """Return what would be exported: the pinned spectra, or those under the cursor where none is pinned."""
        return [curve for _, curve in self._pinned] or self._cursor

    def _lines(self, unit: str) -> Iterator[Line]:
        colours = self.pins.colours()
        for index, curve in self._pinned:
            yield from self._line(f"{curve.cube} pin {index}", curve, unit, colours[index], 1.3, "")
        lead = self._lead()
        band = None if lead is None else band_shown(self.viewer, lead)
        for curve in self._cursor:
            colour = CUBE_COLOURS[self._rank(curve) % len(CUBE_COLOURS)]
            value = f"{curve.values[band]:.4g}" if band is not None and band < len(curve.values) else ""
            yield from self._line(curve.cube, curve, unit, colour, 2.2, f"{curve.cube}  {value}")

    def _rank(self, curve: Curve) -> int:
        return (self._shown or ()).index(curve.cube)

    def _line(self, key: str, curve: Curve, unit: str, colour: str, width: float, label: str) -> Iterator[Line]:
        style = LINE_STYLES[self._rank(curve) % len(LINE_STYLES)]
        if unit == BAND:
            yield Line(key, np.arange(len(curve.values)), curve.values, colour, style, width, label)
        elif curve.unit == unit:
            # no line across what no band has seen
            broken = gaps(curve.positions) + 1
            x = np.insert(curve.positions, broken, curve.positions[broken])
            yield Line(key, x, np.insert(curve.values, broken, np.nan), colour, style, width, label)

    def _describe(self) -> None:
        if self._cursor:
            row, column = self._cursor[0].pixel
            self.info.setText(f"Row {row}, column {column} of {self._cursor[0].cube}")
        else:
            self.info.setText(HINT)

    # --- the band on screen ------------------------------------------------------------

    def _show_band(self, event: Any = None) -> None:
        lead = self._lead()
        band = None if lead is None else band_shown(self.viewer, lead)
        if lead is not None and band is None and getattr(event, "type", "") != "current_step":
            # it lay beside the slider while a cube of another unit was followed
            band = bring_to(self.viewer, lead, self._wavelengths.get(Cube.from_layer(lead).spectral_unit))
        if lead is None or band is None:
            self.plot.set_marker(None)
            self.plot.set_bad(())
            self.bar.show_band(None, None)
            show_band_text(self.viewer, "")
            return
        cube = Cube.from_layer(lead)
        good = next_good(cube, band, forward=band >= self._last_band)
        self._last_band = good
        if good != band:
            step_to_band(self.viewer, lead, good)
            return
        link_bands(self.viewer, lead, band)
        if cube.wavelengths is not None:
            self._wavelengths[cube.spectral_unit] = float(cube.wavelengths[band])
        self.plot.set_marker(float(band_positions(cube)[0][band]))
        self.plot.set_bad(bad_ranges(cube))
        self.bar.show_band(cube, band)
        if not self._timer.isActive():
            self._timer.start()
        show_band_text(self.viewer, describe_band(cube, band))

    def _choose_band(self, position: float) -> None:
        lead = self._lead()
        if lead is not None:
            positions, _ = band_positions(Cube.from_layer(lead))
            self._go_to_band(int(np.argmin(np.abs(positions - position))))

    def _go_to_band(self, band: int) -> None:
        if (lead := self._lead()) is not None:
            step_to_band(self.viewer, lead, band)

    # --- export ------------------------------------------------------------------------

    def export(self, path: Path) -> None:
        """Write the curves as a table; trouble is said in words."""
        try:
            write_csv(path, self.curves())
        except SpecFusionError as error:
            self.status.fail(str(error))
        else:
            self.status.setText(f"Saved as {path.name}.")

    def _export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Export spectra", "spectra.csv", "Table (*.csv)")
        if path:
            self.export(Path(path))
