"""Pictures of a cube as layers over it: functions for the console, whose signatures are the forms of the panel."""

# annotations stay objects here: magicgui reads them, and looks for no names of this module
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.colour import component_colours, composite, index_map, mnf, pca, true_colour
from napari_specfusion.data.cube import METADATA_KEY, Cube
from napari_specfusion.data.layers import layer_data as stack_data
from napari_specfusion.errors import CubeError
from napari_specfusion.spectra import Spectrum
from napari_specfusion.spectra.match import angle_picture
from napari_specfusion.widgets._follow import follow, followed_by
from napari_specfusion.widgets._layers import VIEW_KEY, cube_to_show, is_cube

__all__ = [
    "TOOLS",
    "Tool",
    "add_picture",
    "show_angle_map",
    "show_component_colours",
    "show_components",
    "show_composite",
    "show_index",
    "show_true_colour",
]

Compute = Callable[..., Cube]

# percentiles between which a map is shown
MAP_LIMITS = (2.0, 98.0)
# pixels that they are taken of, at most, along a side
MAP_SAMPLE = 512
# longer than any wavelength or shift in use, in nm or cm-1
LONGEST_WAVE = 20_000.0

Wavelength = {"min": 1.0, "max": LONGEST_WAVE, "step": 10.0}
Stretch = Annotated[
    float,
    {
        "label": "Stretch",
        "min": 0.0,
        "max": 25.0,
        "step": 0.5,
        "tooltip": "Percent of the pixels that are clipped. 0 shows the whole range.",
    },
]
Red = Annotated[float, {"label": "Red", "tooltip": "The nearest good band is shown as red.", **Wavelength}]
Green = Annotated[float, {"label": "Green", "tooltip": "The nearest good band is shown as green.", **Wavelength}]
Blue = Annotated[float, {"label": "Blue", "tooltip": "The nearest good band is shown as blue.", **Wavelength}]
Expression = Annotated[
    str,
    {
        "label": "Formula",
        "tooltip": "R and a wavelength stand for the value of the nearest good band: (R800 - R670) / (R800 + R670)",
    },
]
Method = Annotated[
    Literal["PCA", "MNF"],
    {
        "label": "Method",
        "tooltip": "PCA: the largest variance first. MNF: the highest ratio of signal to noise first.",
    },
]
Count = Annotated[int, {"label": "Components", "min": 1, "max": 64, "tooltip": "How many to compute."}]


def show_true_colour(viewer: Any, layer: Any = None, stretch: Stretch = 2.0) -> Any:
    """Add a picture of a cube in the colours that an eye would see, as `true_colour` makes it.

    Parameters
    ----------
    viewer
        Where to add it.
    layer
        The cube's layer; None takes the selected one.
    stretch
        Percent of the pixels that are brighter than white.

    Returns
    -------
    napari.layers.Image
        The new layer. It goes along when the cube moves.

    Raises
    ------
    CubeError
        If no cube is selected, or as `true_colour` does.
    """
    return _show(viewer, layer, true_colour, stretch=stretch)


def show_composite(
    viewer: Any,
    layer: Any = None,
    red: Red = 850.0,
    green: Green = 650.0,
    blue: Blue = 550.0,
    stretch: Stretch = 2.0,
) -> Any:
    """Add a picture of a cube from three of its bands, as `composite` makes it; colour infrared unless told.

    Parameters
    ----------
    viewer
        Where to add it.
    layer
        The cube's layer; None takes the selected one.
    red, green, blue
        Wavelengths, in the unit of the cube's.
    stretch
        Percent of the pixels that are clipped at either end of each channel.

    Returns
    -------
    napari.layers.Image
        The new layer. It goes along when the cube moves.

    Raises
    ------
    CubeError
        If no cube is selected, or as `composite` does.
    """
    return _show(viewer, layer, _composite, red=red, green=green, blue=blue, stretch=stretch)


def show_index(viewer: Any, layer: Any = None, formula: Expression = "(R800 - R670) / (R800 + R670)") -> Any:
    """Add a map of a formula over the bands of a cube, as `index_map` makes it.

    Parameters
    ----------
    viewer
        Where to add it.
    layer
        The cube's layer; None takes the selected one.
    formula
        Arithmetic over bands such as ``R800``, or the name of an index, such as "NDVI".

    Returns
    -------
    napari.layers.Image
        The new layer. It goes along when the cube moves.

    Raises
    ------
    CubeError
        If no cube is selected, or as `index_map` does.
    """
    return _show(viewer, layer, index_map, formula=formula)


def show_components(viewer: Any, layer: Any = None, method: Method = "PCA", count: Count = 6) -> Any:
    """Add the principal components or the minimum noise fractions of a cube, as `pca` and `mnf` make them.

    Parameters
    ----------
    viewer
        Where to add them.
    layer
        The cube's layer; None takes the selected one.
    method
        "PCA" or "MNF".
    count
        Number of components.

    Returns
    -------
    napari.layers.Image
        The new layer, a stack whose first component is on screen. It goes along when the cube moves.

    Raises
    ------
    CubeError
        If no cube is selected, or as `pca` and `mnf` do.
    """
    return _show(viewer, layer, _components, method=method, count=count)


