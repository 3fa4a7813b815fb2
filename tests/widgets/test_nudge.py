from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_specfusion.widgets._nudge import KEYS, NudgeKeys, Step, nudged

SHAPE = (11, 21)


@pytest.mark.parametrize("step", [Step(turn=1.0), Step(zoom=1.01)])
def test_turns_and_zooms_keep_the_middle(step: Step) -> None:
    matrix = np.array([[4.0, 0.1, 3.0], [0.2, 4.0, 5.0], [0.0, 0.0, 1.0]])
    there = nudged(matrix, SHAPE, step)
    assert np.allclose(there @ (5, 10, 1), matrix @ (5, 10, 1))
    assert np.isclose(np.linalg.det(there), np.linalg.det(matrix) * step.zoom**2)


def test_a_turn_goes_clockwise_and_a_move_goes_where_it_says() -> None:
    matrix = nudged(np.eye(3), SHAPE, Step(turn=90.0))
    # what lay right of the middle lies below it
    assert np.allclose(matrix @ (5, 12, 1), (7, 10, 1))
    assert np.allclose(nudged(np.eye(3), SHAPE, Step((1, -2))) @ (0, 0, 1), (1, -2, 1))


def test_keys_are_given_back_as_they_were() -> None:
    viewer, pressed = ViewerModel(), list[Step]()
    earlier = lambda viewer: None  # noqa: E731
    viewer.bind_key("[", earlier)
    before: dict[Any, Any] = dict(viewer.keymap)
    keys = NudgeKeys(viewer, pressed.append)
    keys.bind()
    keys.bind()
    assert len(viewer.keymap) == len(KEYS)
    for function in viewer.keymap.values():
        function(viewer)
    assert sorted(map(repr, pressed)) == sorted(map(repr, KEYS.values()))
    keys.release()
    keys.release()
    assert viewer.keymap == before
