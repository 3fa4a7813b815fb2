"""Read ERDAS 7 images, ``.lan`` and ``.gis``: a header of 128 bytes, then band-interleaved lines.

Header bytes, following the description in PCI's manual: 1-6 "HEAD74", or "HEADER" in older versions; 7-8 sample type
(0: 8 bit, 1: 4 bit, 2: 16 bit); 9-10 bands; 17-20 columns and 21-24 rows, as integers, or as floating-point numbers in
older versions; 121-124 and 125-128 width and height of a pixel.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.lazy import MappedArray, lazy_cube
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["READER", "read_lan"]

_HEADER = 128
_NAMES = (b"HEAD74", b"HEADER")
# class maps use 0 to 255; measured 16-bit values are signed
_TYPES = {0: "u1", 2: "i2"}


@dataclass(frozen=True)
class _Header:
    """A header, parsed in one byte order."""

    order: str
    kind: int
    bands: int
    columns: int
    rows: int
    pixel_size: tuple[float, float]

    @property
    def makes_sense(self) -> bool:
        """Whether these are possible sizes of an image."""
        return self.kind in {0, 1, 2} and min(self.bands, self.columns, self.rows) > 0

    @property
    def end(self) -> int:
        """Size in bytes of a file with just this image."""
        return _HEADER + math.prod((self.bands, self.columns, self.rows)) * (2 if self.kind == 2 else 1)


def read_lan(path: Path) -> Cube:
    """Open an ERDAS 7 image as a lazy cube.

    The header does not give its byte order: the one that fits the file size is used.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ReadError
        If it is not an ERDAS 7 file, is truncated, or packs two values in a byte.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if head[:6] not in _NAMES or len(head) < _HEADER:
        raise ReadError(f"{path} has no ERDAS 7 header (HEAD74); it is truncated or in another format.")
    found = [header for header in (_read(head, "<"), _read(head, ">")) if header.makes_sense]
    if not found:
        raise ReadError(f"{path} has a header without rows, columns or bands in either byte order; it is damaged.")
    # an exact fit, else the largest image that fits the file, else the smallest that does not
    fitting = [header for header in found if header.end <= size]
    header = max(fitting, key=lambda h: h.end) if fitting else min(found, key=lambda h: h.end)
    if header.kind not in _TYPES:
        raise ReadError(f"{path} packs two 4-bit values in a byte, as class maps do; convert it to 8 bit.")
    if not fitting:
        raise ReadError(
            f"{path} has {size} bytes, but its header describes {header.end} ({header.bands} bands of {header.rows} x "
            f"{header.columns}); it is truncated, get a new copy."
        )
    notes = (f"{size - header.end} bytes after the image were left out",) if header.end < size else ()
    dtype = header.order + _TYPES[header.kind] if header.kind else "|u1"
    array = MappedArray(str(path), dtype, (header.rows, header.bands, header.columns), _HEADER, (1, 0, 2))
    known = all(math.isfinite(n) and n > 0 for n in header.pixel_size)
    pixel_size = header.pixel_size if known else None
    return lazy_cube(array, path, name=path.stem, pixel_size=pixel_size, metadata={"notes": notes})


def _read(head: bytes, order: str) -> _Header:
    kind, bands = struct.unpack_from(f"{order}hh", head, 6)
    old = head[:6] == b"HEADER"
    columns, rows = struct.unpack_from(f"{order}{'ff' if old else 'ii'}", head, 16)
    width, height = struct.unpack_from(f"{order}ff", head, 120)
    sizes = [int(n) if math.isfinite(n) and float(n).is_integer() else 0 for n in (columns, rows)]
    return _Header(order, kind, bands, sizes[0], sizes[1], (height, width))


READER = Reader(
    title="ERDAS LAN",
    patterns=("*.lan", "*.gis"),
    read=read_lan,
    # "HEADER" alone, as in older files, is too common: include the sample type that follows
    magic=(b"HEAD74", b"HEADER\x00", b"HEADER\x02"),
)
