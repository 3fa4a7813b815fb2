"""What a writer of files declares about itself."""

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
    """One file format that cubes are saved in.

    Attributes
    ----------
    title
        What people call the format.
    suffixes
        Lower-case endings of file names, with their dots; the first is the usual one.
    write
        ``write(cube, parts, targets, watch, *, options...) -> notes``: writes `parts`, which will be renamed to
        `targets`; the notes say what other programs, or nobody, will find in them.
    targets
        ``targets(path, overwrite)``: all that is written for `path`, what is opened last.
    room
        Disk space that is taken while writing, in bytes for each byte of the image.
    """

    title: str
    suffixes: tuple[str, ...]
    write: Callable[..., list[str]]
    targets: Callable[..., tuple[Path, ...]] = _itself
    room: float = 1.0

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that `write` takes."""
        parameters = inspect.signature(self.write).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
