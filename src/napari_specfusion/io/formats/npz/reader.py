"""Read NPY and NPZ files; pickled objects are never loaded."""

from __future__ import annotations

import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.lazy import LoadedArray, MappedArray, lazy_cube
from napari_specfusion.io.guards.limits import check_inflation
from napari_specfusion.io.metadata.axes import Order, requested_order
from napari_specfusion.io.metadata.description import LONGEST, OWN_KEY
from napari_specfusion.io.metadata.units import numbers
from napari_specfusion.io.metadata.variables import Variable, also_held, choose_variable, spectral_axis
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_specfusion.data.cube import Cube

__all__ = ["NPY_READER", "NPZ_READER", "read_npy", "read_npz"]

_MAGIC = b"\x93NUMPY"
_MOST_MEMBERS = 10_000
# size of the local file header before each member of an archive
_LOCAL_HEADER, _NAME_LENGTH = 30, 26
_ENCRYPTED = 1


def read_npy(path: Path, *, axes: str | None = None, band_axis: int | None = None, wavelengths: Any = None) -> Cube:
    """Open an NPY file with three axes, or ``(y, x)``, as a lazy cube.

    Parameters
    ----------
    path
        The file.
    axes
        Meaning of its axes, as a permutation of "byx" (bands, rows, columns). None applies the rules of
        `napari_specfusion.io.metadata.axes`; a finding reports an uncertain guess.
    band_axis
        Band axis, if the other two are rows and columns in this order.
    wavelengths
        Wavelengths that `open_cube` sets later; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If the file is damaged, holds Python objects, or does not have two or three axes.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ReadError(
                f"{path} is not an NPY file; save plain numbers with numpy.save, or name the format with reader=."
            )
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ReadError(
            f"{path} cannot be opened ({error}); save plain numbers with numpy.save(..., allow_pickle=False), "
            "or copy the file again if it is truncated."
        ) from error
    if mapped.dtype.kind not in "biuf":
        raise ReadError(f"{path} holds {mapped.dtype} values; a cube takes integers or floating-point numbers.")
    if mapped.ndim not in {2, 3} or 0 in mapped.shape:
        raise ReadError(f"{path} has shape {mapped.shape}; a cube needs non-empty axes (bands, y, x) or (y, x).")
    flat = mapped.ndim == 2
    shape = _three((1, *mapped.shape) if flat else mapped.shape)
    count = None if wavelengths is None else np.size(wavelengths)
    order, extra = requested_order(mapped.shape, count, axes, band_axis, path)
    stored, places = shape, order
    if not mapped.flags.c_contiguous:
        # Fortran order: the axes are stored in reverse; the band axis of a 2-D image has length one wherever it is.
        stored, places = _three(shape[::-1]), _three(2 - axis for axis in order)
    array = MappedArray(str(path), mapped.dtype.str, stored, int(mapped.offset), places)
    return lazy_cube(array, path, name=path.stem, metadata=extra)


def read_npz(
    path: Path,
    *,
    array: str | None = None,
    axes: str | None = None,
    band_axis: int | None = None,
    wavelengths: Any = None,
) -> Cube:
    """Open one array of an NPZ file lazily; a compressed one is unpacked when its first pixel is needed.

    Parameters
    ----------
    path
        The file.
    array
        Name of the array; None takes the 3-D array with the most bands.
    axes
        Meaning of its axes, as a permutation of "byx" (bands, rows, columns). None applies the rules of
        `napari_specfusion.io.metadata.axes`; a finding reports an uncertain guess.
    band_axis
        Band axis, if the other two are rows and columns in this order.
    wavelengths
        Wavelengths that `open_cube` sets later; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If no array could be the cube, the choice is ambiguous, or the array holds Python objects.
    """
    with zipfile.ZipFile(path) as archive:
        members = _members(path, archive)

        def load(name: str) -> NDArray[Any]:
            return _load(path, archive, members[name])

        variables = [member.variable for member in members.values()]
        entry = _own_entry(members, load) if array in {None, "data"} else None
        chosen = choose_variable(variables, array if entry is None else "data", path)
        found = spectral_axis(variables, chosen.shape, load)
        shape = _three(chosen.shape if len(chosen.shape) == 3 else (1, *chosen.shape))
        count = np.size(wavelengths) if wavelengths is not None else None if found is None else found[0].size
        # this package writes bands first
        named = None if entry is None else 0
        order, extra = requested_order(chosen.shape, count, axes, band_axis, path, named=named)
        metadata = extra if entry is None else {OWN_KEY: entry}
        if array is None:
            metadata |= also_held(variables, chosen, metadata)
        fields: dict[str, Any] = {"name": path.stem, "metadata": metadata}
        bands = shape[order[0]]
        if found is not None and found[0].size == bands:
            fields |= {"wavelengths": found[0], "spectral_unit": found[1]}
        for key in ("fwhm", "good_bands"):
            held = members.get(key)
            values = numbers(load(key)) if held and held.variable.numeric and held.shape == (bands,) else None
            if values is not None:
                fields[key] = values
        stored = _array(path, archive, members[chosen.name], order)
    return lazy_cube(stored, path, **fields)


@dataclass(frozen=True)
class _Member:
    """An array of an archive, described by its header, and the size of that header."""

    info: zipfile.ZipInfo
    name: str
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    header: int

    @property
    def variable(self) -> Variable:
        return Variable(self.name, self.shape, self.dtype.kind in "biuf")


@dataclass(frozen=True, eq=False)
class NpzArray(LoadedArray):
    """A compressed array of an archive, unpacked on first access."""

    member: str

    def _load(self) -> NDArray[Any]:
        path = Path(self.path)
        with zipfile.ZipFile(path) as archive:
            values = _load(path, archive, _members(path, archive)[self.member])
        return values[None] if values.ndim == 2 else values


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, _Member]:
    """Return the arrays of an archive by name, from their headers alone."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    if len(infos) > _MOST_MEMBERS:
        raise ReadError(f"{path} holds {len(infos)} arrays; save the cube in a separate archive.")
    found = {}
    for info in infos:
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(member)
            name = info.filename.removesuffix(".npy")
            found[name] = _Member(info, name, tuple(map(int, shape)), fortran, dtype, member.tell())
    return found


