from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import numpy as np
from napari.components import ViewerModel

from napari_specfusion.widgets._follow import TRANSFORMS, follow, followed_by
from napari_specfusion.widgets._layers import plane_matrix

if TYPE_CHECKING:
    from napari.layers import Image


def pair() -> tuple[ViewerModel, Image, Image]:
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((5, 8, 9)), scale=(1, 2, 2), translate=(0, 3, 4))
    layer = viewer.add_image(np.zeros((8, 9)))
    follow(viewer, layer, source)
    return viewer, source, layer


def test_a_picture_lies_on_its_cube_and_moves_with_it() -> None:
    _, source, layer = pair()
    assert np.allclose(plane_matrix(layer), [[2, 0, 3], [0, 2, 4], [0, 0, 1]]) and followed_by(layer) is source
    source.translate = (0, -7, 9)
    assert np.allclose(plane_matrix(layer), plane_matrix(source))
    source.scale = (1, 0.5, 0.5)
    assert np.allclose(plane_matrix(layer), plane_matrix(source))
    turn = np.eye(4)
    turn[1:3, 1:3] = [[0.6, -0.8], [0.8, 0.6]]
    source.affine = turn
    assert np.allclose(plane_matrix(layer), plane_matrix(source))


def test_a_picture_without_its_cube_stays() -> None:
    viewer, source, layer = pair()
    viewer.layers.remove(source)
    assert followed_by(layer) is None
    source.translate = (0, 50, 50)
    assert np.allclose(layer.translate, (3, 4))


def test_nothing_is_connected_once_the_picture_is_gone() -> None:
    viewer, source, layer = pair()
    before = [len(getattr(source.events, name).callbacks) for name in TRANSFORMS]
    viewer.layers.remove(layer)
    after = [len(getattr(source.events, name).callbacks) for name in TRANSFORMS]
    assert [a - b for a, b in zip(before, after, strict=True)] == [1] * len(TRANSFORMS)
    source.translate = (0, 50, 50)
    assert np.allclose(layer.translate, (3, 4))


def test_following_keeps_no_layer_alive() -> None:
    viewer, source, layer = pair()
    viewer.layers.clear()
    # napari itself keeps the layer that was selected last
    viewer.layers.selection._current = None
    there = weakref.ref(layer), weakref.ref(source)
    del layer, source
    gc.collect()
    assert [one() for one in there] == [None, None]


def test_following_another_one_lets_go_of_the_first() -> None:
    viewer, source, layer = pair()
    other = viewer.add_image(np.zeros((5, 8, 9)), translate=(0, 1, 1))
    follow(viewer, layer, other)
    source.translate = (0, 50, 50)
    assert followed_by(layer) is other and np.allclose(layer.translate, (1, 1))
