"""A result that several processes write at once.

Whoever fuses a tile writes its pixels, and the levels of the pyramid whose shards lie inside one tile: no two processes
ever write one file. The process that runs the fusion completes the small levels whose chunks several tiles share, and
then marks the tiles as done.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.encoding import Encoding
from napari_specfusion.io.atomic import explained
from napari_specfusion.io.formats.zarr.pyramid import halve
from napari_specfusion.io.metadata.description import OWN_KEY
from napari_specfusion.tiling.tiles import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["SharedLevels", "TileWriter"]


class TileWriter:
    """Writes tiles to a `ResultStore`, beside other processes that write other tiles.

    Parameters
    ----------
    path
        The store; its tiles must not share chunks.

    Raises
    ------
    OutputError
        If this process cannot see the store.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._arrays, _, self._encoding = _levels(self._path)

    def write(self, box: Box, values: NDArray[Any]) -> None:
        """Write the `values` ``(bands, height, width)`` of the tile that covers `box`, and its own part of the pyramid.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written.
        """
        with explained(self._path):
            for array in self._arrays:
                array[:, *box.slices] = self._encoding.stored(values)
                values, box = halve(values), _half(box)


class SharedLevels:
    """The parts of a `ResultStore` that several tiles share.

    Parameters
    ----------
    path
        The store.
    tiles
        Number of tiles.

    Raises
    ------
    OutputError
        If tiles share chunks of the image itself.
    """

    def __init__(self, path: str | Path, tiles: int) -> None:
        self._path = Path(path)
        self._own, self._shared, self._encoding = _levels(self._path)
        if not self._own and tiles > 1:
            side = max(self._shared[0].chunks[1:])
            raise OutputError(
                f"Tiles this small share chunks of {side} pixels in the result, which workers must not write at the "
                "same time; give tile=32 or more."
            )

    def finish(self, boxes: Sequence[Box]) -> None:
        """Complete the shared levels over tiles that were written, before they are marked as done.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written.
        """
        for _ in self._own[1:]:
            boxes = [_half(box) for box in boxes]
        with explained(self._path):
            for finer, array in zip([*self._own[-1:], *self._shared], self._shared, strict=False):
                boxes = [_half(box) for box in boxes]
                for region in _by_chunk(boxes, array.chunks[1:]):
                    parents = Box(2 * region.y0, 2 * region.y1, 2 * region.x0, 2 * region.x1).clip(finer.shape[1:])
                    for start in range(0, array.shape[0], array.chunks[0]):
                        bands = slice(start, start + array.chunks[0])
                        block = halve(self._encoding.values(finer[bands, *parents.slices]))
                        array[bands, *region.slices] = self._encoding.stored(block)


def _levels(path: Path) -> tuple[list[Any], list[Any], Encoding]:
    """Return the arrays of a store, finest first: those whose shards lie inside one tile, and the others.

    And how they keep values.
    """
    import zarr

    try:
        group = zarr.open_group(path, mode="r+")
        described: Any = group.attrs["ome"]
        arrays: list[Any] = [group[entry["path"]] for entry in described["multiscales"][0]["datasets"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"{path} cannot be written from here ({error!r}); the output must lie on a disk that all workers share, "
            "under one path."
        ) from error
    own = list(itertools.takewhile(lambda array: array.shards is not None, arrays))
    attributes: Any = group.attrs[OWN_KEY]
    return own, arrays[len(own) :], Encoding.of(arrays[0], attributes.get("scale"))


def _half(box: Box) -> Box:
    """Return the pixels of the next coarser level that `box` has a part in."""
    return Box(box.y0 // 2, -(-box.y1 // 2), box.x0 // 2, -(-box.x1 // 2))


def _by_chunk(boxes: Sequence[Box], chunk: tuple[int, int]) -> list[Box]:
    """Return a box around the parts of `boxes` in each chunk, so that a chunk is written once."""
    found: dict[tuple[int, int], Box] = {}
    for box in boxes:
        places = (range(a // n, -(-b // n)) for a, b, n in ((box.y0, box.y1, chunk[0]), (box.x0, box.x1, chunk[1])))
        for y, x in itertools.product(*places):
            y0, y1 = max(box.y0, y * chunk[0]), min(box.y1, (y + 1) * chunk[0])
            x0, x1 = max(box.x0, x * chunk[1]), min(box.x1, (x + 1) * chunk[1])
            old = found.get((y, x), Box(y0, y1, x0, x1))
            found[y, x] = Box(min(old.y0, y0), max(old.y1, y1), min(old.x0, x0), max(old.x1, x1))
    return list(found.values())
