"""OME-Zarr images and plain Zarr arrays: also what this package writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io._lazy import BlockArray, Box, lazy_cube
from napari_specfusion.io._registry import Reader

if TYPE_CHECKING:
    from napari_specfusion.cube import Cube

__all__ = ["READER", "read_zarr"]

_MARKERS = ("zarr.json", ".zgroup", ".zarray")
_KEY = "specfusion"
_LISTS = {"wavelengths": np.float64, "fwhm": np.float64, "good_bands": np.bool_}


def read_zarr(path: Path) -> Cube:
    """Open the finest level of an OME-Zarr image, or a Zarr array ``(bands, y, x)``.

    The description of the bands comes from the attribute "specfusion", as this package writes it.

    Raises
    ------
    ReadError
        If the folder is no Zarr store, or its image has not the axes c, y and x.
    """
    import zarr

    if not any((path / marker).is_file() for marker in _MARKERS):
        raise ReadError(f"{path} is no Zarr store: it holds no {' or '.join(_MARKERS)}. Choose the folder that does.")
    store = zarr.open(path, mode="r")
    attributes = dict(store.attrs)
    level, axes = ("", "cyx") if isinstance(store, zarr.Array) else _finest(path, attributes)
    found = store if isinstance(store, zarr.Array) else store[level]
    if not isinstance(found, zarr.Array):
        raise ReadError(f"{path}: level {level!r} is no array; the store is damaged or was never finished.")
    shape = tuple(found.shape)
    if shape and len(shape) == 2:
        axes = "yx"
    if len(axes) != len(shape):
        raise ReadError(f"{path} declares axes {axes} for shape {shape}; correct the axes in its metadata.")
    kept = [i for i, axis in enumerate(axes) if axis in "cyx" or shape[i] != 1]
    letters = "".join(axes[i] for i in kept)
    if sorted(letters) not in (["c", "x", "y"], ["x", "y"]) or 0 in shape:
        raise ReadError(f"{path} has axes {axes} of shape {shape}; a cube has c, y and x, none of them empty.")
    order = tuple(kept[letters.index(axis)] for axis in "cyx" if axis in letters)
    array = ZarrArray(
        path=str(path),
        stored_shape=_three(tuple(shape[i] for i in kept)),
        stored_dtype=np.dtype(found.dtype).str,
        axes=_three(tuple(letters.index(axis) for axis in "cyx" if axis in letters), axes=True),
        level=level,
        dropped=tuple(i for i in range(len(shape)) if i not in kept),
    )
    chunks = _three(tuple(int(found.chunks[i]) for i in order))
    return lazy_cube(array, path, chunks=_merged(array.shape, chunks), **_description(path, attributes))


@dataclass(frozen=True, eq=False)
class ZarrArray(BlockArray):
    """An array of a Zarr store, seen as ``(bands, y, x)``; `dropped` are its axes of length one."""

    level: str
    dropped: tuple[int, ...]

    @cached_property
    def _open(self) -> Any:
        import zarr

        store = zarr.open(Path(self.path), mode="r")
        return store if isinstance(store, zarr.Array) else store[self.level]

    def _read(self, box: Box) -> NDArray[Any]:
        index: list[Any] = list(box[3 - (self._open.ndim - len(self.dropped)) :])
        for axis in self.dropped:
            index.insert(axis, 0)
        return np.asarray(self._open[tuple(index)]).reshape([s.stop - s.start for s in box])


def _three(values: tuple[int, ...], axes: bool = False) -> tuple[int, int, int]:
    """Put a band axis in front of two axes: length one, or the first place among `axes`."""
    if len(values) == 2:
        values = (0, *(v + 1 for v in values)) if axes else (1, *values)
    bands, height, width = values
    return bands, height, width


def _finest(path: Path, attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Return path and axes of level 0, from the metadata of OME-Zarr 0.5 or 0.4."""
    try:
        ome = attributes.get("ome", attributes)
        image = ome["multiscales"][0]
        names = [axis["name"] if isinstance(axis, Mapping) else axis for axis in image["axes"]]
        return str(image["datasets"][0]["path"]), "".join(str(name).lower()[:1] for name in names)
    except (KeyError, IndexError, TypeError) as error:
        raise ReadError(
            f"{path} is a Zarr group without an OME-Zarr image ({error!r} is missing); open the array inside it."
        ) from error


def _description(path: Path, attributes: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": path.stem}
    known = attributes.get(_KEY)
    if not isinstance(known, Mapping):
        return fields
    for key, value in known.items():
        if value is None:
            continue
        if key in _LISTS:
            fields[key] = np.array(value, dtype=_LISTS[key])
        elif key in {"scale", "offset"}:
            fields[key] = np.array(value, dtype=np.float64) if isinstance(value, list) else float(value)
        elif key in {"affine", "pixel_size"}:
            fields[key] = tuple(float(v) for v in value)
        elif key == "nodata":
            fields[key] = float(value)
        elif key in {"spectral_unit", "name", "crs"}:
            fields[key] = str(value)
        elif key == "metadata" and isinstance(value, Mapping):
            fields[key] = dict(value)
    return fields


def _merged(shape: tuple[int, int, int], chunks: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return dask chunks of whole Zarr chunks, enlarged where there would be very many."""
    bands, height, width = chunks
    while -(-shape[0] // bands) * -(-shape[1] // height) * -(-shape[2] // width) > 20_000 and height < shape[1]:
        height, width = height * 2, width * 2
    return min(bands, shape[0]), min(height, shape[1]), min(width, shape[2])


READER = Reader(title="Zarr", patterns=("*.zarr",), read=read_zarr)
