from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.components import ViewerModel

from napari_specfusion.widgets._console import show_in, show_rgb
from napari_specfusion.widgets._layers import plane_matrix

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene


def test_the_rgb_of_a_cube_goes_along_with_it(scene: Scene) -> None:
    viewer = ViewerModel()
    layer = show_in(viewer, scene.hsi)
    layer.scale = (1, 4, 4)
    picture = show_rgb(viewer)
    assert np.allclose(plane_matrix(picture), plane_matrix(layer))
    layer.translate = (0, 7, -3)
    assert np.allclose(plane_matrix(picture), plane_matrix(layer))
