"""Damaged HDF5 files must not hold the HDF5 library for ever, nor crash it."""

from __future__ import annotations

import multiprocessing
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_specfusion.errors import SpecFusionError
from napari_specfusion.io import open_cube
from napari_specfusion.io.formats.hdf5.arrays import _undo
from napari_specfusion.io.formats.hdf5.file import attribute, open_hdf, text
from napari_specfusion.io.guards.hdf_heaps import HeapCheckedFile

if TYPE_CHECKING:
    from collections.abc import Callable

CUBE = np.arange(4 * 5 * 3, dtype="f4").reshape(4, 5, 3)
SECONDS = 60.0


def write_emit(path: Path) -> None:
    """Write EMIT's layout, with dimension scales and a title of any length."""
    with h5py.File(path, "w") as file:
        file["reflectance"] = CUBE
        file["sensor_band_parameters/wavelengths"] = np.array([400.0, 500, 600])
        file["sensor_band_parameters/fwhm"] = np.full(3, 8.0)
        for axis, (name, size) in enumerate((("downtrack", 4), ("crosstrack", 5), ("bands", 3))):
            file[name] = np.arange(size)
            file[name].make_scale(name)
            file["reflectance"].dims[axis].attach_scale(file[name])
        file.attrs["title"] = "EMIT L2A"


def write_scales(path: Path) -> None:
    """Write a cube whose bands only its dimension scales tell."""
    with h5py.File(path, "w") as file:
        file["spectra"] = CUBE.transpose(1, 2, 0)[:4, :3, :3]
        for axis, name in enumerate(("y", "x", "wavelength")):
            file[f"axes/{name}"] = np.arange(file["spectra"].shape[axis]) * 1.5
            file[f"axes/{name}"].make_scale(name)
            file["spectra"].dims[axis].attach_scale(file[f"axes/{name}"])


def heaps(raw: bytes) -> list[int]:
    """Return where the heaps of a file begin."""
    found, place = [], raw.find(b"GCOL")
    while place >= 0:
        found.append(place)
        place = raw.find(b"GCOL", place + 1)
    return found


def end_less_heap(path: Path) -> None:
    """Make the first object of each heap a free space of no bytes, from which no step leads on."""
    raw = bytearray(path.read_bytes())
    for place in heaps(bytes(raw)):
        raw[place + 16 : place + 32] = bytes(16)
    path.write_bytes(raw)


def wrapping_heap(path: Path) -> None:
    """Give the first object of each heap a size that comes round to zero."""
    raw = bytearray(path.read_bytes())
    for place in heaps(bytes(raw)):
        raw[place + 24 : place + 32] = struct.pack("<Q", 2**64 - 16)
    path.write_bytes(raw)


def circle_of_scales(path: Path) -> None:
    """Attach each scale to itself and the cube to the cube."""
    with h5py.File(path, "r+") as file:
        for name in ("spectra", "reflectance", "axes/y", "axes/x", "axes/wavelength", "bands"):
            if name not in file:
                continue
            item = file[name]
            for attribute in ("DIMENSION_LIST", "REFERENCE_LIST"):
                if attribute in item.attrs:
                    del item.attrs[attribute]
            kind = h5py.vlen_dtype(h5py.ref_dtype)
            references = np.empty(item.ndim, object)
            for axis in range(item.ndim):
                references[axis] = np.array([item.ref] * 3, h5py.ref_dtype)
            item.attrs.create("DIMENSION_LIST", references, dtype=kind)


def broken_list(path: Path) -> None:
    """Let the list of scales refer to nothing."""
    with h5py.File(path, "r+") as file:
        item = file["spectra" if "spectra" in file else "reflectance"]
        del item.attrs["DIMENSION_LIST"]
        item.attrs["DIMENSION_LIST"] = np.array([9, 9, 9])


def groups_within_themselves(path: Path) -> None:
    """Let groups hold one another."""
    with h5py.File(path, "r+") as file:
        first, second = file.create_group("one"), file.create_group("two")
        for group in (first, second):
            group["one"], group["two"], group["root"] = first, second, file["/"]
            group["soft"] = h5py.SoftLink("/one/soft")


