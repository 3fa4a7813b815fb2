"""HDF5 and NetCDF 4 files of anyone: which dataset, which axis, and what a file must not do to its reader."""

from __future__ import annotations

import pickle
import sys
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion import memory
from napari_specfusion.errors import ReadError
from napari_specfusion.io import find_reader, open_cube
from napari_specfusion.io.arrays.lazy import MappedArray
from napari_specfusion.io.formats.hdf5 import arrays
from napari_specfusion.io.formats.hdf5.arrays import hdf_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CUBE = np.arange(6 * 7 * 8, dtype=np.uint16).reshape(6, 7, 8)


def write(path: Path, **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data", data=CUBE, **options)
    return path


STORED: dict[str, dict[str, Any]] = {
    "in one piece": {},
    "chunks": {"chunks": (4, 3, 5)},
    "gzip": {"chunks": (4, 3, 5), "compression": "gzip"},
    "shuffled gzip": {"chunks": (4, 3, 5), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"chunks": (4, 3, 5), "compression": "lzf", "shuffle": True},
    "scale-offset": {"chunks": (4, 3, 5), "scaleoffset": 0},
    "big-endian": {"chunks": (4, 3, 5), "dtype": ">u2", "compression": "gzip"},
    "big-endian in one piece": {"dtype": ">f8"},
}


@pytest.mark.parametrize("axes", ["byx", "yxb", "ybx", "xyb", "bxy", "xby"])
@pytest.mark.parametrize("stored", STORED)
def test_any_layout_and_order_of_axes(stored: str, axes: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", **STORED[stored])
    want = CUBE.transpose([axes.index(letter) for letter in "byx"])
    cube = open_cube(path, array="/entry/data", axes=axes)
    np.testing.assert_array_equal(cube.data.compute(), want)
    np.testing.assert_array_equal(cube.spectrum(2, 3), want[:, 2, 3])
    np.testing.assert_array_equal(cube.source.window(slice(5, 0, -2), slice(1, 5)), want[:, 5:0:-2, 1:5])  # type: ignore[union-attr]
    again = pickle.loads(pickle.dumps(cube.source))
    np.testing.assert_array_equal(again.spectrum(1, 1), want[:, 1, 1])
    assert cube.data.dtype.isnative


def test_numbers_in_one_piece_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    assert isinstance(open_cube(path).source.array, MappedArray)  # type: ignore[union-attr]
    whole = path.read_bytes()
    with h5py.File(path) as file:
        end = file["entry/data"].id.get_offset() + CUBE.nbytes
    path.write_bytes(whole[: end - 100])
    with pytest.raises(ReadError):
        open_cube(path)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i4", ">i8", "<f2", ">f4", "?"])
def test_types(dtype: str, tmp_path: Path) -> None:
    for options in ({}, {"chunks": (2, 3, 4), "compression": "gzip"}):
        values = (CUBE % 2 if dtype == "?" else CUBE % 100).astype(dtype)
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("a", data=values, **options)
        np.testing.assert_array_equal(open_cube(tmp_path / "a.h5").data.compute(), values)


def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("a", (6, 7, 8), "i2", chunks=(2, 3, 3), fillvalue=-5, compression="gzip")
        data[0:2, 0:3, 0:3] = 1
    want = np.full((6, 7, 8), -5)
    want[0:2, 0:3, 0:3] = 1
    cube = open_cube(tmp_path / "a.h5")
    np.testing.assert_array_equal(cube.data.compute(), want)


def test_one_two_or_no_cube(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scene/counts"] = CUBE
        file["scene/mask"] = np.zeros((7, 8), "u1")
        file["scene/words"] = np.array([b"a", b"b"])
        file["scene/line"] = np.zeros((1, 1, 9))
    assert open_cube(tmp_path / "a.h5").metadata["dataset"] == "/scene/counts"
    assert open_cube(tmp_path / "a.h5", array="scene/mask").shape == (1, 7, 8)
    with pytest.raises(ReadError, match=r"no dataset '/scene/count'; choose one of /scene/counts \(6 x 7 x 8\), "):
        open_cube(tmp_path / "a.h5", array="/scene/count")
    with pytest.raises(ReadError, match="cannot be read: its type is"):
        open_cube(tmp_path / "a.h5", array="/scene/words")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["scene/dark"] = CUBE
    with pytest.raises(
        ReadError,
        match=r"several datasets: /scene/counts \(6 x 7 x 8\), /scene/dark \(6 x 7 x 8\)\. Name one with array=",
    ):
        open_cube(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["mask"] = np.zeros((7, 8))
    with pytest.raises(ReadError, match=r"no numeric dataset with three axes, only /mask \(7 x 8\)"):
        open_cube(tmp_path / "b.h5")
    with pytest.raises(ReadError, match=r"axes='yxc' does not fit"):
        open_cube(tmp_path / "a.h5", array="scene/dark", axes="yxc")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("where", ["dataset", "attribute"])
def test_wavelengths_find_the_axis_of_the_bands(where: str, axis: int, tmp_path: Path) -> None:
    bands = CUBE.shape[axis]
    centres = np.linspace(0.4, 1.0, bands)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("entry/data", data=CUBE)
        if where == "dataset":
            file["entry/Wavelength"] = centres
            file["entry/Wavelength"].attrs["units"] = "micrometers"
            file["entry/fwhm"] = np.full(bands, 0.01)
            file["other/wavelength"] = centres + 1
        else:
            data.attrs["wavelengths"], data.attrs["wavelength_units"] = centres, "um"
            data.attrs["fwhm"] = np.full(bands, 0.01)
    cube = open_cube(tmp_path / "a.h5")
    np.testing.assert_array_equal(cube.data.compute(), np.moveaxis(CUBE, axis, 0))
    np.testing.assert_allclose(cube.wavelengths, centres * 1e3)
    np.testing.assert_allclose(cube.fwhm, 10)


def test_raman_shifts(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["map"], file["wavenumbers"] = CUBE, np.linspace(500, 1800, 8)
    cube = open_cube(tmp_path / "a.h5")
    assert (cube.spectral_unit, cube.shape) == ("cm-1", (8, 6, 7))


def test_names_of_axes_tell_the_bands(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        data = file.create_dataset("radiance", data=CUBE)
        data.attrs["scale_factor"], data.attrs["add_offset"], data.attrs["_FillValue"] = 0.5, 1.0, np.uint16(3)
        for axis, name in enumerate(("y", "x", "band")):
            file[name] = np.arange(CUBE.shape[axis])
            file[name].make_scale(name)
            data.dims[axis].attach_scale(file[name])
    cube = open_cube(tmp_path / "a.nc")
    want = CUBE.transpose(2, 0, 1) * 0.5 + 1
    want[CUBE.transpose(2, 0, 1) == 3] = np.nan
    np.testing.assert_allclose(cube.read(), want)
    assert cube.metadata["notes"] == () and "findings" not in cube.metadata
    path = write(tmp_path / "b.h5")
    level, message = open_cube(path).metadata["findings"][0]
    assert level == "warning" and "Nothing says which axis of b.h5:/entry/data" in message
    assert open_cube(path, wavelengths=np.arange(7.0) + 400).shape == (7, 6, 8)


def test_told_by_the_first_bytes(tmp_path: Path) -> None:
    assert find_reader(write(tmp_path / "scan.xyz")) == "hdf5"
    (tmp_path / "old.nc").write_bytes(b"CDF\x01" + bytes(100))
    with pytest.raises(ReadError, match="NetCDF 3 file; convert it"):
        open_cube(tmp_path / "old.nc")


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ReadError, match=r"napari-specfusion\[hdf\]"):
        open_cube(path)


def test_others_may_open_the_file_meanwhile(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", chunks=(2, 3, 4))
    cube = open_cube(path)
    cube.spectrum(0, 0)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(cube.spectrum(1, 2), file["entry/data"][:, 1, 2])


def test_threads_read_side_by_side(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9999, (40, 60, 70), dtype=np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=values, chunks=(7, 13, 17), compression="gzip", shuffle=True)
    cube = open_cube(tmp_path / "a.h5")
    barrier = threading.Barrier(8)

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        barrier.wait()
        for _ in range(30):
            y, x = rng.integers(50), rng.integers(60)
            window = cube.source.window(slice(y, y + 9), slice(x, x + 9))  # type: ignore[union-attr]
            np.testing.assert_array_equal(window, values[:, y : y + 9, x : x + 9])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))


# --- hostile files ---------------------------------------------------------------------


def memory_of(run: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["outside"] = h5py.ExternalLink(str(secret), "/entry/data")
        file["group"] = h5py.ExternalLink(str(secret), "/entry")
        file["around"] = h5py.SoftLink("/group/data")
        file["circle"] = h5py.SoftLink("/circle")
        file["nowhere"] = h5py.SoftLink("/nothing")
        file["inside"] = CUBE
        file["link"] = h5py.SoftLink("/inside")
    assert open_cube(tmp_path / "a.h5").metadata["dataset"] == "/inside"
    assert open_cube(tmp_path / "a.h5", array="link").shape == CUBE.shape
    for name in ("outside", "group/data", "around", "circle", "nowhere", "../secret.h5"):
        with pytest.raises(ReadError, match="has no dataset"):
            open_cube(tmp_path / "a.h5", array=name)


def test_products_do_not_follow_links_either(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["reflectance"] = h5py.ExternalLink(str(secret), "/entry/data")
        file["sensor_band_parameters/wavelengths"] = np.arange(8.0)
        file["SJER/Reflectance/Reflectance_Data"] = h5py.ExternalLink(str(secret), "/entry/data")
    with pytest.raises(ReadError, match="no numeric dataset with three axes"):
        open_cube(tmp_path / "a.h5")


def test_numbers_in_other_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    write(tmp_path / "source.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (2, 3, 4), "u1", external=[(str(tmp_path / "secret.bin"), 0, 24)])
    with pytest.raises(ReadError, match="are in another file"):
        open_cube(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        layout = h5py.VirtualLayout(CUBE.shape, CUBE.dtype)
        layout[...] = h5py.VirtualSource(str(tmp_path / "source.h5"), "entry/data", CUBE.shape)
        file.create_virtual_dataset("a", layout)
    with pytest.raises(ReadError, match="virtual"):
        open_cube(tmp_path / "b.h5")


def test_groups_that_hold_themselves_or_very_many(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = CUBE
        file["again"] = file["a"]
        file.create_group("g")["up"] = file["/"]
        deep = file
        for _ in range(300):
            deep = deep.create_group("d")
        deep["hidden"] = CUBE
    assert open_cube(tmp_path / "a.h5").shape == CUBE.shape


@pytest.mark.parametrize(
    "dtype", [np.dtype("c8"), np.dtype([("a", "i4"), ("b", "f4")]), np.dtype("S5"), np.dtype("g"), h5py.string_dtype()]
)
def test_odd_types_are_refused_in_words(dtype: Any, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (2, 3, 4), dtype, chunks=(1, 3, 4))
    with pytest.raises(ReadError, match=r"complex|its type is|no numeric dataset|unknown"):
        open_cube(tmp_path / "a.h5", array="a")


def test_huge_claims_cost_nothing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (20, 1_000_000, 1_000_000), "f4", chunks=(10, 100, 100), fillvalue=2.0)
    assert (tmp_path / "a.h5").stat().st_size < 20_000

    def use() -> None:
        cube = open_cube(tmp_path / "a.h5")
        assert np.all(cube.spectrum(999_999, 5) == 2)
        assert cube.read(slice(500_000, 500_010), slice(0, 10)).shape == (20, 10, 10)
        window = cube.source.window(slice(0, None, 50_000), slice(7, None, 50_000))  # type: ignore[union-attr]
        assert window.shape == (20, 20, 20)

    assert memory_of(use) < 100 << 20


@pytest.mark.parametrize("shape", [(10**12, 1, 1), (3, 10**12, 2)])
def test_claims_that_no_image_makes(shape: tuple[int, int, int], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", shape, "u1", chunks=(1, 1, 1))
    with pytest.raises(ReadError, match="declares the shape"):
        open_cube(tmp_path / "a.h5", array="a")


def test_chunks_of_gigabytes_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (2000, 2000, 2000), "u1", chunks=(1500, 1000, 1000), compression="gzip")
    with pytest.raises(ReadError, match="more than 1 GB each"):
        open_cube(tmp_path / "a.h5")


def bomb(path: Path, inflated: int) -> Path:
    """Write a cube whose first chunk claims 4 KB and inflates to far more."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("a", (4, 64, 64), "u1", chunks=(1, 64, 64), compression="gzip")
        data[...] = 1
        packer = zlib.compressobj(9)
        block = bytes(1 << 20)
        parts = [packer.compress(block) for _ in range(inflated >> 20)]
        data.id.write_direct_chunk((0, 0, 0), b"".join([*parts, packer.flush()]))
    return path


def test_a_bomb_does_not_inflate(tmp_path: Path) -> None:
    cube = open_cube(bomb(tmp_path / "a.h5", 256 << 20))

    def use() -> None:
        with pytest.raises(ReadError, match="inflates to more than 4096 bytes"):
            cube.spectrum(0, 0)
        assert np.all(cube.select([1]).data.compute() == 1)

    assert memory_of(use) < 8 << 20


def test_only_the_chunks_of_a_window_are_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=np.ones((4, 64, 64), "u1"), chunks=(4, 16, 16), compression="gzip")
    cube = open_cube(tmp_path / "a.h5")
    inflated: list[int] = []
    undo = arrays._undo

    def counting(*arguments: Any) -> bytes:
        inflated.append(1)
        return undo(*arguments)

    monkeypatch.setattr(arrays, "_undo", counting)
    cube.read(slice(16, 32), slice(15, 17))
    assert len(inflated) == 2
    cube.spectrum(20, 16)
    assert len(inflated) == 2, "the chunk is still held"


def test_chunks_that_lie_about_their_length(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("a", (2, 4, 4), "u1", chunks=(1, 4, 4), compression="gzip")
        data[...] = 1
        data.id.write_direct_chunk((0, 0, 0), zlib.compress(b"short"))
        data.id.write_direct_chunk((1, 0, 0), b"rubbish")
    cube = open_cube(tmp_path / "a.h5")
    for band, words in ((0, "5 bytes, not 16"), (1, "damaged or has changed")):
        with pytest.raises(ReadError, match=words):
            cube.data[band].compute()


def test_chunks_longer_than_declared_where_the_filters_were_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("a", (2, 4, 4), "u1", chunks=(1, 4, 4), compression="gzip")
        for band in range(2):
            data.id.write_direct_chunk((band, 0, 0), bytes(1 << 20))
    raw = bytearray(path.read_bytes())
    message = raw.index(b"deflate") - 24
    assert raw[message] == 0x0B, "a message of filters"
    raw[message] = 0  # of nothing
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="declares 1048576 bytes instead of 16"):
        open_cube(path).spectrum(0, 0)


def test_vectors_of_gigabytes_are_no_wavelengths(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = CUBE
        file.create_dataset("wavelength", (8,), "f8", chunks=(10**8,), maxshape=(None,), compression="gzip")
    assert open_cube(tmp_path / "a.h5").wavelengths is None


@settings(max_examples=150, deadline=2000)
@given(data=st.data())
def test_damaged_files_end_in_words(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("hdf") / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data", data=CUBE, chunks=(2, 4, 5), compression="gzip", shuffle=True)
        file["entry/wavelength"] = np.arange(8.0)
        file["entry/data"].attrs["_FillValue"] = 3
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        np.asarray(open_cube(path).data)
    except ReadError as error:
        assert "a.h5" in str(error)


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    chunks=st.tuples(*[st.integers(1, 5)] * 3),
    axes=st.permutations("byx").map("".join),
    mirrored=st.booleans(),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_any_slice_is_numpys(
    shape: tuple[int, int, int],
    chunks: tuple[int, int, int],
    axes: str,
    mirrored: bool,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("hdf") / "a.h5"
    values = np.arange(np.prod(shape), dtype="<i4").reshape(shape)
    chunks = tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))  # type: ignore[assignment]
    with h5py.File(path, "w") as file:
        array = hdf_array(
            path, file.create_dataset("a", data=values, chunks=chunks, compression="gzip"), axes, mirrored
        )
    want = values.transpose([axes.index(letter) for letter in "byx"])
    want = want[:, :, ::-1] if mirrored else want
    index = tuple(
        data.draw(st.one_of(st.integers(0, n - 1), st.slices(n).filter(lambda s, n=n: len(range(*s.indices(n))) > 0)))
        for n in want.shape
    )
    limit = memory.HDF_BOX
    try:
        memory.HDF_BOX = data.draw(st.sampled_from([limit, 16]))
        np.testing.assert_array_equal(array[index], want[index])
    finally:
        memory.HDF_BOX = limit
