"""Files that appear whole or not at all: written in a scratch folder beside their place, then renamed.

Everything this package writes in one go goes through here: `replacing` for a file, `replacing_all` for files that
belong together, and for folders. The one exception is a fused result, which grows tile by tile.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["check_name", "check_targets", "clear_leftovers", "explained", "remove_folder", "replacing", "replacing_all"]

WINDOWS = os.name == "nt"
# how long to wait for a virus scanner or an indexer that holds a file for a moment, s
_WAITS = (0.05, 0.1, 0.2, 0.4)
# Windows refuses longer paths unless its owner has allowed them
_LONGEST_PATH = 259
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def check_name(path: Path) -> None:
    """Refuse names that Windows cannot hold or takes for something else; other systems take any name.

    Raises
    ------
    OutputError
        If a part of `path` is such a name.
    """
    if not WINDOWS:
        return
    for part in path.parts:
        if part == path.anchor or part in {".", ".."}:
            continue
        found = _FORBIDDEN.search(part)
        if found:
            # after a colon would come the name of a hidden stream
            raise OutputError(f"{part!r} contains {found.group()!r}, which Windows forbids in names; leave it out.")
        if part[-1] in ". ":
            raise OutputError(f"{part!r} ends in a dot or a space, which Windows drops; leave it out.")
        if _RESERVED.fullmatch(part.split(".")[0].rstrip()):
            raise OutputError(f"Windows reserves the name {part!r} for a device; choose another name.")


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
        If a name will not do, the folder is missing, something lies there that must not be replaced, or the disk has
        not enough room.
    """
    parent = _parent(targets[0])
    for target in targets:
        check_name(target)
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
            words = f"The disk filled up while writing {path}; make room, or write to another disk."
        elif WINDOWS and isinstance(error, PermissionError):
            words = (
                f"{path} cannot be written: it is open in another program or a layer of the viewer, or protected "
                f"({error}). Close what has it open, or choose another name."
            )
        elif WINDOWS and max(len(str(name)) for name in (path, error.filename or "")) > _LONGEST_PATH:
            words = (
                f"{path} cannot be written: with what lies in it, its path is longer than the {_LONGEST_PATH} "
                "characters that Windows allows. Choose a folder nearer to the root of the disk."
            )
        else:
            words = f"{path} cannot be written ({error}); check the folder's permissions, or choose another place."
        raise OutputError(words) from error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hand out a path to write one file to, of the same name; without an error it takes the place of `path`.

    Raises
    ------
    OutputError
        If the file cannot be written; what lay there is then as it was.
    """
    target = Path(path)
    with explained(target):
        _parent(target)
        check_name(target)
        with replacing_all((target,)) as (part,):
            yield part


@contextmanager
def replacing_all(targets: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Hand out one path for each of `targets` to write to; without an error they take their places, the last one last.

    What lay there is untouched until all is written, and comes back where one of several renames fails.

    Raises
    ------
    OSError
        If something cannot be written; `explained` puts that into words.
    """
    parent = targets[0].absolute().parent
    # names have 255 bytes at most
    scratch = Path(tempfile.mkdtemp(prefix=f".{targets[-1].name[:50]}.", suffix=".partial", dir=parent))
    try:
        parts = tuple(scratch / target.name for target in targets)
        yield parts
        _settle(scratch)
        _move_all(list(zip(parts, targets, strict=True)), scratch)
        _settle_folder(parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder that nobody else writes to now."""
    for scratch in folder.glob(".*.partial"):
        shutil.rmtree(scratch, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that lies in it: whole, or not at all where something in it is open.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name[:50]}.", suffix=".partial", dir=path.absolute().parent))
    try:
        _move(path, scratch / path.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _parent(path: Path) -> Path:
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"The folder {parent} does not exist; make it first, or save elsewhere.")
    return parent


def _settle(folder: Path) -> None:
    """Have the disk take all files of a folder; after a power cut it may know of the rename alone otherwise."""
    for path in folder.rglob("*"):
        if path.is_dir():
            _settle_folder(path)
        elif path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())


def _settle_folder(folder: Path) -> None:
    """Have the disk take the names in a folder; Windows opens no folders, and some network disks refuse."""
    if WINDOWS:
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _move(source: Path, target: Path) -> None:
    """Rename in one step, in place of a file there; on Windows what has one of them open is waited for a little."""
    for wait in _WAITS if WINDOWS else ():
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    os.replace(source, target)


def _move_all(pairs: Sequence[tuple[Path, Path]], scratch: Path) -> None:
    if len(pairs) == 1 and not pairs[0][0].is_dir():
        _move(*pairs[0])
        return
    undo: list[tuple[Path, Path]] = []
    try:
        for part, target in pairs:
            if target.exists():
                aside = scratch / f"{target.name}.before"
                _move(target, aside)
                undo.append((aside, target))
            _move(part, target)
            undo.append((target, part))
    except BaseException:
        for now, before in reversed(undo):
            _move(now, before)
        raise
