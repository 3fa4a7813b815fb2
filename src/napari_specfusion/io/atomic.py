"""Atomic writes: files are written in a scratch folder next to their target, then renamed.

Everything this package writes goes through here: `replacing` for one file, `replacing_all` for folders and for files
that belong together. The only exception is a fused result, which grows tile by tile.
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

__all__ = [
    "check_name",
    "check_targets",
    "clear_leftovers",
    "explained",
    "recover",
    "remove_folder",
    "replace_folder",
    "replacing",
    "replacing_all",
]

WINDOWS = os.name == "nt"
# seconds to wait for a virus scanner or an indexer to release a file
_WAITS = (0.05, 0.1, 0.2, 0.4)
# added to the name of what is about to be replaced
_BEFORE = ".before"
# Windows rejects longer paths unless long paths are enabled
_LONGEST_PATH = 259
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def check_name(path: Path) -> None:
    """Refuse names that Windows forbids or reserves; other systems accept any name.

    Raises
    ------
    OutputError
        If Windows does not allow a part of `path`.
    """
    if not WINDOWS:
        return
    for part in path.parts:
        if part == path.anchor or part in {".", ".."}:
            continue
        found = _FORBIDDEN.search(part)
        if found:
            # a colon would start the name of a hidden stream
            raise OutputError(f"{part!r} contains {found.group()!r}, which Windows forbids in names; leave it out.")
        if part[-1] in ". ":
            raise OutputError(f"{part!r} ends in a dot or a space, which Windows drops; leave it out.")
        if _RESERVED.fullmatch(part.split(".")[0].rstrip()):
            raise OutputError(f"Windows reserves the name {part!r} for a device; choose another name.")


def check_targets(targets: Sequence[Path], overwrite: bool, size: float) -> None:
    """Check up front that files or folders can be written at `targets`.

    Parameters
    ----------
    targets
        Paths to write, all in one folder. Names ending in ``.zarr`` are folders.
    overwrite
        Whether existing files may be replaced.
    size
        Bytes to write.

    Raises
    ------
    OutputError
        If a name is not allowed, the folder is missing, a target exists and must not be replaced, or the disk is too
        full.
    """
    parent = _parent(targets[0])
    for target in targets:
        check_name(target)
        if not target.exists() and not target.is_symlink():
            continue
        if not overwrite:
            raise OutputError(f"{target} exists; save under another name, or set overwrite to replace it.")
        if target.suffix == ".zarr":
            # delete a folder only if it is certainly an image
            if not any((target / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")):
                raise OutputError(f"{target} exists but is not a Zarr store; move it away, or save elsewhere.")
        elif not target.is_file():
            raise OutputError(f"{target} is not a file, so it is not replaced; save under another name.")
    free = shutil.disk_usage(parent).free
    if free < size:
        raise OutputError(
            f"The disk is too full: the image needs about {size / 1e9:.1f} GB, but {parent} has {free / 1e9:.1f} GB "
            "free; make room, or save to another disk."
        )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError while writing `path` into an OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            words = f"The disk filled up while writing {path}; make room, or write to another disk."
        elif WINDOWS and isinstance(error, PermissionError):
            words = (
                f"{path} cannot be written: it is open in another program or in a viewer layer, or write-protected "
                f"({error}). Close it there, or choose another name."
            )
        elif WINDOWS and max(len(str(name)) for name in (path, error.filename or "")) > _LONGEST_PATH:
            words = (
                f"{path} cannot be written: its path, or one inside it, is longer than the {_LONGEST_PATH} characters "
                "that Windows allows. Choose a folder closer to the root of the disk."
            )
        else:
            words = f"{path} cannot be written ({error}); check the folder's permissions, or choose another place."
        raise OutputError(words) from error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path of the same name to write to; on success that file replaces `path`.

    Raises
    ------
    OutputError
        If the file cannot be written; an existing file is then unchanged.
    """
    target = Path(path)
    with explained(target):
        _parent(target)
        check_name(target)
        with replacing_all((target,)) as (part,):
            yield part


@contextmanager
def replacing_all(targets: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Yield one temporary path per target to write to; on success these replace `targets`, in order.

    Existing files are untouched until everything is written, and are restored if a rename fails.

    Raises
    ------
    OSError
        If something cannot be written; `explained` turns that into an OutputError.
    """
    parent = targets[0].absolute().parent
    scratch = _scratch(targets[-1])
    try:
        parts = tuple(scratch / target.name for target in targets)
        yield parts
        _settle(scratch)
        _move_all(list(zip(parts, targets, strict=True)), scratch)
        _settle_folder(parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Remove the scratch folders of a killed process; no other process may be writing to `folder`."""
    for scratch in folder.glob(".*.partial"):
        shutil.rmtree(scratch, ignore_errors=True)


def recover(target: Path) -> None:
    """Undo what killed processes left half done at `target`; no other process may be writing it.

    An older folder that was about to be replaced is moved back, and scratch folders are removed.
    """
    names = {target.name, f"{target.name}{_BEFORE}"}
    for scratch in target.absolute().parent.glob(".*.partial"):
        if not scratch.name.startswith(_prefix(target)) or not {each.name for each in scratch.iterdir()} <= names:
            continue
        before = scratch / f"{target.name}{_BEFORE}"
        if before.exists() and not target.exists():
            _move(before, target)
        shutil.rmtree(scratch, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder and its contents: completely, or not at all if a file in it is open.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    scratch = _scratch(path)
    try:
        _move(path, scratch / path.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` in place of `target`, which is then removed, if there is one.

    Raises
    ------
    OSError
        If `target` cannot be moved away; both are then where they were.
    """
    scratch = _scratch(target)
    try:
        _settle(new)
        _move_all([(new, target)], scratch)
        _settle_folder(target.absolute().parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prefix(target: Path) -> str:
    # file names are limited to 255 bytes
    return f".{target.name[:50]}."


def _scratch(target: Path) -> Path:
    """Make an empty folder beside `target`."""
    return Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=".partial", dir=target.absolute().parent))


def _parent(path: Path) -> Path:
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"The folder {parent} does not exist; make it first, or save elsewhere.")
    return parent


def _settle(folder: Path) -> None:
    """Flush all files of a folder to disk; otherwise a power cut may keep the rename but lose the contents."""
    for path in folder.rglob("*"):
        if path.is_dir():
            _settle_folder(path)
        elif path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())


def _settle_folder(folder: Path) -> None:
    """Flush a folder's entries to disk; Windows cannot open folders, and some network drives refuse."""
    if WINDOWS:
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _move(source: Path, target: Path) -> None:
    """Rename atomically, replacing an existing file; on Windows, wait briefly if either file is open."""
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
                aside = scratch / f"{target.name}{_BEFORE}"
                _move(target, aside)
                undo.append((aside, target))
            _move(part, target)
            undo.append((target, part))
    except BaseException:
        for now, before in reversed(undo):
            _move(now, before)
        raise
