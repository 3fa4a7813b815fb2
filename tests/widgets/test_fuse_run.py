"""What Run asks before it runs, what it waits for, and what ends it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QThreadPool

from napari_specfusion.calibration.calibrated import Match
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.fusion.destination import state_of
from napari_specfusion.fusion.engine import fuse as fuse_pair
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets._console import show_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

TIMEOUT = 60_000


class Gate:
    """Holds up a function of another thread until it is let on, or the run is stopped."""

    def __init__(self, real: Any) -> None:
        self.real, self.calls = real, 0
        self.reached, self.on = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        self.reached.set()
        watch = next((a for a in (*arguments, *keywords.values()) if hasattr(a, "should_stop")), None)
        while not self.on.wait(0.02):
            if watch is not None:
                watch.check()
        return self.real(*arguments, **keywords)


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Hold up the search of the PSF, which is the long step of a calibration."""
    gate = Gate(Match.of)
    monkeypatch.setattr(Match, "of", gate)
    return gate


def ready(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)


def pick(fuse: Any, method: str) -> None:
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(method))


def finished(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse._run is None, timeout=TIMEOUT)


def press(qtbot: Any, button: Any) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_run_waits_for_the_calibration_that_is_under_way(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, calibration: Gate
) -> None:
    fuse = dock("Fuse")
    pick(fuse, "subspace")
    qtbot.waitUntil(calibration.reached.is_set, timeout=TIMEOUT)
    press(qtbot, fuse.run_button)
    assert fuse._run is None and not fuse.run_button.isEnabled() and "calibrated" in fuse.status.text()
    calibration.on.set()
    qtbot.waitUntil(lambda: "fused subspace" in pair_in.layers and fuse._run is None, timeout=TIMEOUT)
    assert calibration.calls == 1
    assert fuse.status.text().startswith("Done") and fuse.run_button.isEnabled()


def test_cancel_stops_the_calibration_and_run_begins_it_again(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, calibration: Gate
) -> None:
    fuse = dock("Fuse")
    pick(fuse, "bicubic")
    qtbot.waitUntil(calibration.reached.is_set, timeout=TIMEOUT)
    press(qtbot, fuse.run_button)
    press(qtbot, fuse.cancel_button)
    assert "stopped" in fuse.findings.headline and not fuse.cancel_button.isEnabled()
    qtbot.waitUntil(lambda: not fuse._jobs, timeout=TIMEOUT)
    assert fuse._run is None and not any(layer.name.startswith("fused") for layer in pair_in.layers)
    calibration.on.set()
    press(qtbot, fuse.run_button)
    qtbot.waitUntil(lambda: "fused bicubic" in pair_in.layers and fuse._run is None, timeout=TIMEOUT)


def test_what_waits_to_run_is_forgotten_when_another_pair_is_chosen(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, calibration: Gate
) -> None:
    fuse = dock("Fuse")
    qtbot.waitUntil(calibration.reached.is_set, timeout=TIMEOUT)
    press(qtbot, fuse.run_button)
    calibration.on.set()
    fuse.cube_combo.setCurrentText("reference")
    ready(qtbot, fuse)
    assert fuse._run is None and fuse.status.text() == ""


@pytest.mark.parametrize(
    ("method", "phase"), [("subspace", "Preparing"), ("auto", "Trying"), ("fit", "Fitting"), ("detail", "")]
)
def test_cancel_stops_every_phase(viewer: Any, dock: Callable[[str], Any], qtbot: Any, method: str, phase: str) -> None:
    # a smaller pair is too small to fit a network
    scene = sample_scene(192 if method == "fit" else 96, 4)
    show_in(viewer, scene.guide)
    show_in(viewer, scene.hsi)
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, method)
    press(qtbot, fuse.run_button)
    run, stopped = fuse._run, []

    def look(_: Any = None) -> None:
        if phase in fuse.status.text() and not stopped:
            stopped.append(fuse.status.text())
            fuse.cancel()

    run.reported.connect(look)
    look()
    with qtbot.waitSignal(run.ended, timeout=TIMEOUT):
        pass
    assert stopped, fuse.status.text()
    assert fuse.status.text() == "Stopped." and fuse.run_button.isEnabled()
    assert not any(layer.name.startswith("fused") for layer in viewer.layers)
    nothing_runs(qtbot)


# --- results that are there ----------------------------------------------------------


def begun(scene: Scene, path: Path, *, tiles: int | None) -> None:
    """Write a result, or the first tiles of one."""
    done: list[Any] = []
    stop = {} if tiles is None else {"should_stop": lambda: len(done) >= tiles}
    try:
        fuse_pair(
            scene.replace(reference=None), model="bicubic", out=path, tile=32,
            progress=lambda event: done.append(event.box) if event.box else None, **stop,
        )  # fmt: skip
    except Exception as error:
        assert "stopped" in str(error)


