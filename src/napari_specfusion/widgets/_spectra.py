"""Spectra: what lies under the cursor, under pins and in regions, of every cube in view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_specfusion.data.band_axis import bad_ranges, next_good
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.spectra import Spectrum
from napari_specfusion.widgets._angle_maps import AngleMaps
from napari_specfusion.widgets._band_text import BandText
from napari_specfusion.widgets._curve_lines import cursor_lines, kept_lines, library_lines
from napari_specfusion.widgets._export import FILTERS, export, with_ending
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._forms import single_timer
from napari_specfusion.widgets._layers import is_cube
from napari_specfusion.widgets._library_box import LibraryBox
from napari_specfusion.widgets._panel import Panel
from napari_specfusion.widgets._pins import Pins
from napari_specfusion.widgets._plot import Line, SpectrumPlot
from napari_specfusion.widgets._probe import BAND, Curve, band_positions
from napari_specfusion.widgets._readout import band_shown, describe_band, step_to_band
from napari_specfusion.widgets._region_means import RegionMeans
from napari_specfusion.widgets._regions import Regions
from napari_specfusion.widgets._reopen import ReopenOffer, replace_layer
from napari_specfusion.widgets._spot_reader import SpotReader, pin_spots, spots_at
from napari_specfusion.widgets._views import ViewBar
from napari_specfusion.widgets._wavelengths import WavelengthBar, bring_to, link_bands

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari


__all__ = ["SpectraWidget"]

# 30 Hz: moves in between are dropped, the last one counts
INTERVAL = 33
# regions are averaged when the hand rests
REST = 300
PLOT_HEIGHT = 150
HINT = "Move over an image to see its spectrum. Shift+click pins a point. Drag the line to change the band."


class SpectraWidget(Panel):
    """Plot the spectrum of each visible cube at the cursor, at pinned points and in regions.

    Colour tells where a spectrum was taken: the cube's own colour for the cursor, the pin's or the region's otherwise.
    Line style tells from which cube.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.status = StatusLine()
        self.pins = Pins(viewer, self._pins_changed)
        self.regions = Regions(viewer, self._regions_changed)
        self.means = RegionMeans(self)
        self.means.changed.connect(self._means_changed)
        self.means.told.connect(self._tell)
        self.at_cursor = SpotReader(self)
        self.at_cursor.changed.connect(self._cursor_read)
        self.at_pins = SpotReader(self)
        self.at_pins.changed.connect(self._redraw)
        for reader in (self.at_cursor, self.at_pins):
            reader.failed.connect(self.status.fail)
        self.maps = AngleMaps(self)
        self.maps.changed.connect(self._means_changed)
        self.maps.told.connect(self._tell)
        self.text = BandText(viewer, self)
        self.plot = SpectrumPlot(height=PLOT_HEIGHT)
        self.plot.marker_moved.connect(self._choose_band)
        self.bar = WavelengthBar()
        self.bar.chosen.connect(self._go_to_band)
        self.views = ViewBar()
        self.views.changed.connect(self._redraw)
        self.reopen_offer = ReopenOffer(self)
        self.reopen_offer.found.connect(self._look_at_files)
        self.reopen_offer.accepted.connect(lambda layer, cube: replace_layer(self.viewer, layer, cube))
        self.library_box = LibraryBox(self)
        self.library_box.changed.connect(self._redraw)
        self.library_box.map_asked.connect(self.add_angle_map)
        self.library_box.told.connect(self._tell)
        self.info = QLabel(HINT)
        self.info.setWordWrap(True)
        self._lay_out()

        self._point: tuple[float, float] | None = None
        self._cursor: list[Curve] = []
        self._kept: list[Curve] = []
        # those of pins and regions as they are drawn, and what else they depend on; None: to be made again
        self._kept_lines: tuple[tuple[str, bool], list[Line]] | None = None
        # None: look at the pins again
        self._shown: tuple[str, ...] | None = None
        # what the curves under the cursor were made of
        self._taken: tuple[Curve, ...] | None = None
        self._last_band = 0
        # where the slider was last, by unit
        self._wavelengths: dict[str, float] = {}
        self._timer = single_timer(self, INTERVAL, self.update_curves)
        self._rest = single_timer(self, REST, self._average)
        self._take_theme()
        self.refresh()

    def _lay_out(self) -> None:
        self.draw_button = QPushButton("Draw region")
        self.draw_button.setToolTip(
            "Draw around a region on the picture. Its mean and spread are plotted, and so are those of all shapes and "
            "labels that are visible."
        )
        self.draw_button.clicked.connect(lambda _=False: self.regions.draw())
        self.clear_button = QPushButton("Clear pins")
        self.clear_button.setToolTip("Remove all pinned points.")
        self.clear_button.clicked.connect(self.pins.clear)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop what is being computed.")
        self.stop_button.clicked.connect(lambda _=False: self.stop())
        self.stop_button.hide()
        self.export_button = QPushButton("Export \u2026")
        self.export_button.setToolTip(
            "Save the spectra of pins and regions as they are shown, or those under the cursor, as .csv or .sli, which "
            "Library opens again; or the plot as .png or .svg."
        )
        self.export_button.clicked.connect(self._export)
        buttons = QHBoxLayout()
        for button in (self.draw_button, self.clear_button):
            buttons.addWidget(button)
        buttons.addStretch(1)
        for button in (self.stop_button, self.export_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.reopen_offer)
        layout.addWidget(self.bar)
        layout.addWidget(self.plot, 1)
        for widget in (self.views, self.info, self.library_box, self.status):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        self.setMinimumSize(340, 240)

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
        """Listen to pins and regions no longer, either; leave no text behind."""
        if self._listening:
            self.text.hide()
        self.pins.let_go()
        self.regions.let_go()
        super().let_go()

    def refresh(self, event: Any = None) -> None:
        """Take over what is in view now."""
        self._take_theme()
        self.pins.follow()
        self.regions.follow()
        self._pins_changed()
        self._regions_changed()
        self._show_band()
        self._look_at_files()

    def _look_at_files(self) -> None:
        self.reopen_offer.look(self.cubes())

    def _pins_changed(self, event: Any = None) -> None:
        self._shown = None
        self._timer.start()

    def _regions_changed(self, event: Any = None) -> None:
        self._rest.start()

    def _average(self) -> None:
        self.regions.colour_new()
        self.means.update(self.cubes(), self.regions.regions())

    def _means_changed(self) -> None:
        self.stop_button.setVisible(self.means.running or self.maps.running)
        self._redraw()

    def _redraw(self) -> None:
        self._kept_lines = self._taken = None
        self._timer.start()

    def _tell(self, words: str, wrong: bool) -> None:
        (self.status.fail if wrong else self.status.setText)(words)

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
        if event.type == "visible":
            self._regions_changed()

    def update_curves(self) -> None:
        """Ask for the spectra at the cursor and at the pins, and draw what is known."""
        cubes = self.cubes()
        names = tuple(str(cube.name) for cube in cubes)
        if names != self._shown:
            self._shown = names
            self.views.update_cubes(names)
            self.at_pins.ask(pin_spots(cubes, self.pins))
            self._kept_lines = self._taken = None
        self.at_cursor.ask(spots_at(cubes, self._point))
        self._show_curves()

    def _cursor_read(self) -> None:
        # at once: no faster than the cursor was followed
        if not self._timer.isActive():
            self._show_curves()

    def _show_curves(self) -> None:
        names = self._shown or ()
        cursor = self.at_cursor.curves(names)
        try:
            if cursor is not self._taken:
                self._taken, self._cursor = cursor, self.views.shown_curves(cursor)
            if self._kept_lines is None:
                kept = [*self.at_pins.curves(names), *(c for c in self.means.curves() if c.cube in names)]
                self._kept = self.views.shown_curves(kept)
                several = len({curve.cube for curve in kept}) > 1
                self.library_box.offer(
                    (f"{curve.place}, {curve.cube}" if several else curve.place, curve.spectrum) for curve in kept
                )
            self._draw(names)
        except SpecFusionError as error:
            self.status.fail(str(error))
            return
        self._describe(cursor)
        self.clear_button.setEnabled(bool(self.pins.points()))
        self.export_button.setEnabled(bool(self.curves()))

    def _draw(self, names: tuple[str, ...]) -> None:
        lead = self._lead()
        like = None if lead is None else _like(Cube.from_layer(lead))
        unit = BAND if like is None else like.unit
        band = None if lead is None else band_shown(self.viewer, lead)
        library = [(name, self.views.shown(spectrum)) for name, spectrum in self.library_box.drawn(like)]
        self.plot.set_axes(unit, self.views.view.axis if self.views.minus is None else "Difference")
        look = unit, bool(self._cursor)
        if self._kept_lines is None or self._kept_lines[0] != look:
            self._kept_lines = look, list(kept_lines(self._kept, names, unit, styles_told=bool(self._cursor)))
        self.plot.draw(
            [
                *self._kept_lines[1],
                *library_lines(library, unit),
                *cursor_lines(self._cursor, names, unit, band),
            ]
        )

    def curves(self) -> list[Curve]:
        """Return what would be exported: pins and regions as shown, or what is under the cursor without any."""
        return self._kept or self._cursor

    def _describe(self, cursor: Sequence[Curve]) -> None:
        if cursor and (pixel := cursor[0].pixel) is not None:
            self.info.setText(f"Row {pixel[0]}, column {pixel[1]} of {cursor[0].cube}")
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
            self.text.write("")
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
        self.text.write(describe_band(cube, band))

    def _choose_band(self, position: float) -> None:
        lead = self._lead()
        if lead is not None:
            positions, _ = band_positions(Cube.from_layer(lead))
            self._go_to_band(int(np.argmin(np.abs(positions - position))))

    def _go_to_band(self, band: int) -> None:
        if (lead := self._lead()) is not None:
            step_to_band(self.viewer, lead, band)

    # --- the angle to a picked spectrum --------------------------------------------------

    def add_angle_map(self, spectrum: Spectrum | None) -> None:
        """Map the angle between a spectrum and the cube in front, in the background."""
        layer = self._lead()
        if spectrum is not None and layer is not None:
            self.maps.begin(layer, spectrum)

    def stop(self) -> None:
        """Stop what is being computed."""
        self.means.stop()
        self.maps.stop()

    # --- export ------------------------------------------------------------------------

    def export(self, path: Path) -> None:
        """Write the curves, or the plot, by the ending of the file; trouble is said in words."""
        try:
            export(path, [curve.spectrum for curve in self.curves()], self.plot)
        except SpecFusionError as error:
            self.status.fail(str(error))
        else:
            self.status.setText(f"Saved as {path.name}.")

    def _export(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(self, "Export spectra", "spectra.csv", FILTERS)
        if path:
            self.export(with_ending(Path(path), chosen))


def _like(cube: Cube) -> Spectrum:
    """Return a spectrum with the bands of a cube, and no values."""
    return Spectrum(np.full(cube.bands, np.nan), cube.wavelengths, cube.spectral_unit, cube.fwhm)
