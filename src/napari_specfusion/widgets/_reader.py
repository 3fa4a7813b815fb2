"""Drag and drop: napari's reader hook over `open_cube`. Nothing is imported from napari."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    from napari_specfusion.io import open_cube

    return [open_cube(path[0] if isinstance(path, list) else path).layer_data()]
