from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject

from napari_specfusion.widgets._commands import sample_pair
from napari_specfusion.widgets._demo import Story, run_demo


def test_the_demo_ends_with_everything_in_view(viewer: Any, qtbot: Any) -> None:
    story = run_demo(viewer, sample_pair(64))
    with qtbot.waitSignal(story.ended, timeout=60_000):
        pass
    names = [layer.name for layer in viewer.layers if layer.visible]
    fused = next(name for name in names if name.startswith("fused "))
    assert names == ["reference", "guide", "low-res cube", fused, f"SAM of {fused}", f"RMSE of {fused}"]
    assert viewer.canvas.grid.enabled


def test_a_demo_whose_pair_is_taken_away_ends_quietly(viewer: Any, qtbot: Any) -> None:
    story = run_demo(viewer, sample_pair(64))
    fuse = story.parent()
    qtbot.waitUntil(lambda: fuse.preflight.done, timeout=60_000)
    viewer.layers.clear()
    with qtbot.waitSignal(story.ended, timeout=60_000):
        pass
    assert not viewer.canvas.grid.enabled


def test_steps_wait_for_their_conditions(qtbot: Any) -> None:
    gates = [False, False]
    passed = []

    def steps() -> Any:
        for index in range(2):
            yield lambda index=index: gates[index]
            passed.append(index)

    parent = QObject()
    story = Story(steps(), parent)
    story.start()
    qtbot.wait(300)
    assert passed == []
    gates[0] = True
    qtbot.waitUntil(lambda: passed == [0])
    gates[1] = True
    with qtbot.waitSignal(story.ended):
        pass
    assert passed == [0, 1]
