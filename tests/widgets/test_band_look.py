"""Cubes open at a band that shows something, and their contrast follows the slider."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.data import display
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.display import band_limits
from napari_specfusion.widgets import _band_look
from napari_specfusion.widgets._band_look import add_cube
from napari_specfusion.widgets._readout import band_shown, step_to_band

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

TIMEOUT = 60_000


def has_limits(layer: Any, cube: Cube, band: int) -> bool:
    return np.allclose(layer.contrast_limits, band_limits(cube, band))


def test_a_dropped_cube_opens_at_green_with_the_limits_of_that_band(
    viewer: Any, pair_files: tuple[Path, Path], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    for name in ("band_limits", "first_band"):
        real = getattr(display, name)
        monkeypatch.setattr(_band_look, name, lambda *a, real=real: threads.add(threading.current_thread()) or real(*a))
    (layer,) = viewer.open(pair_files[0], plugin="napari-specfusion")
    cube = Cube.from_layer(layer)
    assert cube.wavelengths is not None
    qtbot.waitUntil(lambda: band_shown(viewer, layer) == cube.band_at(550), timeout=TIMEOUT)
    qtbot.waitUntil(lambda: has_limits(layer, cube, cube.band_at(550)), timeout=TIMEOUT)
    assert threads and threading.main_thread() not in threads


def test_contrast_follows_the_band_until_it_is_set_by_hand(viewer: Any, scene: Scene, qtbot: Any) -> None:
    cube = scene.hsi
    layer = add_cube(viewer, cube)
    for band in (3, 28, 3):
        step_to_band(viewer, layer, band)
        qtbot.waitUntil(lambda band=band: has_limits(layer, cube, band), timeout=TIMEOUT)
    layer.contrast_limits = (0.25, 0.5)
    step_to_band(viewer, layer, 20)
    qtbot.wait(200)
    assert tuple(layer.contrast_limits) == (0.25, 0.5)


def test_a_second_cube_leaves_the_slider_alone(viewer: Any, scene: Scene, qtbot: Any) -> None:
    first = add_cube(viewer, scene.hsi)
    qtbot.waitUntil(lambda: band_shown(viewer, first) == 15, timeout=TIMEOUT)
    step_to_band(viewer, first, 4)
    assert scene.reference is not None
    second = add_cube(viewer, scene.reference)
    qtbot.waitUntil(lambda: has_limits(second, scene.reference, 4), timeout=TIMEOUT)
    assert band_shown(viewer, first) == 4


def test_a_result_takes_the_limits_of_its_cube(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    fuse = dock("Fuse")
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData("bicubic"))
    fuse.start()
    qtbot.waitUntil(lambda: fuse._run is None, timeout=TIMEOUT)
    result, low = pair_in.layers["fused bicubic"], Cube.from_layer(pair_in.layers["low-res cube"])
    for band in (2, 30):
        step_to_band(pair_in, result, band)
        qtbot.waitUntil(lambda band=band: has_limits(result, low, band), timeout=TIMEOUT)


def test_a_look_goes_with_its_layer(viewer: Any, scene: Scene, qtbot: Any) -> None:
    before = len(_band_look._looks)
    layer = add_cube(viewer, scene.hsi)
    assert len(_band_look._looks) == before + 1
    viewer.layers.remove(layer)
    # what was begun ends quietly
    qtbot.wait(200)
    viewer.add_image(np.zeros((4, 8, 8)))
    viewer.dims.set_current_step(0, 2)
    qtbot.wait(100)


@pytest.mark.parametrize("bands", [1, 3])
def test_pictures_get_their_contrast_too(viewer: Any, scene: Scene, qtbot: Any, bands: int) -> None:
    cube = scene.guide.select(range(bands))
    layer = add_cube(viewer, cube)
    qtbot.waitUntil(lambda: np.allclose(layer.contrast_limits, cube.contrast_limits(), atol=1e-3), timeout=TIMEOUT)
