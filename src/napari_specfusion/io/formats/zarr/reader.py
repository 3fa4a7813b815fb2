"""Read OME-Zarr images and plain Zarr arrays, including those written by this package."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.lazy import BlockArray, Box, lazy_cube
from napari_specfusion.io.guards import limits
from napari_specfusion.io.guards.limits import check_shape
from napari_specfusion.io.metadata.axes import named_axis, requested_order
from napari_specfusion.io.metadata.description import OWN_KEY, from_attributes
from napari_specfusion.io.metadata.units import to_standard_unit, wavelengths_in_names
from napari_specfusion.io.metadata.variables import Variable, also_held, choose_variable, spectral_axis
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["READER", "read_zarr"]

_MOST_CHUNKS, _MOST_ARRAYS = 20_000, 1000
# "pickle" is excluded because unpickling can run arbitrary code, "pcodec" and "zfpy" because their chunks may
# declare any size.
_KNOWN_CODECS = {
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "cast_value", "crc32", "crc32c", "delta", "endian",
    "fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits", "quantize",
    "scale_offset", "sharding_indexed", "shuffle", "transpose", "zlib", "zstd",
}  # fmt: skip
_MARKERS = ("zarr.json", ".zgroup", ".zarray")


def read_zarr(path: Path, *, array: str | None = None, axes: str | None = None, wavelengths: Any = None) -> Cube:
    """Open the finest level of an OME-Zarr image, or a Zarr array.

    The band description comes from the attribute "specfusion", written by this package; else wavelengths come from the
    channel labels, or from a suitably named array in the same group.

    Parameters
    ----------
    path
        The store.
    array
        Name of the array in a group that is not an OME-Zarr image; None takes the 3-D array with
        the most bands.
    axes
        Meaning of the axes of a plain array, as a permutation of "byx" (bands, rows, columns). None applies the rules
        of `napari_specfusion.io.metadata.axes`; a finding reports an uncertain guess.
    wavelengths
        Wavelengths that `open_cube` sets later; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If the folder is not a Zarr store, its image does not have the axes c, y and x, or its metadata point out of the
        folder or declare absurd sizes.
    """
    import zarr

    from napari_specfusion.io.guards.zarr_store import open_zarr

    if not any((path / marker).is_file() for marker in _MARKERS):
        raise ReadError(f"{path} is not a Zarr store: it has no {' or '.join(_MARKERS)}. Choose the folder that does.")
    store = open_zarr(path)
    attributes = dict(store.attrs)
    fields: dict[str, Any] = {}
    declared, others = None, list[str]()
    if isinstance(store, zarr.Array):
        level = ""
    elif array is None and (image := _image(path, store, attributes)) is not None:
        (level, *others), declared, fields = image
    else:
        level, fields = _choose(path, store, array)
    found = _inside(path, store, level)
    shape = tuple(int(n) for n in found.shape)
    extra: dict[str, Any] = {}
    if declared is None or axes is not None:
        values = fields.get("wavelengths") if wavelengths is None else wavelengths
        declared, extra = _plain_axes(path, found, None if values is None else np.size(values), axes)
    elif len(shape) == 2:
        declared = "yx"
    if len(declared) != len(shape):
        raise ReadError(f"{path} declares axes {declared} for shape {shape}; correct the axes in its metadata.")
    kept = [i for i, axis in enumerate(declared) if axis in "cyx" or shape[i] != 1]
    letters = "".join(declared[i] for i in kept)
    if sorted(letters) not in (["c", "x", "y"], ["x", "y"]) or 0 in shape:
        raise ReadError(f"{path} has axes {declared} of shape {shape}; a cube needs c, y and x, all non-empty.")
    order = tuple(kept[letters.index(axis)] for axis in "cyx" if axis in letters)
    stored = ZarrArray(
        path=str(path),
        stored_shape=_three(tuple(shape[i] for i in kept)),
        stored_dtype=np.dtype(found.dtype).str,
        axes=_three(tuple(letters.index(axis) for axis in "cyx" if axis in letters), axes=True),
        level=level,
        dropped=tuple(i for i in range(len(shape)) if i not in kept),
    )
    check_shape(path, stored.shape)
    described = fields.pop("metadata", {})
    if fields.get("wavelengths") is not None and len(fields["wavelengths"]) != stored.shape[0]:
        fields = {}
    fields |= _description(path, attributes)
    fields["metadata"] = extra | described | fields.get("metadata", {})
    if remarks := (*extra.get("findings", ()), *described.get("findings", ())):
        fields["metadata"]["findings"] = remarks
    chunks = _three(tuple(int(found.chunks[i]) for i in order))
    coarser = _coarser(path, store, others, stored)
    return lazy_cube(stored, path, chunks=_merged(stored.shape, chunks), coarser=coarser, **fields)


@dataclass(frozen=True, eq=False)
class ZarrArray(BlockArray):
    """An array of a Zarr store, exposed as ``(bands, y, x)``; `dropped` are its axes of length one."""

    level: str
    dropped: tuple[int, ...]

    @cached_property
    def _open(self) -> Any:
        import zarr

        from napari_specfusion.io.guards.zarr_chunks import bounded
        from napari_specfusion.io.guards.zarr_store import open_zarr

        store = open_zarr(Path(self.path))
        return bounded(store if isinstance(store, zarr.Array) else store[self.level])

    def _read(self, box: Box) -> NDArray[Any]:
        index: list[Any] = list(box[3 - (self._open.ndim - len(self.dropped)) :])
        for axis in self.dropped:
            index.insert(axis, 0)
        return np.asarray(self._open[tuple(index)]).reshape([s.stop - s.start for s in box])


def _coarser(path: Path, store: Any, levels: Sequence[str], stored: ZarrArray) -> tuple[ZarrArray, ...]:
    """Return those further levels of an image that are it at smaller sizes, up to the first that is not."""
    found: list[ZarrArray] = []
    for level in levels:
        try:
            array = _inside(path, store, level)
        except (ReadError, OSError, LookupError, TypeError, ValueError):
            # what is only for looking at may be damaged
            break
        shape = tuple(int(n) for n in array.shape)
        kept = [n for axis, n in enumerate(shape) if axis not in stored.dropped]
        if len(shape) - len(kept) != len(stored.dropped) or len(kept) not in (2, 3) or 0 in shape:
            break
        one = replace(stored, stored_shape=_three(tuple(kept)), stored_dtype=np.dtype(array.dtype).str, level=level)
        (bands, *sides), (as_many, *before) = one.shape, (found[-1] if found else stored).shape
        halved = all(-(-n // 2) == m for n, m in zip(before, sides, strict=True))
        if bands != as_many or one.stored_dtype != stored.stored_dtype or not halved:
            break
        found.append(one)
    return tuple(found)


def _three(values: tuple[int, ...], axes: bool = False) -> tuple[int, int, int]:
    """Prepend a band axis to two axes: a length of one in a shape, or index 0 in a list of axes."""
    if len(values) == 2:
        values = (0, *(v + 1 for v in values)) if axes else (1, *values)
    bands, height, width = values
    return bands, height, width


def _inside(path: Path, store: Any, level: str) -> Any:
    """Return an array of the store after checking that its metadata are safe."""
    import zarr

    from napari_specfusion.io.guards.zarr_chunks import bounded

    parts = [part for part in level.split("/") if part]
    if ".." in parts or "\\" in level or not (path / Path(*parts)).resolve().is_relative_to(path.resolve()):
        raise ReadError(f"{path}: its metadata point to {level!r} outside the folder, which is not read.")
    found = store if not parts else store.get("/".join(parts))
    if not isinstance(found, zarr.Array):
        raise ReadError(f"{path}: level {level!r} is not an array; the store is damaged or incomplete.")
    unknown = sorted(_codecs(found.metadata.to_dict()) - _KNOWN_CODECS)
    if unknown:
        raise ReadError(
            f"{path}: level {level!r} uses the codec {', '.join(unknown)}, which is not supported; save it with "
            "one of Zarr's own codecs."
        )
    size = math.prod(found.chunks) * np.dtype(found.dtype).itemsize
    if size > limits.LARGEST_ZARR_CHUNK:
        raise ReadError(
            f"{path}: level {level!r} has chunks of {tuple(found.chunks)}, {size / 2**30:.0f} GB each; save it with "
            f"chunks below {limits.LARGEST_ZARR_CHUNK >> 30} GB."
        )
    per_shard = math.prod(n // max(1, m) for n, m in zip(found.shards or (), found.chunks, strict=False))
    if per_shard > limits.MOST_CHUNKS_PER_SHARD:
        raise ReadError(
            f"{path}: level {level!r} has shards of {per_shard} chunks; save it with "
            f"{limits.MOST_CHUNKS_PER_SHARD} at most."
        )
    return bounded(found)


def _codecs(metadata: Any) -> set[str]:
    """Return the names of all codecs, nested ones included, in array metadata of either Zarr version."""
    found: set[str] = set()
    waiting = [metadata.get(key) for key in ("codecs", "compressor", "filters")]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, list | tuple):
            waiting += entry
        elif isinstance(entry, Mapping):
            found.add(str(entry.get("name", entry.get("id"))).removeprefix("numcodecs."))
            inner = entry.get("configuration")
            if isinstance(inner, Mapping):
                waiting += [inner.get("codecs"), inner.get("index_codecs")]
    return found


def _image(path: Path, store: Any, attributes: Mapping[str, Any]) -> tuple[list[str], str, dict[str, Any]] | None:
    """Return paths, axes and description of the levels from OME-Zarr 0.5 or 0.4 metadata; None if there are none."""
    ome = attributes.get("ome", attributes)
    prefix = ""
    if isinstance(ome, Mapping) and "multiscales" not in ome and "bioformats2raw.layout" in ome and "0" in store:
        # a collection of images: take the first one
        attributes, prefix = dict(store["0"].attrs), "0/"
        ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping) or "multiscales" not in ome:
        return None
    try:
        image = ome["multiscales"][0]
        # version 0.3 has plain axis names; earlier versions always have these five axes
        names = [axis["name"] if isinstance(axis, Mapping) else axis for axis in image.get("axes", "tczyx")]
        first, *more = image["datasets"]
        levels = [str(first["path"]), *(str(d["path"]) for d in more if isinstance(d, Mapping) and "path" in d)]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReadError(
            f"{path} is a Zarr group whose OME-Zarr metadata are damaged ({type(error).__name__}: {error}); open the "
            "array inside it."
        ) from error
    letters = "".join(str(name).lower()[:1] for name in names)
    return [prefix + level for level in levels], letters, _channels(ome.get("omero"))


def _channels(omero: Any) -> dict[str, Any]:
    """Return the wavelengths in the channel labels."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    labels = [str(c.get("label")) for c in channels if isinstance(c, Mapping)] if isinstance(channels, list) else []
    values, unit = wavelengths_in_names(labels)
    if values is None or unit is None:
        return {}
    converted, _, unit_name, _ = to_standard_unit(values, unit)
    return {} if converted is None else {"wavelengths": converted, "spectral_unit": unit_name}


