from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._layers import plane_matrix
from napari_specfusion.widgets._regions import Regions, labels_on, line_mask

VALUES = np.random.default_rng(0).random((4, 8, 8)).astype(np.float32)


def test_a_line_goes_through_pixels() -> None:
    mask = line_mask(np.array([[1.0, 1], [1, 4], [3, 4]]), 6, 6)
    assert np.argwhere(mask).tolist() == [[1, 1], [1, 2], [1, 3], [1, 4], [2, 4], [3, 4]]
    assert np.array_equal(line_mask(np.array([[-3.0, -3], [9, 9]]), 4, 4), np.eye(4, dtype=bool))


def test_labels_are_taken_where_the_pixels_of_the_cube_lie() -> None:
    labels = np.arange(1, 17).reshape(4, 4)
    assert labels_on(labels, np.eye(3), 4, 4) is labels
    turned = np.array([[0.0, 1, 0], [-1, 0, 3], [0, 0, 1]])
    assert np.array_equal(labels_on(labels, turned, 4, 4), np.rot90(labels))
    moved = np.array([[1.0, 0, 2], [0, 1, -1], [0, 0, 1]])
    assert labels_on(labels, moved, 3, 2).tolist() == [[0, 9], [0, 13], [0, 0]]


@pytest.mark.parametrize("ndim", [2, 3])
def test_shapes_lie_where_they_were_drawn_whatever_moved_since(ndim: int) -> None:
    viewer = ViewerModel()
    heard: list[int] = []
    regions = Regions(viewer, lambda event=None: heard.append(1))
    corners = np.array([[1.5, 1.5], [1.5, 4.5], [4.5, 4.5], [4.5, 1.5]])
    shapes = viewer.add_shapes(
        [np.hstack([np.full((4, ndim - 2), 2.0), corners])], shape_type="polygon", edge_color="#ff0000"
    )
    regions.follow()
    (region,) = regions.regions()
    cube = Cube.from_array(VALUES)
    (found,) = region.spectra(cube, np.eye(3))
    assert np.allclose(found.values, VALUES[:, 2:5, 2:5].mean(axis=(1, 2))) and region.colours(1) == "#ff0000"
    # a cube of half the pixels, over the same place
    coarse = np.array([[2.0, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    (found,) = region.spectra(Cube.from_array(VALUES[:, :4, :4]), coarse)
    assert np.allclose(found.values, VALUES[:, 1:2, 1:2].mean(axis=(1, 2)))
    heard.clear()
    shapes.translate = (0,) * (ndim - 2) + (1.0, 0.0)
    assert heard
    (moved,) = regions.regions()
    assert moved.key != region.key
    (found,) = moved.spectra(cube, np.eye(3))
    assert np.allclose(found.values, VALUES[:, 3:6, 2:5].mean(axis=(1, 2)))
    assert moved.spectra(cube, np.array([[1.0, 0, 50], [0, 1, 0], [0, 0, 1]])) == ()
    regions.let_go()
    heard.clear()
    shapes.data = []
    assert not heard and regions.regions() == []


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_labels_that_were_painted_on_are_others() -> None:
    viewer = ViewerModel()
    regions = Regions(viewer, lambda event=None: None)
    layer = viewer.add_labels(np.zeros((8, 8), np.uint8), name="marks")
    regions.follow()
    (before,) = regions.regions()
    assert before.spectra(Cube.from_array(VALUES), np.eye(3)) == ()
    layer.paint((3, 3), 7)
    (after,) = regions.regions()
    assert after.key != before.key
    (found,) = after.spectra(Cube.from_array(VALUES), plane_matrix(layer))
    assert after.title(found) == "marks 7" and after.colours(7).startswith("#")
    layer.visible = False
    assert regions.regions() == []


def test_each_shape_has_a_colour_that_the_others_have_not() -> None:
    viewer = ViewerModel()
    regions = Regions(viewer, lambda event=None: None)
    regions.draw()
    shapes = viewer.layers["Regions"]
    box = np.array([[0, 0], [0, 2], [2, 2], [2, 0]])
    for number in range(3):
        shapes.add_rectangles([box + number])
        regions.colour_new()
    assert len({region.colours(1) for region in regions.regions()}) == 3
    kept = [region.colours(1) for region in regions.regions()][1:]
    shapes.selected_data = {0}
    shapes.remove_selected()
    regions.colour_new()
    shapes.add_rectangles([box])
    regions.colour_new()
    colours = [region.colours(1) for region in regions.regions()]
    assert colours[:2] == kept and len(set(colours)) == 3
