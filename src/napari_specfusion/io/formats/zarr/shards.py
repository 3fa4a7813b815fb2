"""Compress and write chunks and shards of a Zarr array directly; the zarr library takes twice as long."""

from __future__ import annotations

import itertools
import math
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["EFFORT", "Chunks", "Level"]

EFFORT = 5
_BLOSC: Any = {"level": EFFORT, "compressor": "lz4", "shuffle": "shuffle", "numthreads": 1}
# bytes that blosc adds to incompressible data
_OVERHEAD = 16
# marks a missing chunk in a shard index
_ABSENT = 2**64 - 1

# compressed chunks by their index in the chunk grid
Chunks = dict[tuple[int, ...], memoryview]


@dataclass(frozen=True)
class Level:
    """An array compressed with blosc whose shards match the blocks that an image is written in.

    Attributes
    ----------
    array
        The Zarr array of the level.
    folder
        Its folder.
    alone
        Whether every chunk belongs to one part of a block; else there are no shards, and zarr merges the parts of
        chunks.
    """

    array: Any
    folder: Path
    alone: bool

    def room(self, shape: tuple[int, ...]) -> int:
        """Return an upper limit in bytes for the compressed chunks of `shape` values."""
        chunks = math.prod(math.ceil(size / chunk) for size, chunk in zip(shape, self.array.chunks, strict=True))
        return int(chunks * (math.prod(self.array.chunks) * np.dtype(self.array.dtype).itemsize + _OVERHEAD))

    def packed(self, corner: tuple[int, int, int], values: NDArray[Any], room: memoryview) -> tuple[Chunks, memoryview]:
        """Compress the chunks that `values` fill, starting with the chunk at `corner`.

        Returns
        -------
        chunks
            Parts of `room`; allocating memory for every chunk would take as long as compressing.
        rest
            Unused part of `room`.
        """
        import imagecodecs

        chunks, dtype = self.array.chunks, np.dtype(self.array.dtype).newbyteorder("<")
        places = [range(0, size, chunk) for size, chunk in zip(values.shape, chunks, strict=True)]
        packed: Chunks = {}
        for place in itertools.product(*places):
            piece = values[tuple(slice(first, first + n) for first, n in zip(place, chunks, strict=True))]
            if piece.shape != chunks:
                # border chunks are padded to full size
                edges = [(0, chunk - n) for chunk, n in zip(chunks, piece.shape, strict=True)]
                piece = np.pad(piece, edges)
            plain: Any = np.ascontiguousarray(piece, dtype)
            # blosc uses more than it needs if there is more
            out: Any = room[: plain.nbytes + _OVERHEAD]
            size = len(imagecodecs.blosc_encode(plain, out=out, typesize=dtype.itemsize, **_BLOSC))
            index = tuple((c + p) // n for c, p, n in zip(corner, place, chunks, strict=True))
            packed[index], room = room[:size], room[size:]
        return packed, room

    def write(self, packed: Mapping[tuple[int, ...], memoryview]) -> None:
        """Write one shard: its chunks, followed by an index of their offsets and lengths with a checksum."""
        import google_crc32c

        counts = [shard // chunk for shard, chunk in zip(self.array.shards, self.array.chunks, strict=True)]
        (name,) = {tuple(i // n for i, n in zip(index, counts, strict=True)) for index in packed}
        places = np.full((*counts, 2), _ABSENT, "<u8")
        start = 0
        for index, chunk in packed.items():
            places[tuple(i % n for i, n in zip(index, counts, strict=True))] = start, len(chunk)
            start += len(chunk)
        table = places.tobytes()
        file = self.folder.joinpath("c", *map(str, name))
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb", buffering=0) as opened:
            for piece in (*packed.values(), table, google_crc32c.value(table).to_bytes(4, "little")):
                left = memoryview(piece)
                while left:
                    # an almost full disk accepts a partial write; writing the rest raises the error
                    left = left[opened.write(left) :]
            if sys.platform == "linux":
                # start writing to disk now instead of at the end
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
