from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt

import napari_specfusion as package
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._readout import band_shown, step_to_band
from napari_specfusion.widgets._views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def event(y: float, x: float, **fields: Any) -> Any:
    return SimpleNamespace(position=(15.0, y, x), **{"type": "mouse_move", "modifiers": ()} | fields)


def move(viewer: Any, y: float, x: float) -> None:
    for callback in viewer.mouse_move_callbacks:
        callback(viewer, event(y, x))


def drawn(spectra: Any, qtbot: Any) -> dict[str, Any]:
    qtbot.waitUntil(lambda: not (spectra._timer.isActive() or spectra.at_cursor.busy or spectra.at_pins.busy))
    # pins that were read are drawn by the timer
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


def canvas_of(qtbot: Any) -> Any:
    """Return the canvas of the window, once it has the size that it will keep."""
    from qtpy.QtWidgets import QApplication

    canvas = next(w for w in QApplication.allWidgets() if type(w).__name__ == "CanvasBackendDesktop" and w.isVisible())
    sizes = [canvas.size()]

    def rests() -> bool:
        sizes.append(canvas.size())
        return len(sizes) > 20 and len({(size.width(), size.height()) for size in sizes[-20:]}) == 1

    qtbot.waitUntil(rests, timeout=30_000)
    return canvas


def mouse(canvas: Any, kind: Any, at: QPoint, *, held: bool = False) -> None:
    """Send a mouse event; Qt's own moves go by the pointer of the screen, which another window may be moving too."""
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    button = none if kind == QEvent.Type.MouseMove else left
    buttons = left if held else none
    place, world = QPointF(at), QPointF(canvas.mapToGlobal(at))
    QApplication.sendEvent(canvas, QMouseEvent(kind, place, world, button, buttons, Qt.KeyboardModifier.NoModifier))