@pytest.mark.parametrize("answer", ["open", "continue", "overwrite", "cancel"])
@pytest.mark.parametrize("tiles", [None, 2])
def test_a_result_that_is_there_is_asked_about(
    pair_in: Any, scene: Scene, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path, tiles: int | None, answer: str
) -> None:
    path = tmp_path / "fused.zarr"
    begun(scene, path, tiles=tiles)
    state = "finished" if tiles is None else "unfinished"
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "glp" if answer == "overwrite" else "bicubic")
    fuse.out_edit.set_path(path)
    asked = []
    fuse.ask_about_result = lambda parent, *about: asked.append(about) or answer
    press(qtbot, fuse.run_button)
    finished(qtbot, fuse)
    assert asked == [(path, state)]
    layers = [layer for layer in pair_in.layers if layer.name.startswith("fused")]
    if answer == "cancel":
        assert not layers and not fuse.status.failed
    elif answer == "open":
        assert [layer.name for layer in layers] == ["fused bicubic"] and state_of(path) == state
        assert np.isfinite(Cube.from_layer(layers[0]).read()).all() == (tiles is None)
    elif answer == "overwrite":
        assert [layer.name for layer in layers] == ["fused glp"] and state_of(path) == "finished"
        record = RunRecord.read(Cube.from_layer(layers[0]).metadata)
        assert record is not None and record.method == "glp"
    elif tiles is None:
        assert fuse.status.failed
    else:
        # the tiles are of another size here: what cannot be continued is told in the panel
        assert fuse.status.failed and "another job" in fuse.status.text() and state_of(path) == "unfinished"


# --- results that memory does not hold ---------------------------------------------


@pytest.mark.parametrize("answer", ["folder", "memory", "cancel", "no folder"])
def test_a_result_larger_than_memory_asks_for_a_folder(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_specfusion.widgets._fuse_options.free_memory", lambda: 1_000_000)
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "bicubic")
    asked = []
    fuse.ask_about_room = lambda parent, *sizes: asked.append(sizes) or answer.removeprefix("no ")
    fuse.ask_for_folder = lambda parent: tmp_path / "large.zarr" if answer == "folder" else None
    press(qtbot, fuse.run_button)
    finished(qtbot, fuse)
    assert asked == [(31 * 96 * 96 * 4, 1_000_000)]
    assert (tmp_path / "large.zarr").exists() == (answer == "folder")
    assert ("fused bicubic" in pair_in.layers) == (answer in ("folder", "memory"))


# --- closing -------------------------------------------------------------------------


def dock_of(widget: Any) -> Any:
    while not hasattr(widget, "destroyOnClose"):
        widget = widget.parent()
    return widget


def nothing_runs(qtbot: Any) -> None:
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=TIMEOUT)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Hold up the preparation of bicubic, which can be stopped."""
    gate = Gate(METHODS["bicubic"].prepare)

    def prepare(calibrated: Any, **keywords: Any) -> Any:
        return gate(calibrated, **keywords)

    class Held:
        name, title, mixed_precision = "bicubic", "Bicubic", False

        def prepare(self, calibrated: Any, **keywords: Any) -> Any:
            gate.reached.set()
            while not gate.on.wait(0.02):
                calibrated.watch.check()
            return gate.real(calibrated, **keywords)

    held = Held()
    monkeypatch.setattr("napari_specfusion.fusion.resolve.as_method", lambda model: held)
    return gate


def test_closing_the_panel_asks_and_then_stops_the_run(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, held: Gate
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "bicubic")
    press(qtbot, fuse.run_button)
    qtbot.waitUntil(held.reached.is_set, timeout=TIMEOUT)
    run, asked = fuse._run, []
    fuse.ask_to_stop = lambda parent, running: asked.append(running) or len(asked) > 1
    close = dock_of(fuse).title.close_button
    qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    # the user thought again
    assert asked == ["Fusing low-res cube with guide"] and fuse.isVisible() and not run.stopping
    with qtbot.waitSignal(run.ended, timeout=TIMEOUT):
        qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    assert len(asked) == 2 and run.stopping
    nothing_runs(qtbot)


def test_closing_a_panel_that_does_nothing_asks_nothing(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    fuse.ask_to_stop = lambda *_: pytest.fail("asked")
    qtbot.mouseClick(dock_of(fuse).title.close_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not pair_in.window.dock_widgets, timeout=TIMEOUT)


def test_closing_the_window_names_the_run_and_stops_it(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, held: Gate
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "bicubic")
    press(qtbot, fuse.run_button)
    qtbot.waitUntil(held.reached.is_set, timeout=TIMEOUT)
    run = fuse._run
    # napari asks about what it lists here
    tasks = fuse.window()._window._task_status_manager
    assert any("Fusing low-res cube with guide" in line for line in tasks.get_status())
    with qtbot.waitSignal(run.ended, timeout=TIMEOUT):
        pair_in.close()
    nothing_runs(qtbot)


def test_closing_the_window_stops_a_calibration(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, calibration: Gate
) -> None:
    fuse = dock("Fuse")
    qtbot.waitUntil(calibration.reached.is_set, timeout=TIMEOUT)
    pair_in.close()
    nothing_runs(qtbot)
    assert not calibration.on.is_set() and fuse is not None
