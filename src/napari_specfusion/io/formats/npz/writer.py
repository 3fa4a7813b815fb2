"""Write NPZ files: the array and its description under plain names."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion import memory
from napari_specfusion.io.arrays.blocks import Watch, contiguous, plan, reads_by_bands, stored_blocks
from napari_specfusion.io.arrays.raw import fill, stored_dtype
from napari_specfusion.io.metadata.description import OWN_KEY, own_entry, told_by_name
from napari_specfusion.io.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["WRITER"]

_TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


def _write(cube: Cube, parts: tuple[Path, ...], targets: tuple[Path, ...], watch: Watch) -> list[str]:
    """Write an uncompressed NPZ archive: ``data`` ``(bands, y, x)`` and the fields of the cube."""
    dtype, notes = stored_dtype(cube.dtype, _TYPES, "NPZ")
    entry, more = own_entry(cube, {"good_bands"} | told_by_name(cube, "wavelengths"))
    by_bands = reads_by_bands(cube)
    spool = parts[0].with_name(f"{parts[0].name}.raw")
    if not by_bands:
        # An archive is written sequentially, band by band, so blocks that arrive row by row are reordered first.
        watch.total *= 2
        spool.touch()
        fill(spool, 0, cube.shape, "bsq", dtype, stored_blocks(cube, plan(cube, False), watch))
    with zipfile.ZipFile(parts[0], "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, value in _named(cube, entry).items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, value, allow_pickle=False)
        with archive.open("data.npy", "w", force_zip64=True) as member:
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                head, {"descr": dtype.str, "fortran_order": False, "shape": cube.shape}
            )
            member.write(head.getvalue())
            if by_bands:
                for _, values in stored_blocks(cube, plan(cube, True), watch):
                    member.write(contiguous(values.astype(dtype, copy=False)).data)
            else:
                with spool.open("rb") as file:
                    while piece := file.read(memory.COPIED_PIECE):
                        watch.check()
                        member.write(piece)
                        watch.add(len(piece))
    return notes + more


def _named(cube: Cube, entry: str) -> dict[str, Any]:
    """Return the members that accompany the data: this package's own entry, and plain arrays for other readers."""
    members: dict[str, Any] = {OWN_KEY: np.array(entry)}
    for key in ("wavelengths", "fwhm", "good_bands", "nodata", "affine", "pixel_size", "spectral_unit", "crs"):
        value = getattr(cube, key)
        if value is not None:
            members[key] = np.asarray(value)
    for key, usual in (("scale", 1.0), ("offset", 0.0)):
        if np.any(getattr(cube, key) != usual):
            members[key] = np.asarray(getattr(cube, key))
    return members


WRITER = Writer("NPZ", (".npz",), _write, room=2.0)
