"""NPY and NPZ."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_specfusion.errors import ReadError
from napari_specfusion.io import open_cube
from napari_specfusion.io.arrays.lazy import MappedArray

CUBE = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">f4", "<f8", "|u1"])
def test_npy(dtype: str, order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(CUBE, dtype, order=order))  # type: ignore[call-overload]
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), CUBE)
    np.testing.assert_array_equal(cube.spectrum(2, 3), CUBE[:, 2, 3])
    np.save(path, np.asarray(CUBE[1], dtype, order=order))  # type: ignore[call-overload]
    np.testing.assert_array_equal(open_cube(path).data.compute(), CUBE[1:2])


@pytest.mark.parametrize("order", ["C", "F"])
def test_band_axis(order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(CUBE.transpose(1, 2, 0), order=order))  # type: ignore[call-overload]
    for cube in (open_cube(path, band_axis=2), open_cube(path, wavelengths=range(400, 405))):
        np.testing.assert_array_equal(cube.data.compute(), CUBE)


def test_npz_with_a_description(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(
        path,
        cube=CUBE.transpose(1, 2, 0),
        mask=np.ones((6, 7)),
        wavelengths=np.arange(900, 400, -100),
        fwhm=np.arange(5.0),
        good_bands=np.array([1, 0, 1, 1, 1]),
    )
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), CUBE[::-1])
    np.testing.assert_allclose(cube.wavelengths, [500, 600, 700, 800, 900])
    np.testing.assert_allclose(cube.fwhm, [4, 3, 2, 1, 0])
    np.testing.assert_array_equal(cube.good, [1, 1, 1, 0, 1])
    assert open_cube(path, array="mask").shape == (1, 6, 7)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(5),
        np.zeros((2, 2, 2, 2)),
        np.zeros((3, 0, 4)),
        np.array(1.0),
        np.zeros((2, 2, 2), complex),
        np.full((2, 2, 2), "a"),
        np.full((2, 2, 2), None),
    ],
    ids=["1-D", "4-D", "empty", "0-D", "complex", "text", "objects"],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_no_cube(bad: np.ndarray, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "npy":
        np.save(path, bad, allow_pickle=True)
    else:
        np.savez(path, cube=bad, allow_pickle=True)
    with pytest.raises(ReadError, match=path.name):
        open_cube(path)


def test_npz_candidates(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, left=CUBE, right=CUBE)
    with pytest.raises(ReadError, match=r"left .*, right .*array="):
        open_cube(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compressed", [False, True])
def test_npz_by_every_way(compressed: bool, order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save = np.savez_compressed if compressed else np.savez
    save(path, other=np.arange(3), cube=np.asarray(CUBE.transpose(1, 2, 0), order=order), wl=np.arange(400.0, 405))  # type: ignore[call-overload]
    cube = open_cube(path)
    np.testing.assert_array_equal(cube.data.compute(), CUBE)
    np.testing.assert_array_equal(cube.spectrum(2, 3), CUBE[:, 2, 3])
    np.testing.assert_array_equal(cube.read(slice(1, 4), slice(2, 6)), CUBE[:, 1:4, 2:6])
    assert cube.source is not None and isinstance(cube.source.array, MappedArray) != compressed
    save(path, plane=np.asarray(CUBE[0], order=order))  # type: ignore[call-overload]
    np.testing.assert_array_equal(open_cube(path).data.compute(), CUBE[:1])


def test_raman_shifts(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", map=CUBE, wavenumbers=np.linspace(500, 1800, 5))
    cube = open_cube(tmp_path / "a.npz")
    assert cube.spectral_unit == "cm-1"
    np.testing.assert_allclose(cube.wavelengths, np.linspace(500, 1800, 5))


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": descr, "fortran_order": False, "shape": shape})
    return written.getvalue()


@pytest.mark.parametrize("shape", [(1 << 40, 1 << 20, 1 << 20), (1 << 20, 1 << 10, 4), (-3, 4, 5), (3, 4, 6)])
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_absurd_shapes(ending: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    content = header(shape) + bytes(480)
    if ending == "npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("cube.npy", content)
    with pytest.raises(ReadError, match=path.name):
        np.asarray(open_cube(path).data)


def test_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("cube.npy", "w") as member:
        member.write(header((300, 1000, 1000), "|u1"))
        for _ in range(300):
            member.write(bytes(1_000_000))
    with pytest.raises(ReadError, match="more than images do"):
        open_cube(path)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Trap()))
    np.save(tmp_path / "objects.npy", np.array([[[Trap()]]], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", cube=np.array([[[Trap()] * 2] * 2], object), wl=np.array([Trap()] * 2, object))
    np.savez(tmp_path / "b.npz", cube=CUBE, wl=np.array([Trap()] * 5, object), fwhm=np.array([Trap()] * 5, object))
    for name in ("raw.npy", "objects.npy", "a.npz"):
        with pytest.raises(ReadError, match=name):
            open_cube(tmp_path / name)
    assert open_cube(tmp_path / "b.npz").wavelengths is None
    assert not (tmp_path / "sprung").exists()
