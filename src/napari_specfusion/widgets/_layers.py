"""What layers mean to this package: which is a cube, which two belong together, how a cube is shown and placed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.cube import METADATA_KEY, Cube
from napari_specfusion.data.layers import layer_data as stack_data
from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.errors import CubeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = [
    "VIEW_KEY",
    "cell_transform",
    "cube_to_show",
    "is_cube",
    "is_image",
    "is_unplaced",
    "layer_data",
    "place_at",
    "place_by",
    "place_over",
    "placement",
    "plane_matrix",
    "plane_shape",
    "rgb_layer_data",
    "run_of",
    "suggest_estimate",
    "suggest_inputs",
    "suggest_pair",
    "suggest_reference",
]

# metadata of pictures that are made for looking at, and are no images to work with
VIEW_KEY = "specfusion_view"


# --- which layer is what -----------------------------------------------------------


def is_image(layer: Any) -> bool:
    """Whether a layer is an image of the plane: grey, RGB or a stack of bands."""
    # here, so that the names of the public face can be had without napari
    from napari.layers import Image

    return isinstance(layer, Image) and layer.ndim in (2, 3) and VIEW_KEY not in layer.metadata


def is_cube(layer: Any) -> bool:
    """Whether a layer is a stack of bands."""
    return is_image(layer) and layer.ndim == 3 and not layer.rgb


def plane_shape(layer: Any) -> tuple[int, int, int]:
    """Return bands, rows and columns of an image layer."""
    shape = tuple(int(n) for n in (layer.data[0] if layer.multiscale else layer.data).shape)
    if layer.rgb:
        return 3, shape[-3], shape[-2]
    return (1, *shape) if len(shape) == 2 else shape  # type: ignore[return-value]


def suggest_pair(layers: Iterable[Any]) -> tuple[Any, Any] | None:
    """Return the layers that look most like a low-resolution cube and its guide, or None.

    The cube is the one with most bands; the guide is larger, of the same outline, and has the fewest. Where there is no
    such pair, two images of other outlines are taken if they are the only two.
    """
    images = [layer for layer in layers if is_image(layer)]
    pairs, others = [], []
    for low in filter(is_cube, images):
        bands, height, width = plane_shape(low)
        for guide in images:
            guide_bands, high, wide = plane_shape(guide)
            ratio = math.sqrt((high / height) * (wide / width))
            same_outline = abs(high / height - wide / width) < 0.1 * ratio
            if guide_bands < bands and ratio > 1 and same_outline:
                pairs.append((-bands, guide_bands, low, guide))
            elif guide_bands < bands:
                others.append((low, guide, max(high - height, wide - width) > 0))
    if not pairs:
        return others[0][:2] if len(others) == 1 and others[0][2] else None
    _, _, low, guide = min(pairs, key=lambda pair: pair[:2])
    return low, guide


def run_of(layer: Any) -> RunRecord | None:
    """Return the run that made the cube of a layer; None if it was not fused here."""
    known = layer.metadata.get(METADATA_KEY)
    metadata = known.get("metadata") if isinstance(known, Mapping) else None
    return RunRecord.read(metadata) if isinstance(metadata, Mapping) else None


def suggest_estimate(layers: Iterable[Any]) -> Any | None:
    """Return the cube to judge: the latest result of a run, else the latest cube that has a reference; or None."""
    cubes = [layer for layer in layers if is_cube(layer)]
    fused = [cube for cube in cubes if run_of(cube) is not None]
    others = [cube for cube in cubes if not _is_named_reference(cube) and suggest_reference(cube, cubes) is not None]
    return next(reversed(fused or others), None)


def suggest_reference(estimate: Any | None, layers: Iterable[Any]) -> Any | None:
    """Return the cube that `estimate` can be compared with: one of its size that no run made.

    Of several, one that is called a reference comes first, then the latest. Without an estimate, that name decides.
    """
    cubes = [c for c in layers if is_cube(c) and c != estimate and run_of(c) is None]
    if estimate is not None:
        cubes = [cube for cube in cubes if plane_shape(cube) == plane_shape(estimate)]
    named = [cube for cube in cubes if _is_named_reference(cube)]
    return next(reversed(named or (cubes if estimate is not None else [])), None)


def suggest_inputs(result: Any | None, layers: Iterable[Any]) -> tuple[Any | None, Any | None]:
    """Return the cube and the guide that `result` was made of, or those that are most likely; None where there is none.

    Those that its run names come first, then what has the right sizes, the latest first.
    """
    images = [layer for layer in layers if is_image(layer) and layer != result and run_of(layer) is None]
    if result is None:
        return suggest_pair(images) or (None, None)
    run = run_of(result)
    bands, height, width = plane_shape(result)
    cubes = [c for c in images if is_cube(c) and plane_shape(c)[0] == bands and plane_shape(c)[1] < height]
    guides = [g for g in images if plane_shape(g)[0] < bands]
    # a guide on the result's pixels is more likely than one that had to be aligned
    guides.sort(key=lambda guide: plane_shape(guide)[1:] == (height, width))
    names = ("", "") if run is None else (run.cube, run.guide)
    cube, guide = (
        next(iter([c for c in reversed(found) if _cube_name(c) == name] or reversed(found)), None)
        for found, name in ((cubes, names[0]), (guides, names[1]))
    )
    return cube, guide


def _cube_name(layer: Any) -> str:
    """Return the name of the cube behind a layer, which may be called otherwise."""
    known = layer.metadata.get(METADATA_KEY)
    return str(known.get("name", layer.name) if isinstance(known, Mapping) else layer.name)


def _is_named_reference(layer: Any) -> bool:
    return "reference" in str(layer.name).lower()


# --- how a cube is shown -------------------------------------------------------------


def layer_data(cube: Cube, limits: tuple[float, float] | None = None) -> LayerData:
    """Return the layer that shows a cube best: one band as a grey picture, three as RGB, more as a stack of bands.

    With display `limits`, no value is read.
    """
    if cube.bands == 1:
        return cube.values[0], _picture(cube, limits), "image"
    if cube.bands == 3:
        ordered = cube.select(cube.rgb_bands())
        return da.moveaxis(ordered.values, 0, -1), _picture(ordered, limits) | {"rgb": True}, "image"
    return stack_data(cube, limits)


def _picture(cube: Cube, limits: tuple[float, float] | None = None) -> dict[str, Any]:
    return {
        "name": cube.name,
        "rgb": False,
        "contrast_limits": limits or cube.contrast_limits(),
        "axis_labels": ("y", "x"),
        "units": ("pixel", "pixel"),
        "metadata": {METADATA_KEY: cube.describe()},
        "cache": False,
    }


def rgb_layer_data(cube: Cube, wavelengths: Sequence[float] | None = None) -> LayerData:
    """Return a picture of a cube from the bands that `Cube.rgb_bands` chooses.

    Each channel is stretched between its 2nd and 98th percentile.
    """
    chosen = cube.select(cube.rgb_bands(wavelengths))
    rows, columns = (slice(None, None, max(1, n // 256)) for n in chosen.shape[1:])
    sample = np.asarray(chosen.values[:, rows, columns]).reshape(3, -1)
    limits = np.array([_stretch(channel) for channel in sample], dtype=np.float32)
    low, high = limits[:, :1, None], limits[:, 1:, None]
    picture = da.clip((chosen.values - low) / (high - low), 0, 1)
    keywords = _picture(chosen, (0.0, 1.0)) | {"name": f"{cube.name} RGB", "rgb": True}
    return da.moveaxis(picture, 0, -1), keywords, "image"


def _stretch(values: NDArray[Any]) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [2, 98]) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


# --- where it lies -------------------------------------------------------------------


def is_unplaced(layer: Any) -> bool:
    """Whether a layer lies where an image lies that nobody has moved, scaled or turned."""
    return bool(np.allclose(plane_matrix(layer), np.eye(3)))


def cell_transform(ratio: Fraction | float, shift: tuple[float, float] | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return scale and translation (y, x) that lay a coarse image over its guide, in guide pixels.

    Coarse pixel i belongs at guide pixel ``ratio * i + (ratio - 1) / 2 + shift``; no shift counts as zero.
    """
    factor = float(ratio)
    return np.full(2, factor), (factor - 1) / 2 + np.asarray(shift or (0.0, 0.0))


