from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import notification_manager

from napari_specfusion.quality.metrics import MEASURES, evaluate
from napari_specfusion.widgets._console import show_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.scene import Scene


def idle(qtbot: Any, quality: Any) -> None:
    qtbot.waitUntil(lambda: quality._job is None, timeout=20_000)


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


def test_cubes_on_different_pixels_are_told_in_words(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    quality = dock("Quality")
    assert not quality.compare_button.isEnabled()
    quality.estimate_combo.setCurrentText("low-res cube")
    before = len(notification_manager.records)
    quality.compare()
    idle(qtbot, quality)
    assert len(notification_manager.records) == before
    assert not quality.results and quality.status.failed and "one grid" in quality.status.text()
