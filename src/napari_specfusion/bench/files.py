"""Speed and memory of opening, reading and converting large files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.bench.isolated import peak_memory, run_apart
from napari_specfusion.io import open_cube, save_cube

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bench_envi", "bench_files", "bench_open", "rows"]

INTERLEAVES = ("bsq", "bil", "bip")
# which axis of (bands, y, x) is the first, second and third of the file
_AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def rows(bands: int = 224, side: int = 2160) -> list[dict[str, Any]]:
    """Return one row of figures per interleave for a uint16 image of `bands` x `side` x `side`, 2.1 GB by default."""
    return [bench_envi(interleave, bands, side) for interleave in INTERLEAVES]


def bench_envi(interleave: str, bands: int, side: int, spectra: int = 50) -> dict[str, Any]:
    """Measure opening, contrast limits, one band and single spectra of an ENVI file of zeros.

    The file is sparse: times are those of a warm cache.

    Returns
    -------
    dict
        Times in s (``spectrum_ms`` in ms, the median of `spectra` random pixels) and the growth of this process's peak
        memory in MB while opening and finding contrast limits (NaN on Windows).
    """
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "scene.hdr"
        with header.with_suffix(".img").open("wb") as file:
            file.truncate(bands * side * side * 2)
        header.write_text(
            f"ENVI\nsamples = {side}\nlines = {side}\nbands = {bands}\ndata type = 12\ninterleave = {interleave}\n",
            encoding="utf-8",
        )
        before = peak_memory(fresh=True)
        cube, opened = _timed(lambda: open_cube(header))
        _, limits = _timed(cube.contrast_limits)
        grown = 1e3 * (peak_memory() - before)
        pixels = np.random.default_rng(0).integers(0, side, (spectra, 2)).tolist()
        each = [_timed(partial(cube.spectrum, y, x))[1] for y, x in pixels]
        _, band = _timed(lambda: np.asarray(cube.values[bands // 2]))
    return {
        "interleave": interleave,
        "gigabytes": bands * side * side * 2 / 1e9,
        "open_s": opened,
        "contrast_s": limits,
        "memory_mb": grown,
        "spectrum_ms": 1e3 * float(np.median(each)),
        "band_s": band,
    }


def bench_open(bands: int, side: int, folder: Path) -> dict[str, float]:
    """Return the seconds to open sparse files of uint16 ``(bands, side, side)``, by format."""
    import tifffile
    import zarr

    shape = (bands, side, side)
    np.lib.format.open_memmap(folder / "x.npy", "w+", np.dtype("u2"), shape)
    tifffile.memmap(folder / "x.tif", shape=shape, dtype="u2", bigtiff=True, photometric="minisblack")
    zarr.create_array(
        folder / "x.zarr", shape=shape, chunks=(min(16, bands), min(256, side), min(256, side)), dtype="u2"
    )
    with zipfile.ZipFile(folder / "x.npz", "w") as store:
        store.write(folder / "x.npy", "x.npy")
    names = ["x.npy", "x.npz", "x.tif", "x.zarr"]
    if importlib.util.find_spec("h5py") is not None:
        import h5py

        with h5py.File(folder / "x.h5", "w") as file:
            file.create_dataset("cube", shape, "u2")
        names.append("x.h5")
    found = {}
    for name in names:
        found[name[2:]] = min(_timed(partial(open_cube, folder / name))[1] for _ in range(2))
        (shutil.rmtree if (folder / name).is_dir() else os.remove)(folder / name)
    return found


def bench_files(interleave: str, bands: int, side: int, folder: Path, repeats: int = 3) -> dict[str, Any]:
    """Measure an ENVI file of noise on smooth ground against plain access to the same file.

    Parameters
    ----------
    interleave
                One of `INTERLEAVES`.
    bands, side
        The image is uint16 of `bands` x `side` x `side`.
    folder
        Folder on the disk to measure; files written there are removed.
    repeats
        Repeats of each measurement, alternating with its baseline; the best counts.

    Returns
    -------
    dict
        ``open_s``; ``band`` and ``spectrum``, warm and cold: the time through a cube divided by that through a numpy
        memory map, both for stored values in memory, where cold means that the file was dropped from the system's cache
        (NaN where that is not possible), and the time in ms of the cube alone; ``copy_s``, a plain copy of the file,
        and ``convert_s``, saving it as OME-Zarr in a separate process, both from a cold file until everything is on the
        disk; ``cpu_s`` and ``memory_mb`` of the conversion, libraries included; and ``speed``, the speed of the
        conversion relative to the copy.
    """
    header = folder / f"{interleave}.hdr"
    data = header.with_suffix(".img")
    axes = _AXES[interleave]
    shape = (bands, side, side)
    stored = tuple(shape[axis] for axis in axes)
    _write_ground(data, bands, side, interleave)
    header.write_text(
        f"ENVI\nsamples = {side}\nlines = {side}\nbands = {bands}\ndata type = 12\ninterleave = {interleave}\n",
        encoding="utf-8",
    )
    cube, opened = min((_timed(lambda: open_cube(header)) for _ in range(2)), key=lambda found: found[1])
    pixels = np.random.default_rng(1).integers(0, side, (10 * repeats, 2)).tolist()
    source = cube.source
    assert source is not None

    def plain(index: tuple[Any, ...]) -> NDArray[Any]:
        mapped = np.memmap(data, "<u2", "r", 0, stored).transpose(np.argsort(axes))
        return np.array(mapped[index])

    band = bands // 2
    found: dict[str, Any] = {"interleave": interleave, "gigabytes": 2 * bands * side * side / 1e9, "open_s": opened}
    for state in ("warm", "cold"):

        def seconds(call: Callable[[], Any], state: str = state) -> float:
            ready = _forget(data) if state == "cold" else call() is not None
            return _timed(call)[1] if ready else float("nan")

        pairs = [
            [seconds(lambda: plain((band,))), seconds(lambda: np.asarray(cube.data[band]))] for _ in range(repeats)
        ]
        found |= _compared(f"band_{state}", np.min(pairs, axis=0))
        pairs = [
            [seconds(partial(plain, (slice(None), *pixel))), seconds(partial(source.spectrum, *pixel))]
            for pixel in pixels
        ]
        found |= _compared(f"spectrum_{state}", np.median(pairs, axis=0))
    copies, saves = [], []
    for _ in range(repeats):
        _forget(data)
        copies.append(_timed(partial(_copy, data, folder / "copy.img"))[1])
        os.remove(folder / "copy.img")
        _forget(data)
        task = {"header": str(header), "out": str(folder / "x.zarr")}
        threads = os.cpu_count() or 1
        saves.append(run_apart(f"{__name__}:_convert", task, threads, "converting", "check the free space on the disk"))
        shutil.rmtree(folder / "x.zarr")
    os.remove(data)
    best = min(saves, key=lambda save: float(save["convert_s"]))
    return found | {"copy_s": min(copies)} | best | {"speed": min(copies) / best["convert_s"]}


def _compared(what: str, seconds: NDArray[Any]) -> dict[str, float]:
    """Return milliseconds through a cube, and their ratio to those of a plain read."""
    plain, ours = seconds.tolist()
    return {f"{what}_ms": 1e3 * ours, what: ours / plain}


def _convert(task: dict[str, str]) -> dict[str, float]:
    """Convert the file of `bench_files` in this process, until everything is on the disk."""
    start, before = time.perf_counter(), time.process_time()
    save_cube(open_cube(task["header"]), task["out"])
    used = time.process_time() - before
    _sync()
    return {"convert_s": time.perf_counter() - start, "cpu_s": used, "memory_mb": 1e3 * peak_memory()}


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    _sync()


def _sync() -> None:
    if sys.platform != "win32":
        os.sync()


def _forget(file: Path) -> bool:
    """Drop a file from the system's cache; False where that is not possible."""
    _sync()
    if sys.platform != "linux":
        return False
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def _write_ground(file: Path, bands: int, side: int, interleave: str) -> None:
    """Write an image that compresses like a real one: smooth in space and wavelength, with noise of a few counts."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 25, max(1 << 22, 2 * bands * side)).astype("u2")
    place = np.linspace(0, 1, side)
    ground = np.stack([1 + np.sin(7 * place[:, None] + k) * np.cos((5 + k) * place) for k in range(3)], axis=-1)
    spectra = np.stack([2000 * np.exp(-((np.linspace(-c, 1 - c, bands) / 0.2) ** 2)) + 200 for c in (0.1, 0.5, 0.9)])
    with file.open("wb") as opened:
        for i in range(bands if interleave == "bsq" else side):
            part = ground @ spectra[:, i] if interleave == "bsq" else ground[i] @ spectra
            part = np.ascontiguousarray(part.T if interleave == "bil" else part).astype("u2").ravel()
            first = int(rng.integers(0, noise.size // 2))
            opened.write((part + np.resize(noise[first:], part.size)).tobytes())


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
