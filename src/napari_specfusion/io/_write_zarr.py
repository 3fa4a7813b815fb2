"""Writing OME-Zarr 0.5: stored values as they are, and halved levels for looking at them."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.io import _blocks
from napari_specfusion.io._blocks import Watch, contiguous, file_arrays, plan, reads_by_bands, stored_blocks
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
_ROWS_AT_ONCE = 64
_WRITERS = 3
_SIDES = (512, 256, 128, 64)


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
    side = _side((group if by_bands else bands) * dtype.itemsize, levels)
    store = zarr.create_group(parts[0], zarr_format=3)
    arrays = []
    for level in range(levels):
        sizes = (math.ceil(height / 2**level), math.ceil(width / 2**level))
        # no chunk is shared by two blocks, as long as that does not make it tiny
        chunk = max(min(CHUNK_SIDE, side >> level), _SMALLEST_CHUNK)
        arrays.append(
            store.create_array(
                str(level),
                shape=(bands, *sizes),
                chunks=(group, *(min(chunk, size) for size in sizes)),
                dtype=dtype,
                fill_value=_fill(cube, dtype),
                compressors=BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),
                dimension_names=("c", "y", "x"),
                # looking whether a chunk holds one value only costs more than storing those few that do
                config={"write_empty_chunks": True},
            )
        )
    store.attrs.update({"ome": multiscales(cube.shape, _placed(cube)), OWN_KEY: _attributes(fields)})
    blocks = plan(cube, by_bands, (group if by_bands else bands, side, side))
    with ThreadPoolExecutor(_WRITERS, "specfusion-zarr") as writers:
        for block, values in stored_blocks(cube, blocks, watch):
            level_values = contiguous(values)
            waiting: list[Future[None]] = []
            for level, array in enumerate(arrays):
                if level:
                    level_values = _halved(cube, level_values)
                corner = (block.bands.start, block.rows.start >> level, block.columns.start >> level)
                waiting += _put(array, corner, level_values, writers)
            for done in waiting:
                done.result()
    return notes + more


def _put(
    array: Any, corner: tuple[int, int, int], values: NDArray[Any], writers: ThreadPoolExecutor
) -> list[Future[None]]:
    """Write `values` to an array from `corner` on, chunk by chunk: what is more than one, zarr copies in one thread."""
    sizes = zip(corner, values.shape, array.chunks, strict=True)
    starts = [range(first - first % chunk, first + size, chunk) for first, size, chunk in sizes]

    def put(start: tuple[int, ...]) -> None:
        inside = []
        for at, first, size, chunk in zip(start, corner, values.shape, array.chunks, strict=True):
            inside.append(slice(max(at - first, 0), min(at + chunk - first, size)))
        place = [slice(first + part.start, first + part.stop) for first, part in zip(corner, inside, strict=True)]
        array[tuple(place)] = values[tuple(inside)]

    return [writers.submit(put, start) for start in itertools.product(*starts)]


def _by_bands(cube: Cube) -> bool:
    for array in file_arrays(cube):
        if isinstance(array, MappedArray):
            # only where the bands of a pixel lie side by side does a group of bands touch the whole file
            return array.axes[0] != 2
    return reads_by_bands(cube)


def _side(column_bytes: int, levels: int) -> int:
    """Return the side of the squares that blocks consist of: a power of two that all levels halve evenly."""
    fitting = next((side for side in _SIDES if side * side * column_bytes <= _blocks.BLOCK_BYTES), _SIDES[-1])
    return int(max(fitting, 2 ** (levels - 1)))


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
    values = block.astype(block.dtype if floating else np.float64)
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
    for band in range(bands):
        # a few rows at a time stay in the processor's cache
        for y in range(0, height, _ROWS_AT_ONCE):
            part = block[band, y : y + _ROWS_AT_ONCE]
            mean = _rounded_mean([part[row::2, column::2] for row in (0, 1) for column in (0, 1)])
            halved[band, y // 2 : y // 2 + len(mean)] = mean
    return halved


def _rounded_mean(four: list[NDArray[Any]]) -> NDArray[Any]:
    dtype = four[0].dtype
    if dtype.itemsize == 8:
        # nothing wider is there to add them up in: quarters, and what they leave
        rest = sum((corner & 3 for corner in four[1:]), four[0] & 3)
        return np.asarray(sum((corner >> 2 for corner in four[1:]), four[0] >> 2) + ((rest + 2) >> 2))
    total = four[0].astype(f"{dtype.kind}{2 * dtype.itemsize}")
    for corner in four[1:]:
        total += corner
    total += 2
    total >>= 2
    return total


WRITER = Writer("OME-Zarr", (".zarr",), _write, room=1.4)
