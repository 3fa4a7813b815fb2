from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray
from napari.components import ViewerModel
from napari.layers import Image

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._layers import (
    VIEW_KEY,
    is_cube,
    is_image,
    is_unplaced,
    layer_data,
    place_by,
    place_over,
    plane_shape,
    rgb_layer_data,
    suggest_inputs,
    suggest_pair,
)

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene


def image(shape: tuple[int, ...], **keywords: object) -> Image:
    return Image(np.random.default_rng(0).random(shape, np.float32), **keywords)


def test_cubes_are_stacks_of_bands() -> None:
    assert is_cube(image((5, 8, 8)))
    assert not is_cube(image((8, 8)))
    assert not is_cube(image((8, 8, 3), rgb=True))
    assert is_image(image((8, 8, 3), rgb=True))
    assert not is_image(image((2, 5, 8, 8)))
    assert plane_shape(image((8, 9, 3), rgb=True)) == (3, 8, 9)


def test_the_pair_is_guessed_whatever_the_order() -> None:
    low, guide = image((31, 8, 8)), image((32, 32, 3), rgb=True)
    reference, other = image((31, 32, 32)), image((40, 90))
    for layers in ([low, guide, reference, other], [other, reference, guide, low]):
        assert suggest_pair(layers) == (low, guide)
    assert suggest_pair([reference, guide, other]) is None


def test_the_only_pair_is_guessed_whatever_its_outline() -> None:
    low, other = image((31, 32, 32)), image((40, 90))
    assert suggest_pair([other, low]) == (low, other)
    assert suggest_pair([other, low, image((100, 90))]) is None
    assert suggest_pair([low, image((32, 32))]) is None


def test_pictures_to_look_at_are_no_images() -> None:
    assert not is_image(image((8, 8), metadata={VIEW_KEY: True}))


@pytest.mark.parametrize("matrix", [[[0, 4, 3], [-4, 0, 2], [0, 0, 1]], [[1, 0, 3], [0, -1, 2], [0, 0, 1]]])
def test_a_layer_is_laid_by_a_matrix(matrix: list[list[float]]) -> None:
    low, guide = image((5, 8, 8)), image((32, 32), scale=(2, 2), translate=(1, 5), rotate=20)
    place_by(low, guide, np.array(matrix, float))
    for y, x in ((0, 0), (7, 2)):
        there = np.array(matrix, float) @ (y, x, 1)
        assert np.allclose(low.data_to_world((0, y, x))[-2:], guide.data_to_world(there[:2]))
    assert not is_unplaced(low)


@pytest.mark.parametrize(
    "scale, translate, rotate", [((1, 1), (0, 0), 0), ((0.5, 2), (10, -3), 0), ((2, 2), (1, 1), 30)]
)
def test_a_coarse_layer_lies_over_its_guide(scale: tuple, translate: tuple, rotate: float) -> None:
    guide = image((32, 32), scale=scale, translate=translate, rotate=rotate)
    low = image((31, 8, 8))
    place_over(low, guide, 4, (0.25, -0.5))
    for pixel in ((0, 0), (3, 7)):
        expected = guide.data_to_world([4 * p + 1.5 + s for p, s in zip(pixel, (0.25, -0.5), strict=True)])
        assert np.allclose(low.data_to_world((0, *pixel))[1:], expected)
    assert low.data_to_world((5, 0, 0))[0] == 5


def test_a_three_band_cube_becomes_an_rgb_layer_and_comes_back(scene: Scene) -> None:
    data, keywords, kind = layer_data(scene.guide)
    assert kind == "image" and keywords["rgb"]
    back = Cube.from_layer(Image(data, **keywords))
    assert np.array_equal(back.read(), scene.guide.read())
    assert np.array_equal(back.wavelengths, scene.guide.wavelengths)


def test_one_band_is_a_plane_of_its_own() -> None:
    data, keywords, _ = layer_data(Cube.from_array(np.ones((1, 4, 5), np.float32)))
    assert data.shape == (4, 5) and not keywords["rgb"]


def test_rgb_takes_red_first_and_stretches() -> None:
    values = np.zeros((31, 10, 10), np.float32)
    values[24] = np.linspace(0, 5, 100).reshape(10, 10)
    cube = Cube.from_array(values, wavelengths=np.arange(400, 701, 10))
    data, _keywords, _ = rgb_layer_data(cube)
    picture = np.asarray(data)
    assert picture.shape == (10, 10, 3) and picture.min() == 0 and picture.max() == 1
    assert picture[-1, -1].tolist() == [1, 0, 0]
    infrared = Cube.from_array(values, wavelengths=np.arange(1000, 1301, 10))
    assert np.asarray(rgb_layer_data(infrared)[0]).shape == (10, 10, 3)


def test_raman_shifts_are_no_colours() -> None:
    # three lines spread over the spectrum; at 640, 550 and 460 cm-1, which are no red, green and blue, is nothing
    values = np.zeros((31, 10, 10), np.float32)
    values[[4, 15, 25]] = np.linspace(0, 5, 100).reshape(10, 10)
    shifts = Cube.from_array(values, wavelengths=np.linspace(100, 3100, 31), spectral_unit="cm-1")
    picture = np.asarray(rgb_layer_data(shifts)[0])
    assert picture[-1, -1].tolist() == [1, 1, 1]


def test_whatever_makes_a_cube_can_be_shown() -> None:
    viewer = ViewerModel()
    values = np.random.default_rng(0).random((6, 5, 4), np.float32)
    for given in (values, xarray.DataArray(values.transpose(1, 2, 0), dims=("y", "x", "band"))):
        layer = show_in(viewer, given)
        np.testing.assert_array_equal(np.asarray(layer.data), values)


def test_the_inputs_of_a_result_are_those_its_run_names() -> None:
    viewer = ViewerModel()
    rng = np.random.default_rng(0)
    run = RunRecord("glp", "scan", "photo", 4.0).as_metadata()
    cubes = {
        "photo": Cube.from_array(rng.random((3, 32, 32)), name="photo"),
        "other photo": Cube.from_array(rng.random((3, 32, 32)), name="other photo"),
        "scan": Cube.from_array(rng.random((9, 8, 8)), name="scan"),
        "other scan": Cube.from_array(rng.random((9, 8, 8)), name="other scan"),
        "truth": Cube.from_array(rng.random((9, 32, 32)), name="truth"),
        "fused": Cube.from_array(rng.random((9, 32, 32)), name="fused", metadata=run),
    }
    for cube in cubes.values():
        show_in(viewer, cube)
    layers = {layer.name: layer for layer in viewer.layers}
    # a layer may be called otherwise than its cube
    layers["scan"].name = "my scan"
    assert suggest_inputs(layers["fused"], viewer.layers) == (layers["scan"], layers["photo"])
    # without a run's record, the latest of the right sizes
    assert suggest_inputs(layers["truth"], viewer.layers) == (layers["other scan"], layers["other photo"])
    viewer.layers.remove("my scan")
    viewer.layers.remove("other scan")
    assert suggest_inputs(layers["fused"], viewer.layers)[0] is None
    assert suggest_inputs(None, []) == (None, None)
