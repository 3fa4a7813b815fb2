"""NPY and NPZ files; pickled objects are never loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import ReadError
from napari_specfusion.io._axes import band_axis_of, bands_first
from napari_specfusion.io._lazy import MappedArray, lazy_cube
from napari_specfusion.io._own_entry import LONGEST, OWN_KEY
from napari_specfusion.io._registry import Reader
from napari_specfusion.io._spectral import numbers
from napari_specfusion.io._variables import Variable, choose_variable, spectral_axis

if TYPE_CHECKING:
    from napari_specfusion.cube import Cube

__all__ = ["NPY_READER", "NPZ_READER", "read_npy", "read_npz"]


def read_npy(path: Path, *, band_axis: int | None = None, wavelengths: Any = None) -> Cube:
    """Open an NPY file ``(bands, y, x)`` or ``(y, x)``, lazily.

    Parameters
    ----------
    path
        The file.
    band_axis
        Axis of the bands; None takes the one that alone fits `wavelengths`, else the first.
    wavelengths
        Wavelengths that `open_cube` puts in; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If the file is damaged, holds Python objects, or has not two or three axes.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ReadError(
            f"{path} cannot be opened ({error}); save plain numbers with numpy.save(..., allow_pickle=False), "
            "or copy the file anew if it was cut short."
        ) from error
    if mapped.dtype.kind not in "biuf":
        raise ReadError(f"{path} holds {mapped.dtype} values; a cube takes integers or floating-point numbers.")
    if mapped.ndim not in {2, 3} or 0 in mapped.shape:
        raise ReadError(
            f"{path} has shape {mapped.shape}; a cube has axes (bands, y, x) or (y, x), none of them empty."
        )
    flat = mapped.ndim == 2
    shape = _three((1, *mapped.shape) if flat else mapped.shape)
    count = None if wavelengths is None else np.size(wavelengths)
    order = bands_first(0 if flat else band_axis_of(shape, count, 0, band_axis, path))
    stored, axes = shape, order
    if not mapped.flags.c_contiguous:
        # Fortran order: the file holds the axes reversed; the band axis of a flat image has length one anywhere.
        stored, axes = _three(shape[::-1]), _three(2 - axis for axis in order)
    array = MappedArray(str(path), mapped.dtype.str, stored, int(mapped.offset), axes)
    return lazy_cube(array, path, name=path.stem)


def read_npz(path: Path, *, variable: str | None = None, band_axis: int | None = None, wavelengths: Any = None) -> Cube:
    """Open one array of an NPZ file; that one is loaded.

    Parameters
    ----------
    path
        The file.
    variable
        Name of the array; None takes the largest with three axes.
    band_axis
        Axis of the bands; None takes the one that alone fits the wavelengths, else the first.
    wavelengths
        Wavelengths that `open_cube` puts in; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If no array, or several with equal right, could be the cube, or it holds Python objects.
    """
    # numpy leaves a file that it opened itself open where it is no archive.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        variables = [_header(archive, name) for name in archive.files]
        entry = _own_entry(archive) if variable in {None, "data"} else None
        chosen = choose_variable(variables, variable if entry is None else "data", path)
        found = spectral_axis(variables, chosen.shape, lambda name: archive[name])
        data = archive[chosen.name]
        fields: dict[str, Any] = {"name": path.stem}
        if entry is not None:
            fields["metadata"] = {OWN_KEY: entry}
        if data.ndim == 2:
            return lazy_cube(data[None], path, **fields)
        count = np.size(wavelengths) if wavelengths is not None else None if found is None else found[0].size
        axis = band_axis_of(data.shape, count, 0, band_axis, path)
        bands = data.shape[axis]
        if found is not None and found[0].size == bands:
            fields |= {"wavelengths": found[0], "spectral_unit": found[1]}
        for key in ("fwhm", "good_bands"):
            held = next((v for v in variables if v.name == key and v.numeric and v.shape == (bands,)), None)
            values = None if held is None else numbers(archive[key])
            if values is not None:
                fields[key] = values
    return lazy_cube(np.moveaxis(data, axis, 0), path, **fields)


def _own_entry(archive: Any) -> str | None:
    """Return what this package wrote beside the array of an archive of its own, or None."""
    name = f"{OWN_KEY}.npy"
    if not {OWN_KEY, "data"} <= set(archive.files) or archive.zip.getinfo(name).file_size > LONGEST:
        return None
    entry = archive[OWN_KEY]
    return str(entry) if entry.dtype.kind == "U" and entry.ndim == 0 else None


def _header(archive: Any, name: str) -> Variable:
    """Return name, shape and kind of a member, without unpacking its numbers."""
    with archive.zip.open(f"{name}.npy" if f"{name}.npy" in archive.zip.namelist() else name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    return Variable(name, shape, dtype.kind in "biuf")


def _three(values: Iterable[int]) -> tuple[int, int, int]:
    bands, height, width = values
    return bands, height, width


NPY_READER = Reader(title="NPY", patterns=("*.npy",), read=read_npy, magic=(b"\x93NUMPY",))
NPZ_READER = Reader(title="NPZ", patterns=("*.npz",), read=read_npz, magic=(b"PK\x03\x04",))
