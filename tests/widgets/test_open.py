from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel
from scipy.io import savemat

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError
from napari_specfusion.widgets._commands import rgb_of_selected
from napari_specfusion.widgets._console import open_in, show_rgb

if TYPE_CHECKING:
    from collections.abc import Callable


def look(qtbot: Any, widget: Any, path: Path) -> None:
    widget.path_edit.set_path(path)
    qtbot.waitUntil(lambda: widget._job is None)


def test_a_file_is_described_and_added(viewer: Any, pair_files: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    widget = dock("Open cube")
    assert not widget.add_button.isEnabled()
    look(qtbot, widget, pair_files[0])
    assert widget.found.headline == "cube" and not widget.array_combo.isVisible()
    widget.add()
    assert Cube.from_layer(viewer.layers["cube"]).wavelengths is not None


def chosen(combo: Any, key: Any) -> None:
    """Choose an entry of a combo box as a user does."""
    combo.setCurrentIndex(combo.findData(key))
    combo.activated.emit(combo.currentIndex())


def shown(panel: Any) -> str:
    """Return all words of a findings panel."""
    return " ".join(label.text() for label in panel._body.findChildren(QLabel))


def offered(combo: Any) -> list[str]:
    return [combo.itemText(index) for index in range(combo.count())]


def test_array_and_wavelengths_can_be_given(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    savemat(tmp_path / "two.mat", {"small": generator.random((4, 5, 6)), "large": generator.random((8, 9, 6))})
    (tmp_path / "bands.txt").write_text(
        "wavelength\n" + "\n".join(str(400 + 10 * i) for i in range(6)), encoding="utf-8"
    )
    widget = dock("Open cube")
    widget.wavelengths_edit.set_path(tmp_path / "bands.txt")
    look(qtbot, widget, tmp_path / "two.mat")
    assert widget.array_combo.isVisible() and widget.cube.shape == (6, 8, 9)
    assert offered(widget.array_combo) == ["Automatic", "large (8 x 9 x 6)", "small (4 x 5 x 6)"]
    chosen(widget.array_combo, "small")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (6, 4, 5) and widget.cube.wavelengths[-1] == 450
    widget.wavelengths_edit.line.clear()
    chosen(widget.axes_combo, "byx")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (4, 5, 6)


def test_a_data_set_and_its_axes_can_be_given(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["first"], file["second"], file["plane"] = np.zeros((4, 5, 6)), np.zeros((7, 8, 9)), np.zeros((3, 2))
    widget = dock("Open cube")
    look(qtbot, widget, tmp_path / "two.h5")
    assert widget.found.headline == "Which array is the cube?" and not widget.add_button.isEnabled()
    assert widget.array_combo.isVisible() and widget.axes_combo.isVisible()
    chosen(widget.array_combo, "/second")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (7, 8, 9)
    chosen(widget.axes_combo, "yxb")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (9, 7, 8)
    chosen(widget.array_combo, "/plane")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (1, 3, 2)
    # another file is not asked for what was chosen for this one
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4)))
    look(qtbot, widget, tmp_path / "x.npy")
    assert widget.cube.shape == (2, 3, 4) and not widget.array_combo.isVisible()
    look(qtbot, widget, Path("nothing.npy"))
    assert widget.found.headline == "This cannot be opened."


def test_the_axis_of_the_bands_is_asked_for_where_it_is_a_guess(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).random((30, 10, 12))
    np.save(tmp_path / "guess.npy", values)
    np.save(tmp_path / "clear.npy", np.zeros((15, 15, 20)))
    widget = dock("Open cube")
    look(qtbot, widget, tmp_path / "guess.npy")
    assert widget.bands_combo.isVisible() and widget.add_button.isEnabled()
    assert widget.bands_combo.currentText() == "30 bands of 10 x 12" == offered(widget.bands_combo)[0]
    assert sorted(offered(widget.bands_combo)[1:]) == ["10 bands of 30 x 12", "12 bands of 30 x 10"]
    assert "Check the answer under Bands." in shown(widget.found)
    # what is not answered stays open
    widget.reflectance_check.click()
    widget.reflectance_check.click()
    qtbot.waitUntil(lambda: widget._job is None)
    assert "Check the answer under Bands." in shown(widget.found)
    for axes, shape in (("yxb", (12, 30, 10)), ("ybx", (10, 30, 12)), ("byx", (30, 10, 12))):
        chosen(widget.bands_combo, axes)
        qtbot.waitUntil(lambda: widget._job is None)
        assert widget.cube.shape == shape and "Check the answer" not in shown(widget.found)
        assert widget.bands_combo.isVisible() and widget.bands_combo.currentData() == axes
    # what is said under Axes goes before, and another file is not asked for what was chosen for this one
    chosen(widget.axes_combo, "xyb")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (12, 10, 30) and not widget.bands_combo.isVisible()
    look(qtbot, widget, tmp_path / "clear.npy")
    assert widget.cube.shape == (20, 15, 15) and not widget.bands_combo.isVisible()


