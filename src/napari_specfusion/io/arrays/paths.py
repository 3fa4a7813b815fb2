"""The files that a cube is read from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_specfusion.data.cube import Cube

__all__ = ["source_paths"]

# fields of sources and file arrays that hold other sources, arrays, cubes or pages
_INNER = ("source", "sources", "array", "image", "pages", "base")


def source_paths(cube: Cube) -> tuple[Path, ...]:
    """Return the files, and the folders of Zarr images, that a cube is read from; links are followed.

    Arrays in memory have none. Cubes that were computed or cropped from a file keep it.
    """
    seen: set[int] = set()
    found = {Path(path).resolve() for path in _paths(cube, seen) if path}
    return tuple(sorted(found))


def _paths(thing: Any, seen: set[int]) -> Iterator[str]:
    if thing is None or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, tuple | list):
        for each in thing:
            yield from _paths(each, seen)
        return
    if hasattr(thing, "data") and hasattr(thing, "metadata") and hasattr(thing, "wavelengths"):
        store = thing.metadata.get("store")
        if isinstance(store, str):
            # a fused result says where it is kept
            yield store
        yield from _paths(thing.source, seen)
        # arrays that the lazy data were made from
        for name, layer in getattr(thing.data.dask, "layers", {}).items():
            if name.startswith("original-"):
                yield from _paths(list(layer.values()), seen)
        return
    yield from _own(thing)
    for name in _INNER:
        yield from _paths(getattr(thing, name, None), seen)


def _own(array: Any) -> Iterator[str]:
    """Yield the paths that an array itself names: one of ours, a memory map, or one of Zarr or h5py."""
    root = getattr(getattr(array, "store", None), "root", None)
    if root is not None:
        yield str(root)
    elif isinstance(path := getattr(array, "path", None), str):
        names = getattr(array, "names", None)
        yield from [path] if names is None else [str(Path(path) / name) for name in names]
    elif isinstance(name := getattr(array, "filename", None), str | Path):
        yield str(name)
    elif isinstance(name := getattr(getattr(array, "file", None), "filename", None), str):
        yield name
