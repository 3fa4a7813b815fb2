from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.colour import INDICES
from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._follow import followed_by
from napari_specfusion.widgets._layers import plane_matrix
from napari_specfusion.widgets._pictures import TOOLS, Tool
from napari_specfusion.widgets._readout import band_shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.scene import Scene

WAVELENGTHS = np.linspace(400, 1000, 40)


@pytest.fixture
def panel(viewer: Any, dock: Callable[[str], Any]) -> Any:
    """Return the panel over a cube of the visible and near infrared."""
    values = np.random.default_rng(0).random((40, 24, 30)).astype(np.float32)
    layer = show_in(viewer, Cube.from_array(values, wavelengths=WAVELENGTHS, name="field"))
    layer.scale, layer.translate = (1, 3, 3), (0, 1, 1)
    return dock("Colour")


def choose(panel: Any, key: str) -> Any:
    panel.tool_combo.setCurrentIndex(panel.tool_combo.findData(key))
    return panel.forms[key]


def made(panel: Any, qtbot: Any) -> Any:
    """Press the button, wait, and return the new layer."""
    before = len(panel.viewer.layers)
    panel.add_button.click()
    assert not panel.add_button.isEnabled() and panel.cancel_button.isEnabled()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert len(panel.viewer.layers) == before + 1, panel.status.text()
    return panel.viewer.layers[-1]


def test_every_tool_adds_its_layer(panel: Any, qtbot: Any) -> None:
    source = panel.viewer.layers["field"]
    names = {
        "true colour": "field: true colour",
        "composite": "field: colour infrared",
        "index": "field: NDVI",
        "components": "field: PCA",
        "component colours": "field: PCA 1, 2, 3 as RGB",
    }
    assert set(names) == set(TOOLS)
    for key, name in names.items():
        choose(panel, key)
        assert [one for one, page in panel.pages.items() if page.isVisible()] == [key]
        layer = made(panel, qtbot)
        assert layer.name == name and name in panel.status.text()
        assert np.allclose(plane_matrix(layer), plane_matrix(source))
        # the cube is still the one to make the next picture of
        assert panel.cube_combo.currentText() == "field"
    source.translate = (0, -5, 6)
    for name in names.values():
        assert np.allclose(plane_matrix(panel.viewer.layers[name]), plane_matrix(source))


def test_lists_fill_the_fields(panel: Any, qtbot: Any) -> None:
    bands, index = choose(panel, "composite"), panel.forms["index"]
    assert panel.combination.currentText() == "colour infrared" and panel.index.currentText() == "NDVI"
    panel.combination.setCurrentText("natural")
    assert panel.combination.currentText() == "natural"
    assert [bands[field].value for field in ("red", "green", "blue")] == [640, 550, 460]
    assert made(panel, qtbot).name == "field: natural"
    bands["red"].value = 700
    assert panel.combination.currentText() == "own" and bands["blue"].value == 460
    panel.index.setCurrentText("PRI")
    assert index["formula"].value == INDICES["PRI"]
    choose(panel, "index")
    assert made(panel, qtbot).name == "field: PRI"
    index["formula"].value = "R800"
    assert panel.index.currentText() == "own"


def test_bars_on_the_spectrum_and_fields_are_the_same(panel: Any, qtbot: Any) -> None:
    bands = choose(panel, "composite")
    qtbot.waitUntil(lambda: "mean" in panel.bars.plot.curve_data(), timeout=30_000)
    x, y = panel.bars.plot.curve_data()["mean"]
    assert np.allclose(x, WAVELENGTHS) and np.allclose(y, 0.5, atol=0.1)
    assert [bar.value() for bar in panel.bars.bars] == [850, 650, 550]
    panel.combination.setCurrentText("natural")
    assert [bar.value() for bar in panel.bars.bars] == [640, 550, 460]
    panel.bars.bars[1].setValue(777.4)
    assert bands["green"].value == 777.4 and panel.combination.currentText() == "own"
    assert made(panel, qtbot).name == "field: 646, 785, 462 nm"


def test_a_cube_without_wavelengths_has_no_bars(panel: Any, qtbot: Any) -> None:
    choose(panel, "composite")
    assert panel.bars.isVisible()
    panel.cube_combo.choose(show_in(panel.viewer, Cube.from_array(np.ones((9, 8, 8), np.float32), name="bare")))
    assert not panel.bars.isVisible()
    panel.add_button.click()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.status.failed
    assert panel.status.text() == "bare has no wavelengths; choose a file under Wavelengths in Open cube."


