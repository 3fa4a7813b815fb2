"""Write OME-Zarr 0.5: the stored values, and downsampled levels for display."""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.io.arrays.blocks import (
    Block,
    Watch,
    contiguous,
    file_arrays,
    plan,
    reads_by_bands,
    stored_blocks,
)
from napari_specfusion.io.arrays.lazy import MappedArray
from napari_specfusion.io.arrays.raw import stored_dtype
from napari_specfusion.io.formats.zarr.pyramid import CHUNK_BANDS, CHUNK_SIDE, halve, level_count, multiscales
from napari_specfusion.io.formats.zarr.shards import EFFORT, Chunks, Level
from napari_specfusion.io.metadata.description import OWN_KEY, to_attributes
from napari_specfusion.io.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["WRITER"]

_TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
_SMALLEST_CHUNK = 32
# one compression thread per core
_WRITERS = min(8, max(2, os.cpu_count() or 1))
_SIDES = (512, 256, 128, 64)


@dataclass(frozen=True)
class _Done:
    """A compressed part of a block.

    Attributes
    ----------
    packed
        Its chunks in each level.
    shared
        Values of a level for chunks shared with other parts: the array, the position in it, and the values.
    buffer
        Memory that holds the chunks.
    """

    packed: list[Chunks]
    shared: list[tuple[Any, tuple[slice, ...], NDArray[Any]]]
    buffer: bytearray


def _write(cube: Cube, parts: tuple[Path, ...], targets: tuple[Path, ...], watch: Watch) -> list[str]:
    """Write an OME-Zarr folder; level 0 holds the exact stored values, the others means of valid values."""
    import zarr
    from zarr.codecs import BloscCodec

    dtype, notes = stored_dtype(cube.dtype, _TYPES, "OME-Zarr")
    dtype = dtype.newbyteorder("=")
    attributes, more = to_attributes(cube.describe())
    by_bands = _by_bands(cube)
    bands, height, width = cube.shape
    levels = level_count(cube.shape)
    group = math.ceil(bands / math.ceil(bands / CHUNK_BANDS))
    side = _side((group if by_bands else bands) * dtype.itemsize, levels, width if by_bands else 0)
    store = zarr.create_group(parts[0], zarr_format=3)
    blocks = plan(cube, by_bands, (group if by_bands else bands, side, side))
    pyramid = []
    for level in range(levels):
        sizes = (math.ceil(height / 2**level), math.ceil(width / 2**level))
        # no chunk is shared by two parts, unless that would make chunks tiny
        chunk = max(min(CHUNK_SIDE, side >> level), _SMALLEST_CHUNK)
        alone = (side >> level) % chunk == 0 or side >= max(height, width)
        chunks = (group, *(min(chunk, size) for size in sizes))
        array = store.create_array(
            str(level),
            shape=(bands, *sizes),
            chunks=chunks,
            # creating a file per chunk takes longer than filling it
            shards=_shard(blocks[0], chunks, level) if alone else None,
            dtype=dtype,
            fill_value=_fill(cube, dtype),
            compressors=BloscCodec(cname="lz4", clevel=EFFORT, shuffle="shuffle"),
            dimension_names=("c", "y", "x"),
        )
        pyramid.append(Level(array, parts[0] / str(level), alone))
    store.attrs.update({"ome": multiscales(cube.shape, _placed(cube)), OWN_KEY: attributes})
    buffers: list[bytearray] = []
    with ThreadPoolExecutor(_WRITERS, "specfusion-zarr") as writers:
        before: list[Future[_Done]] = []
        for block, values in stored_blocks(cube, blocks, watch):
            packing = [
                writers.submit(_pack, cube, pyramid, values, block, part, buffers.pop() if buffers else bytearray())
                for part in _parts(block, (group, side, side))
            ]
            # written while this block is compressed and the next one is read
            buffers += _finish(pyramid, before)
            before = packing
        _finish(pyramid, before)
    return notes + more


def _parts(block: Block, sizes: tuple[int, int, int]) -> list[Block]:
    """Split a block into boxes that start at multiples of `sizes`."""
    cuts = [
        [slice(first, min(first + size, whole.stop)) for first in range(whole.start, whole.stop, size)]
        for whole, size in zip(block.box, sizes, strict=True)
    ]
    return [Block(*box) for box in itertools.product(*cuts)]


def _shard(block: Block, chunks: tuple[int, ...], level: int) -> tuple[int, ...]:
    """Return the shape of shards that each hold one block."""
    sizes = [part.stop - part.start for part in block.box]
    halved = [sizes[0], *(math.ceil(size / 2**level) for size in sizes[1:])]
    return tuple(math.ceil(size / chunk) * chunk for size, chunk in zip(halved, chunks, strict=True))