def place_over(
    layer: Any, guide: Any, ratio: Fraction | float = 1, shift: tuple[float, float] | None = (0.0, 0.0)
) -> None:
    """Move and scale a layer so that it lies over `guide`, wherever that lies.

    Parameters
    ----------
    layer
        What moves.
    guide
        The layer that stays where it is.
    ratio, shift
        As `cell_transform` takes them.
    """
    factor, offset = cell_transform(ratio, shift)
    matrix = np.diag([*factor, 1.0])
    matrix[:2, 2] = offset
    place_by(layer, guide, matrix)


def place_by(layer: Any, guide: Any, matrix: NDArray[np.float64]) -> None:
    """Lay a layer over `guide` by an affine matrix.

    Parameters
    ----------
    layer
        What moves.
    guide
        The layer that stays where it is.
    matrix
        ``(3, 3)``: from pixels (y, x, 1) of the layer to pixels of the guide.
    """
    place_at(layer, plane_matrix(guide) @ matrix)


def place_at(layer: Any, matrix: NDArray[np.float64]) -> None:
    """Lay a layer by an affine matrix ``(3, 3)`` from its pixels (y, x, 1) to the world."""
    for name, value in placement(matrix, layer.scale, layer.translate).items():
        setattr(layer, name, value)


def placement(
    matrix: NDArray[np.float64], scale_before: Sequence[float], translate_before: Sequence[float]
) -> dict[str, Any]:
    """Return affine, scale and translation that lay a layer by a matrix, for a layer that has these two.

    Parameters
    ----------
    matrix
        ``(3, 3)``: from pixels (y, x, 1) of the layer to the world.
    scale_before, translate_before
        Those of the layer ``(ndim,)``; what they say of other axes than the last two stays.
    """
    linear, place = matrix[:2, :2], matrix[:2, 2]
    affine = np.eye(len(scale_before) + 1)
    if np.allclose(linear, np.diag(np.diag(linear)), atol=1e-9) and (np.diag(linear) > 0).all():
        scale, translate = np.diag(linear), place
    else:
        # a turn or a mirror is for the affine alone
        scale, translate = np.full(2, math.sqrt(abs(float(np.linalg.det(linear))))), np.zeros(2)
        affine[-3:-1, -3:-1], affine[-3:-1, -1] = linear / scale[0], place
    return {
        "affine": affine,
        "scale": (*scale_before[:-2], *scale),
        "translate": (*translate_before[:-2], *translate),
    }


def plane_matrix(layer: Any) -> NDArray[np.float64]:
    """Return the matrix ``(3, 3)`` from pixels (y, x, 1) of a layer to the world."""
    corners = np.zeros((3, layer.ndim))
    corners[1, -2] = corners[2, -1] = 1
    origin, down, right = (np.asarray(layer.data_to_world(corner), np.float64)[-2:] for corner in corners)
    matrix = np.eye(3)
    matrix[:2] = np.stack([down - origin, right - origin, origin], axis=1)
    return matrix


def cube_to_show(layer: Any) -> Cube:
    """Return the cube of a layer, called as the layer is.

    Raises
    ------
    CubeError
        If it is not the layer of a cube.
    """
    if layer is None or not is_cube(layer):
        raise CubeError("No cube is selected; select its layer in the list, or name it.")
    return Cube.from_layer(layer).replace(name=str(layer.name))