@pytest.mark.parametrize("key", TOOLS)
def test_every_field_can_be_reached(panel: Any, key: str, qtbot: Any) -> None:
    fields = [field.native for field in choose(panel, key) if field.name not in ("viewer", "layer")]
    qtbot.waitUntil(fields[0].isVisible)
    qtbot.wait(50)
    page = panel.pages[key]
    for field in fields:
        found = page.childAt(field.mapTo(page, field.rect().center()))
        assert found is field or field.isAncestorOf(found)


def test_fields_have_units_and_tooltips(panel: Any) -> None:
    bands = panel.forms["composite"]
    assert bands["red"].native.suffix() == " nm" and bands["stretch"].native.suffix() == " %"
    for one in panel.forms.values():
        fields = [field for field in one if field.visible or field.name not in ("viewer", "layer")]
        assert fields and all(field.tooltip for field in fields if field.name not in ("viewer", "layer"))
    raman = Cube.from_array(np.ones((5, 8, 8), np.float32), wavelengths=range(500, 1000, 100), spectral_unit="cm-1")
    panel.cube_combo.choose(show_in(panel.viewer, raman.replace(name="raman")))
    assert bands["red"].native.suffix() == " cm\u207b\u00b9"


@pytest.mark.parametrize(
    ("formula", "said"), [("R800 +", "cannot be read"), ("R2200 / R800", "400 to 1000 nm"), ("exit()", "not allowed")]
)
def test_what_is_wrong_is_said_in_the_panel(panel: Any, qtbot: Any, formula: str, said: str) -> None:
    choose(panel, "index")["formula"].value = formula
    panel.add_button.click()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.status.failed and said in panel.status.text() and len(panel.viewer.layers) == 1


def test_components_as_rgb_take_the_method_and_follow(panel: Any, qtbot: Any) -> None:
    source, form = panel.viewer.layers["field"], choose(panel, "component colours")
    form["method"].value, form["stretch"].value = "MNF", 1.0
    assert form["stretch"].native.suffix() == " %"
    layer = made(panel, qtbot)
    assert layer.rgb and layer.name == "field: MNF 1, 2, 3 as RGB"
    source.translate = (0, 4, 4)
    assert np.allclose(plane_matrix(layer), plane_matrix(source))


def test_components_leave_the_slider_alone_and_take_their_own_contrast(panel: Any, qtbot: Any) -> None:
    source = panel.viewer.layers["field"]
    panel.viewer.dims.set_current_step(0, 7)
    choose(panel, "components")["count"].value = 3
    layer = made(panel, qtbot)
    assert band_shown(panel.viewer, layer) == 0 and band_shown(panel.viewer, source) == 7
    limits = np.percentile(np.asarray(layer.data)[0], [1, 99])
    qtbot.waitUntil(lambda: np.allclose(layer.contrast_limits, limits, rtol=0.1), timeout=30_000)


def test_cancel_stops_and_adds_nothing(panel: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, asked = threading.Event(), threading.Event()

    def slow(cube: Cube, *, progress: Any, should_stop: Any, **options: Any) -> Cube:
        begun.set()
        while not should_stop():
            asked.wait(0.01)
        return TOOLS["true colour"].compute(cube, progress=progress, should_stop=should_stop, **options)

    tool = TOOLS["composite"]
    monkeypatch.setitem(TOOLS, "composite", Tool(tool.title, tool.show, slow))  # type: ignore[arg-type]
    choose(panel, "composite")
    panel.add_button.click()
    qtbot.waitUntil(begun.is_set)
    panel.cancel_button.click()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.status.text() == "Stopped." and len(panel.viewer.layers) == 1 and panel.add_button.isEnabled()


def test_a_cube_that_went_meanwhile_gets_no_picture(panel: Any, qtbot: Any) -> None:
    panel.add_button.click()
    panel.viewer.layers.clear()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert "removed" in panel.status.text() and not panel.viewer.layers
    assert not panel.add_button.isEnabled()


def test_the_cube_of_a_selected_picture_is_suggested(viewer: Any, dock: Callable[[str], Any], scene: Scene) -> None:
    from napari_specfusion.widgets._pictures import show_true_colour

    first = show_in(viewer, scene.hsi)
    show_in(viewer, scene.hsi.replace(name="other"))
    picture = show_true_colour(viewer, first)
    viewer.layers.selection.active = picture
    assert followed_by(picture) is not None
    assert dock("Colour").cube_combo.currentText() == "low-res cube"
