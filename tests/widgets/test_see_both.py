from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer

from napari_specfusion.widgets._readout import step_to_band

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 60_000


def how(quality: Any, key: str) -> None:
    combo = quality.see_both.how_combo
    combo.setCurrentIndex(combo.findData(key))


def drawn(qtbot: Any, viewer: Any) -> Any:
    qtbot.waitUntil(lambda: "swipe" in viewer.layers, timeout=TIMEOUT)
    return viewer.layers["swipe"]


@pytest.fixture
def quality(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> Any:
    panel = dock("Quality")
    panel.estimate_combo.setCurrentText("low-res cube")
    panel.see_both.other_combo.setCurrentText("reference")
    qtbot.wait(300)
    return panel


def state(viewer: Any) -> Any:
    grid = viewer.canvas.grid
    looks = [(layer.name, layer.visible, layer.opacity, str(layer.blending)) for layer in viewer.layers]
    return looks, grid.enabled, grid.shape, grid.stride, len(viewer.mouse_move_callbacks)


@pytest.mark.parametrize("key", ["swipe", "beside"])
@pytest.mark.parametrize("by", ["off", "removing", "closing"])
def test_everything_is_given_back(pair_in: Any, quality: Any, qtbot: Any, key: str, by: str) -> None:
    pair_in.layers["guide"].opacity = 0.5
    pair_in.layers["reference"].visible = False
    before = state(pair_in)
    timers = len(quality.findChildren(QTimer))
    how(quality, key)
    if key == "swipe":
        drawn(qtbot, pair_in)
    assert not pair_in.layers["guide"].visible and pair_in.layers["reference"].visible
    assert pair_in.canvas.grid.enabled == (key == "beside")
    if by == "off":
        how(quality, "off")
        assert state(pair_in) == before
        qtbot.waitUntil(lambda: len(quality.findChildren(QTimer)) == timers)
    elif by == "removing":
        pair_in.layers.remove(pair_in.layers["reference"])
        assert quality.see_both.how_combo.currentData() == "off"
        assert [layer.name for layer in pair_in.layers] == ["guide", "low-res cube"]
        assert pair_in.layers["guide"].visible and not pair_in.canvas.grid.enabled
    else:
        dock = quality
        while not hasattr(dock, "title"):
            dock = dock.parent()
        qtbot.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)
        after = state(pair_in)
        assert after[:4] == before[:4] and after[4] == before[4] - 1


def test_the_grid_shows_the_result_left(pair_in: Any, quality: Any) -> None:
    how(quality, "beside")
    layers, grid = pair_in.layers, pair_in.canvas.grid
    assert grid.actual_shape(layers) == (1, 2)
    assert grid.position(layers.index(layers["low-res cube"]), layers) == (0, 0)
    assert grid.position(layers.index(layers["reference"]), layers) == (0, 1)


def test_the_line_follows_slider_and_mouse(pair_in: Any, quality: Any, qtbot: Any) -> None:
    how(quality, "swipe")
    picture = drawn(qtbot, pair_in)
    assert quality.see_both.swipe_row.isVisible()

    def opened() -> float:
        return float((np.asarray(picture.data)[..., 3] == 0).mean())

    qtbot.waitUntil(lambda: abs(opened() - 0.5) < 0.01, timeout=TIMEOUT)
    quality.see_both.slider.setValue(250)
    qtbot.waitUntil(lambda: abs(opened() - 0.25) < 0.01, timeout=TIMEOUT)
    low, high = quality.see_both._view.edges
    # the reference has 96 pixels, and lies where it came
    assert (low, high) == (-0.5, 95.5)
    event = SimpleNamespace(position=(0, 10, low + 0.75 * (high - low)))
    for callback in pair_in.mouse_move_callbacks:
        if getattr(callback, "__name__", "") == "mouse_moved":
            callback(pair_in, event)
    qtbot.waitUntil(lambda: abs(opened() - 0.75) < 0.01, timeout=TIMEOUT)
    assert np.allclose(picture.data_to_world((-0.5, picture.data.shape[1] - 0.5))[-1], high)


def test_the_picture_follows_band_and_contrast(pair_in: Any, quality: Any, qtbot: Any) -> None:
    how(quality, "swipe")
    picture, layer = drawn(qtbot, pair_in), pair_in.layers["reference"]
    quality.see_both.slider.setValue(0)

    def agrees(band: int, limits: tuple[float, float]) -> bool:
        times = picture.data.shape[0] // layer.data.shape[1]
        shown = np.asarray(picture.data)[times // 2 :: times, times // 2 :: times, 0][:, 2:].astype(float) / 255
        plane = np.asarray(layer.data[band])[:, 2:]
        expected = np.clip((plane - limits[0]) / (limits[1] - limits[0]), 0, 1)
        return bool(np.abs(shown - expected).max() < 0.01)

    for band in (3, 20):
        step_to_band(pair_in, layer, band)
        qtbot.waitUntil(lambda b=band: agrees(b, tuple(layer.contrast_limits)), timeout=TIMEOUT)
    layer.contrast_limits = (0.1, 0.3)
    qtbot.waitUntil(lambda: agrees(20, (0.1, 0.3)), timeout=TIMEOUT)
    assert not agrees(20, (0.0, 1.0))


def test_a_layer_is_not_seen_with_itself(quality: Any) -> None:
    quality.see_both.other_combo.setCurrentText("low-res cube")
    how(quality, "swipe")
    assert quality.see_both.how_combo.currentData() == "off" and not quality.see_both.swipe_row.isVisible()


def test_the_window_closes_over_a_swipe(pair_in: Any, quality: Any, qtbot: Any) -> None:
    how(quality, "swipe")
    drawn(qtbot, pair_in)
    view = quality.see_both._view
    quality.see_both.slider.setValue(100)
    pair_in.close()
    assert view._picture is None and view._job is None and view._colours is None
