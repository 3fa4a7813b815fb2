"""What a script or napari's console does with a viewer, without a dialog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.fusion.recipe import Origin
from napari_specfusion.io import as_cube, open_cube
from napari_specfusion.widgets._follow import follow
from napari_specfusion.widgets._layers import cube_to_show, layer_data, place_over, rgb_layer_data
from napari_specfusion.widgets._origins import keep_origin

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import napari

    from napari_specfusion.data.cube_like import CubeLike

__all__ = ["open_in", "show_in", "show_rgb"]


def open_in(viewer: napari.viewer.Viewer, path: str | os.PathLike[str], **options: Any) -> Any:
    """Open a file as a cube and add it to a viewer.

    Parameters
    ----------
    viewer
        Where to add it.
    path, **options
        As `open_cube` takes them.

    Returns
    -------
    napari.layers.Image
        The new layer: one band as a grey picture, three as RGB, more as a stack of bands.

    Raises
    ------
    ReadError
        As `open_cube` does.
    """
    layer = show_in(viewer, open_cube(Path(path), **options))
    keep_origin(layer, Origin(Path(path), options))
    return layer


def show_in(viewer: napari.viewer.Viewer, cube: CubeLike, *, over: Any = None) -> Any:
    """Add a cube, or whatever `as_cube` makes one of, to a viewer, over the layer `over` if given.

    Returns
    -------
    napari.layers.Image
        The new layer, as `open_in` describes it.
    """
    cube = as_cube(cube)
    data, keywords, _ = layer_data(cube)
    layer = viewer.add_image(data, **keywords)
    if over is not None:
        place_over(layer, over)
    if hasattr(viewer, "window"):
        # here, as scripts without a window have no Qt
        from napari_specfusion.widgets._band_look import follow_bands

        follow_bands(viewer, layer, cube)
    return layer


def show_rgb(viewer: napari.viewer.Viewer, layer: Any = None, wavelengths: Sequence[float] | None = None) -> Any:
    """Add a picture of a cube, made of the bands nearest to red, green and blue.

    Parameters
    ----------
    viewer
        Where to add it.
    layer
        The cube's layer; None takes the selected one.
    wavelengths
        Three wavelengths for red, green and blue; None takes those of the eye.

    Returns
    -------
    napari.layers.Image
        The new layer, where the cube lies. It goes along when the cube moves.

    Raises
    ------
    CubeError
        If there is no cube to show.
    """
    layer = viewer.layers.selection.active if layer is None else layer
    data, keywords, _ = rgb_layer_data(cube_to_show(layer), wavelengths)
    picture = viewer.add_image(data, **keywords)
    follow(viewer, picture, layer)
    return picture
