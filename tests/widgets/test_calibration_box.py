from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt

from napari_specfusion.calibration import CalibratedScene, misfit_map
from napari_specfusion.data.cube import Cube
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.sensor import Psf
from napari_specfusion.widgets._calibration_box import response_lines, width_lines
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._layers import is_image, plane_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 60_000


def ready(qtbot: Any, panel: Any) -> None:
    qtbot.waitUntil(lambda: panel.preflight.done and panel._inspection is None, timeout=TIMEOUT)


@pytest.fixture
def fuse(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> Any:
    panel = dock("Fuse")
    ready(qtbot, panel)
    return panel


def mapped(qtbot: Any, viewer: Any, fuse: Any) -> Any:
    qtbot.mouseClick(fuse.calibration_box.map_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "residual of low-res cube" in viewer.layers, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: fuse.calibration_box.map_button.isEnabled(), timeout=TIMEOUT)
    return viewer.layers["residual of low-res cube"]


def test_it_is_drawn_when_it_is_opened_in_the_colours_of_the_theme(pair_in: Any, fuse: Any) -> None:
    box = fuse.calibration_box
    assert box.isVisible() and not box.response.curve_data()
    box.expand(animate=False)
    curves = box.response.curve_data()
    assert len(curves) == 3 and f"{fuse.preflight.calibration.psf.width:.2f} px wide" in box.caption.text()
    x, y = curves["0"]
    assert np.array_equal(x, fuse.preflight.scene.hsi.wavelengths) and y.max() == pytest.approx(1)
    assert box.psf.weights.sum() == pytest.approx(1) and not box.widths.isVisible()
    for theme in ("light", "dark"):
        pair_in.theme = theme
        ground = get_theme(theme).background.as_hex("long")
        assert box.response.view.backgroundBrush().color().name() == ground


def test_the_map_lies_over_the_cube_and_goes_with_the_pair(pair_in: Any, fuse: Any, qtbot: Any) -> None:
    fuse.calibration_box.expand(animate=False)
    layer = mapped(qtbot, pair_in, fuse)
    assert np.allclose(plane_matrix(layer), plane_matrix(pair_in.layers["low-res cube"])) and not is_image(layer)
    expected = misfit_map(fuse.preflight.calibrated)
    assert np.array_equal(np.asarray(layer.data), expected, equal_nan=True)
    assert "contrast is left" in fuse.calibration_box.status.text()
    # again: the new one takes the place of the old one
    mapped(qtbot, pair_in, fuse)
    assert sum(layer.name.startswith("residual") for layer in pair_in.layers) == 1
    fuse.ratio_spin.setValue(4)
    assert "residual of low-res cube" not in pair_in.layers and fuse.calibration_box.isHidden()
    ready(qtbot, fuse)
    assert fuse.calibration_box.isVisible() and not fuse.calibration_box.isExpanded()


def test_it_is_closed_with_the_panel(pair_in: Any, fuse: Any, qtbot: Any) -> None:
    fuse.calibration_box.expand(animate=False)
    mapped(qtbot, pair_in, fuse)
    found = fuse
    while not hasattr(found, "title"):
        found = found.parent()
    qtbot.mouseClick(found.title.close_button, Qt.MouseButton.LeftButton)
    assert "residual of low-res cube" not in pair_in.layers
    pair_in.theme = "light"


def test_the_map_of_a_cropped_cube_lies_on_the_common_ground(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    scene = sample_scene(192, 4)
    show_in(viewer, scene.guide.crop(slice(32, 192), slice(0, 160)).replace(name="guide"))
    show_in(viewer, scene.hsi.replace(name="low-res cube"))
    fuse = dock("Fuse")
    fuse.ratio_spin.setValue(4)
    ready(qtbot, fuse)
    window = fuse.preflight.calibrated.stated.alignment.window
    fuse.calibration_box.expand(animate=False)
    layer = mapped(qtbot, viewer, fuse)
    corner = plane_matrix(viewer.layers["low-res cube"]) @ [window[0], window[2], 1.0]
    assert window[0] > 0 and np.allclose(plane_matrix(layer) @ [0.0, 0.0, 1.0], corner)


def test_widths_are_drawn_where_they_are_known() -> None:
    pair = CalibratedScene(sample_scene(64, 4))
    calibration = pair.calibration
    assert width_lines(pair.stated, calibration) == []

    class Bands(SimpleNamespace):
        def __bool__(self) -> bool:
            return bool(self.significant.any())

    count = pair.stated.hsi.bands
    known = np.arange(count) < 5
    bands = Bands(significant=known, width=np.full(count, 0.5), width_error=np.full(count, 0.1))
    found = SimpleNamespace(bands=bands, psf=Psf(2.0))
    (line,) = width_lines(pair.stated, found)  # type: ignore[arg-type]
    assert np.isfinite(line.y).sum() == 5 and line.y[0] == pytest.approx(Psf(2.0).width + 0.5)


def test_bands_without_names_or_wavelengths_are_counted() -> None:
    scene = sample_scene(64, 4)
    plain = scene.replace(
        hsi=scene.hsi.replace(wavelengths=None, fwhm=None),
        guide=Cube.from_array(scene.guide.read()[[1, 0, 2]]),
        srf=None,
    )
    lines = response_lines(plain, CalibratedScene(plain).calibration)
    assert [line.note for line in lines] == ["band 1", "band 2", "band 3"]
    assert list(lines[0].x[:3]) == [0, 1, 2]
