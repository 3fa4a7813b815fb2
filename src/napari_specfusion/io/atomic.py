"""Files that appear whole or not at all: written in a scratch folder beside their place, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["check_targets", "explained", "published"]


def check_targets(targets: Sequence[Path], overwrite: bool, size: float) -> None:
    """Check, before any work, that files or folders can be written at `targets`.

    Parameters
    ----------
    targets
        What is to be written; all of it in one folder. Names in ``.zarr`` are folders.
    overwrite
        Whether what is there may be replaced.
    size
        Bytes that will be written.

    Raises
    ------
    OutputError
        If the folder is missing, something lies there that must not be replaced, or the disk has not enough room.
    """
    parent = targets[0].absolute().parent
    if not parent.is_dir():
        raise OutputError(f"The folder {parent} does not exist; make it first, or save elsewhere.")
    for target in targets:
        if not target.exists() and not target.is_symlink():
            continue
        if not overwrite:
            raise OutputError(f"{target} exists; save under another name, or ask for it with overwrite.")
        if target.suffix == ".zarr":
            # only what is certainly an image is removed with all that lies in it
            if not any((target / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")):
                raise OutputError(f"{target} exists and is no Zarr store; move it away, or save elsewhere.")
        elif not target.is_file():
            raise OutputError(f"{target} is no file and is not replaced by one; save under another name.")
    free = shutil.disk_usage(parent).free
    if free < size:
        raise OutputError(
            f"The disk is too full: the image takes about {size / 1e9:.1f} GB, {parent} has {free / 1e9:.1f} GB free; "
            "make room, or save to another disk."
        )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` into an OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"The disk filled up while saving {path}; nothing was kept. Make room, or save to another disk."
            ) from error
        raise OutputError(
            f"{path} cannot be written ({error}); check the folder's permissions, or save elsewhere."
        ) from error


@contextmanager
def published(targets: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Hand out one path for each of `targets` to write to; without an error they take their places, the last one last.

    What lay there is untouched until all is written, and comes back where one of several renames fails.
    """
    parent = targets[0].absolute().parent
    # names have 255 bytes at most
    scratch = Path(tempfile.mkdtemp(prefix=f".{targets[-1].name[:50]}.", suffix=".partial", dir=parent))
    try:
        parts = tuple(scratch / target.name for target in targets)
        yield parts
        _settle(scratch)
        _rename_all(list(zip(parts, targets, strict=True)), scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Have the disk take all files of a folder; after a power cut it may know of the rename alone otherwise."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())


def _rename_all(pairs: Sequence[tuple[Path, Path]], scratch: Path) -> None:
    if len(pairs) == 1 and not pairs[0][0].is_dir():
        pairs[0][0].replace(pairs[0][1])
        return
    undo: list[tuple[Path, Path]] = []
    try:
        for part, target in pairs:
            if target.exists():
                aside = scratch / f"{target.name}.before"
                target.rename(aside)
                undo.append((aside, target))
            part.rename(target)
            undo.append((target, part))
    except BaseException:
        for now, before in reversed(undo):
            now.rename(before)
        raise
