from __future__ import annotations

import numpy as np

from napari_specfusion.widgets._compare_views import Pictures, checkerboard


def test_squares_come_from_the_two_images_in_turns() -> None:
    guide, low = np.zeros((40, 40, 3), np.float32), np.ones((10, 10, 3), np.float32)
    matrix = np.array([[4.0, 0.0, 1.5], [0.0, 4.0, 1.5], [0.0, 0.0, 1.0]])
    board = checkerboard(Pictures(low, guide, 1, 1), matrix)
    assert board.shape == guide.shape and not guide.any()
    assert board[0, 0, 0] == 0 and board[0, 4, 0] == 1 and board[4, 0, 0] == 1 and board[4, 4, 0] == 0
    # where the cube shows nothing, the guide stays
    matrix[1, 2] += 400
    assert not checkerboard(Pictures(low, guide, 1, 1), matrix).any()
