"""The store of a fused cube on disk: an OME-Zarr folder, written tile by tile.

::

    result.zarr/      group attributes: "ome" (multiscales, version 0.5), "specfusion" (the description)
      0/              (c, y, x); a shard is all bands of one tile, so that it has one writer
      1/  2/  ...     each half as large as the one before: means of 2 x 2 pixels, filled as the tiles land
      done/           a number per tile, written after its data: a checksum of its input, or 0 until it is done; an
                      interrupted run starts again from here

Pixels that are not written yet are no-data, like those without data. The folder can be opened while it grows.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.encoding import Encoding
from napari_specfusion.io.atomic import explained, remove_folder, replace_folder, replacing_all
from napari_specfusion.io.formats.zarr.pyramid import halve, layout, level_count, multiscales
from napari_specfusion.io.metadata.description import OWN_KEY, from_attributes, to_attributes
from napari_specfusion.tiling.tiles import Box

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    import zarr

    from napari_specfusion.fusion.claim import Claim

__all__ = ["ResultStore"]

JOB_KEY = "specfusion_job"


class ResultStore:
    """A result in an OME-Zarr 0.5 folder; made by `create`, `resume` or `open`.

    One process writes, one tile at a time; any number may read meanwhile.

    Attributes
    ----------
    path
        The folder. While an older result is being replaced, the new one grows at another path, until `finish`.
    recorded
        Checksums ``(tiles,)`` of what was read for each tile, 0 where it is not written yet.
    """

    def __init__(self, path: Path, group: zarr.Group, fields: Mapping[str, Any], place: Path | None = None) -> None:
        self.path = path
        self._place = place or path
        self._fields = dict(fields)
        self._claim: Claim | None = None
        self._names = _level_names(group)
        self._levels = [Level(_member(group, name)) for name in self._names]
        self._encoding = Encoding.of(self._levels[0], self._fields.get("scale"))
        self._done = _member(group, "done")
        self.recorded: NDArray[np.uint64] = np.asarray(self._done[:], np.uint64)

    @classmethod
    def create(
        cls,
        path: str | Path,
        shape: tuple[int, int, int],
        *,
        core: tuple[int, int],
        tiles: int,
        fields: Mapping[str, Any],
        key: str = "",
        inputs: Mapping[str, Any] | None = None,
        dtype: DTypeLike = np.float32,
        encoding: Encoding | None = None,
        place: Path | None = None,
        claim: Claim | None = None,
    ) -> Self:
        """Make an empty store, in place of an older one: at once, or not at all.

        Parameters
        ----------
        path
            The folder.
        shape
            Bands, rows, columns.
        core
            Height and width of a full tile; tile corners are multiples of it.
        tiles
            Number of tiles to come.
        fields
            Fields of the `Cube` it holds, all but the data.
        key
            Identifies the job that fills it.
        inputs
            Identity of the images, see `describe_inputs`.
        dtype
            Floating type of the values.
        encoding
            How they are stored.
        place
            Where `finish` puts it; None for `path`.
        claim
            The lock, checked before every write.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        import zarr
        from zarr.codecs import BloscCodec

        path, encoding = Path(path), encoding or Encoding()
        fields = {**fields, **encoding.fields}
        with explained(path), replacing_all((path,)) as (part,):
            group = zarr.create_group(part, zarr_format=3)
            for level in range(level_count(shape)):
                group.create_array(
                    str(level),
                    dtype=encoding.dtype(np.dtype(dtype)),
                    fill_value=encoding.fill,
                    compressors=BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),
                    dimension_names=("c", "y", "x"),
                    **layout(shape, core, level),
                )
            group.create_array("done", shape=(tiles,), chunks=(1,), dtype="uint64", fill_value=0, compressors=None)
            attributes = {
                "ome": multiscales(shape, fields),
                OWN_KEY: to_attributes(fields)[0],
                JOB_KEY: {"key": key, "core": list(core), "inputs": dict(inputs or {})},
            }
            group.attrs.update(attributes)
        store = cls(path, _opened(path), fields, place)
        store._claim = claim
        return store

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store that `create` made, finished or not.

        Raises
        ------
        OutputError
            If the folder is not such a store.
        """
        path = Path(path)
        try:
            group = _opened(path)
            attributes: Any = group.attrs[OWN_KEY]
            return cls(path, group, from_attributes(dict(attributes)))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise OutputError(f"{path} is not a result of this package ({error!r}); fuse to a new folder.") from error

    @classmethod
    def resume(
        cls,
        path: str | Path,
        *,
        key: str,
        core: tuple[int, int],
        tiles: int,
        place: Path | None = None,
        claim: Claim | None = None,
    ) -> Self:
        """Open an unfinished store to continue the same job.

        Raises
        ------
        OutputError
            If it belongs to another job or to other tiles.
        """
        store = cls.open(path)
        job = store.job
        if (job.get("key"), job.get("core"), len(store.recorded)) != (key, list(core), tiles):
            raise OutputError(
                f"{path} holds a result of other inputs, settings or tiles, which cannot be continued; give another "
                "path, or overwrite=True to start afresh."
            )
        store._place, store._claim = place or store.path, claim
        return store

    @property
    def job(self) -> Mapping[str, Any]:
        """The key of the job that fills the store, the size of its tiles, and the identity of its inputs."""
        job: Any = _opened(self.path, "r").attrs.get(JOB_KEY, {})
        return dict(job)

    @property
    def done(self) -> NDArray[np.bool_]:
        """Boolean ``(tiles,)``: which tiles are written."""
        return np.asarray(self.recorded > 0)

    def write(self, index: int, box: Box, values: NDArray[Any], checksum: int = 1) -> None:
        """Write the `values` ``(bands, height, width)`` of tile `index`, which covers `box`, and the pyramid over it.

        `checksum` is that of what was read for it, from 1 on.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written, or another process has taken over.
        """
        self.check()
        arrays = [level.array for level in self._levels]
        with explained(self.path):
            arrays[0][:, *box.slices] = self._encoding.stored(values)
            covered, block = box, values
            for finer, array in pairwise(arrays):
                half = Box(box.y0 // 2, -(-box.y1 // 2), box.x0 // 2, -(-box.x1 // 2))
                parents = Box(2 * half.y0, 2 * half.y1, 2 * half.x0, 2 * half.x1).clip(finer.shape[1:])
                if parents != covered:
                    # a coarse pixel over several tiles is computed again by each of them; the last one is correct
                    block = self._encoding.values(finer[:, *parents.slices])
                block = halve(block)
                array[:, *half.slices] = self._encoding.stored(block)
                box = covered = half
            self._done[index] = checksum
        self.recorded[index] = checksum

    def check(self) -> None:
        """Raise an OutputError unless this process may still write."""
        if self._claim is not None:
            self._claim.check()

    def record(self, tiles: Mapping[int, int]) -> None:
        """Mark tiles as done that other processes wrote; checksums and errors are those of `write`."""
        self.check()
        with explained(self.path):
            for index, checksum in tiles.items():
                self._done[index] = self.recorded[index] = checksum

    def levels(self) -> list[da.Array]:
        """Return the image lazily, ``(bands, y, x)``, at full size and at halved ones: a napari multiscale image.

        Add it with ``cache=False`` as long as it grows: a cache would keep the empty tiles.
        """
        return [da.from_array(level, chunks=level.chunks, name=False) for level in self._levels]

    def cube(self) -> Cube:
        """Return the result as a cube; it always shows the tiles written so far."""
        fields = self._fields | {"metadata": {**self._fields.get("metadata", {}), "store": str(self._place)}}
        return Cube(self.levels()[0], source=ArraySource(self._levels[0], tuple(self._levels[1:])), **fields)

    def finish(self) -> None:
        """Put the complete result in its place, instead of an older one; cubes and levels read it from there.

        Raises
        ------
        OutputError
            If the older one cannot be removed; the new one then stays where it is.
        """
        if self.path == self._place:
            return
        self.check()
        with explained(self._place):
            replace_folder(self.path, self._place)
        self.path = self._place
        group = _opened(self.path)
        for level, name in zip(self._levels, self._names, strict=True):
            level.array = _member(group, name)
        self._done = _member(group, "done")

    def discard(self) -> None:
        """Remove the folder: completely, or not at all."""
        with suppress(OSError):
            remove_folder(self.path)


class Level:
    """A stored resolution level; it can be moved while cubes read it."""

    ndim = 3

    def __init__(self, array: Any) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        bands, height, width = self.array.shape
        return bands, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        found: np.dtype[Any] = self.array.dtype
        return found

    @property
    def chunks(self) -> tuple[int, int, int]:
        """What is best read at once: the bands of a chunk, the rows and columns of a shard."""
        bands, *_ = self.array.chunks
        _, rows, columns = self.array.shards or self.array.chunks
        return bands, rows, columns

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return np.asarray(self.array[index])


def _opened(path: Path, mode: Literal["r", "r+"] = "r+") -> zarr.Group:
    import zarr

    return zarr.open_group(path, mode=mode)


def _level_names(group: zarr.Group) -> list[str]:
    described: Any = group.attrs["ome"]
    return [entry["path"] for entry in described["multiscales"][0]["datasets"]]


def _member(group: zarr.Group, name: str) -> Any:
    """Return an array of a group; zarr's types also allow a group here."""
    return group[name]
