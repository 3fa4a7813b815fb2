"""List the variables of MATLAB files, version 4 to 7, from their headers alone.

scipy, which reads such files, trusts the declared sizes and nesting depths. This module checks them first, and finds
where plain numbers are stored, so that large arrays need not be loaded at all.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.io.guards.limits import check_inflation

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Element", "alone", "inflated", "list_elements"]

_MATRIX, _COMPRESSED = 14, 15
# element types of integers in headers, of names, and of characters
_WHOLE, _LETTERS, _TEXT = {5, 6}, {1, 16}, {1, 2, 4, 16, 17, 18}
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE = 1, 2, 3, 4, 5
_NUMERIC = range(6, 16)
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TYPES_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
_NAMES = {
    _CELL: "cell", _STRUCT: "struct", _OBJECT: "object", _CHAR: "char", _SPARSE: "sparse", 16: "function", 17: "opaque",
}  # fmt: skip
_HEAD = 2048
_MOST_VARIABLES = 10_000
_DEEPEST, _MOST_PARTS, _MOST_FIELDS, _MOST_AXES = 16, 200_000, 10_000, 32


@dataclass(frozen=True)
class Element:
    """A variable of a MATLAB file.

    Attributes
    ----------
    name, shape
        As MATLAB shows them.
    kind
        "number", "struct", "object", "cell", "char", "sparse", "function" or "opaque".
    dtype
        numpy type string of the stored numbers, which may be narrower than MATLAB's type.
    complex
        Whether the numbers are complex.
    position
        Offset of its bytes in the file.
    stored, size
        Number of bytes, as stored and unpacked.
    offset
        Offset of the numbers in the unpacked bytes.
    compressed
        Whether the bytes are compressed.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    dtype: str
    complex: bool
    position: int
    stored: int
    size: int
    offset: int
    compressed: bool

    @property
    def numeric(self) -> bool:
        """Whether it is an array of numbers."""
        return self.kind == "number"