def _arrays(path: Path) -> list[Variable]:
    with zipfile.ZipFile(path) as archive:
        return [member.variable for member in _members(path, archive).values()]


def _load(path: Path, archive: zipfile.ZipFile, member: _Member) -> NDArray[Any]:
    _check(path, member)
    with archive.open(member.info) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _check(path: Path, member: _Member) -> None:
    needed = member.header + math.prod(member.shape) * member.dtype.itemsize
    if not member.dtype.hasobject and needed != member.info.file_size:
        raise ReadError(
            f"{path}: {member.name} declares the shape {member.shape}, {needed} bytes, but holds "
            f"{member.info.file_size}; it is damaged, get a new copy."
        )
    check_inflation(path, member.name, member.info.compress_size, member.info.file_size)


def _array(path: Path, archive: zipfile.ZipFile, member: _Member, order: Order) -> Any:
    """Return the array as (bands, y, x), memory-mapped if it is not compressed."""
    _check(path, member)
    shape = _three((1, *member.shape) if len(member.shape) == 2 else member.shape)
    plain = member.info.compress_type == zipfile.ZIP_STORED and not member.info.flag_bits & _ENCRYPTED
    if not plain or member.info.file_size != member.info.compress_size:
        return NpzArray(str(path), shape, member.dtype.str, order, member.name)
    with path.open("rb") as file:
        file.seek(member.info.header_offset + _NAME_LENGTH)
        name, extra = struct.unpack("<HH", file.read(4))
    offset = member.info.header_offset + _LOCAL_HEADER + name + extra + member.header
    if offset + math.prod(shape) * member.dtype.itemsize > path.stat().st_size:
        raise ReadError(f"{path} ends before {member.name} does; it is truncated, get a new copy.")
    if member.fortran and len(member.shape) == 3:
        return MappedArray(str(path), member.dtype.str, _three(shape[::-1]), offset, _three(2 - a for a in order))
    if member.fortran:
        return MappedArray(str(path), member.dtype.str, _three((1, *member.shape[::-1])), offset, (0, 2, 1))
    return MappedArray(str(path), member.dtype.str, shape, offset, order)


def _own_entry(members: Mapping[str, _Member], load: Callable[[str], NDArray[Any]]) -> str | None:
    """Return the text of this package's own entry in the archive, or None."""
    if not {OWN_KEY, "data"} <= set(members) or members[OWN_KEY].info.file_size > LONGEST:
        return None
    if members[OWN_KEY].dtype.kind != "U" or members[OWN_KEY].shape:
        return None
    return str(load(OWN_KEY))


def _three(values: Iterable[int]) -> tuple[int, int, int]:
    bands, height, width = values
    return bands, height, width


NPY_READER = Reader(title="NPY", patterns=("*.npy",), read=read_npy, magic=(_MAGIC,))
NPZ_READER = Reader(title="NPZ", patterns=("*.npz",), read=read_npz, magic=(b"PK\x03\x04",), arrays=_arrays)