def test_an_unfolded_image_is_given_its_size(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    savemat(tmp_path / "flat.mat", {"Y": np.random.default_rng(0).random((5, 12))})
    widget = dock("Open cube")
    look(qtbot, widget, tmp_path / "flat.mat")
    assert widget.size_edit.isVisible() and not widget.add_button.isEnabled()
    widget.size_edit.setText("3 x 4")
    widget.size_edit.editingFinished.emit()
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (5, 3, 4)
    savemat(tmp_path / "told.mat", {"Y": np.random.default_rng(0).random((5, 12)), "nRow": 3, "nCol": 4})
    look(qtbot, widget, tmp_path / "told.mat")
    assert widget.cube.shape == (5, 3, 4) and not widget.size_edit.isVisible()


def test_the_gamma_of_a_picture_can_be_undone(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    imageio = pytest.importorskip("imageio.v3")
    imageio.imwrite(tmp_path / "x.png", np.full((4, 5, 3), 188, np.uint8))
    widget = dock("Open cube")
    look(qtbot, widget, tmp_path / "x.png")
    assert widget.linear_check.isVisible() and float(widget.cube.read().max()) == 188
    widget.linear_check.click()
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.linear_check.isVisible()
    np.testing.assert_allclose(widget.cube.read(), ((188 / 255 + 0.055) / 1.055) ** 2.4, rtol=1e-5)


def test_counts_become_reflectance(viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path) -> None:
    folder = tmp_path / "leaf" / "capture"
    folder.mkdir(parents=True)
    for name, counts, lines in (("leaf", 60, 8), ("WHITEREF_leaf", 110, 5), ("DARKREF_leaf", 10, 5)):
        Cube.from_array(np.full((3, lines, 6), counts, "u2"), wavelengths=[400, 500, 600]).save(folder / f"{name}.hdr")
    widget = dock("Open cube")
    for path in (folder / "leaf.hdr", tmp_path / "leaf"):
        look(qtbot, widget, path)
        # what lies beside the capture is entered, but only used where that is asked for
        assert widget.cube.dtype == np.uint16
        assert widget.white_edit.path() == folder / "WHITEREF_leaf.hdr" and widget.reflectance_box.isExpanded()
        assert not widget.reflectance_check.isChecked()
        widget.reflectance_check.click()
        qtbot.waitUntil(lambda: widget._job is None)
        np.testing.assert_allclose(widget.cube.read(), 0.5)
    np.save(folder / "other.npy", np.zeros((2, 3, 4)))
    look(qtbot, widget, folder / "other.npy")
    assert widget.white_edit.path() is None
    look(qtbot, widget, tmp_path / "leaf")
    widget.reflectance_check.click()
    widget.panel_spin.setValue(0.9)
    widget.panel_spin.editingFinished.emit()
    qtbot.waitUntil(lambda: widget._job is None)
    np.testing.assert_allclose(widget.cube.read(), 0.45)
    widget.white_edit.set_path(folder / "DARKREF_leaf.hdr")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.found.headline == "This cannot be opened."


def test_what_cannot_be_opened_is_told_in_the_panel(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    widget = dock("Open cube")
    look(qtbot, widget, tmp_path / "missing.hdr")
    assert widget.found.headline == "This cannot be opened."
    assert not widget.add_button.isEnabled()


def test_open_from_the_console(viewer: Any, pair_files: Any) -> None:
    guide = open_in(viewer, pair_files[1])
    assert guide.rgb
    cube = open_in(viewer, pair_files[0], name="mine")
    assert cube.name == "mine"


def test_rgb_of_the_selected_cube(pair_in: Any) -> None:
    cube = pair_in.layers["low-res cube"]
    cube.scale = (1, 4, 4)
    pair_in.layers.selection.active = cube
    rgb_of_selected(pair_in)
    picture = pair_in.layers["low-res cube RGB"]
    assert picture.rgb and np.allclose(picture.scale, 4)
    with pytest.raises(CubeError, match="select its layer"):
        show_rgb(pair_in, pair_in.layers["guide"])
