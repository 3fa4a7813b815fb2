"""What may be read: regular files and folders, text of a limited size, and nothing through links that lead elsewhere.

A pipe or a device never ends or never answers, and a link out of a folder would read any file of the user.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.arguments import short
from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_specfusion.errors import SpecFusionError

__all__ = ["as_path", "bytes_of", "check_file", "check_inside", "check_neighbours", "text_of"]

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def as_path(path: object, error: type[SpecFusionError] = ReadError) -> Path:
    """Return a path, given as text or as a path object.

    Raises
    ------
    error
        If it is something else, empty, or not a name that this system can hold.
    """
    if isinstance(path, str | os.PathLike):
        found = os.fspath(path)
        if isinstance(found, str):
            _check_name(found, error)
            return Path(found)
    raise error(f"{short(path)} is a {type(path).__name__}, not a path; give the path of a file or folder as text.")


def _check_name(path: str, error: type[SpecFusionError]) -> None:
    if not path:
        raise error("The path is empty; give the path of a file or folder.")
    if "\0" in path:
        raise error(f"{short(path)} holds a NUL character, which no file name does; check the path.")
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # told where it is read or written
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{short(path)} cannot be a path here ({reason}); check the path.") from problem


def check_file(path: Path, *, folder: bool = False) -> None:
    """Check that a path is a regular file, or with `folder` a folder; links are followed.

    Raises
    ------
    ReadError
        If it does not exist or cannot be looked at, or is a pipe, a device or a socket.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise ReadError(f"{path} does not exist; check the path.") from error
    except (OSError, ValueError, RuntimeError) as error:  # the last one for links in a circle
        reason = getattr(error, "strerror", None) or error
        raise ReadError(f"{path} cannot be read ({reason}); check the path and its permissions.") from error
    if stat.S_ISREG(mode) or (folder and stat.S_ISDIR(mode)):
        return
    kind = next((word for fits, word in _KINDS if fits(mode)), "a folder" if stat.S_ISDIR(mode) else "a special file")
    raise ReadError(
        f"{path} is {kind}, and only {'files and folders are' if folder else 'files are'} read; give a file, or copy "
        "what it holds into one."
    )


def bytes_of(path: Path, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Raises
    ------
    ReadError
        If it is not a regular file, is longer, or cannot be read.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ReadError(f"{path} cannot be read ({error.strerror or error}); check its permissions.") from error
    if len(content) > most:
        raise ReadError(f"{path} has more than {most} bytes, too many for its kind; choose the right file.")
    return content


def text_of(path: Path, most: int) -> str:
    """Return the text of a UTF-8 file of at most `most` bytes, without its byte order mark.

    Raises
    ------
    ReadError
        If it is not a regular file, is longer, or is not text.
    """
    try:
        return bytes_of(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} cannot be read as text ({error}); choose a text file in UTF-8.") from error


def check_inside(found: Path, opened: Path) -> None:
    """Check that a file that is read because of another one lies in its folder, links followed.

    The folder is that of the file as it was opened, or of the file that it links to.

    Parameters
    ----------
    found
        A file or folder that is about to be read, such as the data of a header.
    opened
        The file or folder that the user chose.

    Raises
    ------
    ReadError
        If it lies elsewhere.
    """
    try:
        real, target = found.resolve(), opened.resolve()
        folders = [target] if target.is_dir() else [opened.absolute().parent.resolve(), target.parent]
    except (OSError, RuntimeError) as error:  # links in a circle
        raise ReadError(f"{found} is a link that leads nowhere ({error}); remove it.") from error
    if not any(real.is_relative_to(folder) for folder in folders):
        raise ReadError(
            f"{found} leads out of the folder of {opened.name}, and such links are not followed; copy the file into "
            "the folder."
        )


def check_neighbours(opened: Path, found: Iterable[Path]) -> None:
    """Check that files which a library reads beside `opened` are regular files or folders, and lie in its folder.

    Raises
    ------
    ReadError
        If one is not, or lies elsewhere.
    """
    for path in found:
        if path.exists():
            check_file(path, folder=True)
            check_inside(path, opened)
