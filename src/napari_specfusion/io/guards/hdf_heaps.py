"""Read HDF5 files without their damaged heaps, in which the HDF5 library loops for ever.

Texts and lists of any length lie in global heaps: collections of objects, each with its size. The library steps from
object to object by these sizes, and a size of zero keeps it at one place. The steps are taken here first.
"""

from __future__ import annotations

import io
import os
import struct
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

__all__ = ["HeapCheckedFile"]

_MARK = b"GCOL"
_HEADER, _SMALLEST, _LARGEST = 8, 4096, 64 << 20
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_USER_BLOCK = 1 << 30
_opened: WeakValueDictionary[str, HeapCheckedFile] = WeakValueDictionary()


class HeapCheckedFile(io.RawIOBase):
    """A file for ``h5py.File(...)`` in which the marks of damaged heaps are blank, so that the library refuses them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        self._position = 0
        self._width = self._length_width()
        self._checked: dict[int, bool] = {}
        _opened[repr(self)] = self

    @staticmethod
    def peek(name: str, start: int, size: int) -> bytes:
        """Return bytes of an open file by the name that h5py gives it, or none of another file."""
        file = _opened.get(name)
        return b"" if file is None else bytes(file._read(start, size))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a byte."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read bytes, with the marks of damaged heaps blank."""
        out = memoryview(buffer).cast("B")
        # a mark may begin before the piece, or end after it
        before = min(self._position, len(_MARK) - 1)
        data = self._read(self._position - before, len(out) + before + len(_MARK) - 1)
        place = data.find(_MARK)
        while place >= 0:
            if not self._sound(self._position - before + place):
                data[place : place + len(_MARK)] = bytes(len(_MARK))
            place = data.find(_MARK, place + 1)
        found = data[before : before + len(out)]
        out[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _read(self, start: int, size: int) -> bytearray:
        self._file.seek(start)
        data = bytearray()
        while len(data) < size and (piece := self._file.read(size - len(data))):
            data += piece
        return data

    def _length_width(self) -> int:
        """Return the bytes of a length in this file."""
        start = 0
        while start < min(self._size, _MOST_USER_BLOCK):
            head = self._read(start, 16)
            if head.startswith(_SIGNATURE) and len(head) == 16:
                return int(head[14] if head[8] < 2 else head[10])
            start = max(512, 2 * start)
        return 8

    def _sound(self, start: int) -> bool:
        """Whether the steps from object to object of the heap at `start` come to its end."""
        known = self._checked.get(start)
        if known is None:
            known = self._checked[start] = self._walk(start)
        return known

    def _walk(self, start: int) -> bool:
        if self._width not in {2, 4, 8}:
            return False
        end = int.from_bytes(self._read(start + _HEADER, self._width), "little")
        if not _SMALLEST <= end <= min(_LARGEST, self._size - start):
            return False
        heap = self._read(start, end)
        place = step = _padded(_HEADER + self._width)
        seen: set[int] = set()
        while place + step <= end:
            (index,) = struct.unpack_from("<H", heap, place)
            size = int.from_bytes(heap[place + 8 : place + 8 + self._width], "little")
            # object 0 is the free space, with its own head in its size
            needed = step + _padded(size) if index else size
            if index in seen or not step <= needed <= end - place:
                return False
            seen.add(index)
            place += needed
        return True


def _padded(size: int) -> int:
    return -(-size // 8) * 8