def list_elements(path: Path) -> list[Element]:
    """Return the variables of a MATLAB file of version 4, 5, 6 or 7.

    Raises
    ------
    ReadError
        If it is not a MATLAB file, is truncated, or declares sizes that it cannot hold.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(128)
        if len(head) == 128 and 0 not in head[:4] and head[126:] in {b"IM", b"MI"}:
            return _list_5(path, file, size, "<" if head[126:] == b"IM" else ">")
        return _list_4(path, file, size)


def inflated(path: Path, element: Element) -> NDArray[np.uint8]:
    """Return the unpacked bytes of an element, at most as many as it declares."""
    check_inflation(path, element.name, element.stored, element.size)
    out = np.empty(element.size, np.uint8)
    with path.open("rb") as file:
        file.seek(element.position)
        if not element.compressed:
            read = file.readinto(out.data)
        else:
            read, left, inflater = 0, element.stored, zlib.decompressobj()
            while left and read < element.size:
                packed = file.read(min(left, memory.UNPACKED_PIECE))
                if not packed:
                    break
                left -= len(packed)
                part = inflater.decompress(packed, element.size - read)
                out[read : read + len(part)] = np.frombuffer(part, np.uint8)
                read += len(part)
            # The checksum follows the last number.
            while left and not inflater.eof and (packed := file.read(min(left, memory.UNPACKED_PIECE))):
                left -= len(packed)
                inflater.decompress(inflater.unconsumed_tail + packed, 1)
    if read != element.size:
        raise ReadError(f"{path}: {element.name} ends early; the file is truncated or damaged, get a new copy.")
    return out


def alone(path: Path, element: Element) -> io.BytesIO:
    """Return an in-memory version 5 file with just one checked struct, object, cell array or text.

    A library that reads it cannot meet another variable of the same name, or an unchecked one.

    Raises
    ------
    ReadError
        If it is nested too deeply, declares more than it holds, or has parts of unexpected types.
    """
    with path.open("rb") as file:
        head = file.read(128)
    order = "<" if head[126:] == b"IM" else ">"
    data = inflated(path, element)
    try:
        _check_parts(path, element, data.data, order)
    except struct.error as error:
        raise ReadError(f"{path}: {element.name} ends inside a part ({error}); get a new copy.") from error
    tag = b"" if element.compressed else struct.pack(f"{order}II", _MATRIX, element.size)
    return io.BytesIO(b"".join((head, tag, data.data)))


def _check_parts(path: Path, element: Element, data: Any, order: str) -> None:
    # Go from part to part, as scipy does: WITec's export declares its cells shorter than they are.
    left, position, count = [1], 0, 0
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        count += 1
        inside = 0
        if position or element.compressed:
            code, position, length = _tag(data, position, order)
            if code != _MATRIX:
                raise ReadError(f"{path}: {element.name} contradicts its header; it is damaged, get a new copy.")
            if not length:
                continue
        before = position
        parts, position = _take(data, position, 3, order)
        flags, shape = _number(data, parts[0], order), _numbers(data, parts[1], order)
        kind, claimed = flags & 0xFF, math.prod(shape)
        # scipy reads the flags unchecked, as an eight-byte tag followed by eight bytes.
        plain = parts[0][1:] == (before + 8, before + 16) and parts[1][2] - parts[1][1] <= 4 * _MOST_AXES
        _check_types(path, element, parts[1:], [_WHOLE, _LETTERS])
        if not plain or min(shape, default=-1) < 0:
            raise ReadError(
                f"{path}: {element.name} holds a part that declares the shape {tuple(shape)}; it is damaged, get "
                "a new copy."
            )
        if kind in {_CELL, _STRUCT, _OBJECT}:
            inside, position = _count_inside(path, element, data, position, kind, claimed, order)
        elif kind == _CHAR or kind == _SPARSE or kind in _NUMERIC:
            more = 1 if kind == _CHAR else (3 if kind == _SPARSE else 1) + bool(flags & 0x800)
            held, position = _take(data, position, more, order)
            _check_types(path, element, held, [_TEXT if kind == _CHAR else set(_TYPES)] * more)
            if kind == _CHAR and claimed > held[0][2] - held[0][1]:
                raise ReadError(f"{path}: {element.name} declares a text of {claimed} characters; it is damaged.")
        else:
            raise ReadError(
                f"{path}: {element.name} holds a {_NAMES.get(kind, 'part of unknown kind')}; save the cube by itself."
            )
        left.append(inside)
        holds_parts = kind in {_CELL, _STRUCT, _OBJECT}
        if (
            claimed < 0
            or position > len(data) + 7
            or (holds_parts and 8 * max(inside, claimed - 1) > len(data) - position)
        ):
            raise ReadError(f"{path}: {element.name} declares more than it holds; it is damaged, get a new copy.")
        if len(left) > _DEEPEST or count > _MOST_PARTS:
            raise ReadError(
                f"{path}: {element.name} is more than {_DEEPEST} levels deep or has more than {_MOST_PARTS} parts; "
                "save the cube by itself."
            )


def _count_inside(
    path: Path, element: Element, data: Any, position: int, kind: int, claimed: int, order: str
) -> tuple[int, int]:
    """Return the number of arrays in a cell array, struct or object, and where they begin."""
    if kind == _CELL:
        return claimed, position
    if kind == _OBJECT:
        name, position = _take(data, position, 1, order)
        _check_types(path, element, name, [_LETTERS])
    (length, names), position = _take(data, position, 2, order)
    _check_types(path, element, [length, names], [_WHOLE, _LETTERS])
    width = _number(data, length, order)
    fields = (names[2] - names[1]) // width if width else -1
    if not 0 <= fields <= _MOST_FIELDS or length[2] - length[1] != 4 or width >= 1 << 31:
        raise ReadError(
            f"{path}: {element.name} declares field names of {width} characters each, but holds "
            f"{names[2] - names[1]} in all; it is damaged, or has over {_MOST_FIELDS} fields: save the cube by itself."
        )
    return claimed * fields, position


def _check_types(path: Path, element: Element, parts: list[tuple[int, int, int]], known: list[set[int]]) -> None:
    for (code, first, last), types in zip(parts, known, strict=True):
        if code not in types or last < first:
            raise ReadError(
                f"{path}: {element.name} holds a part of type {code}, where only {', '.join(map(str, sorted(types)))} "
                "can occur; it is damaged, get a new copy."
            )


def _take(data: Any, position: int, count: int, order: str) -> tuple[list[tuple[int, int, int]], int]:
    """Return the next parts, and where they end."""
    parts = []
    for _ in range(count):
        code, first, length = _tag(data, position, order)
        parts.append((code, first, first + length))
        short = first - position == 4
        position = position + 8 if short else first + length + -length % 8
    return parts, position


# --- version 5 to 7 -----------------------------------------------------------------


def _list_5(path: Path, file: BinaryIO, size: int, order: str) -> list[Element]:
    found: list[Element] = []
    position = 128
    while position + 8 <= size:
        file.seek(position)
        code, length = struct.unpack(f"{order}II", file.read(8))
        position += 8
        if position + length > size:
            raise ReadError(
                f"{path} has {size} bytes, but its variables end at {position + length}; it is truncated, get a "
                "new copy."
            )
        if code in {_MATRIX, _COMPRESSED}:
            element = _element(path, file.read(min(length, 2 * _HEAD)), code, position, length, order)
            if element is not None:
                found.append(element)
        if len(found) > _MOST_VARIABLES:
            raise ReadError(f"{path} holds more than {_MOST_VARIABLES} variables; save the cube in a separate file.")
        position += length
    return found


def _element(path: Path, packed: bytes, code: int, position: int, length: int, order: str) -> Element | None:
    head, size, skipped = packed[:_HEAD], length, 0
    if code == _COMPRESSED:
        try:
            head = zlib.decompressobj().decompress(packed, _HEAD)
        except zlib.error as error:
            raise ReadError(f"{path} cannot be unpacked ({error}); it is damaged, get a new copy.") from error
        if len(head) < 8:
            return None
        code, size = struct.unpack(f"{order}II", head[:8])
        if code != _MATRIX:
            return None
        size, skipped = size + 8, 8
    try:
        parts, following = _take(head, skipped, 3, order)
        flags, shape = _number(head, parts[0], order), tuple(_numbers(head, parts[1], order))
        _, first, last = parts[2]
        name = head[first:last].decode("latin-1")
        kind = "number" if flags & 0xFF in _NUMERIC else _NAMES.get(flags & 0xFF, "unknown")
        dtype, offset = "", 0
        if kind == "number":
            real, offset, length_of_data = _tag(head, following, order)
            dtype = np.dtype(order + _TYPES[real]).str
            if length_of_data != math.prod(shape) * np.dtype(dtype).itemsize or min(shape, default=0) < 0:
                raise ReadError(f"{path}: {name} of shape {shape} holds {length_of_data} bytes; it is damaged.")
    except (KeyError, struct.error):
        return None
    if not name:
        return None
    imaginary = kind == "number" and bool(flags & 0x800)
    return Element(name, shape, kind, dtype, imaginary, position, length, size, offset, bool(skipped))


def _tag(data: Any, position: int, order: str) -> tuple[int, int, int]:
    """Return the type, first byte and size of the part at `position`."""
    code, length = struct.unpack_from(f"{order}II", data, position)
    first = position + 8
    if code >> 16:  # small element: up to four bytes of data inside the tag
        code, length, first = code & 0xFFFF, code >> 16, position + 4
    return code, first, length


def _number(data: Any, part: tuple[int, int, int], order: str) -> int:
    return int(struct.unpack_from(f"{order}I", data, part[1])[0])


def _numbers(data: Any, part: tuple[int, int, int], order: str) -> list[int]:
    _, first, last = part
    return list(struct.unpack_from(f"{order}{min((last - first) // 4, 32)}i", data, first))


# --- version 4 -----------------------------------------------------------------------


def _list_4(path: Path, file: BinaryIO, size: int) -> list[Element]:
    found: list[Element] = []
    position = 0
    while position + 20 <= size:
        file.seek(position)
        head = file.read(20)
        order = "<" if 0 <= struct.unpack("<i", head[:4])[0] < 5000 else ">"
        kind, rows, columns, imaginary, letters = struct.unpack(f"{order}5i", head)
        byte_order, layout, form = kind // 1000, kind // 10 % 10, kind % 10
        known = byte_order == (order == ">") and kind // 100 % 10 == 0 and layout < len(_TYPES_4) and form < 3
        if not known or min(rows, columns, letters) < 0 or not 0 < letters < 1000:
            raise ReadError(f"{path} is not a MATLAB file, or is damaged after {len(found)} variables; get a new copy.")
        name = file.read(letters).rstrip(b"\0").decode("latin-1")
        dtype = np.dtype(order + _TYPES_4[layout])
        data = position + 20 + letters
        length = rows * columns * dtype.itemsize * (2 if imaginary else 1)
        if data + length > size:
            raise ReadError(
                f"{path} has {size} bytes, but {name} ({rows} x {columns}) ends at {data + length}; it is "
                "truncated, get a new copy."
            )
        what = ("number", "char", "sparse")[form]
        found.append(Element(name, (rows, columns), what, dtype.str, bool(imaginary), data, length, length, 0, False))
        if len(found) > _MOST_VARIABLES:
            raise ReadError(f"{path} holds more than {_MOST_VARIABLES} variables; save the cube in a separate file.")
        position = data + length
    return found