def _pack(
    cube: Cube, pyramid: list[Level], values: NDArray[Any], block: Block, part: Block, buffer: bytearray
) -> _Done:
    """Compress a part of a block for all levels, enlarging the buffer if necessary."""
    inside = [slice(p.start - b.start, p.stop - b.start) for p, b in zip(part.box, block.box, strict=True)]
    # native byte order, because the means are computed on the raw bytes
    level_values = [contiguous(values[tuple(inside)]).astype(pyramid[0].array.dtype, copy=False)]
    for _ in pyramid[1:]:
        level_values.append(_halved(cube, level_values[-1]))
    room = sum(level.room(each.shape) for level, each in zip(pyramid, level_values, strict=True))
    if len(buffer) < room:
        buffer = bytearray(room)
    rest = memoryview(buffer)
    packed: list[Chunks] = []
    shared = []
    for number, (level, each) in enumerate(zip(pyramid, level_values, strict=True)):
        corner = (part.bands.start, part.rows.start >> number, part.columns.start >> number)
        chunks: Chunks = {}
        if level.alone:
            chunks, rest = level.packed(corner, each, rest)
        else:
            place = [slice(first, first + n) for first, n in zip(corner, each.shape, strict=True)]
            shared.append((level.array, tuple(place), each))
        packed.append(chunks)
    return _Done(packed, shared, buffer)


def _finish(pyramid: list[Level], parts: list[Future[_Done]]) -> list[bytearray]:
    """Wait for the parts of a block and write them: one shard per level, then the shared chunks one by one."""
    done = [part.result() for part in parts]
    for number, level in enumerate(pyramid):
        if done and level.alone:
            level.write({index: chunk for each in done for index, chunk in each.packed[number].items()})
    for each in done:
        for array, place, values in each.shared:
            array[place] = values
    return [each.buffer for each in done]


def _by_bands(cube: Cube) -> bool:
    for array in file_arrays(cube):
        if isinstance(array, MappedArray):
            # a group of bands touches the whole file only if the bands of a pixel are stored together
            return array.axes[0] != 2
    return reads_by_bands(cube)


def _side(column_bytes: int, levels: int, width: int) -> int:
    """Return the side of the square tiles of a block: a power of two that all levels halve evenly.

    If whole rows of `width` pixels fit into a block, they are read at once.
    """
    fitting = [side for side in _SIDES if side * side * column_bytes <= memory.SAVED_BLOCK] or [_SIDES[-1]]
    whole = [side for side in fitting if side >= CHUNK_SIDE and side * width * column_bytes <= memory.SAVED_BLOCK]
    return int(max((whole or fitting)[0], 2 ** (levels - 1)))


def _fill(cube: Cube, dtype: np.dtype[Any]) -> Any:
    """Return the fill value: chunks that contain nothing else are not stored."""
    return False if dtype.kind == "b" else dtype.type(0)


def _placed(cube: Cube) -> dict[str, Any]:
    return {"name": cube.name, "pixel_size": cube.pixel_size}


def _halved(cube: Cube, block: NDArray[Any]) -> NDArray[Any]:
    """Return ``(bands, ceil(y / 2), ceil(x / 2))``: means of 2 x 2 stored values, ignoring no-data."""
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
    if not floating:
        limits = np.iinfo(block.dtype)
        # the largest 64-bit integer has no exact float; rounding up would overflow
        halved = np.clip(np.rint(halved), float(limits.min), np.nextafter(float(limits.max) + 1, 0))
    stored = np.asarray(halved.astype(block.dtype))
    stored[empty] = nodata
    return stored


def _mean_of_integers(block: NDArray[Any]) -> NDArray[Any]:
    """Return rounded means of 2 x 2 integers without floating point, which would take three times as long."""
    if block.dtype.kind == "b":
        return block[:, ::2, ::2]
    odd = [(0, n % 2) for n in block.shape[1:]]
    if any(n for _, n in odd):
        block = np.pad(block, [(0, 0), *odd], mode="edge")
    bands, height, width = block.shape
    halved = np.empty((bands, height // 2, width // 2), block.dtype)
    # every band has an even number of rows, so bands can be treated as more rows
    lines, means = np.ascontiguousarray(block).reshape(-1, width), halved.reshape(-1, width // 2)
    rows = 2 * max(1, memory.HALVED_ROWS // (2 * width * block.dtype.itemsize))
    for y in range(0, len(lines), rows):
        means[y // 2 : (y + rows) // 2] = _rounded_mean(lines[y : y + rows])
    return halved


def _rounded_mean(part: NDArray[Any]) -> NDArray[Any]:
    """Return rounded means of 2 x 2 values ``(rows, columns)``, both even."""
    size, kind = part.dtype.itemsize, part.dtype.kind
    if size == 8:
        # no wider type to add them up in: add the quarters and their remainders
        four = [part[row::2, column::2] for row in (0, 1) for column in (0, 1)]
        rest = sum((corner & 3 for corner in four[1:]), four[0] & 3)
        return np.asarray(sum((corner >> 2 for corner in four[1:]), four[0] >> 2) + ((rest + 2) >> 2))
    # view two neighbours as one number of twice the width: splitting it is faster than strided access
    pairs = part.view(f"{kind}{2 * size}")
    total = pairs << 8 * size
    total >>= 8 * size
    total += pairs >> 8 * size
    total = total[::2] + total[1::2]
    total += 2
    total >>= 2
    return total


WRITER = Writer("OME-Zarr", (".zarr",), _write, room=1.4)
