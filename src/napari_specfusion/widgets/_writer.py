"""*Save selected layers*: napari's writer hook over `save_cube`. Of napari only messages and progress are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["save_layer"]

_STEPS = 1000
_PLACE = ("affine", "crs", "pixel_size")


def save_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer to `path`; return what was written.

    A layer that shows a cube as it was read is saved with its stored values, any other as it is displayed, with the
    wavelengths and the place that it carries. What lies there is replaced, once all is written: napari's dialog has
    asked about it. napari's activity bar shows how far it is.

    Parameters
    ----------
    path
        Where to.
    data
        The layer's data.
    attributes
        Its other properties.

    Raises
    ------
    SpecFusionError
        If the layer is no image of the plane, or cannot be written.
    """
    from napari.utils import progress

    from napari_specfusion.io import SaveProgress, save_cube

    with progress(total=0, desc=f"Saving {Path(path).name}", leave=False) as bar:

        def tell(event: SaveProgress) -> None:
            bar.total = _STEPS
            bar.update(round(_STEPS * event.done / max(1, event.total)) - bar.n)

        saved = save_cube(_cube(data, attributes), path, overwrite=True, progress=tell)
    if saved.notes:
        from napari.utils.notifications import show_warning

        show_warning(f"{saved.paths[-1].name}: {'; '.join(saved.notes)}.")
    return [str(written) for written in saved.paths]


def _cube(data: Any, attributes: Mapping[str, Any]) -> Cube:
    """Return the cube behind the data of a layer."""
    from napari_specfusion.data.cube import METADATA_KEY, Cube

    metadata = attributes.get("metadata") or {}
    layer = SimpleNamespace(
        data=data,
        metadata=metadata,
        name=str(attributes.get("name", "image")),
        rgb=bool(attributes.get("rgb", False)),
        # napari hands out the levels of a pyramid as a list of arrays
        multiscale=not hasattr(data, "dtype"),
    )
    cube = Cube.from_layer(layer)
    known = metadata.get(METADATA_KEY, {})
    if cube.bands == 1 and cube.affine is None and isinstance(known, Mapping):
        # a picture of one band is a plane, which says nothing about bands but has a place
        cube = cube.replace(**{key: known[key] for key in _PLACE if known.get(key) is not None})
    return cube
