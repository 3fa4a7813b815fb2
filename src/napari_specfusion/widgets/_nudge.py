"""Keys that move a cube over its guide, bound only while somebody aligns by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.transform import homogeneous

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

__all__ = ["KEYS", "NudgeKeys", "Step", "nudged"]


@dataclass(frozen=True)
class Step:
    """One step of the cube over the guide.

    Attributes
    ----------
    move
        (y, x) in guide pixels.
    turn
        Degrees, clockwise as displayed.
    zoom
        Factor.
    """

    move: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    zoom: float = 1.0


_MOVES = {"Up": (-1.0, 0.0), "Down": (1.0, 0.0), "Left": (0.0, -1.0), "Right": (0.0, 1.0)}

# napari takes Shift off keys that are no letters, and does not know "+" and "{": Alt makes large turns, and "=" is the
# key of "+". The keys beside M and above the arrows are for keyboards on which brackets need AltGr.
KEYS: dict[str, Step] = {
    **{key: Step(move) for key, move in _MOVES.items()},
    **{f"Shift-{key}": Step((10 * move[0], 10 * move[1])) for key, move in _MOVES.items()},
    **{key: Step(turn=turn) for key, turn in (("[", -0.1), ("]", 0.1), (",", -0.1), (".", 0.1))},
    **{f"Alt-{key}": Step(turn=turn) for key, turn in (("[", -1.0), ("]", 1.0), (",", -1.0), (".", 1.0))},
    **{key: Step(zoom=zoom) for key, zoom in (("-", 1 / 1.001), ("=", 1.001), ("PageDown", 1 / 1.001))},
    "PageUp": Step(zoom=1.001),
    "Shift-PageDown": Step(zoom=1 / 1.01),
    "Shift-PageUp": Step(zoom=1.01),
}


def nudged(matrix: NDArray[np.float64], shape: tuple[int, int], step: Step) -> NDArray[np.float64]:
    """Return a matrix from cube to guide pixels after a step; turns and zooms keep the cube's middle in its place.

    Parameters
    ----------
    matrix
        ``(3, 3)``: from cube pixels (y, x, 1) to guide pixels.
    shape
        Rows and columns of the cube.
    step
        What to do.
    """
    middle = np.stack(homogeneous(matrix, (shape[0] - 1) / 2, (shape[1] - 1) / 2))
    angle = math.radians(step.turn)
    turn = step.zoom * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    change = np.eye(3)
    change[:2, :2] = turn
    change[:2, 2] = middle - turn @ middle + step.move
    return np.asarray(change @ matrix, np.float64)


class NudgeKeys:
    """Binds `KEYS` in a viewer, and gives them back as they were.

    They are bound on the viewer itself: its class keeps napari's own meaning of the arrows for later, and the keys of
    the active layer come first.
    """

    def __init__(self, viewer: napari.viewer.Viewer, pressed: Callable[[Step], None]) -> None:
        self._viewer = viewer
        self._functions = {key: _handler(pressed, step) for key, step in KEYS.items()}
        self._before: dict[str, Any] = {}
        self.bound = False

    def bind(self) -> None:
        """Let the keys move the cube."""
        if not self.bound:
            self.bound = True
            for key, function in self._functions.items():
                self._before[key] = self._viewer.bind_key(key, function, overwrite=True)

    def release(self) -> None:
        """Give the keys back."""
        if self.bound:
            self.bound = False
            for key, function in self._functions.items():
                found = self._viewer.bind_key(key, None)
                # somebody else may have taken the key since
                kept = self._before.pop(key) if found is function else found
                if kept is not None:
                    self._viewer.bind_key(key, kept)


def _handler(pressed: Callable[[Step], None], step: Step) -> Callable[[Any], None]:
    def handle(viewer: Any) -> None:
        pressed(step)

    return handle