def huge_shape(path: Path) -> None:
    """Declare wavelengths and a cube of a size that no file holds."""
    with h5py.File(path, "r+") as file:
        file.create_dataset("more", (2**40, 2**20, 1), "f8", chunks=(64, 64, 1))
        if "sensor_band_parameters" in file:
            del file["sensor_band_parameters/wavelengths"]
            file.create_dataset("sensor_band_parameters/wavelengths", (2**50,), "f8", chunks=(1024,))


def list_of_texts_of_bytes(path: Path) -> None:
    """Give an attribute that should be a text a type that nests lists."""
    with h5py.File(path, "r+") as file:
        values = np.empty(1, object)
        values[0] = np.arange(5, dtype="u1")
        file.attrs.create("title", values, dtype=h5py.vlen_dtype(np.uint8))


def _open_all(paths: list[str], begun: Any) -> None:
    for number, path in enumerate(paths):
        begun.value = number
        try:
            open_cube(path).spectrum(0, 0)
        except SpecFusionError:
            pass
    begun.value = len(paths)


DAMAGES: list[Callable[[Path], None]] = [
    end_less_heap,
    wrapping_heap,
    circle_of_scales,
    broken_list,
    groups_within_themselves,
    huge_shape,
    list_of_texts_of_bytes,
]


@pytest.mark.parametrize("write", [write_emit, write_scales], ids=["emit", "scales"])
def test_damaged_files_end(write: Callable[[Path], None], tmp_path: Path) -> None:
    paths = []
    for damage in DAMAGES:
        paths.append(tmp_path / f"{damage.__name__}.nc")
        write(paths[-1])
        damage(paths[-1])
    # in a process of its own, because nothing stops a library that loops
    context = multiprocessing.get_context("spawn")
    begun = context.Value("i", -1)
    process = context.Process(target=_open_all, args=([str(path) for path in paths], begun))
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
    assert [path.stem for path in paths[begun.value :]] == []


def test_axes_are_told_by_dimension_scales(tmp_path: Path) -> None:
    path = tmp_path / "scene.nc"
    with h5py.File(path, "w") as file:
        file["spectra"] = np.zeros((6, 6, 6))
        file["axes/wavelength"] = np.arange(6)
        file["axes/wavelength"].make_scale("wavelength")
        file["spectra"].dims[2].attach_scale(file["axes/wavelength"])
        file["spectra"].attrs["marks"] = np.arange(6.0)
    cube = open_cube(path)
    assert not cube.metadata.get("findings"), "the band axis is known, not guessed"
    with h5py.File(path, "r+") as file:
        del file["spectra"].attrs["DIMENSION_LIST"]
    assert open_cube(path).metadata.get("findings")


def test_sound_heaps_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        for number in range(300):
            file.attrs[f"text {number}"] = "word " * number
    raw = path.read_bytes()
    assert len(heaps(raw)) > 1
    with open_hdf(path) as file:
        assert [attribute(file, f"text {n}") for n in range(300)] == ["word " * n for n in range(300)]
    with HeapCheckedFile(path) as checked:
        assert checked.readall() == raw


def test_a_mark_is_blank_wherever_a_piece_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"0123456789GCOL" + bytes(40))
    with HeapCheckedFile(path) as checked:
        for start in range(9, 15):
            checked.seek(start)
            assert b"G" not in checked.read(3) + checked.read(2)


@pytest.mark.parametrize("item", [0, 1 << 31])
def test_items_of_no_or_many_bytes_are_not_unshuffled(item: Any) -> None:
    with pytest.raises(SpecFusionError, match="shuffled by items"):
        _undo("a.h5", 2, (item,), b"12345678", 8)


def test_the_length_of_a_text_is_looked_at_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["words"] = "short"
        place = file["words"].id.get_offset()
    raw = bytearray(path.read_bytes())
    with open_hdf(path) as file:
        assert text(file["words"]) == "short"
    raw[place : place + 4] = b"\xff" * 4
    path.write_bytes(raw)
    with open_hdf(path) as file:
        assert text(file["words"]) is None
