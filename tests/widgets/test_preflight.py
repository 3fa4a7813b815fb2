from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion.alignment.by_hand import align_by
from napari_specfusion.alignment.transform import frame_matrix
from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._layers import plane_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.scene import Scene

TIMEOUT = 60_000


def ready(qtbot: Any, fuse: Any) -> None:
    qtbot.waitUntil(lambda: fuse.preflight.done and fuse._inspection is None, timeout=TIMEOUT)


def run(qtbot: Any, fuse: Any, method: str = "subspace") -> None:
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(method))
    fuse.start()
    qtbot.waitUntil(lambda: fuse._run is None, timeout=TIMEOUT)


def test_a_turned_guide_is_aligned_and_the_result_lies_over_it(
    turned_in: Any, true_matrix: Any, dock: Callable[[str], Any], qtbot: Any
) -> None:
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    assert fuse.preflight.verdict[0] == "good" and fuse.preflight.doubts == ()
    facts = dict(fuse.preflight.facts)
    assert "turned by" in facts["Guide"] and "\u2192" in facts["Residual"]
    low, guide = turned_in.layers["cube"], turned_in.layers["guide"]
    # the cube lies over the guide as it came
    for corner in ((0, 0), (47, 0), (0, 47), (47, 47)):
        there = true_matrix @ (*corner, 1)
        assert np.allclose(low.data_to_world((0, *corner))[-2:], there[:2], atol=0.5)
    assert np.allclose(plane_matrix(guide), np.eye(3))
    run(qtbot, fuse)
    fused = turned_in.layers["fused subspace"]
    alignment = fuse.preflight.alignment
    assert alignment is not None and alignment.placement == "resampled"
    # a pixel of the result lies where the cube's pixel under it lies
    cells = (np.array([10.0, 20.0]) + 0.5) * 4 - 0.5
    there = alignment.to_guide(*(np.array([10.0, 20.0]) + alignment.window[::2]))
    assert np.allclose(fused.data_to_world((0, *cells))[-2:], there, atol=0.2)
    assert np.isfinite(Cube.from_layer(fused).read()).any()


def test_nothing_is_moved_where_that_is_not_wanted(turned_in: Any, dock: Callable[[str], Any], qtbot: Any) -> None:
    fuse = dock("Fuse")
    combo = fuse.align_choice.combo
    combo.setCurrentIndex(combo.findData("tags"))
    ready(qtbot, fuse)
    assert fuse.preflight.verdict[0] == "error" and "tags" in fuse.preflight.findings[0].message
    assert not fuse.run_button.isEnabled()
    combo.setCurrentIndex(combo.findData("off"))
    ready(qtbot, fuse)
    assert fuse.preflight.alignment is None and fuse.preflight.scene is not None


@pytest.mark.parametrize("answer", ["cancel", "run", "align"])
def test_what_cannot_be_trusted_is_asked_about(
    viewer: Any, scene: Scene, dock: Callable[[str], Any], qtbot: Any, answer: str
) -> None:
    low = scene.hsi.layer_data()
    viewer.add_image(low[0], **low[1])
    viewer.add_image(np.random.default_rng(0).random((96, 96, 3), np.float32), rgb=True, name="noise")
    fuse = dock("Fuse")
    # the calibration is enough to see it
    fuse.align_choice.combo.setCurrentIndex(fuse.align_choice.combo.findData("off"))
    ready(qtbot, fuse)
    assert fuse.preflight.verdict[0] == "error" and fuse.run_button.isEnabled()
    asked = []
    fuse.ask = lambda parent, reasons: asked.append(tuple(reasons)) or answer
    run(qtbot, fuse, "bicubic")
    assert asked == [fuse.preflight.doubts] and asked[0]
    assert ("fused bicubic" in viewer.layers) == (answer == "run")
    opened = [name for name in viewer.window.dock_widgets if name.startswith("Align by hand")]
    assert bool(opened) == (answer == "align")


def test_a_pair_without_a_common_place_is_red(
    turned_in: Any, turned: tuple[Cube, Cube], dock: Callable[[str], Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = dataclasses.replace(align_by(*turned, frame_matrix(3.7)).alignment, verdict="unrelated")
    monkeypatch.setattr("napari_specfusion.widgets._preflight.make_scene", lambda *args, **_: nowhere.scene(*args[:2]))
    fuse = dock("Fuse")
    ready(qtbot, fuse)
    assert fuse.preflight.verdict == ("error", "The two images do not belong together.")
    assert "Align by hand" in fuse.preflight.findings[0].message
    assert fuse.preflight.doubts and "Guide" not in dict(fuse.preflight.facts)
    # nothing is laid over a place that means nothing
    assert np.allclose(plane_matrix(turned_in.layers["cube"]), np.eye(3))
    fuse.ask = lambda parent, reasons: "run"
    run(qtbot, fuse, "bicubic")
    assert "fused bicubic" in turned_in.layers
