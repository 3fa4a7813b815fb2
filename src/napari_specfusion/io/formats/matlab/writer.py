"""Write MATLAB files: version 5 with scipy, version 7.3 (HDF5) with h5py."""

from __future__ import annotations

import errno
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import OutputError, needs_extra
from napari_specfusion.io.arrays.blocks import Watch, plan, reads_by_bands, stored_blocks
from napari_specfusion.io.arrays.raw import stored_dtype
from napari_specfusion.io.metadata.description import OWN_KEY, own_entry, told_by_name
from napari_specfusion.io.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["WRITER"]

_CLASSES = {
    "u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32", "u8": "uint64",
    "i8": "int64", "f4": "single", "f8": "double",
}  # fmt: skip
# scipy builds version 5 in memory
LARGEST_V5 = 64 << 20
_CHUNK = (16, 64, 64)
_USER_BLOCK = 512
# space for HDF5's chunk index
_INDEX, _INDEX_PER_CHUNK = 1 << 20, 128


def _write(
    cube: Cube, parts: tuple[Path, ...], targets: tuple[Path, ...], watch: Watch, *, version: str | None = None
) -> list[str]:
    """Write a MATLAB file: ``data`` (rows, columns, bands) and the fields of the cube as further variables.

    Parameters
    ----------
    cube
        The cube.
    parts
        The temporary file to write.
    targets
        Its final path.
    watch
        Counts the bytes written.
    version
        ``"5"`` or ``"7.3"``; None chooses 5, which any program reads, for cubes of up to 64 MB, and 7.3 above that.
    """
    dtype, notes = stored_dtype(cube.dtype, _CLASSES, "MATLAB")
    size = cube.data.size * dtype.itemsize
    if version is None:
        version = "5" if size <= LARGEST_V5 else "7.3"
    if version not in {"5", "7.3"}:
        raise OutputError(f"version is {version!r}; choose '5' or '7.3'.")
    if version == "5" and size > LARGEST_V5:
        raise OutputError(
            f"{cube.name} has {size / 1e6:.0f} MB, but version 5 MATLAB files are limited to "
            f"{LARGEST_V5 / 1e6:.0f} MB here. Leave out version, or set it to '7.3'."
        )
    entry, more = own_entry(cube, told_by_name(cube, _spectral(cube)))
    extras = _extras(cube)
    if version == "5":
        _write_v5(cube, parts[0], dtype, extras | {OWN_KEY: entry}, watch)
    else:
        _write_v73(cube, parts[0], dtype, extras | {OWN_KEY: entry}, watch)
    return notes + more


def _extras(cube: Cube) -> dict[str, Any]:
    """Return the variables that accompany the data: row vectors and text."""
    fields: dict[str, Any] = {} if cube.wavelengths is None else {_spectral(cube): cube.wavelengths}
    for key in ("fwhm", "good_bands", "nodata", "affine", "pixel_size"):
        value = getattr(cube, key)
        if value is not None:
            fields[key] = np.asarray(value, np.float64)
    for key, usual in (("scale", 1.0), ("offset", 0.0)):
        if np.any(getattr(cube, key) != usual):
            fields[key] = np.asarray(getattr(cube, key), np.float64)
    # lone surrogates, which file names may contain, cannot be stored
    crs = (cube.crs or "").encode("utf-8", "replace").decode()
    fields |= {"spectral_unit": cube.spectral_unit} | ({"crs": crs} if crs else {})
    return fields


def _spectral(cube: Cube) -> str:
    return "wavenumbers" if cube.spectral_unit == "cm-1" else "wavelengths"


def _write_v5(cube: Cube, path: Path, dtype: np.dtype[Any], extras: dict[str, Any], watch: Watch) -> None:
    from scipy.io import savemat

    data = np.empty((*cube.shape[1:], cube.bands), dtype.newbyteorder("="), order="F")
    for block, values in stored_blocks(cube, plan(cube, reads_by_bands(cube)), watch):
        data[block.rows, block.columns, block.bands] = values.transpose(1, 2, 0)
    savemat(path, {"data": data} | extras, appendmat=False, oned_as="row")


def _write_v73(cube: Cube, path: Path, dtype: np.dtype[Any], extras: dict[str, Any], watch: Watch) -> None:
    try:
        import h5py
    except ImportError as error:
        raise OutputError(f"{cube.name} would be saved as MATLAB 7.3, which {needs_extra('h5py')}.") from error
    bands, height, width = cube.shape
    # MATLAB's axes are stored in reverse order
    chunk = (min(_CHUNK[0], bands), min(_CHUNK[1], width), min(_CHUNK[2], height))
    with h5py.File(path, "w", userblock_size=_USER_BLOCK) as file:
        data = file.create_dataset("data", (bands, width, height), dtype, chunks=chunk, fillvalue=0)
        data.attrs["MATLAB_class"] = np.bytes_(_CLASSES[dtype.newbyteorder("=").str[1:]])
        for name, value in extras.items():
            _add_variable(file, name, value)
    chunks = math.prod(math.ceil(size / n) for size, n in zip((bands, width, height), chunk, strict=True))
    _reserve(path, _INDEX + chunks * (math.prod(chunk) * dtype.itemsize + _INDEX_PER_CHUNK))
    with h5py.File(path, "r+") as file:
        data = file["data"]
        for block, values in stored_blocks(cube, plan(cube, reads_by_bands(cube), _aligned(chunk)), watch):
            data[block.bands, block.columns, block.rows] = values.transpose(0, 2, 1)
    with path.open("r+b") as raw:
        # MATLAB recognises its files by this block before the HDF5 data: text, version, byte order
        words = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created by napari-specfusion HDF5 schema 1.00 ."
        raw.write(words.ljust(116) + bytes(8) + b"\x00\x02IM")


def _reserve(path: Path, size: int) -> None:
    """Reserve `size` more bytes on disk: if space runs out later, HDF5 crashes the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), path.stat().st_size, size)
        except OSError as error:
            # some file systems cannot reserve space
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


def _aligned(chunk: tuple[int, int, int]) -> tuple[int, int, int]:
    bands, columns, rows = chunk
    return bands, rows, columns


def _add_variable(file: Any, name: str, value: Any) -> None:
    if isinstance(value, str):
        codes: NDArray[Any] = np.frombuffer(value.encode("utf-16-le"), "<u2")
        item = file.create_dataset(name, data=codes[:, None])
        item.attrs["MATLAB_class"] = np.bytes_("char")
        item.attrs["MATLAB_int_decode"] = np.int32(2)
        return
    item = file.create_dataset(name, data=np.atleast_1d(value).reshape(-1, 1))
    item.attrs["MATLAB_class"] = np.bytes_("double")


WRITER = Writer("MATLAB", (".mat",), _write)
