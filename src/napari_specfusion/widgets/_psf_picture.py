"""A PSF as a small picture: one square for each pixel of the guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

__all__ = ["PsfPicture"]

SIDE = 110
# of the frame and of the cell of a cube pixel
FRAME, CELL = "#8a8d91", "#f28e2b"


class PsfPicture(QWidget):
    """Weights from black to white, and the cell of a cube pixel over them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(SIDE, SIDE)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("PSF")
        self.weights: NDArray[Any] = np.zeros((1, 1))
        self._cell = 1.0

    def show_weights(self, weights: NDArray[Any], cell: float) -> None:
        """Show a PSF.

        Parameters
        ----------
        weights
            ``(n, n)``, in pixels of the guide.
        cell
            Side of a cube pixel in pixels of the guide.
        """
        # a PSF narrower than the cell is seen in it
        margin = max(0, int(np.ceil((cell + 2 - len(weights)) / 2)))
        self.weights, self._cell = np.pad(weights, margin), cell
        self.update()

    def sizeHint(self) -> QSize:
        """Return its only size."""
        return QSize(SIDE, SIDE)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw it."""
        count = len(self.weights)
        most = float(self.weights.max()) or 1.0
        grey = np.ascontiguousarray(np.rint(255 * self.weights / most), np.uint8)
        # 32 bits a pixel: rows of other formats are padded to whole words
        pixels = np.ascontiguousarray(np.stack([grey] * 4, axis=-1))
        pixels[..., 3] = 255
        image = QImage(pixels.tobytes(), count, count, 4 * count, QImage.Format.Format_RGB32)
        painter = QPainter(self)
        box = QRectF(0.5, 0.5, SIDE - 1, SIDE - 1)
        painter.drawImage(box, image)
        painter.setPen(QColor(FRAME))
        painter.drawRect(box)
        side = self._cell * (SIDE - 1) / count
        pen = QPen(QColor(CELL))
        pen.setStyle(Qt.PenStyle.DashLine)
        painter.setPen(pen)
        painter.drawRect(QRectF((SIDE - side) / 2, (SIDE - side) / 2, side, side))
        painter.end()
