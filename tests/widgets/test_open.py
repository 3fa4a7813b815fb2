from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from napari_specfusion.cube import Cube
from napari_specfusion.errors import CubeError, ReadError
from napari_specfusion.widgets._commands import rgb_of_selected
from napari_specfusion.widgets._console import open_in, show_rgb
from napari_specfusion.widgets._open import read_wavelengths


def look(qtbot: Any, widget: Any, path: Path) -> None:
    widget.path_edit.set_path(path)
    qtbot.waitUntil(lambda: widget._job is None)


def test_a_file_is_described_and_added(viewer: Any, pair_files: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    widget = dock("Open cube")
    assert not widget.add_button.isEnabled()
    look(qtbot, widget, pair_files[0])
    assert widget.found.headline == "cube" and not widget.variable_edit.isVisible()
    widget.add()
    assert Cube.from_layer(viewer.layers["cube"]).wavelengths is not None


def test_variable_and_wavelengths_can_be_given(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    savemat(tmp_path / "two.mat", {"small": generator.random((4, 5, 6)), "large": generator.random((8, 9, 6))})
    (tmp_path / "bands.txt").write_text("wavelength\n" + "\n".join(str(400 + 10 * i) for i in range(6)))
    widget = dock("Open cube")
    widget.wavelengths_edit.set_path(tmp_path / "bands.txt")
    widget.path_edit.set_path(tmp_path / "two.mat")
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.variable_edit.isVisible() and widget.cube.shape == (6, 8, 9)
    widget.variable_edit.setText("small")
    widget.variable_edit.editingFinished.emit()
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (6, 4, 5) and widget.cube.wavelengths[-1] == 450


def test_a_data_set_and_its_axes_can_be_given(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["first"], file["second"] = np.zeros((4, 5, 6)), np.zeros((7, 8, 9))
    widget = dock("Open cube")
    look(qtbot, widget, tmp_path / "two.h5")
    assert widget.variable_edit.isVisible() and widget.axes_edit.isVisible() and not widget.add_button.isEnabled()
    widget.variable_edit.setText("second")
    widget.axes_edit.setText("yxb")
    widget.axes_edit.editingFinished.emit()
    qtbot.waitUntil(lambda: widget._job is None)
    assert widget.cube.shape == (9, 7, 8)
    look(qtbot, widget, Path("nothing.npy"))
    assert not widget.axes_edit.isVisible()


def test_what_cannot_be_opened_is_told_in_the_panel(
    viewer: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path
) -> None:
    widget = dock("Open cube")
    look(qtbot, widget, tmp_path / "missing.hdr")
    assert widget.found.headline == "This cannot be opened."
    assert not widget.add_button.isEnabled()


def test_wavelength_files(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("400, 410,420\n")
    assert read_wavelengths(path).tolist() == [400, 410, 420]
    path.write_text("400\nmany\n")
    with pytest.raises(ReadError, match="more than numbers"):
        read_wavelengths(path)
    with pytest.raises(ReadError, match="cannot be read"):
        read_wavelengths(tmp_path)


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
