"""Read files as lazy cubes and save cubes to files: `open_cube`, `save_cube` and the formats they support."""

from __future__ import annotations

from napari_specfusion.io.guides import list_guides
from napari_specfusion.io.metadata.variables import Variable
from napari_specfusion.io.open import as_cube, find_reader, list_arrays, open_cube, open_scene
from napari_specfusion.io.reader import Reader
from napari_specfusion.io.registry import READERS, WRITERS
from napari_specfusion.io.save import Saved, SaveProgress, save_cube
from napari_specfusion.io.writer import Writer

__all__ = [
    "READERS",
    "WRITERS",
    "Reader",
    "SaveProgress",
    "Saved",
    "Variable",
    "Writer",
    "as_cube",
    "find_reader",
    "list_arrays",
    "list_guides",
    "open_cube",
    "open_scene",
    "save_cube",
]
