"""Ways to look at a cube over its guide: see-through, in squares, or one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_specfusion.alignment.transform import homogeneous
from napari_specfusion.widgets._layers import VIEW_KEY, place_by, rgb_layer_data

if TYPE_CHECKING:
    import napari

    from napari_specfusion.data.cube import Cube

__all__ = ["MODES", "CompareViews", "Pictures", "checkerboard"]

MODES = {"overlay": "Overlay", "checkerboard": "Checkerboard", "blink": "Blink"}
BLINK = 600
# pixels and squares along the longer side of a checkerboard
SIDE, SQUARES = 1024, 10


@dataclass(frozen=True, eq=False)
class Pictures:
    """Small pictures of the two images.

    Attributes
    ----------
    low, guide
        RGB ``(y, x, 3)``, 0 to 1.
    low_step, guide_step
        Pixels of the image per pixel of its picture.
    """

    low: NDArray[np.float32]
    guide: NDArray[np.float32]
    low_step: int
    guide_step: int

    @classmethod
    def of(cls, low: Cube, guide: Cube) -> Pictures:
        """Read the pictures."""
        (small, step), (sharp, guide_step) = _picture(low), _picture(guide)
        return cls(small, sharp, step, guide_step)


def _picture(cube: Cube) -> tuple[NDArray[np.float32], int]:
    step = max(1, math.ceil(max(cube.shape[1:]) / SIDE))
    picture = np.asarray(rgb_layer_data(cube)[0][::step, ::step], np.float32)
    return np.nan_to_num(picture), step


def checkerboard(pictures: Pictures, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the guide's picture with every other square taken from the cube.

    Parameters
    ----------
    pictures
        The two images.
    matrix
        ``(3, 3)``: from cube pixels (y, x, 1) to guide pixels.
    """
    guide, low = pictures.guide, pictures.low
    y, x = (np.arange(n, dtype=np.float64) for n in guide.shape[:2])
    side = max(4, math.ceil(max(guide.shape[:2]) / SQUARES))
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)
    down, right = homogeneous(inverse, *np.broadcast_arrays(*(n * pictures.guide_step for n in (y[:, None], x[None]))))
    row, column = (np.rint(place / pictures.low_step).astype(int) for place in (down, right))
    shown = (row >= 0) & (row < low.shape[0]) & (column >= 0) & (column < low.shape[1])
    shown &= (y[:, None] // side + x[None] // side) % 2 == 1
    board = guide.copy()
    board[shown] = low[row[shown], column[shown]]
    return board


class CompareViews:
    """Shows a cube over its guide in one of `MODES`, and gives the layers back as they were.

    Parameters
    ----------
    parent
        What the timer belongs to.
    viewer
        Where the layers are.
    """

    def __init__(self, parent: QObject, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._low: Any = None
        self._guide: Any = None
        self._before: tuple[bool, float, bool] | None = None
        self._board: Any = None
        self.pictures: Pictures | None = None
        self.mode = ""
        self.timer = QTimer(parent)
        self.timer.setInterval(BLINK)
        self.timer.timeout.connect(self._blink)

    def begin(self, low: Any, guide: Any) -> None:
        """Look at another pair."""
        self.end()
        self._low, self._guide = low, guide
        self._before = bool(low.visible), float(low.opacity), bool(guide.visible)
        layers = self._viewer.layers
        if layers.index(low) < layers.index(guide):
            layers.move(layers.index(low), layers.index(guide) + 1)

    def show(self, mode: str, opacity: float, matrix: NDArray[np.float64]) -> None:
        """Show the pair in a mode; `opacity` is for the overlay."""
        if not self._there:
            return
        self.mode = mode
        self._guide.visible = True
        self._low.opacity = opacity if mode == "overlay" else 1.0
        if mode == "blink":
            self.timer.start()
        else:
            self.timer.stop()
            self._low.visible = True
        if mode == "checkerboard":
            self.update(matrix)
        else:
            self._drop_board()

    def turn(self, *, cube: bool) -> None:
        """Show one of the two alone, to click points in it."""
        if self._there:
            self.timer.stop()
            self._drop_board()
            self._low.opacity = 1.0
            self._low.visible, self._guide.visible, self.mode = cube, not cube, ""

    def update(self, matrix: NDArray[np.float64]) -> None:
        """Draw the checkerboard for another matrix, if it is on."""
        if self.mode != "checkerboard" or self.pictures is None or not self._there:
            return
        board = checkerboard(self.pictures, matrix)
        if self._board is not None and self._board in self._viewer.layers:
            self._board.data = board
            return
        active = self._viewer.layers.selection.active
        self._board = self._viewer.add_image(
            board, rgb=True, name="checkerboard", metadata={VIEW_KEY: True}, units=("pixel", "pixel")
        )
        if active is not None:
            self._viewer.layers.selection.active = active
        step = float(self.pictures.guide_step)
        place_by(self._board, self._guide, np.diag([step, step, 1.0]))

    def end(self) -> None:
        """Give the layers back as they were."""
        self.timer.stop()
        self._drop_board()
        if self._before is not None and self._there:
            self._low.visible, self._low.opacity, self._guide.visible = self._before
        self._before, self._low, self._guide, self.mode = None, None, None, ""

    @property
    def _there(self) -> bool:
        layers = self._viewer.layers
        return self._low is not None and self._low in layers and self._guide in layers

    def _blink(self) -> None:
        if self._there:
            self._low.visible = not self._low.visible
        else:
            self.timer.stop()

    def _drop_board(self) -> None:
        if self._board is not None and self._board in self._viewer.layers:
            self._viewer.layers.remove(self._board)
        self._board = None
