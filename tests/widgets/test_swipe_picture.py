from __future__ import annotations

import numpy as np
from napari.utils.colormaps import ensure_colormap

from napari_specfusion.widgets._swipe_picture import LINE, MISSING, MOST, Grid, cover, plane_colours


def test_a_plane_takes_colormap_limits_and_gamma() -> None:
    plane = np.array([[-1.0, 0.0, 1.0, 2.0, 9.0, np.nan]])
    gray = ensure_colormap("gray")
    colours = plane_colours(plane, rgb=False, colormap=gray, limits=(0.0, 2.0))
    assert [int(n) for n in colours[0, :5, 0]] == [0, 0, 128, 255, 255] and (colours[..., 3] == 255).all()
    assert tuple(colours[0, 5]) == MISSING
    darker = plane_colours(plane, rgb=False, colormap=gray, limits=(0.0, 2.0), gamma=2.0)
    assert darker[0, 2, 0] == 64
    assert (plane_colours(plane, rgb=False, colormap=ensure_colormap("red"))[0, 2, :3] == (255, 0, 0)).all()


def test_colours_stay_as_they_are() -> None:
    share = plane_colours(np.array([[[0.0, 0.5, 1.0, 0.3], [np.nan, 0, 0, 1]]]), rgb=True)
    assert share.tolist() == [[[0, 127, 255, 255], list(MISSING)]]
    assert plane_colours(np.array([[[1, 2, 3]]], np.uint8), rgb=True).tolist() == [[[1, 2, 3, 255]]]
    assert plane_colours(np.array([[[65535, 0, 0]]], np.uint16), rgb=True).tolist() == [[[255, 0, 0, 255]]]


def test_the_cover_is_open_left_of_the_line() -> None:
    colours = np.full((2, 9, 4), 255, np.uint8)
    shown = cover(colours, np.array([0.0, 2.0, 100.0]), 108.0)
    assert shown[0, :, 3].tolist() == [0, 0, 0, 255, 255, 255, 255, 255, 255]
    assert tuple(shown[0, 4]) == LINE and tuple(shown[1, 8]) == (255, 255, 255, 255)
    # turned by a right angle, the line runs along a row
    turned = cover(np.full((9, 2, 4), 255, np.uint8), np.array([-1.0, 0.0, 0.0]), -3.0)
    assert turned[:, 0, 3].tolist() == [255] * 5 + [0] * 4


def test_the_grid_of_the_picture_lies_on_the_layer() -> None:
    fine = Grid.of(24, 32)
    assert fine.step == 1 and fine.times == 24
    # the outer edges agree
    corner = fine.matrix @ [-0.5, 32 * 24 - 0.5, 1]
    assert np.allclose(corner[:2], (-0.5, 31.5))
    coarse = Grid.of(MOST * 2 + 1, 10)
    assert (coarse.step, coarse.times) == (3, 1) and np.allclose(coarse.matrix @ [1, 0, 1], [3, 0, 1])
