"""ERDAS 7 images: both headers, both byte orders, and files that are not what they claim."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_specfusion.errors import ReadError
from napari_specfusion.io import find_reader, open_cube
from napari_specfusion.io.arrays.lazy import MappedArray

CUBE = np.random.default_rng(5).integers(0, 250, (7, 5, 6)).astype("i2")


def header(shape: tuple[int, int, int] = (7, 5, 6), kind: int = 2, order: str = "<", name: bytes = b"HEAD74") -> bytes:
    """Return a header after the published description: bands, rows, columns are `shape`."""
    bands, rows, columns = shape
    number = "i" if name == b"HEAD74" else "f"
    found = struct.pack(
        f"{order}6shh6x4{number}56xhh14xh5f",
        *(name, kind, bands, columns, rows, 1, 1, 0, 0, 0, 0.0, 1000.0, 2000.0, 20.0, 30.0),
    )
    assert len(found) == 128
    return found


def write(path: Path, values: np.ndarray[Any, Any] = CUBE, order: str = "<", name: bytes = b"HEAD74") -> Path:
    kind = 2 if values.dtype.itemsize == 2 else 0
    lines = values.transpose(1, 0, 2).astype(values.dtype.newbyteorder(order))
    path.write_bytes(header(values.shape, kind, order, name) + lines.tobytes())  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("dtype", ["u1", "i2"])
@pytest.mark.parametrize("name", [b"HEAD74", b"HEADER"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_comes_back(order: str, name: bytes, dtype: str, tmp_path: Path) -> None:
    values = CUBE.astype(dtype)
    path = write(tmp_path / "x.lan", values, order, name)
    cube = open_cube(path)
    assert cube.dtype == np.dtype(dtype) and cube.pixel_size == (30, 20)
    np.testing.assert_array_equal(cube.data.compute(), values)
    np.testing.assert_array_equal(cube.spectrum(4, 2), values[:, 4, 2])
    assert cube.source is not None and isinstance(cube.source.array, MappedArray)
    assert find_reader(path.rename(tmp_path / "x.data")) == "lan"


def test_another_reader_sees_the_same(tmp_path: Path) -> None:
    erdas = pytest.importorskip("spectral.io.erdas", reason="SPy is not installed")
    path = write(tmp_path / "x.lan")
    other = np.asarray(erdas.open(str(path)).load(dtype=np.int16))
    np.testing.assert_array_equal(open_cube(path).data.compute(), other.transpose(2, 0, 1))


def test_what_lies_behind_the_image_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "x.lan")
    path.write_bytes(path.read_bytes() + bytes(100))
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), CUBE)
    assert cube.metadata["notes"] == ("100 bytes after the image were left out",)


def test_a_text_that_begins_alike_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.pdb").write_bytes(b"HEADER    PROTEIN".ljust(500))
    assert find_reader(tmp_path / "x.pdb") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no ERDAS 7 header"),
        (b"HEAD74", "no ERDAS 7 header"),
        (b"HEAD75" + header()[6:] + bytes(420), "no ERDAS 7 header"),
        (header() + bytes(419), "is truncated"),
        (header((32767, 2**31 - 1, 2**31 - 1)) + bytes(1000), "is truncated"),
        (header((0, 5, 6)) + bytes(420), "damaged"),
        (header((7, -5, 6)) + bytes(420), "damaged"),
        (header(kind=7) + bytes(420), "damaged"),
        (header(kind=1) + bytes(420), "4-bit"),
        (header()[:16] + b"\xff" * 8 + header()[24:] + bytes(420), "damaged"),
        (b"HEADER" + header()[6:16] + struct.pack("<2f", np.nan, np.inf) + header()[24:] + bytes(420), "damaged"),
        (b"HEADER" + header()[6:16] + struct.pack("<2f", 5.5, 1e30) + header()[24:] + bytes(420), "damaged"),
    ],
)
def test_hostile(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.lan"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match=words):
            open_cube(path)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rest=st.binary(min_size=122, max_size=122), name=st.sampled_from([b"HEAD74", b"HEADER"]))
def test_any_header_opens_or_is_refused(rest: bytes, name: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.lan"
    path.write_bytes(name + rest + bytes(500))
    try:
        cube = open_cube(path)
    except ReadError:
        return
    assert cube.data.nbytes <= 500 and cube.data.compute().shape == cube.shape
