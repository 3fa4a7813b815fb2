"""The preview, in the Fuse panel and in its window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_specfusion.data.cube import Cube
from napari_specfusion.fusion.engine import fuse as fuse_pair
from napari_specfusion.fusion.previewing import Preview
from napari_specfusion.fusion.previewing import preview as real_preview
from napari_specfusion.widgets import _preview_box
from napari_specfusion.widgets._layers import is_image, plane_matrix
from napari_specfusion.widgets._preview_layers import camera_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT = 60_000
METHODS = ["bicubic", "gsa", "subspace"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let the panel try three quick methods; return what it asked for."""
    calls: list[Any] = []

    def quick(scene: Any, **keywords: Any) -> Any:
        calls.append((scene, keywords))
        return real_preview(scene, **keywords, methods=METHODS)

    monkeypatch.setattr(_preview_box, "preview", quick)
    monkeypatch.setattr(_preview_box, "SIDE", 32)
    monkeypatch.setattr(_preview_box, "COARSE_SIDE", 1)
    return calls


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let a preview give one tile and then wait until it is stopped or let on."""
    gate = threading.Event()

    def waiting(scene: Any, found: Any, should_stop: Any, progress: Any, **keywords: Any) -> Any:
        tiles = real_preview(scene, **keywords, methods=["gsa"], trial=False, found=found)
        while not gate.wait(0.01) and not should_stop():
            pass
        return tiles

    monkeypatch.setattr(_preview_box, "preview", waiting)
    monkeypatch.setattr(_preview_box, "SIDE", 32)
    monkeypatch.setattr(_preview_box, "COARSE_SIDE", 1)
    yield gate
    gate.set()


@pytest.fixture
def fuse(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> Any:
    pair_in.layers.remove("reference")
    panel = dock("Fuse")
    qtbot.waitUntil(lambda: panel.preflight.done and panel._inspection is None, timeout=TIMEOUT)
    return panel


def previewed(qtbot: Any, fuse: Any, count: int = 3) -> None:
    qtbot.waitUntil(lambda: not fuse.preview_box.busy and len(fuse.preview_box.tiles) == count, timeout=TIMEOUT)


def press(qtbot: Any, fuse: Any) -> None:
    qtbot.mouseClick(fuse.preview_box.button, Qt.MouseButton.LeftButton)


def shown(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.name.startswith("preview") and layer.visible]


def tiles(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.name.startswith("preview")]


@pytest.mark.usefixtures("asked")
def test_tiles_lie_where_the_whole_result_would(pair_in: Any, fuse: Any, qtbot: Any) -> None:
    pair_in.layers["guide"].translate = (7.0, -3.0)
    pair_in.layers["guide"].scale = (2.0, 2.0)
    camera_of(pair_in).center = (0.0, 7.0 + 2 * 60, -3.0 + 2 * 30)
    press(qtbot, fuse)
    previewed(qtbot, fuse)
    assert tiles(pair_in) == [f"preview: {name}" for name in METHODS]
    layer, tile = pair_in.layers["preview: subspace"], fuse.preview_box.tiles[2]
    assert (tile.rows, tile.columns) == ((44, 76), (16, 48))
    expected = plane_matrix(pair_in.layers["guide"]) @ [44.0, 16.0, 1.0]
    assert np.allclose(plane_matrix(layer) @ [0.0, 0.0, 1.0], expected)
    whole = fuse_pair(fuse.preflight.calibrated, model="subspace").read(slice(44, 76), slice(16, 48))
    assert np.allclose(Cube.from_layer(layer).read(), whole, atol=1e-5)
    # no image to fuse or to judge
    assert not is_image(layer) and fuse.cube_combo.count() == 1


@pytest.mark.usefixtures("asked")
def test_a_line_shows_its_tile_alone_and_chooses_its_method(pair_in: Any, fuse: Any, qtbot: Any) -> None:
    press(qtbot, fuse)
    previewed(qtbot, fuse)
    assert shown(pair_in) == ["preview: subspace"] and fuse.method_combo.currentData() == "auto"
    table = fuse.preview_box.table
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualItemRect(table.item(1, 0)).center())
    assert shown(pair_in) == ["preview: gsa"] and fuse.method_combo.currentData() == "gsa"
    assert pair_in.layers.selection.active is None or not tiles(pair_in).count(pair_in.layers.selection.active.name)


@pytest.mark.usefixtures("asked")
def test_side_by_side_shows_all_in_a_grid_and_gives_back(pair_in: Any, fuse: Any, qtbot: Any) -> None:
    press(qtbot, fuse)
    previewed(qtbot, fuse)
    fuse.preview_box.table.selectRow(0)
    before = camera_of(pair_in).zoom, tuple(camera_of(pair_in).center), shown(pair_in)
    fuse.preview_box.beside_check.setChecked(True)
    assert pair_in.canvas.grid.enabled and len(shown(pair_in)) == 3 and not pair_in.layers["guide"].visible
    fuse.preview_box.table.selectRow(1)
    assert len(shown(pair_in)) == 3
    fuse.preview_box.beside_check.setChecked(False)
    assert not pair_in.canvas.grid.enabled and pair_in.layers["guide"].visible
    assert (camera_of(pair_in).zoom, tuple(camera_of(pair_in).center)) == before[:2]
    assert shown(pair_in) == ["preview: gsa"]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("by", ["button", "run", "pair", "panel", "hand"])
def test_tiles_go(pair_in: Any, fuse: Any, qtbot: Any, by: str) -> None:
    press(qtbot, fuse)
    previewed(qtbot, fuse)
    fuse.preview_box.beside_check.setChecked(True)
    if by == "button":
        qtbot.mouseClick(fuse.preview_box.close_button, Qt.MouseButton.LeftButton)
    elif by == "run":
        fuse.method_combo.setCurrentIndex(fuse.method_combo.findData("gsa"))
        fuse.start()
        qtbot.waitUntil(lambda: fuse._run is None, timeout=TIMEOUT)
        assert "fused gsa" in pair_in.layers
    elif by == "pair":
        fuse.ratio_spin.setValue(4)
        qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)
    elif by == "panel":
        found = fuse
        while not hasattr(found, "title"):
            found = found.parent()
        qtbot.mouseClick(found.title.close_button, Qt.MouseButton.LeftButton)
    else:
        for name in tiles(pair_in):
            pair_in.layers.remove(name)
        fuse.preview_box.table.selectRow(1)
        fuse.preview_box.close_preview()
    assert not tiles(pair_in) and not pair_in.canvas.grid.enabled
    assert pair_in.layers["guide"].visible and pair_in.layers["low-res cube"].visible
    if by != "panel":
        assert fuse.preview_box.table.isHidden() and fuse.preview_box.table.rowCount() == 0


def test_stop_keeps_what_is_there(pair_in: Any, fuse: Any, qtbot: Any, gate: Any) -> None:
    press(qtbot, fuse)
    qtbot.waitUntil(lambda: tiles(pair_in) == ["preview: gsa"], timeout=TIMEOUT)
    assert fuse.preview_box.button.text() == "Stop"
    press(qtbot, fuse)
    qtbot.waitUntil(lambda: not fuse.preview_box.busy, timeout=TIMEOUT)
    assert tiles(pair_in) == ["preview: gsa"] and fuse.preview_box.button.text() == "Preview"
    assert fuse.preview_box.status.text() == "Stopped after 1 method."


def test_the_newest_place_wins(pair_in: Any, fuse: Any, qtbot: Any, gate: Any) -> None:
    press(qtbot, fuse)
    qtbot.waitUntil(lambda: bool(tiles(pair_in)), timeout=TIMEOUT)
    fuse.preview((0.0, 10.0, 10.0))
    fuse.preview((0.0, 90.0, 90.0))
    assert not tiles(pair_in)
    gate.set()
    previewed(qtbot, fuse, 1)
    assert fuse.preview_box.tiles[0].rows == (64, 96) and tiles(pair_in) == ["preview: gsa"]


def test_a_run_waits_for_the_preview_to_stop(pair_in: Any, fuse: Any, qtbot: Any, gate: Any) -> None:
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData("gsa"))
    press(qtbot, fuse)
    qtbot.waitUntil(lambda: bool(tiles(pair_in)), timeout=TIMEOUT)
    fuse.start()
    assert not tiles(pair_in) and fuse._run is not None
    qtbot.waitUntil(lambda: fuse._run is None, timeout=TIMEOUT)
    assert "fused gsa" in pair_in.layers and not fuse.preview_box.busy


@pytest.mark.usefixtures("gate")
def test_closing_the_panel_stops_it(pair_in: Any, fuse: Any, qtbot: Any) -> None:
    press(qtbot, fuse)
    qtbot.waitUntil(lambda: bool(tiles(pair_in)), timeout=TIMEOUT)
    job, found = fuse.preview_box._job, fuse
    while not hasattr(found, "title"):
        found = found.parent()
    with qtbot.waitSignal(job.ended, timeout=TIMEOUT):
        qtbot.mouseClick(found.title.close_button, Qt.MouseButton.LeftButton)
    assert not tiles(pair_in) and len(pair_in.layers) == 2


def test_a_click_with_control_takes_that_place(pair_in: Any, fuse: Any, qtbot: Any, asked: list[Any]) -> None:
    class Event:
        type, modifiers, position = "mouse_press", ("Shift",), (3.0, 20.0, 70.0)

    for callback in list(pair_in.mouse_drag_callbacks):
        if getattr(callback, "__self__", None) is fuse:
            callback(pair_in, Event)
            assert not asked
            Event.modifiers = ("Control",)
            callback(pair_in, Event)
    previewed(qtbot, fuse)
    assert asked[0][1]["at"] == (20.0, 70.0) and fuse.preview_box.tiles[0].rows == (4, 36)


def test_a_method_that_fails_says_why(pair_in: Any, fuse: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Preview("lso-cave", None, (0, 32), (0, 32), error="a bolt is loose")
    monkeypatch.setattr(_preview_box, "preview", lambda scene, found, **keywords: (found(broken),))
    press(qtbot, fuse)
    previewed(qtbot, fuse, 1)
    fuse.preview_box.table.selectRow(0)
    assert fuse.preview_box.status.failed and "a bolt is loose" in fuse.preview_box.status.text()
    assert not tiles(pair_in) and not fuse.preview_box.beside_check.isEnabled()


@pytest.mark.usefixtures("asked")
def test_the_contrast_follows_the_cube(pair_in: Any, fuse: Any, qtbot: Any) -> None:
    press(qtbot, fuse)
    previewed(qtbot, fuse)
    pair_in.layers["low-res cube"].contrast_limits = (0.1, 0.2)
    assert tuple(pair_in.layers["preview: gsa"].contrast_limits) == (0.1, 0.2)


def test_there_is_nothing_to_preview_without_a_calibrated_pair(viewer: Any, dock: Callable[[str], Any]) -> None:
    panel = dock("Fuse")
    assert not panel.preview_box.button.isEnabled() and panel.preview_box.table.isHidden()
    panel.preview()
    assert not panel.preview_box.busy
