from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtGui import QGuiApplication

from napari_specfusion.data.cube import Cube
from napari_specfusion.fusion.engine import fuse as fuse_pair
from napari_specfusion.fusion.recipe import Origin
from napari_specfusion.widgets._console import open_in, show_in
from napari_specfusion.widgets._origins import keep_origin, origin_of, recipe_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.scene import Scene

TIMEOUT = 60_000


def copied() -> str:
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    return clipboard.text()


def ready(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)


def pick(fuse: Any, method: str) -> None:
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(method))


@pytest.mark.parametrize("how", ["auto", "off"])
def test_the_script_of_two_files_makes_what_the_panel_makes(
    viewer: Any, pair_files: tuple[Path, Path], dock: Callable[[str], Any], qtbot: Any, how: str
) -> None:
    viewer.open(str(pair_files[1]), plugin="napari")
    viewer.open(str(pair_files[0]), plugin="napari-specfusion")
    fuse = dock("Fuse")
    index = fuse.align_choice.combo.findData(how)
    fuse.align_choice.combo.setCurrentIndex(index)
    pick(fuse, "glp")
    qtbot.wait(20)
    ready(qtbot, fuse)
    fuse.copy_button.copy_these()
    before = copied()
    fuse.run_button.click()
    qtbot.waitUntil(lambda: "fused glp" in viewer.layers and fuse._run is None, timeout=TIMEOUT)
    layer = viewer.layers["fused glp"]
    viewer.layers.selection.active = layer
    fuse.copy_button.offer()
    assert fuse.copy_button.layers.isEnabled() and "fused glp" in fuse.copy_button.layers.text()
    fuse.copy_button.layers.trigger()
    assert copied() == before and fuse.status.text().startswith("Copied the run of fused glp")
    found: dict[str, Any] = {}
    exec(compile(before, "script", "exec"), found)
    values = Cube.from_layer(layer).read()
    assert np.allclose(found["fused"].read(), values, atol=1e-5) and np.ptp(values) > 0.1


def test_layers_without_a_file_are_left_to_fill_in(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    fuse.copy_button.copy_these()
    assert "viewer.layers['low-res cube']" in copied() and "cube = ..." in copied()
    assert "guide to fill in" in fuse.status.text() and not fuse.status.failed
    pick(fuse, "weights")
    fuse.copy_button.copy_these()
    assert fuse.status.failed and "weight file" in fuse.status.text()


def test_there_is_nothing_to_copy_without_a_pair(viewer: Any, dock: Callable[[str], Any]) -> None:
    button = dock("Fuse").copy_button
    button.offer()
    assert not button.these.isEnabled() and not button.layers.isEnabled()


def test_a_result_of_an_earlier_session_tells_what_its_file_knows(viewer: Any, scene: Scene) -> None:
    layer = show_in(viewer, fuse_pair(scene.replace(reference=None), model="glp"))
    recipe = recipe_of(layer)
    assert recipe is not None
    assert (recipe.method, recipe.cube_name, recipe.guide_name, recipe.ratio) == ("glp", "low-res cube", "guide", 4)
    assert recipe_of(show_in(viewer, scene.guide)) is None


@pytest.mark.parametrize("ending", ["zarr", "hdr", "tif"])
def test_a_reopened_result_tells_its_whole_run(
    viewer: Any, pair_files: tuple[Path, Path], dock: Callable[[str], Any], qtbot: Any, tmp_path: Path, ending: str
) -> None:
    open_in(viewer, pair_files[1])
    open_in(viewer, pair_files[0])
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    pick(fuse, "glp")
    fuse.tile_combo.setCurrentIndex(fuse.tile_combo.findData(512))
    saved = tmp_path / f"saved.{ending}"
    if ending == "zarr":
        fuse.out_edit.set_path(saved)
    fuse.start()
    qtbot.waitUntil(lambda: "fused glp" in viewer.layers and fuse._run is None, timeout=TIMEOUT)
    layer = viewer.layers["fused glp"]
    recipe = recipe_of(layer)
    assert recipe is not None and recipe.cube == Origin(pair_files[0]) and recipe.tile == 512
    if ending != "zarr":
        layer.save(str(saved), plugin="napari-specfusion")
    viewer.layers.remove(layer)
    again = open_in(viewer, saved)
    assert recipe_of(again) == recipe
    viewer.layers.selection.active = again
    fuse.copy_button.offer()
    fuse.copy_button.copy_layer()
    assert copied() == recipe.script() and "to fill in" not in fuse.status.text()


def test_a_damaged_record_leaves_what_else_is_known(viewer: Any, scene: Scene) -> None:
    fused = fuse_pair(scene.replace(reference=None), model="glp")
    spoilt = fused.replace(metadata={**fused.metadata, "recipe": {"version": 1, "method": 5}})
    recipe = recipe_of(show_in(viewer, spoilt))
    assert recipe is not None and (recipe.method, recipe.ratio, recipe.cube) == ("glp", 4, None)


def test_an_origin_ends_with_the_data(viewer: Any, pair_files: tuple[Path, Path], scene: Scene) -> None:
    layer = open_in(viewer, pair_files[0])
    assert origin_of(layer) == Origin(pair_files[0])
    layer.data = layer.data * 2
    assert origin_of(layer) is None
    other = show_in(viewer, scene.hsi)
    assert origin_of(other) is None
    keep_origin(other, Origin(Path("x.mat"), {"array": "Y"}))
    assert origin_of(other) == Origin(Path("x.mat"), {"array": "Y"})


def test_what_the_open_panel_was_told_is_kept(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    savemat(tmp_path / "two.mat", {"a": rng.random((20, 21, 9)), "b": rng.random((20, 22, 9))})
    panel = dock("Open cube")
    panel.path_edit.set_path(tmp_path / "two.mat")
    qtbot.waitUntil(lambda: panel._job is None and panel.array_combo.count() > 1, timeout=TIMEOUT)
    panel.array_combo.setCurrentIndex(panel.array_combo.findData("b"))
    panel.look()
    qtbot.waitUntil(lambda: panel._job is None and panel.cube is not None, timeout=TIMEOUT)
    panel.add()
    origin = origin_of(viewer.layers[-1])
    assert origin is not None and origin.path == tmp_path / "two.mat" and origin.options["array"] == "b"
    assert "array='b'" in origin.expression()


def test_exchange_swaps_the_two_and_looks_again(
    viewer: Any, scene: Scene, dock: Callable[[str], Any], qtbot: Any
) -> None:
    assert scene.reference is not None
    small = scene.reference.select(range(5)).replace(name="five bands")
    show_in(viewer, small)
    show_in(viewer, scene.hsi)
    fuse = dock("Fuse")
    fuse.cube_combo.setCurrentText("five bands")
    fuse.guide_combo.setCurrentText("low-res cube")
    qtbot.waitUntil(lambda: fuse.preflight.done, timeout=TIMEOUT)
    assert not fuse.preflight.can_run and fuse.exchange_button.isEnabled()
    fuse.exchange_button.click()
    assert (fuse.cube_combo.currentText(), fuse.guide_combo.currentText()) == ("low-res cube", "five bands")
    assert not fuse.preflight.done
    ready(qtbot, fuse)
    assert fuse.preflight.can_run


def test_a_picture_cannot_become_the_cube(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    assert not fuse.exchange_button.isEnabled() and "guide" in fuse.exchange_button.toolTip()
    fuse.exchange()
    assert fuse.guide_combo.currentText() == "guide"
