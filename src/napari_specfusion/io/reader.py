"""What a reader of files declares about itself."""

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
    """One family of file formats.

    Attributes
    ----------
    title
        What people call the format.
    patterns
        Lower-case file name patterns; a file with one of these names is read by this reader.
    read
        ``read(path, *, options...) -> Cube``, lazy.
    magic
        First bytes that tell the format where the name does not.
    read_scene
        ``read_scene(path) -> Scene | None``, where a file may hold a sharper image beside its cube.
    arrays
        ``arrays(path)``: what a file holds, where one of several can be named.
    """

    title: str
    patterns: tuple[str, ...]
    read: Callable[..., Cube]
    magic: tuple[bytes, ...] = ()
    read_scene: Callable[[Path], Scene | None] | None = None
    arrays: Callable[[Path], Sequence[Variable]] | None = None

    def claims(self, path: Path) -> bool:
        """Whether the name of `path` is one of this reader's."""
        name = path.name.lower()
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that `read` takes."""
        parameters = inspect.signature(self.read).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
