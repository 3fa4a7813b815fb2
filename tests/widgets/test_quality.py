from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.quality.judgement import judge_pair
from napari_specfusion.quality.metrics import MEASURES, evaluate
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets import _quality as module
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._map_layer import PAIR_MAPS

if TYPE_CHECKING:
    from collections.abc import Callable


def idle(qtbot: Any, quality: Any) -> None:
    qtbot.waitUntil(lambda: quality._job is None, timeout=60_000)


def test_table_plot_and_maps(viewer: Any, scene: Scene, dock: Callable[[str], Any], qtbot: Any) -> None:
    reference = scene.reference
    assert reference is not None
    noise = np.random.default_rng(0).normal(0, 0.01, reference.shape).astype(np.float32)
    show_in(viewer, reference)
    for name, factor in (("better", 1), ("worse", 3)):
        show_in(viewer, type(reference).from_array(reference.read() + factor * noise, name=name))
    quality = dock("Quality")
    assert quality.reference_combo.currentText() == "reference"
    for name in ("worse", "better"):
        quality.estimate_combo.setCurrentText(name)
        quality.compare()
        assert not quality.compare_button.isEnabled()
        idle(qtbot, quality)
    assert list(quality.results) == ["worse", "better"]
    expected = evaluate(reference, reference.read() + noise, 4)
    cells = [[quality.table.item(row, column) for column in range(3)] for row in range(len(MEASURES))]
    assert cells[0][2].text() == f"{expected.psnr:.2f}"
    assert all(better.font().bold() and not worse.font().bold() for _, worse, better in cells)
    x, y = quality.plot.curve_data()["better"]
    assert np.array_equal(x, reference.wavelengths) and np.allclose(y, expected.bands["psnr"])

    for key, title in (("sam", "SAM"), ("rmse", "RMSE")):
        quality.add_map(key)
        idle(qtbot, quality)
        layer = viewer.layers[f"{title} of better"]
        assert layer.data.shape == reference.shape[1:] and np.allclose(layer.scale, 1)
        assert np.allclose(layer.contrast_limits, np.nanpercentile(layer.data, [1, 99])) and layer.colorbar.visible
    quality.add_map("error")
    idle(qtbot, quality)
    low, high = viewer.layers["mean error of better"].contrast_limits
    assert low == -high


