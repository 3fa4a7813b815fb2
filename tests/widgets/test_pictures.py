from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_specfusion
from napari_specfusion.colour import component_colours, composite, index_map, true_colour
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError
from napari_specfusion.spectra import Spectrum, angle_map
from napari_specfusion.widgets._console import show_in
from napari_specfusion.widgets._follow import followed_by
from napari_specfusion.widgets._layers import is_cube, is_image, plane_matrix, run_of
from napari_specfusion.widgets._pictures import (
    TOOLS,
    show_angle_map,
    show_component_colours,
    show_components,
    show_composite,
    show_index,
    show_true_colour,
)

if TYPE_CHECKING:
    from napari_specfusion.data.scene import Scene


@pytest.fixture
def shown(scene: Scene) -> tuple[ViewerModel, Any]:
    """Return a viewer without a window, and a cube in it that lies somewhere."""
    viewer = ViewerModel()
    layer = show_in(viewer, scene.hsi)
    layer.scale, layer.translate = (1, 4, 4), (0, 1.5, 1.5)
    viewer.dims.set_current_step(0, 12)
    return viewer, layer


def test_true_colour_is_what_the_core_computes(shown: tuple[ViewerModel, Any], scene: Scene) -> None:
    viewer, layer = shown
    added = show_true_colour(viewer, stretch=1)
    assert added.rgb and added.name == "low-res cube: true colour"
    assert np.allclose(added.data, np.moveaxis(true_colour(scene.hsi, 1).read(), 0, -1))
    assert np.allclose(plane_matrix(added), plane_matrix(layer)) and followed_by(added) is layer
    # made for looking at
    assert not is_image(added)


def test_missing_pixels_are_see_through() -> None:
    values = np.random.default_rng(0).random((31, 6, 7)).astype(np.float32)
    values[:, 2, 3] = np.nan
    viewer = ViewerModel()
    show_in(viewer, Cube.from_array(values, wavelengths=np.linspace(400, 700, 31)))
    added = show_true_colour(viewer)
    assert added.data.shape == (6, 7, 4) and np.isfinite(added.data).all()
    assert np.array_equal(added.data[..., 3] == 0, np.isnan(values[0]))


def test_one_picture_after_the_other_without_selecting_the_cube_again(shown: tuple[ViewerModel, Any]) -> None:
    viewer, layer = shown
    show_true_colour(viewer)
    added = show_composite(viewer, red=700, green=650, blue=550, stretch=0)
    assert added.name == "low-res cube: 700, 650, 550 nm" and followed_by(added) is layer
    expected = composite(Cube.from_layer(layer), (700, 650, 550), 0).read()
    assert np.allclose(added.data, np.moveaxis(expected, 0, -1))


def test_an_index_is_a_map(shown: tuple[ViewerModel, Any], scene: Scene) -> None:
    viewer, layer = shown
    added = show_index(viewer, layer, "R650 / R550")
    assert added.ndim == 2 and added.name == "low-res cube: R650 / R550"
    values = index_map(scene.hsi, "R650 / R550").read()[0]
    assert np.allclose(added.data, values)
    assert np.allclose(added.contrast_limits, np.percentile(values, [2, 98]))


def test_an_angle_map_is_bright_where_the_cube_is_alike(shown: tuple[ViewerModel, Any], scene: Scene) -> None:
    viewer, layer = shown
    spectrum = Spectrum.of_pixel(scene.hsi, 3, 5).replace(name="leaf")
    added = show_angle_map(viewer, spectrum)
    assert added.ndim == 2 and added.name == "low-res cube: angle to leaf" and followed_by(added) is layer
    assert np.allclose(added.data, angle_map(scene.hsi, spectrum).read()[0], atol=1e-4)
    assert np.nanargmin(added.data) == np.ravel_multi_index((3, 5), added.data.shape)
    assert added.colormap.name == "gray_r"
    with pytest.raises(CubeError, match="No cube is selected"):
        show_angle_map(ViewerModel(), spectrum)


@pytest.mark.parametrize("method", ["PCA", "MNF"])
def test_components_are_a_stack_that_begins_where_the_slider_is(shown: tuple[ViewerModel, Any], method: Any) -> None:
    viewer, layer = shown
    before = layer.world_to_data(viewer.dims.point)[0]
    added = show_components(viewer, method=method, count=4)
    assert is_cube(added) and added.data.shape[0] == 4 and run_of(added) is None
    assert added.name == f"low-res cube: {method}"
    assert round(added.world_to_data(viewer.dims.point)[0]) == 0
    assert layer.world_to_data(viewer.dims.point)[0] == before
    layer.translate = (0, 9, 9)
    assert np.allclose(plane_matrix(added), plane_matrix(layer))


def test_three_components_are_one_picture(shown: tuple[ViewerModel, Any], scene: Scene) -> None:
    viewer, layer = shown
    added = show_component_colours(viewer, method="MNF", stretch=1)
    assert added.rgb and not is_image(added) and followed_by(added) is layer
    assert np.allclose(added.data, np.moveaxis(component_colours(scene.hsi, "MNF", 1).read(), 0, -1))


def test_units_are_those_of_the_cube(shown: tuple[ViewerModel, Any]) -> None:
    viewer, layer = shown
    layer.units = ("pixel", "um", "um")
    for tool in TOOLS.values():
        if tool.show is not show_composite and tool.show is not show_index:
            assert tool.show(viewer, layer).units[-2:] == layer.units[-2:]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_every_tool_is_a_public_function_and_needs_a_cube(tool: Any) -> None:
    assert getattr(napari_specfusion, tool.show.__name__) is tool.show
    viewer = ViewerModel()
    with pytest.raises(CubeError, match="No cube is selected"):
        tool.show(viewer)
    viewer.add_image(np.zeros((8, 9, 3)), rgb=True)
    with pytest.raises(CubeError, match="No cube is selected"):
        tool.show(viewer)


def test_an_unknown_method(shown: tuple[ViewerModel, Any]) -> None:
    with pytest.raises(CubeError, match="choose PCA or MNF"):
        show_components(shown[0], method="ICA")  # type: ignore[arg-type]
