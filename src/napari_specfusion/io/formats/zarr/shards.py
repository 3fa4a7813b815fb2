"""Chunks and shards of a Zarr array, packed and written as files; zarr does it too, in twice the time."""

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
# what blosc adds to what it cannot make smaller
_OVERHEAD = 16
# in the index of a shard: no such chunk
_ABSENT = 2**64 - 1

# packed chunks by their place among all chunks of the array
Chunks = dict[tuple[int, ...], memoryview]


@dataclass(frozen=True)
class Level:
    """An array whose shards are the blocks that an image is written in, packed by blosc.

    Attributes
    ----------
    array
        The level.
    folder
        Where it lies.
    alone
        Whether every chunk belongs to one part of a block; else there are no shards, and zarr puts the parts of chunks
        together.
    """

    array: Any
    folder: Path
    alone: bool

    def room(self, shape: tuple[int, ...]) -> int:
        """Return the bytes that the chunks of `shape` values take when packed, at most."""
        chunks = math.prod(math.ceil(size / chunk) for size, chunk in zip(shape, self.array.chunks, strict=True))
        return int(chunks * (math.prod(self.array.chunks) * np.dtype(self.array.dtype).itemsize + _OVERHEAD))

    def packed(self, corner: tuple[int, int, int], values: NDArray[Any], room: memoryview) -> tuple[Chunks, memoryview]:
        """Pack the chunks that `values` fill, from the chunk whose first value is at `corner` on.

        Returns
        -------
        chunks
            Parts of `room`; memory that is new for every chunk takes as long as packing.
        rest
            What of `room` is left.
        """
        import imagecodecs

        chunks, dtype = self.array.chunks, np.dtype(self.array.dtype).newbyteorder("<")
        places = [range(0, size, chunk) for size, chunk in zip(values.shape, chunks, strict=True)]
        packed: Chunks = {}
        for place in itertools.product(*places):
            piece = values[tuple(slice(first, first + n) for first, n in zip(place, chunks, strict=True))]
            if piece.shape != chunks:
                # chunks at the border are as large as the others
                edges = [(0, chunk - n) for chunk, n in zip(chunks, piece.shape, strict=True)]
                piece = np.pad(piece, edges)
            plain: Any = np.ascontiguousarray(piece, dtype)
            # blosc takes more than it needs where there is more
            out: Any = room[: plain.nbytes + _OVERHEAD]
            size = len(imagecodecs.blosc_encode(plain, out=out, typesize=dtype.itemsize, **_BLOSC))
            index = tuple((c + p) // n for c, p, n in zip(corner, place, chunks, strict=True))
            packed[index], room = room[:size], room[size:]
        return packed, room

    def write(self, packed: Mapping[tuple[int, ...], memoryview]) -> None:
        """Write one shard: its chunks, and behind them where each begins, its length, and a checksum of that."""
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
                    # a disk that is almost full takes a part; what it says to the rest is the error
                    left = left[opened.write(left) :]
            if sys.platform == "linux":
                # the disk begins now, not when it has to
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