def test_cubes_on_different_pixels_are_told_in_words(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    quality = dock("Quality")
    assert not quality.compare_button.isEnabled()
    quality.estimate_combo.setCurrentText("low-res cube")
    quality.reference_combo.setCurrentText("reference")
    before = len(notification_manager.records)
    quality.compare()
    idle(qtbot, quality)
    assert len(notification_manager.records) == before
    assert not quality.results and quality.status.failed and "one grid" in quality.status.text()
    pair_in.layers["guide"].name = "renamed"
    assert quality.status.failed


@pytest.fixture
def results(viewer: Any) -> Any:
    """Return the window with a cube, a guide, the truth under a name of its own, and what two runs at x8 made."""
    scene = sample_scene(64, 8)
    assert scene.reference is not None
    for cube in (scene.reference.replace(name="scan 7"), scene.guide, scene.hsi.replace(name="low")):
        show_in(viewer, cube)
    for name in ("bicubic", "glp"):
        show_in(viewer, fuse(scene, model=name).replace(name=f"fused {name}"))
    return viewer


def test_ratio_reference_and_estimate_come_from_the_run(results: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    quality = dock("Quality")
    assert quality.estimate_combo.currentText() == "fused glp"
    assert quality.reference_combo.currentText() == "scan 7"
    assert quality.ratio_spin.value() == 8 and "run of fused glp" in quality.ratio_note.text()
    quality.compare()
    idle(qtbot, quality)
    expected = evaluate(*(Cube.from_layer(results.layers[name]) for name in ("scan 7", "fused glp")), 8)
    assert quality.results["fused glp"].ratio == 8
    assert np.isclose(quality.results["fused glp"].ergas, expected.ergas)


def test_a_ratio_that_is_entered_stays_until_another_estimate_is_chosen(
    results: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    quality = dock("Quality")
    quality.ratio_spin.setValue(2)
    results.layers["low"].name = "renamed"
    assert quality.ratio_spin.value() == 2 and "had 8" in quality.ratio_note.text()
    quality.estimate_combo.setCurrentText("fused bicubic")
    assert quality.ratio_spin.value() == 8


def test_what_is_missing_is_told(results: Any, dock: Callable[[str], Any]) -> None:
    quality = dock("Quality")
    quality.mode_combo.activated.emit(0)
    results.layers.remove("scan 7")
    assert quality.reference_combo.currentText() == "" and not quality.compare_button.isEnabled()
    assert "64 x 64 pixels and 31 bands" in quality.status.text()
    # cubes are there, but none was chosen
    assert quality.reference_combo.placeholderText() == "choose a layer"


def test_a_new_result_is_taken_unless_the_user_chose_one(results: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    quality = dock("Quality")
    again = Cube.from_layer(results.layers["fused glp"])
    show_in(results, again.replace(name="fused later"))
    assert quality.estimate_combo.currentText() == "fused later"
    quality.estimate_combo.setCurrentText("fused bicubic")
    show_in(results, again.replace(name="fused last"))
    assert quality.estimate_combo.currentText() == "fused bicubic"


def test_a_comparison_is_stopped(
    results: Any, dock: Callable[[str], Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def waits(*_: Any, should_stop: Any, **__: Any) -> None:
        begun.set()
        while not should_stop():
            time.sleep(0.01)
        raise Cancelled("stopped")

    monkeypatch.setattr("napari_specfusion.widgets._quality.evaluate", waits)
    quality = dock("Quality")
    assert not quality.cancel_button.isEnabled()
    quality.compare()
    qtbot.waitUntil(begun.is_set)
    assert quality.at_stake() == "Comparing fused glp with scan 7"
    quality.cancel_button.click()
    idle(qtbot, quality)
    assert quality.status.text() == "Stopped." and not quality.results
    assert quality.compare_button.isEnabled() and not quality.cancel_button.isEnabled()


# --- without a reference ---------------------------------------------------------------------


@pytest.fixture
def unknown(viewer: Any) -> Any:
    """Return the window with a cube, a guide and what two runs made of them, without the truth."""
    scene = sample_scene(128, 4)
    scene = scene.replace(hsi=scene.hsi.replace(name="low"), guide=scene.guide.replace(name="guide"))
    for cube in (scene.guide, scene.hsi):
        show_in(viewer, cube)
    for name in ("bicubic", "glp"):
        show_in(viewer, fuse(scene.replace(reference=None), model=name).replace(name=f"fused {name}"))
    return viewer


def test_without_a_reference_the_pair_judges(unknown: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    quality = dock("Quality")
    assert quality.by_pair and quality.compare_button.text() == "Judge"
    assert quality.cube_combo.currentText() == "low" and quality.guide_combo.currentText() == "guide"
    assert quality.cube_combo.isVisible() and not quality.reference_combo.isVisible()
    for name in ("fused bicubic", "fused glp"):
        quality.estimate_combo.setCurrentText(name)
        quality.compare()
        idle(qtbot, quality)
    assert list(quality.judgements) == ["fused bicubic", "fused glp"]
    assert quality.judgements["fused glp"].reduced is not None and "The response alone" in quality.status.text()
    scene = Scene(*(Cube.from_layer(unknown.layers[name]) for name in ("low", "guide")), 4)
    expected = judge_pair(scene, Cube.from_layer(unknown.layers["fused glp"]))
    shown = {quality.table.item(row, 0).text(): quality.table.item(row, 2) for row in range(quality.table.rowCount())}
    assert shown["HQNR \u2191"].text() == f"{expected.hqnr:.4f}" and shown["HQNR \u2191"].font().bold()
    assert shown["D_s \u2193"].toolTip()
    _, values = quality.plot.curve_data()["fused glp"]
    assert np.allclose(values, expected.bands["cube_residual"])


def test_a_reference_that_comes_is_taken_until_the_user_chooses(unknown: Any, dock: Callable[[str], Any]) -> None:
    quality = dock("Quality")
    assert quality.by_pair
    truth = sample_scene(128, 4).reference
    assert truth is not None
    show_in(unknown, truth.replace(name="reference"))
    assert not quality.by_pair and quality.reference_combo.currentText() == "reference"
    quality.mode_combo.setCurrentIndex(1)
    quality.mode_combo.activated.emit(1)
    unknown.layers["reference"].name = "renamed reference"
    assert quality.by_pair


def test_the_trial_is_in_the_table_where_there_is_one(unknown: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    quality = dock("Quality")
    quality.trial_check.setChecked(False)
    quality.compare()
    idle(qtbot, quality)
    lines = quality.table.rowCount()
    quality.trial_check.setChecked(True)
    quality.compare()
    idle(qtbot, quality)
    assert quality.judgements["fused glp"].reduced is not None
    assert quality.table.rowCount() == lines + 3


def test_maps_of_the_pair_lie_over_the_result(unknown: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    unknown.layers["fused glp"].translate = (0, 5, 7)
    quality = dock("Quality")
    assert [quality.map_combo.itemData(i) for i in range(quality.map_combo.count())] == list(PAIR_MAPS)
    sizes = {"expected": 128, "cube": 32, "guide": 128, "outside": 128}
    for place, (key, kind) in enumerate(PAIR_MAPS.items()):
        quality.map_combo.setCurrentIndex(place)
        quality.map_button.click()
        idle(qtbot, quality)
        layer = unknown.layers[f"{kind.name} of fused glp"]
        assert layer.data.shape == (sizes[key],) * 2 and layer.colorbar.visible
        if key == "cube":
            # the middle of its first pixel is that of a cell, but for the shift of the pair
            assert np.allclose(layer.scale, 4) and np.allclose(layer.translate, (5 + 1.5, 7 + 1.5), atol=2)
        else:
            assert np.allclose(layer.translate, (5, 7))
    # one map is seen at a time
    names = {f"{kind.name} of fused glp" for kind in PAIR_MAPS.values()}
    assert {other.name for other in unknown.layers if other.visible} & names == {layer.name}
    # maps are to be looked at: none is taken for an image
    assert quality.guide_combo.currentText() == "guide" and quality.guide_combo.count() == 4
    assert quality.status.text() == ""


def test_a_pair_is_calibrated_once(
    unknown: Any, dock: Callable[[str], Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    true_scene = module.result_scene
    monkeypatch.setattr(module, "result_scene", lambda *a, **k: made.append(a) or true_scene(*a, **k))
    quality = dock("Quality")
    for _ in range(2):
        quality.compare()
        idle(qtbot, quality)
    quality.add_map("outside")
    idle(qtbot, quality)
    assert len(made) == 1
    quality.estimate_combo.setCurrentText("fused bicubic")
    quality.compare()
    idle(qtbot, quality)
    # the run of another method is another result, which may come from another alignment
    assert len(made) == 2


def test_images_that_made_no_such_result_are_told_in_words(
    unknown: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    quality = dock("Quality")
    other = sample_scene(96, 4)
    show_in(unknown, other.hsi.replace(name="other cube"))
    quality.cube_combo.setCurrentText("other cube")
    quality.compare()
    idle(qtbot, quality)
    assert quality.status.failed and not quality.judgements
