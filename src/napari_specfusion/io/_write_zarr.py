"""Writing OME-Zarr 0.5: stored values as they are, and halved levels for looking at them."""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.io import _blocks
from napari_specfusion.io._blocks import Block, Watch, contiguous, file_arrays, plan, reads_by_bands, stored_blocks
from napari_specfusion.io._lazy import MappedArray
from napari_specfusion.io._own_entry import OWN_KEY, plain_fields
from napari_specfusion.io._raw import stored_dtype
from napari_specfusion.io._writer import Writer
from napari_specfusion.pyramid import CHUNK_BANDS, CHUNK_SIDE, halve, level_count, multiscales

if TYPE_CHECKING:
    from napari_specfusion.cube import Cube

__all__ = ["WRITER"]

_TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
_SMALLEST_CHUNK = 32
# stays in the processor's cache
_BYTES_AT_ONCE = 256 << 10
# each has a core to compress on
_WRITERS = min(8, max(2, os.cpu_count() or 1))
_SIDES = (512, 256, 128, 64)
_EFFORT = 5
_Shared = list[tuple[Any, tuple[slice, ...], NDArray[Any]]]


def _write(cube: Cube, parts: tuple[Path, ...], targets: tuple[Path, ...], watch: Watch) -> list[str]:
    """Write an OME-Zarr folder; level 0 holds the stored values bit by bit, the others means of valid ones."""
    import zarr
    from zarr.codecs import BloscCodec

    dtype, notes = stored_dtype(cube.dtype, _TYPES, "OME-Zarr")
    dtype = dtype.newbyteorder("=")
    fields, more = plain_fields(cube)
    by_bands = _by_bands(cube)
    bands, height, width = cube.shape
    levels = level_count(cube.shape)
    group = math.ceil(bands / math.ceil(bands / CHUNK_BANDS))
    side = _side((group if by_bands else bands) * dtype.itemsize, levels, width if by_bands else 0)
    store = zarr.create_group(parts[0], zarr_format=3)
    pyramid = []
    for level in range(levels):
        sizes = (math.ceil(height / 2**level), math.ceil(width / 2**level))
        # no chunk is shared by two parts, as long as that does not make it tiny
        chunk = max(min(CHUNK_SIDE, side >> level), _SMALLEST_CHUNK)
        array = store.create_array(
            str(level),
            shape=(bands, *sizes),
            chunks=(group, *(min(chunk, size) for size in sizes)),
            dtype=dtype,
            fill_value=_fill(cube, dtype),
            compressors=BloscCodec(cname="lz4", clevel=_EFFORT, shuffle="shuffle"),
            dimension_names=("c", "y", "x"),
        )
        alone = (side >> level) % chunk == 0 or side >= max(height, width)
        pyramid.append(_Level(array, parts[0] / str(level), alone))
    store.attrs.update({"ome": multiscales(cube.shape, _placed(cube)), OWN_KEY: _attributes(fields)})
    blocks = plan(cube, by_bands, (group if by_bands else bands, side, side))
    with ThreadPoolExecutor(_WRITERS, "specfusion-zarr") as writers:
        waiting: list[Future[_Shared]] = []
        for block, values in stored_blocks(cube, blocks, watch):
            turned = contiguous(values)
            parts_of_block = _parts(block, (group, side, side))
            before, waiting = waiting, [writers.submit(_put, cube, pyramid, turned, block, p) for p in parts_of_block]
            # the last block is written while this one is, and the next one read
            _finish(before)
        _finish(waiting)
    return notes + more


