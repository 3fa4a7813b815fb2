from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_specfusion.data.cube import Cube
from napari_specfusion.fusion.destination import state_of
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.registry import create_model
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import write_weights
from napari_specfusion.weights.shipped import list_weights
from napari_specfusion.widgets._console import open_in, show_in
from napari_specfusion.widgets._fuse_options import METHOD_CHOICES, FuseOptions, describe_progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.data.scene import Scene

TIMEOUT = 60_000


@dataclass
class Slow:
    """Bicubic that waits at each tile until it is let on."""

    gate: threading.Semaphore
    name: str = "slow"

    def prepare(self, calibrated: CalibratedScene, **keywords: Any) -> Any:
        predictor = METHODS["bicubic"].prepare(calibrated, **keywords)
        predict = predictor.predict
        gate = self.gate

        class Gated:
            footprint, bands = predictor.footprint, predictor.bands

            def predict(self, *args: Any) -> Any:
                gate.acquire(timeout=10)
                return predict(*args)

        return Gated()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Put the slow method in bicubic's place, and return what lets its tiles on."""
    gate = threading.Semaphore(0)
    real = METHODS["bicubic"]
    slow = Slow(gate)
    monkeypatch.setattr("napari_specfusion.fusion.resolve.as_method", lambda model: slow if model != real else real)
    return gate


def ready(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)


def pick(fuse: Any, method: str) -> None:
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(method))


def finished(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse._run is None, timeout=TIMEOUT)


def test_from_two_files_to_a_fused_layer(viewer: Any, pair_files: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    viewer.open(pair_files[0], plugin="napari-specfusion")
    guide = open_in(viewer, pair_files[1])
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "subspace")
    assert fuse.cube_combo.currentText() == "cube" and fuse.guide_combo.currentText() == "guide"
    assert fuse.preflight.verdict[0] == "good"
    assert dict(fuse.preflight.facts)["Shift (y, x)"].startswith("-1.5")
    low = viewer.layers["cube"]
    assert np.allclose(low.scale, (1, 4, 4)) and np.allclose(low.translate[1:], 0, atol=0.1)

    qtbot.mouseClick(fuse.run_button, Qt.MouseButton.LeftButton)
    assert fuse.run_button.text() == "Add to queue" and fuse.cancel_button.isEnabled()
    finished(qtbot, fuse)
    result = viewer.layers["fused subspace"]
    cube = Cube.from_layer(result)
    assert cube.shape == (31, *guide.data.shape[:2]) and np.isfinite(cube.read()).all()
    assert np.array_equal(cube.wavelengths, Cube.from_layer(low).wavelengths)
    assert np.allclose(result.scale, 1) and np.allclose(result.translate, 0)
    assert fuse.status.text().startswith("Done")
    assert fuse.run_button.text() == "Run" and not fuse.cancel_button.isEnabled()


def test_the_result_grows_and_cancel_takes_it_away(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, gate: threading.Semaphore
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "subspace")
    fuse.tile_combo.addItem("32 px", 32)
    fuse.tile_combo.setCurrentIndex(fuse.tile_combo.count() - 1)
    fuse.start()
    # what is written is reported with the tile after it
    gate.release(3)
    qtbot.waitUntil(lambda: "fused subspace" in pair_in.layers, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "left" in fuse.status.text(), timeout=TIMEOUT)
    shown = np.isfinite(np.asarray(pair_in.layers["fused subspace"].data[0]))
    assert shown.any() and not shown.all()
    qtbot.mouseClick(fuse.cancel_button, Qt.MouseButton.LeftButton)
    gate.release()
    finished(qtbot, fuse)
    assert "fused subspace" not in pair_in.layers
    assert fuse.status.text() == "Stopped." and fuse.run_button.isEnabled()


