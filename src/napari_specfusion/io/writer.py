"""The type that describes a file writer."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Writer"]


def _itself(path: Path, overwrite: bool = False) -> tuple[Path, ...]:
    return (path,)


@dataclass(frozen=True)
class Writer:
    """The writer of a file format.

    Attributes
    ----------
    title
        Display name of the format.
    suffixes
        Lower-case file name endings with dots; the first is the default.
    write
        ``write(cube, parts, targets, watch, *, options...) -> notes`` writes `parts`, which are then renamed to
        `targets`; the notes say what was lost, or what other programs will not see.
    targets
        ``targets(path, overwrite)`` returns all paths to write for `path`; the last one is the one to open.
    room
        Disk space needed while writing, as a multiple of the image size.
    """

    title: str
    suffixes: tuple[str, ...]
    write: Callable[..., list[str]]
    targets: Callable[..., tuple[Path, ...]] = _itself
    room: float = 1.0

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options of `write`."""
        parameters = inspect.signature(self.write).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