def _choose(path: Path, store: Any, array: str | None) -> tuple[str, dict[str, Any]]:
    """Choose the cube among the arrays of a group; return its name and description."""
    variables = _variables(store)
    if array is None and not any(v.is_image for v in variables):
        raise ReadError(
            f"{path} is a Zarr group without an OME-Zarr image ('multiscales' is missing) or an array of two or three "
            "axes; open the folder inside it that has one."
        )
    chosen = choose_variable(variables, array, path)
    found = spectral_axis(variables, chosen.shape, lambda name: _inside(path, store, name)[...])
    fields: dict[str, Any] = {} if found is None else {"wavelengths": found[0], "spectral_unit": found[1]}
    return chosen.name, fields | ({"metadata": also_held(variables, chosen, {})} if array is None else {})


def _plain_axes(path: Path, array: Any, count: int | None, asked: str | None) -> tuple[str, dict[str, Any]]:
    """Return the axes of a plain array as letters c, y and x, and metadata with a finding if they are a guess.

    Arrays written by this package have bands first; dimension names come from Zarr 3, or from xarray in Zarr 2.
    """
    shape = tuple(int(n) for n in array.shape)
    if len(shape) not in {2, 3}:
        return "cyx", {}
    attributes = dict(array.attrs)
    names = getattr(array.metadata, "dimension_names", None) or attributes.get("_ARRAY_DIMENSIONS")
    named = 0 if isinstance(attributes.get(OWN_KEY), Mapping) else None
    if named is None and isinstance(names, list | tuple) and len(names) == len(shape) == 3:
        named = named_axis(names)
    order, extra = requested_order(shape, count, asked, None, path, named=named)
    if len(shape) == 2:
        return ("xy" if order[1] > order[2] else "yx"), {}
    return "".join("cyx"[order.index(axis)] for axis in range(3)), extra


