from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

import napari_specfusion as package
from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._follow import followed_by
from napari_specfusion.widgets._layers import is_cube

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FINE = np.arange(380.0, 721)
POINTS = ((20.0, 30.0), (60.0, 40.0), (80.0, 10.0))


def rows(box: Any) -> list[tuple[str, str]]:
    items = [box.tree.topLevelItem(at) for at in range(box.tree.topLevelItemCount())]
    return [(item.text(0), item.text(1)) for item in items]


@pytest.fixture
def found(pair_in: Any, dock: Callable[[str], Any], qtbot: Any, tmp_path: Path) -> Any:
    """Return the panel with three pins in one cube, and a library of these at twice the value, in any order."""
    pair_in.layers["low-res cube"].visible = False
    spectra = dock("Spectra")
    for point in POINTS:
        spectra.pins.add(point)
    qtbot.waitUntil(lambda: len(spectra.curves()) == 3)
    entries = [
        package.Spectrum(
            2 * np.interp(FINE, c.spectrum.positions, c.spectrum.values),
            FINE,
            name=f"material {number}",
        )
        for number, c in enumerate(spectra.curves(), start=1)
    ]
    package.save_spectra(tmp_path / "lib.csv", [entries[2], entries[0], entries[1]])
    spectra.library_box.toggle.click()
    spectra.library_box.load(tmp_path / "lib.csv")
    qtbot.waitUntil(lambda: spectra.library_box.tree.topLevelItemCount() == 3)
    return spectra


def test_the_library_is_ranked_by_the_picked_spectrum(found: Any, qtbot: Any) -> None:
    box = found.library_box
    names = [f"pin {number}" for number in (1, 2, 3)]
    assert [box.picked_combo.itemText(at) for at in range(3)] == names
    for number in (1, 3, 2):
        box.picked_combo.setCurrentIndex(number - 1)
        qtbot.waitUntil(lambda number=number: rows(box)[0][1] == f"material {number}")
        ranked = package.rank_spectra(box.picked(), box.library)
        assert rows(box) == [(f"{match.angle:.2f}\u00b0", match.name) for match in ranked]
    assert found.status.text().startswith("lib: 3 spectra")


def test_what_is_selected_is_drawn_at_the_scale_of_the_picked(found: Any, qtbot: Any) -> None:
    box = found.library_box
    qtbot.waitUntil(lambda: rows(box)[0][1] == "material 1")
    box.tree.topLevelItem(0).setSelected(True)
    qtbot.waitUntil(lambda: "library 0" in found.plot.curve_data())
    x, y = found.plot.curve_data()["library 0"]
    pin = found.plot.curve_data()["reference pin 1"]
    assert np.array_equal(x, pin[0]) and np.allclose(y, pin[1], atol=0.01)
    assert "material 1  \u00d70.5" in found.plot.legend.text()
    # it can be looked for in the cube itself
    qtbot.waitUntil(lambda: box.picked_combo.findText("Library: material 1") == 3)
    box.picked_combo.setCurrentIndex(3)
    box.tree.topLevelItem(0).setSelected(False)
    box.tree.topLevelItem(1).setSelected(True)
    other = f"Library: {rows(box)[1][1]}"
    qtbot.waitUntil(lambda: box.picked_combo.currentText() == other)
    box.toggle.click()
    qtbot.waitUntil(lambda: "library 0" not in found.plot.curve_data())


def test_the_search_looks_at_names_and_descriptions(found: Any, qtbot: Any) -> None:
    box = found.library_box
    box.search_edit.setText("2 MATER")
    qtbot.waitUntil(lambda: [name for _, name in rows(box)] == ["material 2"])
    box.search_edit.setText("nowhere")
    qtbot.waitUntil(lambda: not rows(box))
    box.search_edit.setText("lib.csv")
    qtbot.waitUntil(lambda: len(rows(box)) == 3)


def test_a_library_that_cannot_be_read_is_told(found: Any, qtbot: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("nm,a\n400,x\n", encoding="utf-8")
    found.library_box.load(tmp_path / "bad.csv")
    qtbot.waitUntil(lambda: found.status.failed)
    assert "'x' is not a number" in found.status.text() and len(rows(found.library_box)) == 3


def test_the_angle_map_is_a_layer_over_its_cube(found: Any, pair_in: Any, qtbot: Any) -> None:
    box, cube = found.library_box, pair_in.layers["reference"]
    cube.translate = (0, 5, 7)
    picked = box.picked()
    qtbot.mouseClick(box.map_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "reference: angle to pin 1" in pair_in.layers, timeout=30_000)
    layer = pair_in.layers["reference: angle to pin 1"]
    expected = package.angle_map(Cube.from_layer(cube), picked).read()[0]
    assert np.allclose(layer.data, expected, atol=1e-4) and layer.data[20, 30] < 1e-4
    assert followed_by(layer) == cube and not is_cube(layer) and layer.colormap.name == "gray_r"
    assert found.status.text().startswith("Added")
    qtbot.waitUntil(lambda: not found.maps.running)
    assert not found.stop_button.isVisible()


def test_without_a_pin_there_is_nothing_to_look_for(pair_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    spectra = dock("Spectra")
    spectra.library_box.toggle.click()
    qtbot.waitUntil(lambda: not spectra._timer.isActive())
    assert not spectra.library_box.map_button.isEnabled() and spectra.library_box.picked() is None
    spectra.pins.add((5.0, 5.0))
    qtbot.waitUntil(spectra.library_box.map_button.isEnabled)
    spectra.pins.clear()
    qtbot.waitUntil(lambda: not spectra.library_box.map_button.isEnabled())
