"""The type that describes a file reader."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.io.metadata.variables import Variable

__all__ = ["Reader"]


@dataclass(frozen=True)
class Reader:
    """The reader of a family of file formats.

    Attributes
    ----------
    title
        Display name of the format.
    patterns
        Lower-case file name patterns that select this reader.
    read
        ``read(path, *, options...) -> Cube``, lazy.
    magic
        First bytes that identify the format if the name does not.
    read_scene
        ``read_scene(path) -> Scene | None``, for formats that may hold both a cube and a sharper image.
    arrays
        ``arrays(path)`` lists the arrays of a file, for formats with several.
    """

    title: str
    patterns: tuple[str, ...]
    read: Callable[..., Cube]
    magic: tuple[bytes, ...] = ()
    read_scene: Callable[[Path], Scene | None] | None = None
    arrays: Callable[[Path], Sequence[Variable]] | None = None

    def claims(self, path: Path) -> bool:
        """Whether the name of `path` matches one of the patterns."""
        name = path.name.lower()
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options of `read`."""
        parameters = inspect.signature(self.read).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
