"""Commands of the menus and the command palette that open no dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error

from napari_specfusion.errors import SpecFusionError
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.widgets._console import show_rgb
from napari_specfusion.widgets._layers import cell_transform, layer_data
from napari_specfusion.widgets._plain import plain

if TYPE_CHECKING:
    import napari

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = ["rgb_of_selected", "sample_pair"]

SAMPLE_RATIO = 4


def rgb_of_selected(viewer: napari.viewer.Viewer) -> None:
    """Add a picture of the selected cube."""
    try:
        show_rgb(viewer)
    except SpecFusionError as error:
        show_error(plain(str(error)))


def sample_pair(size: int = 256) -> list[LayerData]:
    """Return a cube, its RGB guide of `size` pixels a side and the sharp reference, one over the other."""
    scene = sample_scene(size, SAMPLE_RATIO)
    assert scene.reference is not None
    low, low_keywords, kind = layer_data(scene.hsi.replace(name="low-res cube"))
    scale, translate = cell_transform(scene.factor, scene.shift)
    low_keywords |= {"scale": (1.0, *scale), "translate": (0.0, *translate)}
    reference, reference_keywords, _ = layer_data(scene.reference.replace(name="reference"))
    return [
        (reference, reference_keywords | {"visible": False}, kind),
        layer_data(scene.guide.replace(name="guide")),
        (low, low_keywords, kind),
    ]
