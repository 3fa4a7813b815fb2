"""Layers that napari's own reader opened, and the offer to open them as cubes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._console import show_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

TIMEOUT = 60_000
NODATA = -32768.0


@pytest.fixture
def plain(viewer: Any, scene: Scene, tmp_path: Path) -> Any:
    """Return a layer that napari opened from a TIFF with wavelengths, and with no-data that is no number of it."""
    values = scene.hsi.read().astype(np.float32)
    values[:, :3, :4] = NODATA
    assert scene.hsi.wavelengths is not None
    items = "".join(
        f'<Item name="wavelength" sample="{n}">{w}</Item><Item name="wavelength_units" sample="{n}">nanometers</Item>'
        for n, w in enumerate(scene.hsi.wavelengths)
    )
    tags = [(42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True), (42113, "s", 0, str(NODATA), True)]
    tifffile.imwrite(tmp_path / "enmap.tif", values, photometric="minisblack", extratags=tags)
    show_in(viewer, scene.guide)
    (layer,) = viewer.open(tmp_path / "enmap.tif", plugin="napari")
    assert "specfusion" not in layer.metadata
    return layer


def test_fuse_offers_to_open_a_cube_that_napari_opened(
    plain: Any, viewer: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    fuse = dock("Fuse")
    offer = fuse.reopen_offer
    qtbot.waitUntil(offer.isVisible, timeout=TIMEOUT)
    assert "enmap" in offer.text.text() and "31 wavelengths and the no-data value -32768" in offer.text.text()
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)
    # such a pair is not called a good one
    assert fuse.findings.headline != "The two images belong together."
    place = viewer.layers.index(plain)
    qtbot.mouseClick(offer.open_button, Qt.MouseButton.LeftButton)
    assert not offer.isVisible() and plain not in viewer.layers
    layer = viewer.layers["enmap"]
    cube = Cube.from_layer(layer)
    assert cube.nodata == NODATA and cube.wavelengths is not None and viewer.layers.index(layer) == place
    assert fuse.cube_combo.currentText() == "enmap" and fuse.guide_combo.currentText() == "guide"
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)
    scene = fuse.preflight.scene
    assert scene is not None and scene.hsi.nodata == NODATA
    assert fuse.findings.headline == "The two images belong together."


def test_an_offer_that_is_declined_does_not_come_back(
    plain: Any, viewer: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    offer = dock("Fuse").reopen_offer
    qtbot.waitUntil(offer.isVisible, timeout=TIMEOUT)
    qtbot.mouseClick(offer.keep_button, Qt.MouseButton.LeftButton)
    assert not offer.isVisible()
    viewer.add_image(np.zeros((4, 4)))
    qtbot.wait(50)
    assert not offer.isVisible() and plain in viewer.layers


def test_spectra_offers_it_too(plain: Any, viewer: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    qtbot.waitUntil(spectra.reopen_offer.isVisible, timeout=TIMEOUT)
    plain.scale, plain.translate = (1, 4, 4), (0, 1.5, 1.5)
    qtbot.mouseClick(spectra.reopen_offer.open_button, Qt.MouseButton.LeftButton)
    layer = viewer.layers["enmap"]
    # it lies where the other one lay
    assert np.allclose(layer.scale, (1, 4, 4)) and np.allclose(layer.translate, (0, 1.5, 1.5))
    spectra.point_at((30.0, 30.0))
    qtbot.waitUntil(lambda: "enmap" in spectra.plot.curve_data(), timeout=TIMEOUT)
    assert spectra.plot.curve_data()["enmap"][0][0] == 400
    assert not spectra.reopen_offer.isVisible()


def test_nothing_is_offered_where_a_file_says_no_more(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 60, 70), np.uint8), photometric="minisblack")
    viewer.open(tmp_path / "stack.tif", plugin="napari")
    spectra = dock("Spectra")
    qtbot.waitUntil(lambda: not spectra._jobs, timeout=TIMEOUT)
    qtbot.wait(50)
    assert not spectra.reopen_offer.isVisible()