def test_a_stopped_run_is_continued(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, gate: threading.Semaphore, tmp_path: Path
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "subspace")
    fuse.tile_combo.addItem("32 px", 32)
    fuse.tile_combo.setCurrentIndex(fuse.tile_combo.count() - 1)
    fuse.out_edit.set_path(tmp_path / "fused.zarr")
    fuse.start()
    gate.release(3)
    qtbot.waitUntil(lambda: "left" in fuse.status.text(), timeout=TIMEOUT)
    fuse.cancel()
    gate.release()
    finished(qtbot, fuse)
    done = int(ResultStore.open(tmp_path / "fused.zarr").done.sum())
    assert 0 < done < 9
    fuse.ask_about_result = lambda parent, path, state: "continue"
    fuse.start()
    gate.release(9)
    finished(qtbot, fuse)
    assert state_of(tmp_path / "fused.zarr") == "finished"
    result = next(layer for layer in pair_in.layers if layer.name.startswith("fused"))
    assert np.isfinite(Cube.from_layer(result).read()).all()


def test_closing_the_window_ends_the_run(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, gate: threading.Semaphore
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "subspace")
    fuse.start()
    run = fuse._run
    qtbot.waitUntil(lambda: "fused subspace" in pair_in.layers, timeout=TIMEOUT)
    with qtbot.waitSignal(run.ended, timeout=TIMEOUT):
        pair_in.close()
        gate.release()
    assert run.stopping