def _variables(store: Any) -> list[Variable]:
    """Return the arrays of a group."""
    import zarr

    members = itertools.islice(store.members(max_depth=2), _MOST_ARRAYS)
    arrays = {name: item for name, item in members if isinstance(item, zarr.Array)}
    return [Variable(n, tuple(map(int, a.shape)), np.dtype(a.dtype).kind in "biuf") for n, a in sorted(arrays.items())]


def _arrays(path: Path) -> list[Variable]:
    import zarr

    from napari_specfusion.io.guards.zarr_store import open_zarr

    store = open_zarr(path)
    return _variables(store) if isinstance(store, zarr.Group) else []


def _description(path: Path, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the name and the band description that this package has written."""
    known = attributes.get(OWN_KEY)
    return {"name": path.stem} | (from_attributes(known) if isinstance(known, Mapping) else {})


def _merged(shape: tuple[int, int, int], chunks: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return dask chunks of whole Zarr chunks, merged if there are very many."""
    bands, height, width = (min(n, size) for n, size in zip(chunks, shape, strict=True))
    while -(-shape[0] // bands) * -(-shape[1] // height) * -(-shape[2] // width) > _MOST_CHUNKS:
        if height < shape[1] or width < shape[2]:
            height, width = min(2 * height, shape[1]), min(2 * width, shape[2])
        else:
            bands = min(2 * bands, shape[0])
    return bands, height, width


READER = Reader(title="Zarr", patterns=("*.zarr",), read=read_zarr, arrays=_arrays)
