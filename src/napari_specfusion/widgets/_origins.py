"""Where layers come from: the file and the options, and the run that made a fused one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.data.layers import METADATA_KEY
from napari_specfusion.fusion.recipe import Origin, Recipe
from napari_specfusion.fusion.recipe_record import read_recipe
from napari_specfusion.widgets._layers import run_of

if TYPE_CHECKING:
    from napari_specfusion.widgets._fuse_options import FuseOptions
    from napari_specfusion.widgets._preflight import Preflight

__all__ = ["keep_origin", "keep_recipe", "origin_note", "origin_of", "recipe_of", "recipe_of_run"]

ORIGIN_KEY, RECIPE_KEY = "specfusion_origin", "specfusion_recipe"


def origin_note(origin: Origin, data: Any) -> dict[str, Any]:
    """Return the entry of a layer's metadata that says where its data come from."""
    return {ORIGIN_KEY: (origin, _token(data))}


def keep_origin(layer: Any, origin: Origin) -> None:
    """Note on a layer where it comes from; the note holds as long as the layer keeps its data."""
    layer.metadata.update(origin_note(origin, layer.data))


def origin_of(layer: Any) -> Origin | None:
    """Return how the image of a layer was opened; None if it does not come from a file, or was changed since."""
    origin, token = layer.metadata.get(ORIGIN_KEY, (None, None))
    if isinstance(origin, Origin):
        return origin if token == _token(layer.data) else None
    path = getattr(getattr(layer, "source", None), "path", None)
    if METADATA_KEY in layer.metadata or not isinstance(path, str) or "://" in path:
        return None
    return Origin(Path(path), foreign=True)


def keep_recipe(layer: Any, recipe: Recipe) -> None:
    """Note on a fused layer what its run was begun with."""
    layer.metadata[RECIPE_KEY] = recipe


def recipe_of(layer: Any) -> Recipe | None:
    """Return what the run of a fused layer was begun with, as far as it is known; None if no run made the layer."""
    recipe = layer.metadata.get(RECIPE_KEY)
    if isinstance(recipe, Recipe):
        return recipe
    known = layer.metadata.get(METADATA_KEY)
    metadata = known.get("metadata") if isinstance(known, Mapping) else None
    if isinstance(metadata, Mapping) and (saved := read_recipe(metadata)) is not None:
        return saved
    run = run_of(layer)
    return None if run is None else Recipe(run.cube, run.guide, method=run.method, ratio=run.ratio)


def recipe_of_run(
    low: Any, guide: Any, options: FuseOptions, how: Any, ratio: float | None, preflight: Preflight
) -> Recipe:
    """Return the recipe of a run with what is chosen.

    Parameters
    ----------
    low, guide
        The layers.
    options
        As the run takes them.
    how
        A key of `ALIGN`, or an alignment that was made by hand.
    ratio
        What was entered; None for nothing.
    preflight
        What is known about the pair.
    """
    aligning: Any = how if isinstance(how, str) else "hand"
    if preflight.scene is not None and aligning == "auto" and preflight.scene.alignment is None:
        # the two could not be aligned, and were taken as they are
        aligning = "off"
    return Recipe(
        str(low.name),
        str(guide.name),
        origin_of(low),
        origin_of(guide),
        options.method,
        options.minutes,
        options.weights,
        ratio,
        aligning,
        options.align,
        options.tile,
        options.device,
        options.out,
        options.overwrite,
    )


def _token(data: Any) -> Any:
    """Return what tells data from others: the name of a lazy array, or the identity of one in memory."""
    if isinstance(data, Sequence):
        # with coarser copies, in a list or in napari's own kind of it
        data = data[0]
    return getattr(data, "name", None) or id(data)
