from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, Qt

from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._readout import band_shown, step_to_band

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def event(y: float, x: float, **fields: Any) -> Any:
    return SimpleNamespace(position=(15.0, y, x), **{"type": "mouse_move", "modifiers": ()} | fields)


def move(viewer: Any, y: float, x: float) -> None:
    for callback in viewer.mouse_move_callbacks:
        callback(viewer, event(y, x))


def drawn(spectra: Any, qtbot: Any) -> dict[str, Any]:
    qtbot.waitUntil(lambda: not spectra._timer.isActive())
    return spectra.plot.curve_data()


def test_cursor_spectra_of_all_visible_cubes(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    low = pair_in.layers["low-res cube"]
    low.scale, low.translate = (1, 4, 4), (0, 0, 0)
    spectra = dock("Spectra")
    move(pair_in, 5.0, 9.0)
    move(pair_in, 40.0, 61.0)
    curves = drawn(spectra, qtbot)
    assert set(curves) == {"low-res cube", "reference"}
    for name, (row, column) in {"low-res cube": (10, 15), "reference": (40, 61)}.items():
        x, y = curves[name]
        cube = Cube.from_layer(pair_in.layers[name])
        assert np.array_equal(x, cube.wavelengths) and np.allclose(y, cube.spectrum(row, column))
    assert "low-res cube" in spectra.plot.legend.text()
    low.visible = False
    move(pair_in, 41.0, 61.0)
    assert set(drawn(spectra, qtbot)) == {"reference"}
    move(pair_in, -50.0, 0.0)
    assert not drawn(spectra, qtbot)


def test_pins_are_points_in_the_colour_of_their_curve(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    active = pair_in.layers.selection.active
    for y, x in ((10.0, 12.0), (20.0, 30.0)):
        for callback in pair_in.mouse_drag_callbacks:
            callback(pair_in, event(y, x, type="mouse_press", modifiers=("Shift",)))
            callback(pair_in, event(y, x, type="mouse_press"))
    points = pair_in.layers["Pinned spectra"]
    assert points.data.tolist() == [[10, 12], [20, 30]]
    assert pair_in.layers.selection.active == active
    assert len({tuple(colour) for colour in points.face_color}) == 2
    curves = drawn(spectra, qtbot)
    assert {key for key in curves if key.startswith("reference")} == {"reference pin 1", "reference pin 2"}
    points.data = points.data[:1]
    assert "reference pin 2" not in drawn(spectra, qtbot)
    qtbot.mouseClick(spectra.clear_button, Qt.MouseButton.LeftButton)
    assert "Pinned spectra" not in pair_in.layers
    assert not drawn(spectra, qtbot)


def test_pins_go_with_all_layers(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    spectra.point_at((10.0, 12.0))
    spectra.pins.add((20.0, 30.0))
    assert drawn(spectra, qtbot)
    pair_in.layers.clear()
    assert not drawn(spectra, qtbot)
    spectra.update_curves()


def test_a_real_shift_click_pins(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    from qtpy.QtWidgets import QApplication

    spectra = dock("Spectra")
    qtbot.wait(100)
    canvas = next(w for w in QApplication.allWidgets() if type(w).__name__ == "CanvasBackendDesktop" and w.isVisible())
    centre = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mouseMove(canvas, centre)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, centre)
    qtbot.waitUntil(lambda: len(spectra.pins.points()) == 1)


def test_the_marker_and_the_slider_move_each_other(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    pair_in.dims.set_current_step(0, 20)
    assert spectra.plot.marker.value() == 600
    assert pair_in.canvas.overlays.text.text == "600.0 nm, band 21 of 31"
    spectra.plot.marker.setValue(433.0)
    assert pair_in.dims.current_step[0] == 3
    assert spectra.plot.marker.value() == 430


def test_export(pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path) -> None:
    spectra = dock("Spectra")
    spectra.pins.add((10.0, 10.0))
    drawn(spectra, qtbot)
    spectra.export(tmp_path / "spectra.csv")
    lines = (tmp_path / "spectra.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("nm,") and len(lines) == 32


def test_theme_and_closing(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    before = len(pair_in.mouse_move_callbacks), len(pair_in.mouse_drag_callbacks)
    spectra = dock("Spectra")
    dark = spectra.plot.view.backgroundBrush().color().name()
    pair_in.theme = "light"
    assert spectra.plot.view.backgroundBrush().color().name() != dark
    pair_in.window.remove_dock_widget(spectra)
    assert (len(pair_in.mouse_move_callbacks), len(pair_in.mouse_drag_callbacks)) == before
    assert not pair_in.canvas.overlays.text.visible
    pair_in.dims.set_current_step(0, 3)
    pair_in.layers.clear()
    qtbot.wait(50)


def test_a_cube_without_wavelengths_shows_band_numbers(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    viewer.add_image(np.random.default_rng(0).random((7, 8, 8), np.float32), name="plain")
    spectra = dock("Spectra")
    move(viewer, 3.0, 3.0)
    assert drawn(spectra, qtbot)["plain"][0].tolist() == list(range(7))
    viewer.dims.set_current_step(0, 2)
    assert viewer.canvas.overlays.text.text == "band 3 of 7"


# --- wavelengths ----------------------------------------------------------------------


def spectral(low: float, high: float, bands: int, name: str, **fields: Any) -> Cube:
    values = np.broadcast_to(np.arange(bands, dtype=np.float32)[:, None, None], (bands, 8, 8))
    return Cube.from_array(values.copy(), wavelengths=np.linspace(low, high, bands), name=name, **fields)


def test_cubes_are_linked_by_wavelength_not_by_index(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    coarse = show_in(viewer, spectral(400, 1000, 7, "coarse"))
    raman = show_in(viewer, spectral(500, 1800, 14, "raman", spectral_unit="cm-1"))
    fine = show_in(viewer, spectral(400, 900, 51, "fine"))
    spectra = dock("Spectra")
    for wavelength in (700.0, 500.0, 640.0):
        spectra.bar.field.setValue(wavelength)
        assert band_shown(viewer, fine) == round((wavelength - 400) / 10)
        assert band_shown(viewer, coarse) == round((wavelength - 400) / 100)
        assert viewer.canvas.overlays.text.text.startswith(f"{wavelength:.1f} nm")
    assert raman.translate[0] == 0
    # the readout follows what is seen
    fine.visible = False
    spectra.bar.field.setValue(800.0)
    raman.visible = False
    assert viewer.canvas.overlays.text.text.startswith("600.0 nm, band 3 of 7")
    spectra.bar.field.setValue(980.0)
    assert band_shown(viewer, coarse) == 6


def test_bad_bands_are_marked_and_skipped(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    good = np.ones(11, bool)
    good[[0, 5, 6]] = False
    layer = show_in(viewer, spectral(400, 500, 11, "scan", good_bands=good))
    spectra = dock("Spectra")
    assert spectra.plot._bad == ((395.0, 405.0), (445.0, 465.0))
    for band, shown in ((4, 4), (5, 7), (6, 4), (0, 1)):
        step_to_band(viewer, layer, band)
        assert band_shown(viewer, layer) == shown
    spectra.bar.slider.setValue(spectra.bar.slider.maximum())
    assert band_shown(viewer, layer) == 10
    spectra.bar.field.stepDown()
    assert band_shown(viewer, layer) == 9
    spectra.bar.field.setValue(452.0)
    assert band_shown(viewer, layer) == 4 and spectra.bar.field.value() == 440


def test_gaps_between_sensors_are_not_bridged(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    known = np.concatenate([np.linspace(400, 900, 51), np.linspace(1500, 2000, 51)])
    values = np.random.default_rng(0).random((102, 8, 8), np.float32)
    show_in(viewer, Cube.from_array(values, wavelengths=known, name="two sensors"))
    spectra = dock("Spectra")
    spectra.point_at((3.0, 4.0))
    x, y = drawn(spectra, qtbot)["two sensors"]
    assert len(x) == 103 and np.isnan(y[51]) and np.allclose(np.delete(y, 51), values[:, 3, 4])


def test_band_numbers_can_be_gone_to(viewer: Any, dock: Callable[[str], Any]) -> None:
    layer = viewer.add_image(np.random.default_rng(0).random((7, 8, 8), np.float32), name="plain")
    spectra = dock("Spectra")
    spectra.bar.field.setValue(3)
    assert band_shown(viewer, layer) == 2 and spectra.bar.field.suffix() == ""
