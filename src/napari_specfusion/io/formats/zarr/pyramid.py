"""Resolution levels of a stored image: their sizes, chunks and shards, and downsampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["halve", "layout", "level_count", "multiscales"]

CHUNK_BANDS = 16
CHUNK_SIDE = 256
SHARD_SIDE = 1024
COARSEST_SIDE = 512
SMALLEST_SHARD = 32


def halve(block: NDArray[Any]) -> NDArray[Any]:
    """Return ``(bands, ceil(y / 2), ceil(x / 2))``: means of the valid pixels in each 2 x 2 block, else NaN."""
    _, height, width = block.shape
    if height % 2 or width % 2:
        block = np.pad(block, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=np.nan)
    corners = [block[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    total = corners[0] + corners[1] + corners[2] + corners[3]
    if not np.isnan(total).any():
        return np.asarray(total * 0.25, dtype=total.dtype)
    valid = [np.isfinite(c) for c in corners]
    total = sum((np.where(v, c, 0) for v, c in zip(valid, corners, strict=True)), np.zeros_like(total))
    count = sum((v.astype(total.dtype) for v in valid), np.zeros_like(total))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def level_count(shape: tuple[int, int, int]) -> int:
    """Return the number of levels of an image ``(bands, rows, columns)``; the last one fits on a screen."""
    return 1 + max(0, math.ceil(math.log2(max(shape[1:]) / COARSEST_SIDE)))


def layout(shape: tuple[int, int, int], core: tuple[int, int], level: int) -> dict[str, Any]:
    """Return shape, chunks and shards of a level, for tiles of `core` (height, width) pixels at level 0.

    Where possible, no shard crosses a tile border, so each shard has one writer.
    """
    bands, *sides = shape
    groups = math.ceil(bands / CHUNK_BANDS)
    group = math.ceil(bands / groups)
    sides = [math.ceil(n / 2**level) for n in sides]
    sizes: dict[str, Any] = {"shape": (bands, *sides)}
    step = 2**level
    if all(c >= n or (c % step == 0 and c >= SMALLEST_SHARD * step) for c, n in zip(core, shape[1:], strict=True)):
        blocks = [_blocks(max(1, c // step), n) for c, n in zip(core, sides, strict=True)]
        return sizes | {
            "chunks": (group, *(chunk for chunk, _ in blocks)),
            "shards": (group * groups, *(shard for _, shard in blocks)),
        }
    # tiles share chunks here: safe because a single thread writes, and cheap because the level is small
    return sizes | {"chunks": (group, *(min(CHUNK_SIDE, n) for n in sides))}


def _blocks(core: int, length: int) -> tuple[int, int]:
    """Return the side lengths of a chunk and a shard along one axis; no shard crosses a tile border."""
    if core >= length:
        chunk = min(CHUNK_SIDE, length)
        return chunk, chunk * min(SHARD_SIDE // CHUNK_SIDE, math.ceil(length / chunk))
    shard = _divisor(core, SHARD_SIDE)
    return _divisor(shard, CHUNK_SIDE), shard


def _divisor(number: int, limit: int) -> int:
    """Return the largest divisor of `number` up to `limit`, or the number itself if that divisor is tiny."""
    best = max(d for d in range(1, min(number, limit) + 1) if number % d == 0)
    return best if 8 * best >= min(number, limit) else number


def multiscales(shape: tuple[int, int, int], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OME-Zarr 0.5 metadata of the levels; `fields` are the cube's fields."""
    size_y, size_x = fields.get("pixel_size") or (1.0, 1.0)
    datasets = []
    for level in range(level_count(shape)):
        step = 2**level
        scale = [1.0, size_y * step, size_x * step]
        # the centre of a coarse pixel lies between the pixels that it averages
        translation = [0.0, size_y * (step - 1) / 2, size_x * (step - 1) / 2]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": translation},
                ],
            }
        )
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    image = {"name": str(fields.get("name", "")), "axes": axes, "datasets": datasets, "type": "mean"}
    return {"version": "0.5", "multiscales": [image]}
