"""Small files of every format that `open_cube` knows."""

from __future__ import annotations

import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Maker = Callable[[Path, NDArray[np.uint16]], Path]


def _envi(folder: Path, values: NDArray[np.uint16]) -> Path:
    bands, lines, samples = values.shape
    (folder / "scene.img").write_bytes(values.astype("<u2").tobytes())
    header = folder / "scene.hdr"
    header.write_text(
        f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = {bands}\ndata type = 12\ninterleave = bsq\n"
        "byte order = 0\n",
        encoding="utf-8",
    )
    return header


def _tiff(folder: Path, values: NDArray[np.uint16]) -> Path:
    import tifffile

    tifffile.imwrite(folder / "scene.tif", values, photometric="minisblack", compression="zlib")
    return folder / "scene.tif"


def _gdal(folder: Path, values: NDArray[np.uint16]) -> Path:
    rasterio = pytest.importorskip("rasterio", reason="GDAL comes with the extra geo")
    from rasterio.errors import NotGeoreferencedWarning

    bands, height, width = values.shape
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO", "YCC": "NO"}
    options = {"driver": "JP2OpenJPEG", "count": bands, "height": height, "width": width, "dtype": "uint16", **lossless}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(folder / "scene.jp2", "w", **options) as target:
            target.write(values)
    return folder / "scene.jp2"


def _hdf5(folder: Path, values: NDArray[np.uint16]) -> Path:
    h5py = pytest.importorskip("h5py", reason="HDF5 comes with the extra hdf")

    with h5py.File(folder / "scene.h5", "w") as file:
        file.create_dataset("entry/data", data=values, chunks=(3, 4, 5), compression="gzip")
    return folder / "scene.h5"


def _enmap(folder: Path, values: NDArray[np.uint16]) -> Path:
    import tifffile

    tifffile.imwrite(folder / "scene-SPECTRAL_IMAGE.TIF", values, photometric="minisblack", planarconfig="separate")
    bands = "".join(
        f"<bandID number='{n}'><wavelengthCenterOfBand>{400 + n}</wavelengthCenterOfBand></bandID>"
        for n in range(1, len(values) + 1)
    )
    metadata = folder / "scene-METADATA.XML"
    metadata.write_text(f"<level_X><bandCharacterisation>{bands}</bandCharacterisation></level_X>", encoding="utf-8")
    return metadata


def _lan(folder: Path, values: NDArray[np.uint16]) -> Path:
    bands, lines, samples = values.shape
    head = struct.pack("<6shh6xii104x", b"HEAD74", 2, bands, samples, lines)
    (folder / "scene.lan").write_bytes(head + values.transpose(1, 0, 2).astype("<i2").tobytes())
    return folder / "scene.lan"


def _matlab(folder: Path, values: NDArray[np.uint16]) -> Path:
    from scipy.io import savemat

    savemat(folder / "scene.mat", {"cube": values.transpose(1, 2, 0)}, do_compression=True)
    return folder / "scene.mat"


def _npy(folder: Path, values: NDArray[np.uint16]) -> Path:
    np.save(folder / "scene.npy", values)
    return folder / "scene.npy"


def _npz(folder: Path, values: NDArray[np.uint16]) -> Path:
    np.savez_compressed(folder / "scene.npz", cube=values)
    return folder / "scene.npz"


def _zarr(folder: Path, values: NDArray[np.uint16]) -> Path:
    import zarr

    zarr.create_array(folder / "scene.zarr", data=values, chunks=(2, 4, 4))
    return folder / "scene.zarr"


def _picture(folder: Path, values: NDArray[np.uint16]) -> Path:
    import imageio.v3 as imageio

    imageio.imwrite(folder / "scene.png", values[0])
    return folder / "scene.png"


def _folder(folder: Path, values: NDArray[np.uint16]) -> Path:
    import imageio.v3 as imageio

    inside = folder / "scene"
    inside.mkdir()
    for number, band in enumerate(values, 1):
        imageio.imwrite(inside / f"scene_{number}.png", band)
    return inside


MAKERS: dict[str, Maker] = {
    "envi": _envi,
    "tiff": _tiff,
    "gdal": _gdal,
    "hdf5": _hdf5,
    "enmap": _enmap,
    "lan": _lan,
    "matlab": _matlab,
    "npy": _npy,
    "npz": _npz,
    "zarr": _zarr,
    "picture": _picture,
    "folder": _folder,
}


@pytest.fixture
def values() -> NDArray[np.uint16]:
    """Return pixels ``(bands, y, x)`` of which no two are the same."""
    return np.random.default_rng(7).permutation(11 * 9 * 13).reshape(11, 9, 13).astype(np.uint16)


@pytest.fixture
def make_file(tmp_path: Path, values: NDArray[np.uint16]) -> Callable[[str], Path]:
    """Return a function that writes `values` in the format of a reader and returns the path to open."""
    return lambda key: MAKERS[key](tmp_path, values)


@pytest.fixture
def link() -> Callable[[Path, Path], None]:
    """Return a function: makes its first path a symbolic link to the second, or skips the test."""

    def make(path: Path, target: Path) -> None:
        try:
            path.symlink_to(target, target_is_directory=target.is_dir())
        except OSError as error:
            if sys.platform != "win32":
                raise
            pytest.skip(f"this user may not make symbolic links ({error})")

    return make
