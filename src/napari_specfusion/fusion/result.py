"""Stores of a fused cube, written tile by tile: an OME-Zarr folder, or memory.

::

    result.zarr/      group attributes: "ome" (multiscales, version 0.5), "specfusion" (the description)
      0/              (c, y, x); a shard is all bands of one tile, so that it has one writer
      1/  2/  ...     each half as large as the one before: means of 2 x 2 pixels, filled as the tiles land
      done/           one byte per tile, written after its data: an interrupted run starts again from here

Pixels that are not written yet are NaN, like those without data. The folder can be opened while it grows.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.sources import ArraySource
from napari_specfusion.errors import OutputError
from napari_specfusion.io.atomic import check_name, explained, remove_folder
from napari_specfusion.io.formats.zarr.pyramid import halve, layout, level_count, multiscales
from napari_specfusion.io.metadata.description import OWN_KEY, from_attributes, to_attributes
from napari_specfusion.tiling.tiles import Box

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    import zarr

__all__ = ["MemoryStore", "Result", "ResultStore", "check_output"]

JOB_KEY = "specfusion_job"


class Result(Protocol):
    """A store that the engine writes tiles to."""

    @property
    def done(self) -> NDArray[np.bool_]:
        """Boolean ``(tiles,)``: which tiles are written."""

    def write(self, index: int, box: Box, values: NDArray[Any]) -> None:
        """Keep the `values` ``(bands, height, width)`` of tile `index`, which covers `box`."""

    def levels(self) -> list[da.Array]:
        """Return the image lazily, ``(bands, y, x)``, at full size and, if there are any, at halved sizes."""

    def cube(self) -> Cube:
        """Return the result as a cube; it always shows the tiles written so far."""

    def discard(self) -> None:
        """Remove what was written."""


class MemoryStore:
    """A result in memory.

    Parameters
    ----------
    shape
        Bands, rows, columns.
    tiles
        Number of tiles to come.
    fields
        Fields of the `Cube` to return, all but the data.
    dtype
        Floating type of the values.
    """

    def __init__(
        self, shape: tuple[int, int, int], tiles: int, fields: Mapping[str, Any], dtype: DTypeLike = np.float32
    ) -> None:
        try:
            self._values = np.full(shape, np.nan, dtype)
        except MemoryError as error:
            size = math.prod(shape) * np.dtype(dtype).itemsize / 1e9
            raise OutputError(
                f"A result of {size:.1f} GB does not fit into memory; write it to a folder instead: out='result.zarr'."
            ) from error
        self.done: NDArray[np.bool_] = np.zeros(tiles, bool)
        live = da.from_array(_Live(self._values), chunks=(1, *shape[1:]), name=False, meta=self._values[:0, :0, :0])
        self._cube = Cube(live, source=ArraySource(self._values), **fields)

    def write(self, index: int, box: Box, values: NDArray[Any]) -> None:
        """Keep the `values` ``(bands, height, width)`` of tile `index`, which covers `box`."""
        self._values[:, *box.slices] = values
        self.done[index] = True

    def levels(self) -> list[da.Array]:
        """Return the image lazily, ``(bands, y, x)``."""
        return [self._cube.data]

    def cube(self) -> Cube:
        """Return the result as a cube; it shows the tiles written so far."""
        return self._cube

    def discard(self) -> None:
        """Do nothing: the memory is freed with its last reference."""


class ResultStore:
    """A result in an OME-Zarr 0.5 folder; made by `create`, `resume` or `open`.

    One process writes, one tile at a time; any number may read meanwhile.
    """

    def __init__(self, path: Path, group: zarr.Group, fields: Mapping[str, Any]) -> None:
        self.path = path
        self._fields = dict(fields)
        datasets: Any = group.attrs["ome"]
        self._arrays = [_member(group, entry["path"]) for entry in datasets["multiscales"][0]["datasets"]]
        self._done = _member(group, "done")
        self.done: NDArray[np.bool_] = self._done[:] > 0

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
        dtype: DTypeLike = np.float32,
    ) -> Self:
        """Make an empty store, in place of an older one.

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
        dtype
            Floating type of the values.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        import zarr
        from zarr.codecs import BloscCodec

        path = Path(path)
        with explained(path):
            if path.exists():
                remove_folder(path)
            group = zarr.create_group(path, zarr_format=3)
            for level in range(level_count(shape)):
                group.create_array(
                    str(level),
                    dtype=dtype,
                    fill_value=np.nan,
                    compressors=BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),
                    dimension_names=("c", "y", "x"),
                    **layout(shape, core, level),
                )
            group.create_array("done", shape=(tiles,), chunks=(1,), dtype="uint8", fill_value=0)
            group.attrs.update({"ome": multiscales(shape, fields), OWN_KEY: to_attributes(fields)[0]})
            # last: a folder with a key is whole
            group.attrs.update({JOB_KEY: {"key": key, "core": list(core)}})
            return cls(path, group, fields)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store that `create` made, finished or not.

        Raises
        ------
        OutputError
            If the folder is not such a store.
        """
        import zarr

        path = Path(path)
        try:
            group = zarr.open_group(path, mode="r+")
            attributes: Any = group.attrs[OWN_KEY]
            return cls(path, group, from_attributes(dict(attributes)))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise OutputError(f"{path} is not a result of this package ({error!r}); fuse to a new folder.") from error

    @classmethod
    def resume(cls, path: str | Path, *, key: str, core: tuple[int, int], tiles: int) -> Self:
        """Open an unfinished store to continue the same job.

        Raises
        ------
        OutputError
            If it belongs to another job or to other tiles.
        """
        store = cls.open(path)
        if store.job != {"key": key, "core": list(core)} or len(store.done) != tiles:
            raise OutputError(
                f"{path} holds a result of other inputs, settings or tiles, which cannot be continued; give another "
                "path, or overwrite=True to start afresh."
            )
        return store

    @property
    def job(self) -> Mapping[str, Any]:
        """The key of the job that fills the store, and the size of its tiles."""
        import zarr

        job: Any = zarr.open_group(self.path, mode="r").attrs.get(JOB_KEY, {})
        return dict(job)

    def write(self, index: int, box: Box, values: NDArray[Any]) -> None:
        """Write the `values` ``(bands, height, width)`` of tile `index`, which covers `box`, and the pyramid over it.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written.
        """
        with explained(self.path):
            self._arrays[0][:, *box.slices] = values
            covered, block = box, values
            for finer, array in zip(self._arrays, self._arrays[1:], strict=False):
                half = Box(box.y0 // 2, -(-box.y1 // 2), box.x0 // 2, -(-box.x1 // 2))
                parents = Box(2 * half.y0, 2 * half.y1, 2 * half.x0, 2 * half.x1).clip(finer.shape[1:])
                if parents != covered:
                    # a coarse pixel over several tiles is computed again by each of them; the last one is correct
                    block = finer[:, *parents.slices]
                block = halve(block)
                array[:, *half.slices] = block
                box = covered = half
            self._done[index] = 1
        self.done[index] = True

    def levels(self) -> list[da.Array]:
        """Return the image lazily, ``(bands, y, x)``, at full size and at halved ones: a napari multiscale image.

        Add it with ``cache=False`` as long as it grows: a cache would keep the empty tiles.
        """
        return [
            da.from_array(array, chunks=(array.chunks[0], *(array.shards or array.chunks)[1:]), name=False)
            for array in self._arrays
        ]

    def cube(self) -> Cube:
        """Return the result as a cube; it always shows the tiles written so far."""
        fields = self._fields | {"metadata": {**self._fields.get("metadata", {}), "store": str(self.path)}}
        return Cube(self.levels()[0], source=ArraySource(self._arrays[0]), **fields)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def check_output(path: str | Path, size: int, *, key: str, overwrite: bool = False) -> bool:
    """Check, before any work, that a result can be written; return whether there is one to continue.

    Parameters
    ----------
    path
        The folder to write, ending in ``.zarr``.
    size
        Bytes of the result.
    key
        Identifies the job; an unfinished store with the same key is continued.
    overwrite
        Replace any existing Zarr store.

    Raises
    ------
    OutputError
        If the path cannot be used, or the disk does not have enough room.
    """
    path = Path(path)
    if path.suffix != ".zarr":
        raise OutputError(f"The output {path} does not end in .zarr; results are written as Zarr folders.")
    check_name(path)
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"The folder {parent} for the output does not exist; make it first, or write elsewhere.")
    resumed = path.exists() and _check_existing(path, key, overwrite)
    try:
        tempfile.TemporaryDirectory(dir=parent).cleanup()
    except OSError as error:
        raise OutputError(f"The folder {parent} cannot be written to ({error}); choose another one.") from error
    # the pyramid adds a third, compression saves a little
    needed = 1.2 * size
    if resumed:
        needed *= 1 - float(ResultStore.open(path).done.mean())
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise OutputError(
            f"The disk is too full: the result takes about {needed / 1e9:.1f} GB, {parent} has {free / 1e9:.1f} GB "
            "free; make room or write to another disk."
        )
    return resumed


class _Live:
    """An array that dask slices when it computes; it would copy a plain one at once, and miss later writes."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return np.array(self._array[index])


def _member(group: zarr.Group, name: str) -> Any:
    """Return an array of a group; zarr's types also allow a group here."""
    return group[name]


def _check_existing(path: Path, key: str, overwrite: bool) -> bool:
    """Return whether to continue the store at `path`; raise unless it may be replaced."""
    if path.is_dir() and not any(path.iterdir()):
        return False
    if not (path / "zarr.json").is_file():
        raise OutputError(f"{path} exists and is not a Zarr store; move it away, or write elsewhere.")
    if overwrite:
        return False
    try:
        store = ResultStore.open(path)
    except OutputError:
        store = None
    if store is None or store.job.get("key") != key:
        raise OutputError(f"{path} exists and holds another job; give another path, or overwrite=True to replace it.")
    if store.done.all():
        raise OutputError(f"{path} holds this result already, finished; open it, or give overwrite=True to redo it.")
    return True
