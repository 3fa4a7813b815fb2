from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_specfusion.alignment import Alignment
from napari_specfusion.errors import Cancelled
from napari_specfusion.progress import Progress
from napari_specfusion.widgets._layers import plane_matrix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

TIMEOUT = 60_000
PLACES = np.array([[5.0, 6.0], [40.0, 8.0], [10.0, 41.0], [38.0, 39.0]])


def read(qtbot: Any, panel: Any) -> None:
    qtbot.waitUntil(lambda: panel.residual is not None and not panel.live.busy, timeout=TIMEOUT)


def idle(qtbot: Any, panel: Any) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=TIMEOUT)


def click(panel: Any, matrix: Any, places: Any) -> None:
    """Click pairs in turns, as the user does."""
    for place in places:
        panel.points.low.add(place)
        panel.points.guide.add((matrix @ (*place, 1))[:2])


def test_point_pairs_give_the_matrix_and_the_residual_falls(
    turned_in: Any, true_matrix: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    panel = dock("Align by hand")
    read(qtbot, panel)
    before = panel.residual
    panel.form.pick_button.setChecked(True)
    low, guide = turned_in.layers["cube"], turned_in.layers["guide"]
    assert low.visible and not guide.visible
    assert turned_in.layers.selection.active == panel.points.low and panel.points.low.mode == "add"
    panel.points.low.add(PLACES[0])
    assert turned_in.layers.selection.active == panel.points.guide and panel.points.guide.mode == "add"
    assert guide.visible and not low.visible and "guide" in panel.form.turn_label.text()
    panel.form.undo_button.click()
    assert panel.points.counts == (0, 0)
    click(panel, true_matrix, PLACES[:3])
    assert np.allclose(panel.matrix, true_matrix, atol=1e-6)
    click(panel, true_matrix, PLACES[3:])
    assert np.allclose(panel.matrix, true_matrix, atol=1e-6)
    assert list(panel.points.low.features["number"]) == [1, 2, 3, 4]
    assert len({tuple(colour) for colour in panel.points.guide.face_color}) == 4
    read(qtbot, panel)
    qtbot.waitUntil(lambda: panel.residual < before / 2, timeout=TIMEOUT)
    # the cube and its points lie over the guide
    assert np.allclose(plane_matrix(low), true_matrix, atol=1e-6)
    assert np.allclose(plane_matrix(panel.points.low), plane_matrix(low))
    panel.form.pick_button.setChecked(False)
    assert low.visible and guide.visible and panel.points.low.mode == "pan_zoom"


def test_points_on_a_line_are_told_in_the_panel(turned_in: Any, dock: Callable[[str], Any], true_matrix: Any) -> None:
    panel = dock("Align by hand")
    before = panel.matrix
    panel.form.pick_button.setChecked(True)
    click(panel, true_matrix, [(1.0, 1.0), (20.0, 20.0), (40.0, 40.0)])
    assert panel.form.status.failed and "on a line" in panel.form.status.text() and panel.matrix is before


def test_keys_nudge_the_cube_while_the_panel_is_there(turned_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    before = dict(turned_in.keymap)
    panel = dock("Align by hand")
    start = panel.matrix
    canvas = turned_in.__wrapped__.window._qt_viewer.canvas.native

    def press(key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        qtbot.keyClick(canvas, key, modifier)

    band = turned_in.dims.current_step[0]
    press(Qt.Key.Key_Right)
    assert np.allclose(panel.matrix[:2, 2] - start[:2, 2], (0, 1))
    press(Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    assert np.allclose(panel.matrix[:2, 2] - start[:2, 2], (-10, 1))
    press(Qt.Key.Key_BracketRight)
    assert not np.allclose(panel.matrix[:2, :2], start[:2, :2])
    assert np.allclose(plane_matrix(turned_in.layers["cube"]), panel.matrix)
    panel.form.before_box.setChecked(True)
    assert np.allclose(plane_matrix(turned_in.layers["cube"]), start)
    # the arrows did not go through the bands
    assert turned_in.dims.current_step[0] == band
    panel.form.reset_button.click()
    panel.form.keys_box.setChecked(False)
    press(Qt.Key.Key_Right)
    assert panel.matrix is start and turned_in.dims.current_step[0] == band + 1
    panel.form.keys_box.setChecked(True)
    turned_in.window.remove_dock_widget(panel)
    assert dict(turned_in.keymap) == before


def test_ways_to_look(turned_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    panel = dock("Align by hand")
    read(qtbot, panel)
    low = turned_in.layers["cube"]
    assert low.visible and low.opacity == 0.6
    panel.form.opacity_slider.setValue(30)
    assert low.opacity == 0.3
    panel.set_mode("checkerboard")
    board = turned_in.layers["checkerboard"]
    earlier = np.array(board.data)
    panel.move_to(panel.matrix @ np.diag([0.5, 0.5, 1.0]))
    assert not np.array_equal(earlier, board.data)
    assert panel.form.guide_combo.findText("checkerboard") < 0
    panel.set_mode("blink")
    assert "checkerboard" not in turned_in.layers
    seen = low.visible
    qtbot.waitUntil(lambda: low.visible != seen, timeout=TIMEOUT)
    panel.set_mode("overlay")
    assert low.visible and not panel.views.timer.isActive()


def test_refined_saved_loaded_and_used(
    turned_in: Any, true_matrix: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    panel = dock("Align by hand")
    read(qtbot, panel)
    rough = true_matrix.copy()
    rough[:2, 2] += 2.0
    panel.move_to(rough)
    read(qtbot, panel)
    panel.form.refine_button.click()
    idle(qtbot, panel)
    assert panel.alignment is not None and panel.alignment.trusted
    corners = np.array([[0, 0, 1], [47, 0, 1], [0, 47, 1], [47, 47, 1]]).T
    assert np.abs((panel.matrix @ corners - true_matrix @ corners)[:2]).max() < 0.5
    words = [label.text() for label in panel.form.findings.findChildren(QLabel)]
    assert any("\u2192" in text for text in words) and panel.form.findings.headline == "The two images belong together."
    panel.save(tmp_path / "a.json")
    assert np.allclose(Alignment.load(tmp_path / "a.json").matrix, panel.matrix)
    refined = panel.matrix
    panel.reset()
    assert panel.alignment is None
    panel.load(tmp_path / "a.json")
    assert np.allclose(panel.matrix, refined) and panel.alignment is not None
    panel.load(tmp_path / "b.json")
    assert "does not exist" in panel.form.status.text()
    given = panel.alignment
    panel.form.use_button.click()
    name = next(name for name in turned_in.window.dock_widgets if name.startswith("Fuse"))
    fuse = turned_in.__wrapped__.window.dock_widgets[name]
    assert np.array_equal(fuse.align_choice.how.matrix, given.matrix)
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)
    assert np.array_equal(fuse.preflight.alignment.matrix, given.matrix) and fuse.preflight.verdict[0] == "good"
    # another pair is not aligned by hand
    turned_in.layers.remove("guide")
    assert fuse.align_choice.how == "auto"


def test_what_was_laid_by_hand_is_judged_but_not_changed(
    turned_in: Any, true_matrix: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    panel = dock("Align by hand")
    read(qtbot, panel)
    panel.move_to(true_matrix)
    panel.save(tmp_path / "a.json")
    idle(qtbot, panel)
    assert panel.form.status.text() == "Saved as a.json."
    assert np.allclose(Alignment.load(tmp_path / "a.json").matrix, true_matrix) and panel.alignment.trusted


def test_nothing_is_left_behind(turned_in: Any, true_matrix: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    layers, keymap = list(turned_in.layers), dict(turned_in.keymap)
    panel = dock("Align by hand")
    read(qtbot, panel)
    panel.form.pick_button.setChecked(True)
    click(panel, true_matrix, PLACES)
    panel.set_mode("checkerboard")
    assert "checkerboard" in turned_in.layers
    panel.set_mode("blink")
    timer = panel.views.timer
    turned_in.window.remove_dock_widget(panel)
    assert not timer.isActive() and dict(turned_in.keymap) == keymap
    assert list(turned_in.layers) == layers
    assert all(layer.visible and layer.opacity == 1 for layer in layers)
    # what the viewer does later must not reach the closed panel
    turned_in.layers.clear()
    qtbot.wait(50)


def test_a_search_is_stopped(
    turned_in: Any, dock: Callable[[str], Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def searches(*_: Any, progress: Any, should_stop: Any, **__: Any) -> None:
        while not should_stop():
            progress(Progress(0, 1, "Searching"))
            time.sleep(0.01)
        raise Cancelled("stopped")

    monkeypatch.setattr("napari_specfusion.widgets._align.align", searches)
    panel = dock("Align by hand")
    qtbot.waitUntil(lambda: not panel.live.busy and panel.residual is not None, timeout=TIMEOUT)
    before = panel.matrix
    panel.refine()
    qtbot.waitUntil(lambda: panel.form.status.text() == "Searching ...", timeout=TIMEOUT)
    assert panel.at_stake() == "Refining the alignment"
    panel.form.cancel_button.click()
    qtbot.waitUntil(lambda: panel._job is None, timeout=TIMEOUT)
    assert panel.form.status.text() == "Stopped." and panel.matrix is before
    assert not panel.form.cancel_button.isVisible() and panel.at_stake() == ""