def test_closing_the_widget_ends_the_run(
    pair_in: Any, dock: Callable[[str], Any], qtbot: Any, gate: threading.Semaphore
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    fuse.start()
    run = fuse._run
    pair_in.window.remove_dock_widget(fuse)
    assert run.stopping
    with qtbot.waitSignal(run.ended, timeout=TIMEOUT):
        gate.release()
    # what the viewer does later must not reach the closed widget
    pair_in.layers.clear()
    qtbot.wait(50)


def test_images_that_do_not_fit_are_told_in_words(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    generator = np.random.default_rng(0)
    viewer.add_image(generator.random((31, 16, 16), np.float32), name="low")
    viewer.add_image(generator.random((40, 90), np.float32), name="other")
    fuse = dock("Fuse")
    fuse.cube_combo.setCurrentText("low")
    fuse.guide_combo.setCurrentText("other")
    # nothing is moved: the sizes must fit
    fuse.align_choice.combo.setCurrentIndex(fuse.align_choice.combo.findData("off"))
    ready(qtbot, fuse)
    assert fuse.preflight.verdict == ("error", "These two cannot be fused.")
    assert "crop both" in fuse.preflight.findings[0].message
    assert not fuse.run_button.isEnabled()


def test_unrelated_images_are_called_so(viewer: Any, scene: Scene, dock: Callable[[str], Any], qtbot: Any) -> None:
    low = scene.hsi.layer_data()
    viewer.add_image(low[0], **low[1])
    viewer.add_image(np.random.default_rng(0).random((96, 96, 3), np.float32), rgb=True, name="noise")
    fuse = dock("Fuse")
    # all positions are searched
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=5 * TIMEOUT)
    assert fuse.preflight.verdict == ("error", "The two images do not belong together.")
    assert fuse.run_button.isEnabled()
    assert np.allclose(viewer.layers["low-res cube"].scale, 1)


def test_a_result_on_disk(pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    fuse.out_edit.set_path(tmp_path / "fused.zarr")
    pick(fuse, "bicubic")
    fuse.start()
    finished(qtbot, fuse)
    assert (tmp_path / "fused.zarr" / "zarr.json").is_file()
    assert np.isfinite(Cube.from_layer(pair_in.layers["fused bicubic"]).read()).all()


def test_trouble_stays_in_the_panel(pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "subspace")
    fuse.out_edit.set_path(tmp_path / "file" / "fused.zarr")
    before = len(notification_manager.records)
    fuse.start()
    finished(qtbot, fuse)
    assert len(notification_manager.records) == before
    assert "fused subspace" not in pair_in.layers
    assert fuse.status.failed and fuse.status.isVisible() and "does not exist" in fuse.status.text()
    qtbot.wait(100)
    fuse.out_edit.line.clear()
    fuse.start()
    assert not fuse.status.failed
    finished(qtbot, fuse)


def test_a_network_is_fitted_on_the_scene(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = sample_scene(192, 4)
    monkeypatch.setattr("napari_specfusion.training.fitting.MIN_GAIN", -np.inf)
    show_in(viewer, pair.guide.replace(name="guide"))
    show_in(viewer, pair.hsi.replace(name="cube"))
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "fit")
    fuse.minutes_spin.setValue(0.3)
    fuse.start()
    qtbot.waitUntil(lambda: "Fitting" in fuse.status.text(), timeout=TIMEOUT)
    qtbot.waitUntil(lambda: fuse._run is None, timeout=3 * TIMEOUT)
    assert "held-out part" in fuse.status.text()
    fused = Cube.from_layer(next(layer for layer in viewer.layers if layer.name.startswith("fused")))
    assert fused.shape == (31, 192, 192) and np.isfinite(fused.read()).all()


def test_weights_from_a_file(pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path) -> None:
    module = create_model("lso", 31, 3, 4, width=8, heads=2, features=8, blocks=1)
    write_weights(tmp_path / "w.safetensors", module, ModelCard())
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "weights")
    fuse.weights_edit.line.setText(str(tmp_path / "w.safetensors"))
    fuse.start()
    finished(qtbot, fuse)
    assert "w.safetensors" in fuse.status.text()
    assert any(layer.name.startswith("fused") for layer in pair_in.layers)


def test_fields_follow_the_method(viewer: Any, dock: Callable[[str], Any]) -> None:
    fuse = dock("Fuse")
    assert not fuse.run_button.isEnabled() and fuse.findings.headline == "Choose a cube and a guide."
    visible = {}
    for key in METHOD_CHOICES:
        pick(fuse, key)
        visible[key] = fuse.minutes_spin.isVisible(), fuse.weights_edit.isVisible()
    assert visible.pop("fit") == (True, False) and visible.pop("weights") == (False, True)
    assert set(visible.values()) == {(False, False)}


def test_every_method_is_on_offer(viewer: Any, dock: Callable[[str], Any]) -> None:
    assert set(METHOD_CHOICES) == {*METHODS, "auto", "fit", "weights"}
    assert FuseOptions().method == "auto"
    combo = dock("Fuse").method_combo
    assert {combo.itemData(n) for n in range(combo.count())} == {*METHOD_CHOICES, *list_weights()}


def test_the_automatic_choice_says_what_it_took_and_why(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    fuse.start()
    finished(qtbot, fuse)
    name = next(layer.name for layer in pair_in.layers if layer.name.startswith("fused"))
    assert name.removeprefix("fused ") in {*METHODS, *list_weights()}
    assert f"{name.removeprefix('fused ')} was chosen" in fuse.status.text()


def test_weights_that_do_not_fit_the_pair_cannot_be_chosen(viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    pair = sample_scene(96, 3)
    show_in(viewer, pair.guide.replace(name="guide"))
    show_in(viewer, pair.hsi.replace(name="cube"))
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    combo = fuse.method_combo
    for name in list_weights():
        item = combo.model().item(combo.findData(name))
        assert item.isEnabled() is not name.endswith(("-x4", "-x8"))
        assert item.isEnabled() or "ratio is 3" in item.toolTip()
    assert combo.model().item(combo.findData("subspace")).isEnabled()


def test_layers_come_and_go(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pair_in.layers["low-res cube"].name = "renamed"
    assert fuse.cube_combo.currentText() == "renamed"
    pair_in.layers.remove("guide")
    assert fuse.guide_combo.findText("guide") < 0


def test_progress_in_words() -> None:
    from napari_specfusion.fusion.engine import FusionProgress
    from napari_specfusion.progress import Progress

    cube = Cube.from_array(np.ones((2, 2, 2)))
    trying = FusionProgress(0, 0, None, 0.0, None, None, step=Progress(1, 4, "Trying glp"))
    assert describe_progress(trying) == (0.25, "Trying glp, 2 of 4")
    assert describe_progress(FusionProgress(0, 4, None, 0.0, None, cube)) == (0.0, "Tile 0 of 4")
    assert describe_progress(FusionProgress(2, 4, None, 65.0, 65.4, cube)) == (0.5, "Tile 2 of 4 \u00b7 1:05 left")
    assert describe_progress(FusionProgress(1, 4, None, 1.0, 3661.0, cube))[1].endswith("1:01:01 left")