def test_a_real_shift_click_pins(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    canvas = canvas_of(qtbot)
    centre = QPoint(canvas.width() // 2, canvas.height() // 2)
    mouse(canvas, QEvent.Type.MouseMove, centre)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, centre)
    qtbot.waitUntil(lambda: len(spectra.pins.points()) == 1)


def test_the_marker_and_the_slider_move_each_other(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    pair_in.dims.set_current_step(0, 20)
    assert spectra.plot.marker.value() == 600
    qtbot.waitUntil(lambda: pair_in.canvas.overlays.text.text == "600.0 nm, band 21 of 31")
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
    qtbot.waitUntil(lambda: viewer.canvas.overlays.text.text == "band 3 of 7")


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
        start = f"{wavelength:.1f} nm"
        qtbot.waitUntil(lambda start=start: viewer.canvas.overlays.text.text.startswith(start))
    assert raman.translate[0] == 0
    # the readout follows what is seen
    fine.visible = False
    spectra.bar.field.setValue(800.0)
    raman.visible = False
    qtbot.waitUntil(lambda: viewer.canvas.overlays.text.text.startswith("600.0 nm, band 3 of 7"))
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


# --- regions, views and differences ------------------------------------------------------


def averaged(spectra: Any, qtbot: Any) -> dict[str, Any]:
    qtbot.waitUntil(lambda: not (spectra._rest.isActive() or spectra.means.running), timeout=30_000)
    return drawn(spectra, qtbot)


def test_shapes_are_averaged_with_their_spread(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    pair_in.layers["low-res cube"].visible = False
    spectra.regions.draw()
    shapes = pair_in.layers["Regions"]
    assert shapes.ndim == 2 and pair_in.layers.selection.active == shapes and shapes.mode == "add_polygon_lasso"
    shapes.add_rectangles([[[9.5, 9.5], [9.5, 29.5], [19.5, 29.5], [19.5, 9.5]]])
    curves = averaged(spectra, qtbot)
    inside = Cube.from_layer(pair_in.layers["reference"]).read(slice(10, 20), slice(10, 30)).reshape(31, -1)
    assert np.allclose(curves["reference Regions 1"][1], inside.mean(axis=1), rtol=1e-5)
    (curve,) = spectra.curves()
    assert np.allclose(curve.spectrum.spread, inside.std(axis=1, ddof=1), rtol=1e-4)
    assert spectra.plot.bands() == ("reference Regions 1",) and "Regions&nbsp;1" in spectra.plot.legend.text()
    assert f"color:{curve.colour}" in spectra.plot.legend.text()
    shapes.add_ellipses([[[40, 40], [40, 60], [60, 60], [60, 40]]])
    curves = averaged(spectra, qtbot)
    rows, columns = np.mgrid[:96, :96]
    disc = (rows - 50) ** 2 + (columns - 50) ** 2 < 100
    expected = Cube.from_layer(pair_in.layers["reference"]).read()[:, disc].mean(axis=1)
    assert np.allclose(curves["reference Regions 2"][1], expected, rtol=0.02)
    # each in a colour of its own, on the plot and in the picture
    assert len({tuple(colour) for colour in shapes.edge_color}) == 2
    shapes.visible = False
    assert not any("Regions" in key for key in averaged(spectra, qtbot)) and not spectra.plot.bands()


def test_a_region_drawn_by_hand(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    canvas = canvas_of(qtbot)
    qtbot.mouseClick(spectra.draw_button, Qt.MouseButton.LeftButton)
    shapes = pair_in.layers["Regions"]
    x, y = canvas.width() // 2, canvas.height() // 2
    for number in (1, 2):
        corners = [QPoint(x + dx, y + dy) for dx, dy in ((0, 0), (40, 0), (40, 40), (0, 40), (0, 10))]
        mouse(canvas, QEvent.Type.MouseButtonPress, corners[0], held=True)
        for corner in corners[1:]:
            mouse(canvas, QEvent.Type.MouseMove, corner, held=True)
            qtbot.wait(30)
        mouse(canvas, QEvent.Type.MouseButtonRelease, corners[-1])
        assert len(shapes.data) == number and shapes.shape_type[-1] == "polygon"
        name = f"reference Regions {number}"
        qtbot.waitUntil(lambda name=name: name in averaged(spectra, qtbot), timeout=30_000)
        x += 20
    assert len(shapes.data) == 2 and len({tuple(colour) for colour in shapes.edge_color}) == 2


# of napari's colours for labels
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_labels_are_averaged_wherever_they_were_painted(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    values = np.random.default_rng(0).random((4, 8, 8)).astype(np.float32)
    show_in(viewer, Cube.from_array(values, wavelengths=[400, 500, 600, 700], name="cube"))
    # as napari makes a layer of labels over a cube: a stack
    painted = np.zeros((4, 8, 8), np.uint8)
    painted[1, 2:4, 2:4], painted[3, 6, 6] = 1, 2
    labels = viewer.add_labels(painted, name="marks")
    spectra = dock("Spectra")
    curves = averaged(spectra, qtbot)
    assert np.allclose(curves["cube marks 1"][1], values[:, 2:4, 2:4].mean(axis=(1, 2)))
    assert np.allclose(curves["cube marks 2"][1], values[:, 6, 6])
    labels.data_setitem((np.array([3]), np.array([0]), np.array([0])), 2)
    expected = (values[:, 6, 6] + values[:, 0, 0]) / 2
    qtbot.waitUntil(lambda: np.allclose(averaged(spectra, qtbot)["cube marks 2"][1], expected), timeout=30_000)
    # finer labels, over the same place
    viewer.layers.remove(labels)
    fine = np.zeros((16, 16), np.uint8)
    fine[4:8, 4:8] = 5
    layer = viewer.add_labels(fine, name="fine")
    layer.scale, layer.translate = (0.5, 0.5), (-0.25, -0.25)
    curves = averaged(spectra, qtbot)
    assert np.allclose(curves["cube fine 5"][1], values[:, 2:4, 2:4].mean(axis=(1, 2)))


def test_a_slow_region_can_be_stopped(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from napari_specfusion.progress import Progress
    from napari_specfusion.widgets import _regions

    def slow(*_: Any, progress: Any, should_stop: Any) -> Any:
        while not should_stop():
            progress(Progress(3, 9, "Averaging regions"))
            time.sleep(0.01)
        raise Cancelled("Stopped.")

    monkeypatch.setattr(_regions, "region_spectra", slow)
    spectra = dock("Spectra")
    spectra.regions.draw()
    pair_in.layers["Regions"].add_rectangles([[[10, 10], [10, 30], [20, 30], [20, 10]]])
    qtbot.waitUntil(lambda: spectra.status.text() == "Averaging regions, part 4 of 9")
    assert spectra.stop_button.isVisible()
    qtbot.mouseClick(spectra.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not spectra._jobs)
    assert not spectra.stop_button.isVisible() and spectra.status.text().startswith("Stopped.")
    # it is not begun again before something changes
    spectra.refresh()
    qtbot.waitUntil(lambda: not spectra._rest.isActive())
    assert not spectra.means.running
    pair_in.layers["Regions"].add_rectangles([[[30, 10], [30, 30], [40, 30], [40, 10]]])
    qtbot.waitUntil(lambda: spectra.means.running)
    (job,) = spectra._jobs
    with qtbot.waitSignal(job.ended):
        pair_in.window.remove_dock_widget(spectra)


@pytest.mark.parametrize("name", list(VIEWS))
def test_views_show_what_a_script_computes(
    name: str, pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    spectra = dock("Spectra")
    spectra.pins.add((20.0, 30.0))
    spectra.views.view_combo.setCurrentIndex(list(VIEWS).index(name))
    measured = package.Spectrum.of_pixel(Cube.from_layer(pair_in.layers["reference"]), 20, 30)
    expected = {
        "measured": measured,
        "continuum": package.remove_continuum(measured),
        "derivative": package.derivative(measured, 9),
        "smooth": package.smooth(measured, 9),
        "baseline": package.remove_baseline(measured, 1e5),
    }.get(name) or package.normalise(measured, name)
    assert np.allclose(drawn(spectra, qtbot)["reference pin 1"][1], expected.values)
    spectra.export(tmp_path / "a.csv")
    found = {s.name: s for s in package.read_library(tmp_path / "a.csv")}
    assert np.allclose(found["reference pin 1"].values, expected.values)


def test_a_window_is_odd(dock: Callable[[str], Any]) -> None:
    spectra = dock("Spectra")
    field = spectra.views.fields["window"]
    field.setValue(6)
    assert field.value() == 7 and field.isHidden()
    spectra.views.view_combo.setCurrentIndex(list(VIEWS).index("smooth"))
    assert not field.isHidden() and spectra.views.fields["stiffness"].isHidden()


def test_a_cube_is_taken_off_the_others(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    draw = np.random.default_rng(0)
    fine = draw.random((5, 8, 8)).astype(np.float32)
    coarse = draw.random((4, 4, 4)).astype(np.float32)
    show_in(viewer, Cube.from_array(fine, wavelengths=[400, 450, 500, 550, 600], name="fine"))
    spectra = dock("Spectra")
    assert spectra.views.minus_combo.isHidden()
    layer = show_in(viewer, Cube.from_array(coarse, wavelengths=[400, 500, 600, 700], name="coarse"))
    layer.scale, layer.translate = (1, 2, 2), (0, 0.5, 0.5)
    spectra.pins.add((4.0, 5.0))
    drawn(spectra, qtbot)
    assert not spectra.views.minus_combo.isHidden()
    spectra.views.minus_combo.setCurrentIndex(spectra.views.minus_combo.findData("coarse"))
    curves = drawn(spectra, qtbot)
    taken = np.interp([400, 450, 500, 550, 600], [400, 500, 600, 700], coarse[:, 2, 2])
    assert set(curves) == {"fine pin 1"} and np.allclose(curves["fine pin 1"][1], fine[:, 4, 5] - taken, atol=1e-6)
    viewer.layers.remove(layer)
    drawn(spectra, qtbot)
    assert spectra.views.minus is None and set(spectra.plot.curve_data()) == {"fine pin 1"}


@pytest.mark.parametrize("ending", ["csv", "sli"])
def test_what_was_exported_is_a_library(
    ending: str, pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    spectra = dock("Spectra")
    pair_in.layers["low-res cube"].visible = False
    spectra.regions.draw()
    pair_in.layers["Regions"].add_rectangles([[[10, 10], [10, 30], [20, 30], [20, 10]]])
    averaged(spectra, qtbot)
    spectra.export(tmp_path / f"a.{ending}")
    assert spectra.status.text() == f"Saved as a.{ending}."
    spectra.library_box.load(tmp_path / f"a.{ending}")
    qtbot.waitUntil(lambda: spectra.library_box.tree.topLevelItemCount() == 1)
    (found,) = spectra.library_box.library
    (curve,) = spectra.curves()
    assert np.allclose(found.values, curve.spectrum.values) and np.allclose(found.spread, curve.spectrum.spread)


def test_the_plot_is_exported_as_a_picture(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    from PIL import Image

    spectra = dock("Spectra")
    spectra.pins.add((20.0, 30.0))
    drawn(spectra, qtbot)
    for ending in ("png", "svg", "gif"):
        spectra.export(tmp_path / f"a.{ending}")
        assert spectra.status.failed == (ending == "gif")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 2 * spectra.plot.width() and len(picture.convert("RGB").getcolors(1 << 24)) > 20
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert text.startswith("<?xml") and "Wavelength" in text
