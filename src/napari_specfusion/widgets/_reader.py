"""Drag and drop: napari's reader hook over `open_cube` and `open_scene`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.cube import Cube

__all__ = ["get_reader"]

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return a function that reads `path` into layer data, or None where napari should look elsewhere.

    Ordinary pictures stay with napari, which shows them in their colours; several files at once do too.

    Parameters
    ----------
    path
        What was dropped or opened; the name is napari's.
    """
    from napari_specfusion.io import find_reader

    if isinstance(path, list):
        if len(path) != 1:
            return None
        path = path[0]
    key = find_reader(Path(path))
    return None if key in {None, "picture"} else _read


def _read(path: Any) -> list[LayerData]:
    from napari.utils.notifications import show_warning

    from napari_specfusion.data.scene import cube_findings
    from napari_specfusion.errors import ReadError
    from napari_specfusion.io import open_cube
    from napari_specfusion.widgets._plain import plain

    path = Path(path[0] if isinstance(path, list) else path)
    try:
        pair = _read_pair(path)
        cube = None if pair else open_cube(path)
    except ReadError as error:
        raise type(error)(plain(str(error))) from error
    if cube is None:
        return pair
    for finding in cube_findings(cube):
        if finding.level == "warning":
            show_warning(plain(finding.message))
    from napari_specfusion.fusion.recipe import Origin
    from napari_specfusion.widgets._origins import origin_note

    data, keywords, kind = _seen(cube)
    return [(data, _noted(keywords, origin_note(Origin(path), data)), kind)]


def _noted(keywords: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:
    return keywords | {"metadata": keywords["metadata"] | note}


def _seen(cube: Cube) -> LayerData:
    """Return a cube as a layer whose contrast comes in the background where there is a window, and else is known."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None:
        return cube.layer_data()
    from qtpy.QtCore import QTimer

    from napari_specfusion.data.display import likely_limits
    from napari_specfusion.data.layers import METADATA_KEY, layer_data
    from napari_specfusion.widgets._band_look import follow_bands

    def follow() -> None:
        for layer in viewer.layers:
            if layer.metadata.get(METADATA_KEY, {}).get("cube") is cube:
                follow_bands(viewer, layer, cube)

    # napari makes the layer after this
    QTimer.singleShot(0, follow)
    return layer_data(cube, likely_limits(cube))


def _read_pair(path: Path) -> list[LayerData]:
    """Return guide and cube of a product that holds both, the cube lying over the guide; else nothing."""
    from napari_specfusion.errors import ReadError, SceneError
    from napari_specfusion.io import READERS, find_reader, open_scene

    key = find_reader(path)
    if key is None or READERS[key].read_scene is None:
        return []
    try:
        scene = open_scene(path)
    except (ReadError, SceneError):  # there is no pair in it; if the cube cannot be read, opening that says why
        return []
    from napari_specfusion.fusion.recipe import Origin
    from napari_specfusion.widgets._layers import cell_transform, layer_data
    from napari_specfusion.widgets._origins import origin_note

    size, place = cell_transform(scene.factor, scene.shift)
    data, keywords, kind = scene.hsi.layer_data()
    sharp, about, sharp_kind = layer_data(scene.guide)
    keywords = _noted(keywords, origin_note(Origin(path, part="hsi"), data))
    return [
        (sharp, _noted(about, origin_note(Origin(path, part="guide"), sharp)), sharp_kind),
        (data, keywords | {"scale": (1.0, *size), "translate": (0.0, *place)}, kind),
    ]
