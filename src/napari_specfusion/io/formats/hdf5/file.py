"""Look into HDF5 files, and check what is safe to read."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError, needs_extra
from napari_specfusion.io.guards import limits
from napari_specfusion.io.guards.hdf_heaps import HeapCheckedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["attribute", "axis_name", "checked", "child", "datasets", "import_h5py", "open_hdf", "text", "vector"]

_MOST_NUMBERS = 1_000_000
_MOST_OBJECTS, _DEEPEST, _MOST_LINKS = 20_000, 40, 8


def import_h5py(path: Path) -> Any:
    """Return the module h5py; raise a ReadError that says how to install it if it is missing."""
    try:
        import h5py
    except ImportError as error:
        raise ReadError(f"{path} is an HDF5 file, which {needs_extra('h5py')}.") from error
    return h5py


@contextmanager
def open_hdf(path: Path) -> Iterator[Any]:
    """Open an HDF5 or NetCDF 4 file for reading.

    Raises
    ------
    ReadError
        If h5py is missing, or the file is NetCDF 3 or not HDF5 at all.
    """
    h5py = import_h5py(path)
    with path.open("rb") as raw:
        if raw.read(3) == b"CDF":
            raise ReadError(f"{path} is a NetCDF 3 file; convert it to NetCDF 4 with: nccopy -k nc4 old.nc new.nc.")
    if not h5py.is_hdf5(str(path)):
        raise ReadError(f"{path} is not HDF5, or is truncated; get a new copy, or name its format with reader=.")
    with HeapCheckedFile(path) as checked_file, h5py.File(checked_file, "r") as file:
        yield file


def child(file: Any, name: str, links: int = _MOST_LINKS) -> Any:
    """Return the object `name` of a file or group; None if it is missing or outside the file.

    Soft links inside the file are followed, external links never: they could open any file on the machine.
    """
    h5py = import_h5py(Path(file.file.filename))
    here = file.file if name.startswith("/") else file
    parts = [part for part in name.split("/") if part not in {"", "."}]
    for index, part in enumerate(parts):
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        if isinstance(link, h5py.SoftLink):
            target = "/".join([link.path, *parts[index + 1 :]])
            return child(here, target, links - 1) if links else None
        if not isinstance(link, h5py.HardLink):
            return None
        here = here[part]
    return here


def datasets(file: Any) -> list[Any]:
    """Return each dataset of a file once; links are not followed."""
    h5py = import_h5py(Path(file.filename))
    found: list[Any] = []
    waiting: list[tuple[Any, int]] = [(file, 0)]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_OBJECTS:
        group, depth = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink) or len(seen) >= _MOST_OBJECTS:
                continue
            item = group[name]
            key = h5py.h5o.get_info(item.id).addr
            if key in seen:
                continue
            seen.add(key)
            if isinstance(item, h5py.Dataset):
                found.append(item)
            elif isinstance(item, h5py.Group) and depth < _DEEPEST:
                waiting.append((item, depth + 1))
    return sorted(found, key=lambda item: str(item.name))


def attribute(item: Any, name: str) -> Any:
    """Return an attribute of a file, group or dataset: text, a number or an array; None if it is missing.

    `item` may be None as well, so that calls can be chained without checks.
    """
    if item is None or name not in item.attrs:
        return None
    stored = item.attrs.get_id(name)
    # Lists of any length and nested types are not read: HDF5 crashes where they are damaged.
    if math.prod(stored.shape or ()) > _MOST_NUMBERS or not _is_plain(stored.get_type()):
        return None
    value = item.attrs[name]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def axis_name(dataset: Any, axis: int) -> str:
    """Return the name of an axis: its label, or the name of the NetCDF dimension scale attached to it; or "".

    The attributes are read one by one: HDF5's own functions for scales follow damaged ones without an end.
    """
    labels = attribute(dataset, "DIMENSION_LABELS")
    labels = [labels] if isinstance(labels, str) else [] if labels is None else list(np.ravel(labels))
    if len(labels) == len(dataset.shape) and labels[axis]:
        label = labels[axis]
        return label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)
    if "DIMENSION_LIST" not in dataset.attrs:
        return ""
    h5py = import_h5py(Path(dataset.file.filename))
    stored = dataset.attrs.get_id("DIMENSION_LIST")
    kind = stored.get_type()
    if stored.shape != (len(dataset.shape),) or not isinstance(kind, h5py.h5t.TypeVlenID):
        return ""
    if kind.get_super() != h5py.h5t.STD_REF_OBJ:
        return ""
    attached = np.ravel(dataset.attrs["DIMENSION_LIST"][axis])
    return str(dataset.file[attached[0]].name or "").rpartition("/")[2] if attached.size else ""


def _is_plain(kind: Any) -> bool:
    """Whether a type is a number, a truth value or a text."""
    h5py = import_h5py(Path())
    plain = h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID, h5py.h5t.TypeStringID
    return isinstance(kind, plain)


def vector(item: Any) -> NDArray[np.float64] | None:
    """Return a small dataset or array as a vector of finite numbers; None if it is anything else."""
    if item is None or isinstance(item, str | bytes):
        return None
    if hasattr(item, "id"):
        shape, dtype = getattr(item, "shape", None), getattr(item, "dtype", None)
        if shape is None or dtype is None or dtype.kind not in "biuf" or _flaw(item) is not None:
            return None
        if max(math.prod(shape), math.prod(item.chunks or ())) > _MOST_NUMBERS:
            return None
        item = item[()]
    try:
        values = np.ravel(np.asarray(item)).astype(np.float64)
    except (TypeError, ValueError):
        return None
    return values if values.size and bool(np.all(np.isfinite(values))) else None


def text(item: Any) -> str | None:
    """Return the text of a dataset of one short string, or None."""
    if item is None or getattr(item, "shape", None) is None or _flaw(item, numeric=False) is not None:
        return None
    if max(math.prod(item.shape), math.prod(item.chunks or ())) > _MOST_NUMBERS or item.size != 1:
        return None
    if not _is_plain(item.id.get_type()) or _claimed(item) > _MOST_NUMBERS:
        return None
    value = np.asarray(item[()]).reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _claimed(item: Any) -> int:
    """Return the length that the reference to a text of any length states; HDF5 makes room for it unseen."""
    offset = item.id.get_offset() if item.chunks is None else None
    if offset is None or not item.id.get_type().is_variable_str():
        return 0
    return int.from_bytes(HeapCheckedFile.peek(item.file.filename, offset, 4), "little")


def _flaw(dataset: Any, numeric: bool = True) -> str | None:
    """Return the reason why a dataset cannot be read, or None."""
    try:
        kind, size = dataset.dtype.kind, dataset.dtype.itemsize
    except TypeError as error:  # not a numpy type
        return f"its type is unknown ({error})"
    if numeric and kind == "c":
        return "it is complex; take the magnitude or the real part first"
    if numeric and (kind not in "biuf" or size > 8):
        return f"its type is {dataset.dtype}; a cube holds integers, or floating-point numbers of up to 64 bits"
    if dataset.external:
        return "its numbers are in another file; repack it into one file with h5repack"
    if dataset.is_virtual:
        return "it is a virtual dataset made of others; repack it into one file with h5repack"
    if dataset.chunks is not None and math.prod(dataset.chunks) * size > limits.LARGEST_HDF_CHUNK:
        return f"its chunks {dataset.chunks} hold more than 1 GB each; repack it with smaller ones (h5repack -l CHUNK=)"
    return None


def checked(path: Path, dataset: Any, name: str, *, image: bool = True) -> Any:
    """Return the dataset if it is readable and, for an image, has two or three axes; raise a ReadError otherwise."""
    if getattr(dataset, "shape", None) is None:
        raise ReadError(f"{path} has no dataset {name}; links to other files are not followed.")
    flaw = _flaw(dataset)
    if flaw is None and image and (len(dataset.shape) not in {2, 3} or 0 in dataset.shape):
        flaw = f"its shape is {tuple(dataset.shape)}; a cube needs three non-empty axes, a band two"
    if flaw is not None:
        raise ReadError(f"{path}: {name} cannot be read: {flaw}.")
    return dataset
