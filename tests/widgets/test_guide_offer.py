"""Arrays beside the cube in its file, and the offer to take one as the guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._console import open_in, show_in
from napari_specfusion.widgets._origins import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

TIMEOUT = 60_000


@pytest.fixture
def path(scene: Scene, tmp_path: Path) -> Path:
    sharp = scene.guide.read()
    arrays = {"cube": scene.hsi.read(), "rgb": np.moveaxis(sharp, 0, -1), "pan": sharp.mean(axis=0)}
    np.savez(tmp_path / "pair.npz", wavelengths=scene.hsi.wavelengths, **arrays)
    return tmp_path / "pair.npz"


def ready(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)


def test_one_click_opens_it_and_makes_the_pair(viewer: Any, path: Path, dock: Callable[[str], Any], qtbot: Any) -> None:
    low = open_in(viewer, path)
    fuse = dock("Fuse")
    offer = fuse.guide_offer
    qtbot.waitUntil(offer.isVisible, timeout=TIMEOUT)
    assert offer.text.text() == "pair.npz also holds 2 arrays that can be the guide."
    assert [offer.array_combo.itemData(n) for n in range(2)] == ["pan", "rgb"]
    offer.array_combo.setCurrentIndex(1)
    qtbot.mouseClick(offer.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "rgb" in viewer.layers, timeout=TIMEOUT)
    ready(qtbot, fuse)
    assert fuse.guide_combo.currentText() == "rgb" and fuse.preflight.verdict[0] == "good"
    assert not offer.isVisible() and [layer.name for layer in viewer.layers] == ["rgb", low.name]
    assert Cube.from_layer(viewer.layers["rgb"]).shape == (3, 96, 96)
    # the script of a run opens it too
    assert "array='rgb'" in origin_of(viewer.layers["rgb"]).expression()
    assert "array='rgb'" in fuse.recipe().script()


def test_what_is_open_is_not_opened_again(viewer: Any, path: Path, dock: Callable[[str], Any], qtbot: Any) -> None:
    open_in(viewer, path)
    pan = open_in(viewer, path, array="pan", name="grey")
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    # it was guessed as the guide, and is of the file
    assert fuse.guide_combo.currentText() == "grey" and not fuse.guide_offer.isVisible()
    fuse.guide_combo.setCurrentIndex(-1)
    qtbot.waitUntil(fuse.guide_offer.isVisible, timeout=TIMEOUT)
    qtbot.mouseClick(fuse.guide_offer.open_button, Qt.MouseButton.LeftButton)
    assert fuse.guide_combo.layer(viewer.layers) == pan and len(viewer.layers) == 2


def test_it_is_offered_beside_a_guide_of_another_file_until_it_is_declined(
    viewer: Any, scene: Scene, path: Path, dock: Callable[[str], Any], qtbot: Any
) -> None:
    show_in(viewer, scene.guide)
    open_in(viewer, path)
    fuse = dock("Fuse")
    qtbot.waitUntil(fuse.guide_offer.isVisible, timeout=TIMEOUT)
    ready(qtbot, fuse)
    assert fuse.guide_combo.currentText() == "guide"
    qtbot.mouseClick(fuse.guide_offer.decline_button, Qt.MouseButton.LeftButton)
    fuse.ratio_spin.setValue(4)
    ready(qtbot, fuse)
    assert not fuse.guide_offer.isVisible()


def test_a_file_that_is_gone_says_so(viewer: Any, path: Path, dock: Callable[[str], Any], qtbot: Any) -> None:
    open_in(viewer, path)
    fuse = dock("Fuse")
    qtbot.waitUntil(fuse.guide_offer.isVisible, timeout=TIMEOUT)
    path.rename(path.with_name("moved.npz"))
    qtbot.mouseClick(fuse.guide_offer.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: fuse.guide_offer.text.failed, timeout=TIMEOUT)
    assert len(viewer.layers) == 1 and fuse.guide_offer.open_button.isEnabled()


def test_nothing_is_offered_for_a_cube_without_such_a_file(
    pair_in: Any, pair_files: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    assert fuse.guide_offer.isHidden()
    open_in(pair_in, pair_files[0])
    fuse.cube_combo.setCurrentText("cube")
    ready(qtbot, fuse)
    assert fuse.guide_offer.isHidden()