def show_component_colours(viewer: Any, layer: Any = None, method: Method = "PCA", stretch: Stretch = 2.0) -> Any:
    """Add the first three components of a cube as one picture in red, green and blue, as `component_colours` makes it.

    Parameters
    ----------
    viewer
        Where to add it.
    layer
        The cube's layer; None takes the selected one.
    method
        "PCA" or "MNF".
    stretch
        Percent of the pixels that are clipped at either end of each channel.

    Returns
    -------
    napari.layers.Image
        The new layer. It goes along when the cube moves.

    Raises
    ------
    CubeError
        If no cube is selected, or as `component_colours` does.
    """
    return _show(viewer, layer, component_colours, method=method, stretch=stretch)


def show_angle_map(viewer: Any, spectrum: Spectrum, layer: Any = None) -> Any:
    """Add a map of the angle between a spectrum and each pixel of a cube, as `angle_map` computes it.

    Parameters
    ----------
    viewer
        Where to add it.
    spectrum
        A pixel, a region, or a spectrum of a library.
    layer
        The cube's layer; None takes the selected one.

    Returns
    -------
    napari.layers.Image
        The new layer, bright where the cube is alike. It goes along when the cube moves.

    Raises
    ------
    CubeError
        If no cube is selected.
    SpectrumError
        If the spectrum does not fit the cube.
    """
    return _show(viewer, layer, angle_picture, spectrum=spectrum)


def _composite(cube: Cube, red: float, green: float, blue: float, stretch: float, **watch: Any) -> Cube:
    return composite(cube, (red, green, blue), stretch, **watch)


def _components(cube: Cube, method: str, count: int, **watch: Any) -> Cube:
    if method not in ("PCA", "MNF"):
        raise CubeError(f"method is {method!r}; choose PCA or MNF.")
    return (pca if method == "PCA" else mnf)(cube, count, **watch)


@dataclass(frozen=True)
class Tool:
    """A kind of picture.

    Attributes
    ----------
    title
        What it is called.
    show
        Makes it and adds it; its parameters after `viewer` and `layer` are the form.
    compute
        Makes it, from the cube and the values of the form; takes `progress` and `should_stop`.
    """

    title: str
    show: Callable[..., Any]
    compute: Compute


TOOLS: Mapping[str, Tool] = {
    "true colour": Tool("True colour", show_true_colour, true_colour),
    "composite": Tool("Three bands as red, green, blue", show_composite, _composite),
    "index": Tool("Index from a formula", show_index, index_map),
    "components": Tool("Components (PCA, MNF)", show_components, _components),
    "component colours": Tool("First three components as RGB", show_component_colours, component_colours),
}


def _show(viewer: Any, layer: Any, compute: Compute, **options: Any) -> Any:
    if layer is None:
        layer = viewer.layers.selection.active
        # a picture was just made, and is selected now
        layer = followed_by(layer) if layer is not None and not is_cube(layer) else layer
    return add_picture(viewer, layer, compute(cube_to_show(layer), **options))


def add_picture(viewer: Any, layer: Any, picture: Cube) -> Any:
    """Add a picture over its cube's layer, which it follows.

    Returns
    -------
    napari.layers.Image
        The new layer.
    """
    data, keywords = _colour(picture) if picture.bands == 3 and picture.band_names[0] == "red" else _grey(picture)
    units = tuple(layer.units)[-2:]
    stack = data.ndim == 3 and not keywords["rgb"]
    keywords["units"] = ("pixel", *units) if stack else units
    added = viewer.add_image(data, **keywords)
    follow(viewer, added, layer)
    if stack:
        _begin_at_slider(viewer, added)
        if hasattr(viewer, "window"):
            # here, as scripts without a window have no Qt
            from napari_specfusion.widgets._band_look import follow_bands

            follow_bands(viewer, added, picture, first=False)
    return added


def _colour(picture: Cube) -> tuple[NDArray[np.float32], dict[str, Any]]:
    values = np.moveaxis(picture.read(), 0, -1)
    if np.isnan(values).any():
        # what is missing lets through what lies below
        seen = np.isfinite(values).all(axis=-1, keepdims=True)
        values = np.concatenate([np.where(seen, values, 0), seen], axis=-1, dtype=np.float32)
    return np.ascontiguousarray(values), _keywords(picture, (0.0, 1.0)) | {"rgb": True}


def _grey(picture: Cube) -> tuple[Any, dict[str, Any]]:
    is_map = not {"formula", "angle_to"}.isdisjoint(picture.metadata)
    if picture.bands > 1 or not is_map:
        # the label of the first axis stays the cube's: napari has one slider for both
        data, keywords, _ = stack_data(picture)
        return data, keywords
    values = picture.read()[0]
    rows, columns = (slice(None, None, -(-n // MAP_SAMPLE)) for n in values.shape)
    sample = values[rows, columns]
    sample = sample[np.isfinite(sample)]
    # what is alike is bright
    colours = "gray_r" if "angle_to" in picture.metadata else "viridis"
    low, high = (float(v) for v in np.percentile(sample, MAP_LIMITS)) if sample.size else (0.0, 1.0)
    return values, _keywords(picture, (low, high if high > low else low + 1)) | {"rgb": False, "colormap": colours}


def _keywords(picture: Cube, limits: tuple[float, float]) -> dict[str, Any]:
    return {
        "name": picture.name,
        "contrast_limits": limits,
        "axis_labels": ("y", "x"),
        "metadata": {VIEW_KEY: True, METADATA_KEY: picture.describe()},
    }


def _begin_at_slider(viewer: Any, layer: Any) -> None:
    """Let the first component lie where the slider is, so that it is seen and the cube's band stays."""
    if viewer.dims.ndim >= layer.ndim:
        layer.translate = (float(viewer.dims.point[-layer.ndim]), *layer.translate[1:])
