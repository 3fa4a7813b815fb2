"""MATLAB files, old and new: which array, and which of its axes holds the bands."""

from __future__ import annotations

import contextlib
import struct
import sys
import tracemalloc
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import savemat

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube
from napari_specfusion.io.arrays.lazy import MappedArray

if TYPE_CHECKING:
    from pathlib import Path

CUBE = np.arange(6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)


def save(path: Path, version: str, **variables: Any) -> Path:
    """Write variables as MATLAB would: "4", "5" through scipy, "7.3" as HDF5 with reversed axes."""
    if version != "7.3":
        savemat(path, variables, format=version)
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            array = np.atleast_2d(value)
            words = {"f": "double", "U": "char"}
            kind = words.get(array.dtype.kind, array.dtype.name)
            stored = array.T if array.dtype.kind != "U" else np.frombuffer(str(value).encode("utf-16-le"), "u2")
            file.create_dataset(name, data=stored).attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(512))
    return path


@pytest.fixture(params=["5", "7.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def same(path: Path, values: NDArray[Any], **options: Any) -> None:
    cube = open_cube(path, **options)
    np.testing.assert_array_equal(cube.data.compute(), values)
    np.testing.assert_array_equal(cube.spectrum(2, 3), values[:, 2, 3])
    np.testing.assert_array_equal(cube.read(slice(1, 4), slice(2, 6)), values[:, 1:4, 2:6])


def test_largest_cube_with_bands_last(version: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", version, small=CUBE[:, :, :2], HSI=CUBE, label=np.zeros((50, 50)), note="text")
    same(path, CUBE.transpose(2, 0, 1))
    assert open_cube(path).name == "HSI"
    same(path, CUBE[:, :, :2].transpose(2, 0, 1), array="small")
    same(path, CUBE, band_axis=0)


@pytest.mark.parametrize(("axis", "count"), [(0, 6), (1, 7), (2, 8)])
def test_wavelengths_find_the_band_axis(axis: int, count: int, version: str, tmp_path: Path) -> None:
    wavelengths = np.linspace(400, 1000, count)
    path = save(tmp_path / "a.mat", version, data=CUBE, wl=wavelengths)
    same(path, np.moveaxis(CUBE, axis, 0))
    np.testing.assert_allclose(open_cube(path).wavelengths, wavelengths)
    path = save(tmp_path / "b.mat", version, data=CUBE)
    same(path, np.moveaxis(CUBE, axis, 0), wavelengths=wavelengths)


def test_other_vectors_are_no_wavelengths(version: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", version, data=CUBE, bands=np.arange(8.0) + 1, wl=np.array([5.0] * 8))
    assert open_cube(path).wavelengths is None


def test_unfolded_image(version: str, tmp_path: Path) -> None:
    bands_first = CUBE.transpose(2, 0, 1)
    unfolded = CUBE.reshape(42, 8, order="F").T
    path = save(tmp_path / "a.mat", version, Y=unfolded, nRow=6.0, nCol=7.0, M=np.zeros((8, 4)))
    same(path, bands_first)
    same(save(tmp_path / "b.mat", version, Y=unfolded.T), bands_first, size=(6, 7))
    with pytest.raises(ReadError, match=r"no height and width to fold it\. Give size="):
        open_cube(tmp_path / "b.mat")
    with pytest.raises(ReadError, match="no height and width"):
        open_cube(tmp_path / "b.mat", size=(5, 7))
    assert open_cube(tmp_path / "b.mat", array="Y").shape == (1, 42, 8)


def test_candidates_are_named(version: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", version, left=CUBE, right=CUBE, text="hello")
    with pytest.raises(ReadError, match=r"left \(6 x 7 x 8\), right \(6 x 7 x 8\).*array="):
        open_cube(path)
    with pytest.raises(ReadError, match="no variable 'middle'; choose one of left"):
        open_cube(path, array="middle")
    with pytest.raises(ReadError, match="'text' is not an image"):
        open_cube(path, array="text")


def test_nothing_to_open(version: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no numeric 2-D or 3-D array"):
        open_cube(save(tmp_path / "a.mat", version, text="hello", one=1.0))


def test_version_4(tmp_path: Path) -> None:
    same(save(tmp_path / "a.mat", "4", image=CUBE[0]), CUBE[:1], array="image")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_struct(nested: bool, compressed: bool, tmp_path: Path) -> None:
    record: Any = {
        "cube": CUBE,
        "wavenumbers": np.linspace(500, 1800, 8),
        "note": "text",
        "parts": [[1, "a"], {"b": 2}],
    }
    path = tmp_path / "a.mat"
    savemat(path, {"run": {"inner": record} if nested else record, "n": 3.0}, do_compression=compressed)
    same(path, CUBE.transpose(2, 0, 1))
    cube = open_cube(path)
    assert (cube.name, cube.spectral_unit) == ("cube", "cm-1")
    np.testing.assert_allclose(cube.wavelengths, np.linspace(500, 1800, 8))
    name = "run.inner.cube" if nested else "run.cube"
    same(path, CUBE.transpose(2, 0, 1), array=name)
    with pytest.raises(ReadError, match=rf"choose one of {name} \(6 x 7 x 8\)"):
        open_cube(path, array="run.nothing")


def test_struct_of_version_7_3(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("run")
        group.create_dataset("cube", data=CUBE.T).attrs["MATLAB_class"] = np.bytes_("single")
        group.create_dataset("raman_shift", data=np.linspace(500, 1800, 8)).attrs["MATLAB_class"] = np.bytes_("double")
    same(path, CUBE.transpose(2, 0, 1))
    assert open_cube(path).spectral_unit == "cm-1"


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8", ">u2"])
def test_uncompressed_numbers_stay_in_the_file(dtype: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", "5", first=1.0, data=CUBE.astype(dtype), last="text")
    same(path, CUBE.astype(dtype).transpose(2, 0, 1))
    source = open_cube(path).source
    assert source is not None and isinstance(source.array, MappedArray)
    compressed = tmp_path / "b.mat"
    savemat(compressed, {"data": CUBE.astype(dtype)}, do_compression=True)
    same(compressed, CUBE.astype(dtype).transpose(2, 0, 1))


def tag(code: int, content: bytes) -> bytes:
    return struct.pack("<II", code, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, shape: tuple[int, ...], *rest: bytes, name: bytes = b"x") -> bytes:
    head = tag(6, struct.pack("<II", kind, 0)) + tag(5, struct.pack(f"<{len(shape)}i", *shape)) + tag(1, name)
    return tag(14, head + b"".join(rest))


def file_5(path: Path, *elements: bytes) -> Path:
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements))
    return path


def nest(depth: int) -> bytes:
    inside = matrix(6, (1, 1), tag(9, bytes(8)), name=b"")
    for _ in range(depth):
        inside = matrix(1, (1, 1), inside, name=b"")
    return (
        matrix(1, (1, 1), inside)
        if depth < 1000
        else matrix(2, (1, 1), tag(5, b"\4\0\0\0"), tag(1, b"f\0\0\0"), inside)
    )


def packed(element: bytes) -> bytes:
    inner = zlib.compress(element, 9)
    return struct.pack("<II", 15, len(inner)) + inner


def struct_of(field: bytes) -> bytes:
    """Return a struct of one field."""
    return matrix(2, (1, 1), tag(5, b"\4\0\0\0"), tag(1, b"f\0\0\0"), field)


EIGHT = matrix(6, (1, 1), tag(9, bytes(8)), name=b"")

HOSTILE = {
    "bomb": packed(
        struct.pack("<II", 14, 0xFFFFFF00) + matrix(9, (20000, 20000, 1), tag(2, b""))[8:56] + bytes(1 << 22)
    ),
    "bomb of numbers": packed(
        struct.pack("<II", 14, 900_000_056)
        + matrix(9, (30000, 30000, 1))[8:]
        + struct.pack("<II", 2, 900_000_000)
        + bytes(1 << 20)
    ),
    "absurd shape": matrix(6, (1 << 30, 1 << 30, 1 << 30), tag(9, bytes(64))),
    "negative shape": matrix(6, (-4, -4, 4), tag(9, bytes(512))),
    "deep struct": nest(2000),
    "cells that are not there": matrix(2, (1, 1), tag(5, b"\4\0\0\0"), tag(1, b"f\0\0\0"), matrix(1, (1 << 30, 1))),
    "struct without fields": matrix(2, (1 << 30, 1), tag(5, b"\4\0\0\0"), tag(1, b"")),
    "text that is not there": matrix(
        2, (1, 1), tag(5, b"\4\0\0\0"), tag(1, b"f\0\0\0"), matrix(4, (1, 1 << 30), tag(16, b""))
    ),
    "function": matrix(2, (1, 1), tag(5, b"\4\0\0\0"), tag(1, b"f\0\0\0"), matrix(16, (1, 1))),
    "numbers of no type": struct_of(matrix(6, (1, 1), tag(8, bytes(8)), name=b"")),
    "numbers of a type far away": struct_of(matrix(6, (1, 1), tag(60_000, bytes(8)), name=b"")),
    "text of a type far away": struct_of(matrix(4, (1, 2), tag(255, b"a\0b\0"), name=b"")),
    "imaginary parts of no type": struct_of(
        tag(14, tag(6, struct.pack("<II", 0x806, 0)) + tag(5, bytes(8)) + tag(1, b"") + tag(9, b"") + tag(11, b""))
    ),
    "rows of a sparse one of no type": struct_of(matrix(5, (1, 1), *[tag(10, bytes(8))] * 3, name=b"")),
    "shape of no type": struct_of(
        tag(14, tag(6, struct.pack("<II", 6, 0)) + tag(9, struct.pack("<d", 1)) + tag(1, b"") + tag(9, bytes(8)))
    ),
    "flags of another length": struct_of(
        tag(14, tag(6, struct.pack("<IIII", 6, 0, 0, 0)) + tag(5, b"\1\0\0\0" * 2) + tag(1, b"") + tag(9, bytes(8)))
    ),
    "names of no length": matrix(2, (1, 1), tag(5, bytes(4)), tag(1, b"f\0\0\0"), EIGHT),
    "names of negative length": matrix(2, (1, 1), tag(5, b"\xff" * 4), tag(1, b"f\0\0\0"), EIGHT),
    "a million fields": matrix(2, (0, 0), tag(5, b"\1\0\0\0"), tag(1, bytes(1 << 20))),
    "another of the same name first": struct_of(matrix(6, (1, 1), tag(8, bytes(8)), name=b""))
    + struct_of(matrix(6, (1, 1), tag(9, bytes(8)), name=b"")),
    "another of the same name, of no kind, first": matrix(6, (1, 1), tag(8, bytes(8)))
    + struct_of(matrix(6, (1, 1), tag(9, bytes(8)), name=b"")),
    "nothing": b"",
    "no zlib": struct.pack("<II", 15, 64) + bytes(64),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(case: str, tmp_path: Path) -> None:
    path = file_5(tmp_path / "a.mat", HOSTILE[case])
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match=r"a\.mat"):
            np.asarray(open_cube(path).data)
        assert tracemalloc.get_traced_memory()[1] < 50e6 + 4 * path.stat().st_size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [(0, -1, -1, 0, 2), (0, 1 << 30, 1 << 30, 0, 2), (0, 2, 2, 0, -8), (9999, 2, 2, 0, 2)])
def test_hostile_version_4(head: tuple[int, ...], tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(struct.pack("<5i", *head) + b"x\0" + bytes(32))
    with pytest.raises(ReadError, match=r"a\.mat"):
        open_cube(tmp_path / "a.mat")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_a_read_error(data: st.DataObject, tmp_path: Path) -> None:
    compressed = data.draw(st.booleans())
    path = tmp_path / "a.mat"
    savemat(path, {"s": {"cube": CUBE, "t": "text"}, "wl": np.arange(8.0)}, do_compression=compressed)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, min(len(raw), 600) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with contextlib.suppress(ReadError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy has remarks of its own
        np.asarray(open_cube(path).data)


def test_complex(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="complex"):
        open_cube(save(tmp_path / "a.mat", "5", data=CUBE * 1j))


def test_dataset_object(tmp_path: Path) -> None:
    scales = np.empty((2, 2), object)
    scales[:] = [["", ""], [np.linspace(500.5, 1800, 8), ""]]
    record = {"data": CUBE.reshape(42, 8, order="F"), "imagesize": [6, 7], "axisscale": scales, "name": "map"}
    cube = open_cube(save(tmp_path / "a.mat", "5", map1=record))
    np.testing.assert_array_equal(cube.data.compute(), CUBE.transpose(2, 0, 1))
    assert cube.spectral_unit == "cm-1"
    assert cube.name == "map"
    assert "cm-1" in cube.metadata["notes"][0]


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.mat", "7.3", data=CUBE)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ReadError, match=r"napari-specfusion\[hdf\]"):
        open_cube(path)


@pytest.mark.parametrize("size", [(-3.0, -4.0), (1.5, 8.0), (0.0, 12.0), (np.nan, 12.0), (np.inf, 12.0)])
def test_sizes_are_whole_numbers_above_zero(size: tuple[float, float], tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"Y": np.zeros((5, 12)), "nRow": size[0], "nCol": size[1]})
    with pytest.raises(ReadError, match="no height and width to fold it"):
        open_cube(tmp_path / "a.mat")
    with pytest.raises(ReadError, match="no height and width to fold it"):
        open_cube(tmp_path / "a.mat", size=size)
