"""Check a TIFF's chain of pages and the planes declared by its OME-XML before reading pixels.

tifffile follows both wherever they lead: in a circle, over one page listed a million times, or into other folders.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.files import check_neighbours
from napari_specfusion.io.guards import limits
from napari_specfusion.io.metadata.xml_text import parse_xml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_ome", "check_pages"]

_BIG = 43
_SUB_PAGES = 330
# bytes per value of each tag type
_SIZES = np.zeros(256, np.int64)
_SIZES[1:14] = 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4
_SIZES[16:19] = 8
_MOST_TAGS = 4096
_MOST_PLANES, _MOST_FILES = 1 << 20, 10_000


def check_pages(path: Path) -> None:
    """Raise a ReadError if the pages of a TIFF form a loop, overlap or declare more data than the file holds."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if len(head) < 8 or head[:2] not in {b"II", b"MM"}:
            return  # tifffile will reject it
        order = "<" if head[:2] == b"II" else ">"
        big = struct.unpack_from(f"{order}H", head, 2)[0] == _BIG
        if big and len(head) < 16:
            return
        first = struct.unpack_from(f"{order}Q", head, 8)[0] if big else struct.unpack_from(f"{order}I", head, 4)[0]
        seen: set[int] = set()
        waiting = [(int(first), True)]
        pages = values = 0
        while waiting:
            offset, chained = waiting.pop()
            if not 0 < offset < size:
                continue  # tifffile stops there, and the reader reports missing pages
            if offset in seen:
                raise ReadError(
                    f"{path}: the page at byte {offset} is linked twice, so the pages form a loop; it is "
                    "damaged, get a new copy."
                )
            seen.add(offset)
            found = _page(file, offset, order, big)
            if found is None:
                continue
            if not found:
                # tifffile would read arbitrary bytes as the offset of the next page
                raise ReadError(f"{path} ends inside the page at byte {offset}; it is truncated, get a new copy.")
            tags, following = found
            pages += tags.size * tags.dtype.itemsize + (16 if big else 6)
            held = tags["count"].astype(np.float64) * _SIZES[np.minimum(tags["type"], 255)]
            values += int(held[held <= size].sum())
            if pages > size or values > limits.FREE_VALUES + limits.MOST_REPEATS * size:
                raise ReadError(
                    f"{path} has {size} bytes, but its first {len(seen)} pages declare {pages + values}; it is "
                    "damaged, get a new copy."
                )
            if chained:
                # Links from sub-pages are not followed: writers chain those of a level, but also list each of them.
                waiting.append((following, True))
            waiting += [(below, False) for below in _sub_pages(file, tags, size, order, big)]


def _page(file: BinaryIO, offset: int, order: str, big: bool) -> tuple[NDArray[np.void], int] | tuple[()] | None:
    """Return the tags of a page and the offset of the next one; None if there is no page, () if it ends early."""
    file.seek(offset)
    width = 8 if big else 2
    head = file.read(width)
    if len(head) < width:
        return None
    count = struct.unpack(f"{order}{'Q' if big else 'H'}", head)[0]
    if count > _MOST_TAGS:
        return None
    word = f"{order}u{8 if big else 4}"
    tag = np.dtype([("code", f"{order}u2"), ("type", f"{order}u2"), ("count", word), ("value", word)])
    data = file.read(count * tag.itemsize + tag["value"].itemsize)
    if len(data) < count * tag.itemsize + tag["value"].itemsize:
        return ()
    tags = np.frombuffer(data, tag, count)
    following = int(np.frombuffer(data[count * tag.itemsize :], word)[0])
    return tags, following


def _sub_pages(file: BinaryIO, tags: NDArray[np.void], size: int, order: str, big: bool) -> list[int]:
    """Return the offsets of a page's sub-pages."""
    found: list[int] = []
    for tag in tags[tags["code"] == _SUB_PAGES]:
        width, count = int(_SIZES[min(int(tag["type"]), 255)]), int(tag["count"])
        if width not in {4, 8} or count * width > size:
            continue
        if count * width <= (8 if big else 4):
            data = tag["value"].tobytes()[: count * width]
        else:
            file.seek(min(int(tag["value"]), size))
            data = file.read(count * width)
        found += np.frombuffer(data[: len(data) // width * width], f"{order}u{width}").tolist()
    return found


def check_ome(path: Path, description: str) -> bool:
    """Return whether a description is OME-XML; raise if it is not safe to follow.

    Raises
    ------
    ReadError
        If it declares too many planes, or files in other folders.
    """
    root = parse_xml(description)
    if root is None:
        return False
    files: set[str] = set()
    for node in root.iter():
        name = node.tag.rpartition("}")[2]
        if name == "Pixels":
            sizes = [
                _whole(path, value) for key, value in node.attrib.items() if key[:4] == "Size" and key[4:] in "CTZ"
            ]
            _check_planes(path, math.prod(max(1, n) for n in sizes))
        elif name == "TiffData":
            for key, value in node.attrib.items():
                if key in {"IFD", "NumPlanes", "PlaneCount"} or key.startswith("First"):
                    _check_planes(path, _whole(path, value))
        elif name[:-1].endswith("Along"):  # ModuloAlongC, -T or -Z
            _check_along(path, [node.get(key) for key in ("Start", "End", "Step")])
        elif name == "UUID" and node.get("FileName") is not None:
            files.add(str(node.get("FileName")))
    if len(files) > _MOST_FILES:
        raise ReadError(f"{path} refers to {len(files)} files; open one of them with reader='gdal'.")
    for file in sorted(files):
        if "/" in file or "\\" in file or file == "..":
            raise ReadError(
                f"{path}: its description points to {file!r} outside its folder, which is not read; put the files in "
                "one folder."
            )
        other = path.parent / file
        check_neighbours(path, [other])
        if other.is_file() and other.resolve() != path.resolve():
            check_pages(other)
    return True


def _whole(path: Path, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise ReadError(f"{path}: its description has {value[:40]!r} as a number of planes; it is damaged.") from error


def _check_planes(path: Path, count: int) -> None:
    if not 0 <= count <= _MOST_PLANES:
        raise ReadError(
            f"{path}: its description declares {count} planes, more than {_MOST_PLANES}; it is damaged, get a new copy."
        )


def _check_along(path: Path, values: list[str | None]) -> None:
    if values[0] is None:
        return
    start, end, step = (float(value or 1) for value in values)
    steps = abs((end - start) / step) if step else math.inf
    if not steps <= _MOST_PLANES:
        raise ReadError(f"{path}: its description steps from {start} to {end} by {step}; it is damaged.")
