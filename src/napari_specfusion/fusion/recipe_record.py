"""Recipes in the metadata of results: plain data, in which nothing can run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from keyword import iskeyword
from pathlib import Path, PurePath
from typing import Any, get_args

import numpy as np

from napari_specfusion.data.scene import as_ratio
from napari_specfusion.fusion.recipe import Aligning, Origin, Part, Recipe

__all__ = ["read_recipe", "recipe_metadata", "recipe_of_call"]

KEY, VERSION = "recipe", 1
# names and paths longer than that, and lists of more entries, are no settings of a run
LONGEST_TEXT, MOST_ENTRIES = 4096, 20_000
LARGEST = 1e9


def recipe_metadata(recipe: Recipe) -> dict[str, Any]:
    """Return the entry of ``Cube.metadata`` that `read_recipe` finds; files are named by their whole path."""
    fields = {name: _stored(value) for name, value in vars(recipe).items()}
    return {KEY: {"version": VERSION, **fields}}


def recipe_of_call(
    hsi: Any,
    guide: Any,
    model: Any,
    *,
    names: tuple[str, str],
    ratio: Any,
    align: bool,
    wavelengths: Any,
    tile: Any,
    device: str,
    precision: str,
    scale: float | None,
    out: Path | None,
    overwrite: bool,
) -> Recipe | None:
    """Return the recipe of a call of `fuse` with these arguments; None unless the images are files, the model a name.

    The arguments are those of `fuse`, and were checked; `names` are those of the two images.
    """
    if not isinstance(model, str) or not all(isinstance(image, str | os.PathLike) for image in (hsi, guide)):
        return None
    cube, sharp = Origin(Path(hsi)), Origin(Path(guide))
    if isinstance(wavelengths, str | os.PathLike):
        cube = replace(cube, wavelengths=Path(wavelengths))
    elif wavelengths is not None:
        cube = replace(cube, options={"wavelengths": np.asarray(wavelengths)})
    return Recipe(
        *names,
        cube,
        sharp,
        method=model,
        ratio=None if ratio is None else float(as_ratio(ratio)),
        aligning="auto" if align else "off",
        trust=align,
        tile=tile,
        device=device,
        out=out,
        overwrite=overwrite,
        precision=precision,
        scale=scale,
    )


def read_recipe(metadata: Mapping[str, Any]) -> Recipe | None:
    """Return the recipe in the metadata of a cube; None if there is none, or it is damaged or of a later version.

    Parameters
    ----------
    metadata
        ``Cube.metadata``, perhaps from a file of unknown origin: every value is checked, and a script is made of
        literals only.
    """
    stored = metadata.get(KEY)
    if not isinstance(stored, Mapping) or stored.get("version") != VERSION:
        return None
    try:
        return Recipe(
            _text(stored["cube_name"]),
            _text(stored["guide_name"]),
            _origin(stored.get("cube")),
            _origin(stored.get("guide")),
            method=_text(stored["method"]),
            minutes=_number(stored.get("minutes")),
            weights=_path(stored.get("weights")),
            ratio=_number(stored.get("ratio")),
            aligning=_one_of(stored.get("aligning", "auto"), get_args(Aligning)),
            trust=_flag(stored.get("trust", True)),
            tile=_tile(stored.get("tile", "auto")),
            device=_text(stored.get("device", "auto")),
            out=_path(stored.get("out")),
            overwrite=_flag(stored.get("overwrite", False)),
            precision=_text(stored.get("precision", "float32")),
            scale=_number(stored.get("scale")),
        )
    except (KeyError, ValueError):
        return None


def _stored(value: Any) -> Any:
    if isinstance(value, PurePath):
        return os.path.abspath(value)
    if isinstance(value, Origin):
        return {name: _stored(part) for name, part in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(name): _stored(part) for name, part in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_stored(part) for part in value] if isinstance(value, list | tuple) else value


def _origin(stored: Any) -> Origin | None:
    if stored is None:
        return None
    if not isinstance(stored, Mapping):
        raise ValueError
    path, options, references = _path(stored.get("path")), stored.get("options", {}), stored.get("references")
    if path is None or not isinstance(options, Mapping):
        raise ValueError
    pair = None
    if references is not None:
        if not isinstance(references, list | tuple) or len(references) != 2:
            raise ValueError
        pair = (_path(references[0]), _path(references[1]))
    panel = _number(stored.get("panel", 1.0))
    return Origin(
        path,
        {_keyword(name): _literal(value) for name, value in options.items()},
        _path(stored.get("wavelengths")),
        pair,
        1.0 if panel is None else panel,
        _one_of(stored.get("part", ""), get_args(Part)),
        _flag(stored.get("foreign", False)),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError
    return value


def _path(value: Any) -> Path | None:
    return None if value is None else Path(_text(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
        raise ValueError
    return float(value)


def _tile(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < LARGEST:
        raise ValueError
    return value


def _one_of(value: Any, allowed: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError
    return value


def _keyword(name: Any) -> str:
    # it becomes the name of an argument, which nothing quotes
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
        raise ValueError
    return name


def _literal(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list | tuple):
        if depth == 2 or len(value) > MOST_ENTRIES:
            raise ValueError
        return [_literal(part, depth + 1) for part in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _text(value)
