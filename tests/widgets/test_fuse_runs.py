"""Runs in a queue, in a real window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QThreadPool

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import FusionError
from napari_specfusion.fusion.destination import state_of
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.widgets._origins import recipe_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TIMEOUT = 60_000


class Held:
    """A method that waits until it is let on, or is stopped; one that is told so fails."""

    title, mixed_precision = "Held", False

    def __init__(self, name: str, on: threading.Event, broken: set[str], begun: list[str]) -> None:
        self.name, self.on, self.broken, self.begun = name, on, broken, begun

    def prepare(self, calibrated: Any, **keywords: Any) -> Any:
        self.begun.append(self.name)
        while not self.on.wait(0.02):
            calibrated.watch.check()
        if self.name in self.broken:
            raise FusionError("It broke.")
        return METHODS["bicubic"].prepare(calibrated, **keywords)


class Hold:
    """What the test does with them."""

    def __init__(self) -> None:
        self.on, self.broken = threading.Event(), set[str]()
        self.begun: list[str] = []


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Hold:
    found = Hold()

    def as_held(model: Any) -> Held:
        return model if isinstance(model, Held) else Held(str(model), found.on, found.broken, found.begun)

    monkeypatch.setattr("napari_specfusion.fusion.resolve.as_method", as_held)
    return found


@pytest.fixture
def fuse(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> Any:
    panel = dock("Fuse")
    ready(qtbot, panel)
    return panel


def ready(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)


def finished(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse._run is None, timeout=TIMEOUT)


def run(qtbot: Any, fuse: Any, *methods: str) -> None:
    for method in methods:
        fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(method))
        assert fuse.run_button.isEnabled()
        qtbot.mouseClick(fuse.run_button, Qt.MouseButton.LeftButton)


def states(fuse: Any) -> list[str]:
    return [one.state for one in fuse.queue.runs]


def test_runs_follow_each_other_and_are_listed(pair_in: Any, fuse: Any, qtbot: Any, hold: Hold) -> None:
    assert fuse.run_button.text() == "Run"
    run(qtbot, fuse, "glp")
    assert fuse.run_button.text() == "Add to queue" and not fuse.queue_box.isVisible()
    run(qtbot, fuse, "gsa", "detail")
    assert fuse.queue_box.isVisible() and states(fuse) == ["running", "waiting", "waiting"]
    assert fuse.queue_box.lines[1] == "low-res cube with guide\ngsa \u00b7 waiting"
    assert [button.isEnabled() for button in fuse.queue_box.buttons] == [False, True, True]
    qtbot.mouseClick(fuse.queue_box.buttons[1], Qt.MouseButton.LeftButton)
    assert states(fuse) == ["running", "waiting"]
    hold.on.set()
    finished(qtbot, fuse)
    assert hold.begun == ["glp", "detail"] and states(fuse) == ["done", "done"]
    assert {"fused glp", "fused detail"} <= {layer.name for layer in pair_in.layers}
    assert fuse.run_button.text() == "Run" and not fuse.progress.isVisible()


def test_a_queued_run_keeps_its_settings(pair_in: Any, fuse: Any, qtbot: Any, hold: Hold, tmp_path: Path) -> None:
    run(qtbot, fuse, "glp")
    fuse.out_edit.set_path(tmp_path / "late.zarr")
    fuse.tile_combo.setCurrentIndex(fuse.tile_combo.findData(256))
    run(qtbot, fuse, "gsa")
    fuse.out_edit.line.clear()
    fuse.tile_combo.setCurrentIndex(0)
    fuse.cube_combo.setCurrentText("reference")
    hold.on.set()
    finished(qtbot, fuse)
    assert state_of(tmp_path / "late.zarr") == "finished"
    recipe = recipe_of(pair_in.layers["fused gsa"])
    assert recipe is not None and (recipe.tile, recipe.out) == (256, tmp_path / "late.zarr")
    assert recipe.cube_name == "low-res cube" and Cube.from_layer(pair_in.layers["fused gsa"]).shape == (31, 96, 96)


def test_another_pair_can_be_queued_while_one_runs(pair_in: Any, fuse: Any, qtbot: Any, hold: Hold) -> None:
    run(qtbot, fuse, "glp")
    pair_in.add_image(pair_in.layers["guide"].data[..., :3] * np.float32(0.9), rgb=True, name="darker")
    fuse.guide_combo.setCurrentText("darker")
    # it is queued as soon as it is known
    run(qtbot, fuse, "glp")
    assert not fuse.run_button.isEnabled()
    qtbot.waitUntil(lambda: len(fuse.queue.runs) == 2, timeout=TIMEOUT)
    assert fuse.queue.runs[1].pair == "low-res cube with darker"
    hold.on.set()
    finished(qtbot, fuse)
    assert states(fuse) == ["done", "done"]


def test_an_error_stays_in_the_list_and_the_next_run_begins(pair_in: Any, fuse: Any, qtbot: Any, hold: Hold) -> None:
    hold.broken.add("glp")
    run(qtbot, fuse, "glp", "gsa")
    hold.on.set()
    finished(qtbot, fuse)
    assert states(fuse) == ["failed", "done"]
    assert "It broke." in fuse.queue_box.lines[0]
    names = {layer.name for layer in pair_in.layers}
    assert "fused gsa" in names and "fused glp" not in names
    qtbot.mouseClick(fuse.queue_box.buttons[0], Qt.MouseButton.LeftButton)
    assert states(fuse) == ["done"]


def test_cancel_stops_only_the_run_that_goes_on(pair_in: Any, fuse: Any, qtbot: Any, hold: Hold) -> None:
    run(qtbot, fuse, "glp", "gsa")
    qtbot.waitUntil(lambda: hold.begun == ["glp"], timeout=TIMEOUT)
    qtbot.mouseClick(fuse.cancel_button, Qt.MouseButton.LeftButton)
    assert not fuse.cancel_button.isEnabled()
    qtbot.waitUntil(lambda: hold.begun == ["glp", "gsa"], timeout=TIMEOUT)
    assert states(fuse) == ["stopped", "running"] and fuse.cancel_button.isEnabled()
    hold.on.set()
    finished(qtbot, fuse)
    assert states(fuse) == ["stopped", "done"]


def test_a_second_click_and_a_taken_folder_are_told(fuse: Any, qtbot: Any, hold: Hold, tmp_path: Path) -> None:
    fuse.ask_about_result = lambda *_: pytest.fail("asked")
    fuse.out_edit.set_path(tmp_path / "one.zarr")
    run(qtbot, fuse, "glp")
    fuse.start()
    run(qtbot, fuse, "gsa")
    assert states(fuse)[0] == "running" and "another folder" in fuse.queue_box.lines[-1]
    fuse.out_edit.line.clear()
    run(qtbot, fuse, "gsa", "gsa")
    assert states(fuse).count("waiting") == 1 and "already" in fuse.status.text()
    hold.on.set()
    finished(qtbot, fuse)


def test_a_run_whose_layer_is_gone_says_so(pair_in: Any, fuse: Any, qtbot: Any, hold: Hold) -> None:
    run(qtbot, fuse, "glp", "gsa")
    pair_in.layers.remove("guide")
    assert states(fuse) == ["running", "failed"] and "guide was removed" in fuse.queue_box.lines[1]
    hold.on.set()
    finished(qtbot, fuse)
    assert hold.begun == ["glp"]


# --- closing -------------------------------------------------------------------------


def dock_of(widget: Any) -> Any:
    while not hasattr(widget, "destroyOnClose"):
        widget = widget.parent()
    return widget


def nothing_runs(qtbot: Any) -> None:
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=TIMEOUT)


def test_closing_the_panel_asks_once_about_all(fuse: Any, qtbot: Any, hold: Hold) -> None:
    run(qtbot, fuse, "glp", "gsa", "detail")
    asked: list[str] = []
    fuse.ask_to_stop = lambda parent, stake: asked.append(stake) or len(asked) > 1
    close = dock_of(fuse).title.close_button
    qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    assert asked == ["Fusing low-res cube with guide (and 2 more in the queue)"] and fuse.isVisible()
    with qtbot.waitSignal(fuse._run.ended, timeout=TIMEOUT):
        qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    nothing_runs(qtbot)
    qtbot.wait(50)
    assert len(asked) == 2 and hold.begun == ["glp"]


def test_closing_the_window_begins_no_further_run(pair_in: Any, fuse: Any, qtbot: Any, hold: Hold) -> None:
    run(qtbot, fuse, "glp", "gsa")
    qtbot.waitUntil(lambda: hold.begun == ["glp"], timeout=TIMEOUT)
    with qtbot.waitSignal(fuse._run.ended, timeout=TIMEOUT):
        pair_in.close()
    qtbot.wait(50)
    nothing_runs(qtbot)
    assert hold.begun == ["glp"]
