"""Check the declared sizes of compressed pictures in TIFF tiles, because decoders trust them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from napari_specfusion.errors import ReadError
from napari_specfusion.io.guards import limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["PICTURES", "check_codec", "check_picture"]

# Not used for hyperspectral images, and each would need a check of its header.
_REFUSED = {34887: "LERC", 34927: "WebP", 50001: "WebP", 22610: "JPEG XR", 34934: "JPEG XR"}

Size = tuple[int, int, int]


def check_codec(path: Path, compression: int) -> None:
    """Raise a ReadError if a TIFF uses a compression that only GDAL decodes."""
    name = _REFUSED.get(compression)
    if name is not None:
        raise ReadError(
            f"{path} is compressed with {name}, which is not supported here; open it with reader='gdal', or save it "
            "with another compression, such as Deflate."
        )


def check_picture(path: Path, compression: int, data: bytes, tables: bytes | None, expected: Size) -> None:
    """Raise a ReadError if the picture in a strip or tile is larger than the strip or tile.

    Parameters
    ----------
    path
        The file.
    compression
        The TIFF's compression tag; nothing is checked if it is not a picture codec.
    data
        The bytes of the strip or tile.
    tables
        JPEG tables, if they are stored separately.
    expected
        Height, width and samples of a strip or tile.
    """
    check_codec(path, compression)
    read = PICTURES.get(compression)
    if read is None:
        return
    try:
        if tables and _frame(tables) is not None:
            raise ValueError("its tables hold a picture")
        height, width, samples = read(data)
    except (struct.error, ValueError, IndexError) as error:
        raise ReadError(
            f"{path}: the picture in a strip or tile has no readable size ({error}); get a new copy."
        ) from error
    held = expected[0] * expected[1] * expected[2]
    if height * width * samples > max(limits.FREE_SAMPLES, limits.MOST_PADDING * held):
        raise ReadError(
            f"{path}: a strip or tile of {expected[0]} x {expected[1]} x {expected[2]} samples holds a picture of "
            f"{height} x {width} x {samples}; it is damaged or malicious. Save it without compression."
        )
    if samples > max(4, expected[2]):
        raise ReadError(
            f"{path}: a strip or tile of {expected[2]} samples per pixel holds a picture of "
            f"{height} x {width} x {samples}; it is damaged, get a new copy."
        )


def _jpeg(data: bytes) -> Size:
    found = _frame(data)
    if found is None:
        raise ValueError("JPEG without a frame header")
    return found


def _frame(data: bytes) -> Size | None:
    """Return the size in the frame header of a JPEG; None if there is no frame header."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1  # decoders also search for the next marker
            continue
        marker = data[position + 1]
        if marker in {0x00, 0x01, 0xFF, 0xD8} or 0xD0 <= marker <= 0xD7:
            position += 1 if marker in {0x00, 0xFF} else 2
            continue
        if marker in {0xD9, 0xDA}:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width, samples = struct.unpack_from(">HHB", data, position + 5)
            return height, width, samples
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    return None


def _jpeg2000(data: bytes) -> Size:
    if data[:4] == b"\0\0\0\x0c":
        data = _boxes(data, (b"jp2c",))
    if data[:4] != b"\xff\x4f\xff\x51":
        raise ValueError("no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    return max(0, bottom - top), max(0, right - left), struct.unpack_from(">H", data, 40)[0]


def _boxes(data: bytes, kinds: tuple[bytes, ...]) -> bytes:
    """Return the contents of the first box of the given kinds; "jxlp" boxes are joined."""
    found, position = b"", 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        first = position + 8
        if length == 1:
            length, first = struct.unpack_from(">Q", data, first)[0], position + 16
        end = len(data) if length == 0 else position + length
        if end < first:
            raise ValueError("box without a length")
        if kind in kinds:
            if kind != b"jxlp":
                return data[first:end]
            found += data[first + 4 : end]
        position = end
    return found


def _png(data: bytes) -> Size:
    if data[12:16] != b"IHDR":
        raise ValueError("no PNG header")
    width, height, _, kind = struct.unpack_from(">IIBB", data, 16)
    return height, width, {0: 1, 3: 4, 4: 2, 2: 3}.get(kind, 4)


# --- JPEG XL ---------------------------------------------------------------------------


class _Bits:
    """Bit reader, lowest bit of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("truncated header")
        taken = self._value & (1 << count) - 1
        self._value >>= count
        self._left -= count
        return taken

    def choice(self, *options: tuple[int, int]) -> int:
        """Read a number in one of four encodings, each an (offset, number of bits) pair."""
        base, count = options[self.take(2)]
        return base + self.take(count)


# aspect ratios, width to height
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_HEADER_BYTES = 64


def _jpegxl(data: bytes) -> Size:
    if data[:2] != b"\xff\x0a":
        data = _boxes(data, (b"jxlc", b"jxlp"))
    if data[:2] != b"\xff\x0a":
        raise ValueError("no JPEG XL codestream")
    bits = _Bits(data[2 : 2 + _HEADER_BYTES])
    height, width = _jpegxl_size(bits)
    if bits.take(1):  # all defaults
        return height, width, 3
    if bits.take(1):
        bits.take(3)  # orientation
        if bits.take(1):
            _jpegxl_size(bits)
        if bits.take(1) or bits.take(1):
            raise ValueError("JPEG XL with a preview or an animation")
    if bits.take(1):  # floating-point
        bits.choice((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)
    extra = bits.choice((0, 0), (1, 0), (2, 4), (1, 12))
    # The colour space comes later, after the extra channels.
    return height, width, extra + (1 if extra else 3)


def _jpegxl_size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    encodings = [(1, 9), (1, 13), (1, 18), (1, 30)]
    height = 8 * (bits.take(5) + 1) if small else bits.choice(*encodings)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height, height * across // down
    return height, 8 * (bits.take(5) + 1) if small else bits.choice(*encodings)


PICTURES: dict[int, Callable[[bytes], Size]] = {
    6: _jpeg, 7: _jpeg, 33007: _jpeg, 34892: _jpeg,
    33003: _jpeg2000, 33004: _jpeg2000, 33005: _jpeg2000, 34712: _jpeg2000,
    34933: _png, 50002: _jpegxl, 52546: _jpegxl,
}  # fmt: skip