@dataclass(frozen=True)
class _Level:
    """A level and its chunks, which are files.

    Attributes
    ----------
    array
        The level.
    folder
        Where it lies.
    alone
        Whether every chunk belongs to one part of the image; else zarr puts the parts of chunks together.
    """

    array: Any
    folder: Path
    alone: bool

    def put(self, corner: tuple[int, int, int], values: NDArray[Any]) -> None:
        """Write whole chunks from `corner` on; zarr does it too, in half as much time again."""
        from numcodecs import blosc

        chunks, dtype = self.array.chunks, np.dtype(self.array.dtype).newbyteorder("<")
        places = [range(0, size, chunk) for size, chunk in zip(values.shape, chunks, strict=True)]
        for place in itertools.product(*places):
            piece = values[tuple(slice(first, first + n) for first, n in zip(place, chunks, strict=True))]
            if piece.shape != chunks:
                # chunks at the border are as large as the others
                edges = [(0, chunk - n) for chunk, n in zip(chunks, piece.shape, strict=True)]
                piece = np.pad(piece, edges)
            packed = blosc.compress(np.ascontiguousarray(piece, dtype), b"lz4", _EFFORT, blosc.SHUFFLE)
            names = [str((c + p) // n) for c, p, n in zip(corner, place, chunks, strict=True)]
            file = self.folder.joinpath("c", *names)
            try:
                file.write_bytes(packed)
            except FileNotFoundError:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(packed)


def _parts(block: Block, sizes: tuple[int, int, int]) -> list[Block]:
    """Cut a block into boxes that begin at multiples of `sizes`."""
    cuts = [
        [slice(first, min(first + size, whole.stop)) for first in range(whole.start, whole.stop, size)]
        for whole, size in zip(block.box, sizes, strict=True)
    ]
    return [Block(*box) for box in itertools.product(*cuts)]


def _put(cube: Cube, pyramid: list[_Level], values: NDArray[Any], block: Block, part: Block) -> _Shared:
    """Write a part of a block to all levels; return what goes into chunks that other parts go into as well."""
    inside = [slice(p.start - b.start, p.stop - b.start) for p, b in zip(part.box, block.box, strict=True)]
    level_values = values[tuple(inside)]
    shared: _Shared = []
    for number, level in enumerate(pyramid):
        if number:
            level_values = _halved(cube, level_values)
        corner = (part.bands.start, part.rows.start >> number, part.columns.start >> number)
        if level.alone:
            level.put(corner, level_values)
        else:
            place = [slice(first, first + n) for first, n in zip(corner, level_values.shape, strict=True)]
            shared.append((level.array, tuple(place), level_values))
    return shared


def _finish(parts: list[Future[_Shared]]) -> None:
    """Wait for parts, and write, one after the other, what they share with others."""
    for part in parts:
        for array, place, values in part.result():
            array[place] = values


def _by_bands(cube: Cube) -> bool:
    for array in file_arrays(cube):
        if isinstance(array, MappedArray):
            # only where the bands of a pixel lie side by side does a group of bands touch the whole file
            return array.axes[0] != 2
    return reads_by_bands(cube)


def _side(column_bytes: int, levels: int, width: int) -> int:
    """Return the side of the squares that blocks consist of: a power of two that all levels halve evenly.

    Where whole rows of `width` pixels fit into a block, they are read in one go.
    """
    fitting = [side for side in _SIDES if side * side * column_bytes <= _blocks.BLOCK_BYTES] or [_SIDES[-1]]
    whole = [side for side in fitting if side >= CHUNK_SIDE and side * width * column_bytes <= _blocks.BLOCK_BYTES]
    return int(max((whole or fitting)[0], 2 ** (levels - 1)))


def _fill(cube: Cube, dtype: np.dtype[Any]) -> Any:
    """Return the value of chunks that are not stored: all of them hold just that."""
    return False if dtype.kind == "b" else dtype.type(0)


def _placed(cube: Cube) -> dict[str, Any]:
    return {"name": cube.name, "pixel_size": cube.pixel_size}


def _attributes(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the description with every name, as results of this package have it."""
    names = ("wavelengths", "fwhm", "good_bands", "nodata", "affine", "crs", "pixel_size")
    empty: dict[str, Any] = dict.fromkeys(names)
    return empty | {"scale": 1.0, "offset": 0.0, "metadata": {}} | fields


def _halved(cube: Cube, block: NDArray[Any]) -> NDArray[Any]:
    """Return ``(bands, ceil(y / 2), ceil(x / 2))``: means of 2 x 2 stored values, those without data left out."""
    floating, nodata = block.dtype.kind == "f", cube.nodata
    missing: NDArray[np.bool_] | None = None
    if nodata is not None and not math.isnan(nodata):
        mask = np.asarray(block == (block.dtype.type(nodata) if floating else nodata))
        missing = mask if mask.any() else None
    if missing is None and not floating:
        return _mean_of_integers(block)
    values = block.astype(block.dtype if floating else np.float64, copy=missing is not None)
    if missing is not None:
        values[missing] = np.nan
    with np.errstate(over="ignore", invalid="ignore"):
        halved = halve(values)
    if missing is None:
        return halved
    empty = np.isnan(halved)
    halved[empty] = 0
    stored = np.asarray((halved if floating else np.rint(halved)).astype(block.dtype))
    stored[empty] = nodata
    return stored


def _mean_of_integers(block: NDArray[Any]) -> NDArray[Any]:
    """Return rounded means of 2 x 2 values without a detour over floating point, which takes three times as long."""
    if block.dtype.kind == "b":
        return block[:, ::2, ::2]
    odd = [(0, n % 2) for n in block.shape[1:]]
    if any(n for _, n in odd):
        block = np.pad(block, [(0, 0), *odd], mode="edge")
    bands, height, width = block.shape
    halved = np.empty((bands, height // 2, width // 2), block.dtype)
    rows = 2 * max(1, _BYTES_AT_ONCE // (2 * width * block.dtype.itemsize))
    for band in range(bands):
        for y in range(0, height, rows):
            mean = _rounded_mean(block[band, y : y + rows])
            halved[band, y // 2 : y // 2 + len(mean)] = mean
    return halved


def _rounded_mean(part: NDArray[Any]) -> NDArray[Any]:
    """Return rounded means of 2 x 2 values ``(rows, columns)``, both even."""
    size, kind = part.dtype.itemsize, part.dtype.kind
    if size == 8:
        # nothing wider is there to add them up in: quarters, and what they leave
        four = [part[row::2, column::2] for row in (0, 1) for column in (0, 1)]
        rest = sum((corner & 3 for corner in four[1:]), four[0] & 3)
        return np.asarray(sum((corner >> 2 for corner in four[1:]), four[0] >> 2) + ((rest + 2) >> 2))
    # two neighbours seen as one number of twice the width: taking it apart is faster than every second value is
    pairs = np.ascontiguousarray(part).view(f"{kind}{2 * size}")
    total = pairs << 8 * size
    total >>= 8 * size
    total += pairs >> 8 * size
    total = total[::2] + total[1::2]
    total += 2
    total >>= 2
    return total


WRITER = Writer("OME-Zarr", (".zarr",), _write, room=1.4)
