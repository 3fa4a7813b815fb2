"""Damage small files of every format at random, open them, and report what a reader must not do.

A reader may refuse a file with a SpecFusionError, or open it. It must not raise anything else, crash, take more than
two seconds of processor time, ask for memory that is not there, or take more than 200 MB and fifty times the file.

    python tools/fuzz_readers.py --seed 1 --count 10000
    python tools/fuzz_readers.py --only tiff:1:4711 --keep damaged     # one case again, its file kept

A case is its format, seed and number: the same three make the same file.
"""

from __future__ import annotations

import argparse
import io
import logging
import multiprocessing
import os
import random
import re
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread per library: cases are many and small, and processor time is measured.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 (its threads are set above)

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 2.0
HANG_SECONDS = 60.0
SPARE_BYTES, PER_BYTE = 200 << 20, 50
ADDRESS_SPACE = 16 << 30
BATCH = 250
PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 4, 5)).astype("<u2")

# A data set is the name of the path to open, and its files by name.
Files = dict[str, bytes]


# --- valid files ---------------------------------------------------------------------


def envi_files(folder: Path) -> list[tuple[str, Files]]:
    """Return ENVI pairs, one with every entry that means something."""
    core = "ENVI\nsamples = 5\nlines = 4\nbands = 3\ndata type = 12\ninterleave = bsq\nbyte order = 0\n"
    rich = (
        "header offset = 0\nfile type = ENVI Standard\nwavelength units = Nanometers\n"
        "wavelength = {400, 500.5,\n 600}\nfwhm = {5, 5, 5}\nbbl = {1, 0, 1}\n"
        "band names = {a 400 nm, b 500 nm, c 600 nm}\ndata ignore value = 0\n"
        "reflectance scale factor = 10000\ndata gain values = {1, 2, 3}\ndata offset values = {0, 0, 1}\n; comment\n"
        "map info = {UTM, 1, 1, 1000, 2000, 30, 30, 33, North, WGS-84, units=Meters, rotation=10}\n"
        'coordinate system string = {PROJCS["x"]}\nmajor frame offsets = {0, 0}\nfile compression = 0\n'
    )
    data = PIXELS.tobytes()
    library = core.replace("bands = 3", "bands = 1").replace("lines = 4", "lines = 12")
    return [
        ("scene.hdr", {"scene.hdr": (core + rich).encode(), "scene.img": data}),
        ("scene.img", {"scene.hdr": core.replace("bsq", "bip").encode(), "scene.img": data}),
        (
            "scene.hdr",
            {"scene.hdr": (library + "file type = ENVI Spectral Library\n").encode(), "scene.sli": data},
        ),
    ]


def matlab_files(folder: Path) -> list[tuple[str, Files]]:
    """Return MATLAB files of version 4 and 5, plain and compressed, with structs and cells."""
    from scipy.io import savemat

    cube = PIXELS.transpose(1, 2, 0)
    struct = {"data": cube, "axis": np.array([400.0, 500, 600]), "unit": "nm"}
    cells = np.array([np.arange(3), "text"], dtype=object)
    made = []
    for options, variables in (
        ({}, {"cube": cube, "wavelengths": np.array([400.0, 500, 600])}),
        ({"do_compression": True}, {"cube": cube.astype("f8"), "note": "text", "cells": cells}),
        ({}, {"scan": struct, "height": 4, "width": 5}),
        ({"do_compression": True}, {"Y": PIXELS.reshape(3, 20), "nRow": 4, "nCol": 5}),
        ({"format": "4"}, {"Y": PIXELS.reshape(3, 20).astype("f8"), "nRow": 4, "nCol": 5}),
    ):
        out = io.BytesIO()
        savemat(out, variables, **options)
        data = out.getvalue()
        if data.startswith(b"MATLAB"):
            data = b"MATLAB 5.0".ljust(116) + data[116:]  # where it says when it was made
        made.append(("scene.mat", {"scene.mat": data}))
    return made


def tiff_files(folder: Path) -> list[tuple[str, Files]]:
    """Return TIFFs: pages, samples, tiles, compressions, ImageJ, OME, BigTIFF, GDAL metadata."""
    import tifffile

    gdal = '<GDALMetadata><Item name="wavelength" sample="0">400</Item></GDALMetadata>\0'
    made = []
    for data, options in (
        (PIXELS, {"photometric": "minisblack"}),
        (PIXELS, {"photometric": "minisblack", "compression": "zlib", "predictor": True}),
        (PIXELS, {"photometric": "minisblack", "compression": "lzw", "byteorder": ">"}),
        (np.tile(PIXELS, (1, 8, 8)), {"photometric": "minisblack", "tile": (16, 16), "compression": "zstd"}),
        (np.tile(PIXELS, (1, 8, 8)).transpose(1, 2, 0), {"photometric": "minisblack", "planarconfig": "contig"}),
        (PIXELS, {"imagej": True, "metadata": {"axes": "CYX"}}),
        (PIXELS, {"ome": True, "photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        (PIXELS, {"bigtiff": True, "photometric": "minisblack"}),
        (
            PIXELS.transpose(1, 2, 0),
            {"photometric": "minisblack", "planarconfig": "contig", "extratags": [(42112, 2, None, gdal, True)]},
        ),
        (PIXELS.astype("f4"), {"photometric": "minisblack", "compression": "jpegxl"}),
        ((PIXELS >> 4).astype("u1"), {"photometric": "minisblack", "compression": "packbits"}),
        *(
            (np.tile(PIXELS >> 4, (1, 8, 8)).astype("u1").transpose(1, 2, 0), {"tile": (16, 16), "compression": kind})
            for kind in ("jpeg", "jpeg2000", "png", "jpegxl")
        ),
    ):
        out = io.BytesIO()
        tifffile.imwrite(out, data, **options)
        same = re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"urn:uuid:" + b"0" * 36, out.getvalue())
        made.append(("scene.tif", {"scene.tif": same}))
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:  # a pyramid: each page has a smaller one below
        writer.write(PIXELS, photometric="minisblack", metadata=None, subifds=1)
        writer.write(PIXELS[:, ::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
    made.append(("scene.tif", {"scene.tif": out.getvalue()}))
    return made


def npy_files(folder: Path) -> list[tuple[str, Files]]:
    """Return NPY files in both orders."""
    made = []
    for values in (PIXELS, np.asfortranarray(PIXELS.astype(">f8"))):
        out = io.BytesIO()
        np.save(out, values)
        made.append(("scene.npy", {"scene.npy": out.getvalue()}))
    return made


def npz_files(folder: Path) -> list[tuple[str, Files]]:
    """Return NPZ files, stored and deflated."""
    made = []
    for save in (np.savez, np.savez_compressed):
        out = io.BytesIO()
        save(out, cube=PIXELS, wavelengths=np.array([400.0, 500, 600]))
        made.append(("scene.npz", {"scene.npz": out.getvalue()}))
    return made


def timeless(data: bytes) -> bytes:
    """Return a file without the time at which gzip packed it."""
    return data[:4] + bytes(4) + data[8:] if data.startswith(b"\x1f\x8b") else data


def zarr_files(folder: Path) -> list[tuple[str, Files]]:
    """Return Zarr stores: arrays of format 2 and 3, sharded, and OME-Zarr."""
    import numcodecs
    import zarr

    made = []
    for number, options in enumerate(
        (
            {"zarr_format": 2},
            {"zarr_format": 3},
            {"zarr_format": 3, "shards": (4, 4, 5), "chunks": (1, 4, 5)},
            {"zarr_format": 2, "compressors": numcodecs.Blosc()},
            {"zarr_format": 3, "compressors": zarr.codecs.GzipCodec()},
            {"zarr_format": 3, "compressors": zarr.codecs.BloscCodec(typesize=2)},
        )
    ):
        path = folder / f"made{number}.zarr"
        array = zarr.create_array(path, shape=PIXELS.shape, dtype=PIXELS.dtype, **({"chunks": (2, 2, 5)} | options))
        array[...] = PIXELS
        made.append(path)
    group = zarr.open_group(folder / "group.zarr", mode="w")
    array = group.create_array("0", shape=PIXELS.shape, dtype=PIXELS.dtype, chunks=(1, 4, 5))
    array[...] = PIXELS
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space"} for name in "yx")]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    made.append(folder / "group.zarr")
    return [
        (
            "scene.zarr",
            {
                f"scene.zarr/{p.relative_to(m).as_posix()}": timeless(p.read_bytes())
                for p in sorted(m.rglob("*"))
                if p.is_file()
            },
        )
        for m in made
    ]


def hdf5_files(folder: Path) -> list[tuple[str, Files]]:
    """Return a MATLAB file of version 7.3, and a file of two data sets and wavelengths."""
    import h5py

    path, two, signal = folder / "made.mat", folder / "made.h5", folder / "made.hspy"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("cube", data=PIXELS, chunks=(1, 4, 5), compression="gzip")
        file["cube"].attrs["MATLAB_class"] = np.bytes_("uint16")
    with h5py.File(two, "w") as file:
        file.create_dataset("in/cube", data=PIXELS, chunks=(1, 4, 5), compression="gzip", shuffle=True)
        file["plane"], file["wavelength"] = PIXELS[0], np.array([400.0, 500, 600])
    with h5py.File(signal, "w") as file:
        group = file.create_group("Experiments/map")
        group.create_dataset("data", data=PIXELS.transpose(1, 2, 0), chunks=(4, 5, 3), compression="gzip")
        for number, (name, size) in enumerate((("y", 4), ("x", 5), ("Wavelength", 3))):
            axis = {"name": name, "size": size, "scale": 100.0, "offset": 400.0, "units": "nm", "navigate": size > 3}
            group.create_group(f"axis-{number}").attrs.update(axis)
    made = [
        ("scene.mat", {"scene.mat": path.read_bytes()}),
        ("scene.h5", {"scene.h5": two.read_bytes()}),
        ("scene.hspy", {"scene.hspy": signal.read_bytes()}),
    ]
    for name, write in (("emit", _emit), ("prisma", _prisma), ("neon", _neon), ("tanager", _tanager), ("nc", _scales)):
        with h5py.File(folder / name, "w") as file:
            write(file)
        made.append(("scene.nc", {"scene.nc": (folder / name).read_bytes()}))
    return made


def _emit(file: Any) -> None:
    """Write EMIT's layout with dimension scales and texts of any length, as netCDF writes them."""
    file.create_dataset("reflectance", data=PIXELS.transpose(1, 2, 0).astype("f4"), chunks=(2, 5, 3))
    group = file.create_group("sensor_band_parameters")
    for name, values in (("wavelengths", [400.0, 500, 600]), ("fwhm", [8.0, 8, 8]), ("good_wavelengths", [1, 1, 0])):
        group[name] = np.array(values)
    _attach(file["reflectance"], {name: file.create_dataset(name, data=np.arange(size)) for name, size in _EMIT_AXES})
    file.attrs.update({"title": "EMIT", "geotransform": [0.1, 0.01, 0, 50, 0, -0.01], "spatial_ref": "EPSG:4326"})
    file["reflectance"].attrs.update({"_FillValue": np.float32(-9999), "long_name": "reflectance"})


_EMIT_AXES = (("downtrack", 4), ("crosstrack", 5), ("bands", 3))


def _attach(dataset: Any, scales: dict[str, Any]) -> None:
    for axis, (name, scale) in enumerate(scales.items()):
        scale.make_scale(name)
        dataset.dims[axis].attach_scale(scale)


def _prisma(file: Any) -> None:
    fields = file.create_group("HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields")
    for detector, first in (("Vnir", 400.0), ("Swir", 900.0)):
        fields[f"{detector.upper()}_Cube"] = PIXELS.transpose(1, 0, 2)
        file.attrs[f"List_Cw_{detector}"] = first + 10 * np.arange(3)
        file.attrs[f"List_Fwhm_{detector}"] = np.full(3, 10.0)
        file.attrs[f"List_Cw_{detector}_Flags"] = np.ones(3, int)
        file.attrs[f"L2Scale{detector}Min"], file.attrs[f"L2Scale{detector}Max"] = 0.0, 1.0
    file.attrs.update({"Product_ULcorner_easting": 500.0, "Product_ULcorner_northing": 900.0, "Epsg_Code": 32633})


def _neon(file: Any) -> None:
    group = file.create_group("SITE/Reflectance")
    group.create_dataset("Reflectance_Data", data=PIXELS.transpose(1, 2, 0).astype("i2"), chunks=(2, 5, 3))
    group["Reflectance_Data"].attrs.update({"Scale_Factor": 10000.0, "Data_Ignore_Value": -9999.0})
    group["Metadata/Spectral_Data/Wavelength"] = np.array([400.0, 500, 600])
    group["Metadata/Spectral_Data/FWHM"] = np.full(3, 5.0)
    group["Metadata/Spectral_Data/Wavelength"].attrs["Units"] = "nanometers"
    group["Metadata/Coordinate_System/Map_Info"] = "UTM, 1, 1, 1000, 2000, 1, 1, 11, North, WGS-84"
    group["Metadata/Coordinate_System/EPSG Code"] = "32611"


def _tanager(file: Any) -> None:
    dataset = file.create_dataset("HDFEOS/GRIDS/HYP/Data Fields/surface_reflectance", data=PIXELS.astype("f4"))
    dataset.attrs.update({"wavelengths": [400.0, 500, 600], "fwhm": [5.0, 5, 5], "good_wavelengths": [1, 1, 1]})
    file["HDFEOS/GRIDS/HYP"].attrs["epsg_code"] = "32611"
    file["HDFEOS INFORMATION/StructMetadata.0"] = "UpperLeftPointMtrs=(10.0,90.0)\nLowerRightMtrs=(60.0,50.0)"


def _scales(file: Any) -> None:
    file["spectra"] = PIXELS
    scales = {"wavelength": [400.0, 500, 600], "y": np.arange(4.0), "x": np.arange(5.0)}
    _attach(file["spectra"], {name: file.create_dataset(name, data=values) for name, values in scales.items()})
    file["wavelength"].attrs["units"] = "nm"


def lan_files(folder: Path) -> list[tuple[str, Files]]:
    """Return ERDAS 7 images in both byte orders."""
    made = []
    for order in "<>":
        head = struct.pack(f"{order}6shh6xii96x2f", b"HEAD74", 2, 3, 5, 4, 30.0, 30.0)
        lines = PIXELS.transpose(1, 0, 2).astype(f"{order}i2")
        made.append(("scene.lan", {"scene.lan": head + lines.tobytes()}))
    return made


def picture_files(folder: Path) -> list[tuple[str, Files]]:
    """Return a PNG and a folder of them."""
    import imageio.v3 as imageio

    pngs = [imageio.imwrite("<bytes>", band, extension=".png") for band in PIXELS]
    return [
        ("scene.png", {"scene.png": pngs[0]}),
        ("scene", {f"scene/band_{4 + number}00nm.png": png for number, png in enumerate(pngs)}),
    ]


MAKERS: dict[str, Callable[[Path], list[tuple[str, Files]]]] = {
    "envi": envi_files,
    "matlab": matlab_files,
    "tiff": tiff_files,
    "npy": npy_files,
    "npz": npz_files,
    "zarr": zarr_files,
    "hdf5": hdf5_files,
    "lan": lan_files,
    "picture": picture_files,
}


# --- damage ----------------------------------------------------------------------------

NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1]
WORDS = [
    b"-1",
    b"0",
    b"1",
    b"1e9",
    b"1000000000000",
    b"1e308",
    b"NaN",
    b"9" * 30,
    b"null",
    b"[]",
    b'"x"',
    b"{}",
    b"../..",
]


def flip(data: bytearray, draw: random.Random) -> None:
    """Flip some bits."""
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def inflate(data: bytearray, draw: random.Random) -> None:
    """Write a number at the border of its type over some bytes."""
    size = draw.choice((1, 2, 4, 8))
    number = draw.choice(NUMBERS) & (256**size - 1)
    at = draw.randrange(max(1, len(data) - size + 1))
    at -= at % draw.choice((1, 2, 4))
    data[at : at + size] = number.to_bytes(size, draw.choice(("little", "big")))


def inflate_text(data: bytearray, draw: random.Random) -> None:
    """Write another number, or what is none, in place of one in digits."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if found:
        match = draw.choice(found)
        data[match.start() : match.end()] = draw.choice(WORDS)


def truncate(data: bytearray, draw: random.Random) -> None:
    """Cut the end off."""
    del data[draw.randrange(len(data)) :]


def remove(data: bytearray, draw: random.Random) -> None:
    """Cut a piece out."""
    at = draw.randrange(len(data))
    del data[at : at + draw.choice((1, 4, 16, 256))]


def repeat(data: bytearray, draw: random.Random) -> None:
    """Double a piece, many times over now and then."""
    at = draw.randrange(len(data))
    piece = bytes(data[at : at + draw.choice((1, 4, 16, 256))])
    data[at:at] = piece * draw.choice((1, 1, 2, 1000))


def move(data: bytearray, draw: random.Random) -> None:
    """Copy a piece to another place."""
    start, at, size = draw.randrange(len(data)), draw.randrange(len(data)), draw.choice((4, 8, 12, 64))
    data[at : at + size] = data[start : start + size]


DAMAGES = (flip, inflate, inflate, inflate_text, inflate_text, truncate, remove, repeat, move)


def damaged(files: Files, draw: random.Random) -> Files:
    """Return the files with one to three of them damaged, inside of an archive now and then."""
    files = dict(files)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if not files:
            break
        # Descriptions before pixels: there is more to go wrong.
        told = [name for name in files if name.endswith((".hdr", ".json", ".zarray", ".zattrs", ".zgroup"))]
        name = draw.choice(told if told and draw.random() < 0.8 else list(files))
        if name.endswith(".npz") and draw.random() < 0.6:
            files[name] = rezipped(files[name], draw)
        elif len(files) > 1 and draw.random() < 0.03:
            del files[name]
        elif files[name]:
            data = bytearray(files[name])
            draw.choice(DAMAGES)(data, draw)
            files[name] = bytes(data)
    return files


def rezipped(archive: bytes, draw: random.Random) -> bytes:
    """Return a ZIP whose members are damaged before they are packed, so that their checksums are right."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                data = bytearray(old.read(name))
                if data and draw.random() < 0.7:
                    draw.choice(DAMAGES)(data, draw)
                new.writestr(name, bytes(data))
    except Exception:  # damaged before; as good as any
        return archive
    return out.getvalue()


# --- one case ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A damaged data set, told by three values."""

    kind: str
    seed: int
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed}:{self.number}"

    def write(self, bases: list[tuple[str, Files]], folder: Path) -> tuple[Path, int]:
        """Write the files; return the path to open and the bytes of all."""
        draw = random.Random(str(self))
        name, files = draw.choice(bases)
        files = damaged(files, draw)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, data in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder / name, sum(map(len, files.values()))


def status_bytes(key: str) -> int:
    """Return a number of /proc/self/status in bytes; 0 where there is none."""
    try:
        found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def reset_peak() -> None:
    """Let the kernel forget the largest memory so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        pass


def causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and those behind it."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def attempt(path: Path, size: int) -> tuple[str, str]:
    """Open a path and read of it; return "opened" or "refused" and "", or what went wrong and its details."""
    from napari_specfusion.errors import SpecFusionError
    from napari_specfusion.io import list_arrays, open_cube

    reset_peak()
    before, start = status_bytes("VmRSS"), time.process_time()
    verdict, error = "opened", None
    try:
        with suppress(SpecFusionError):
            list_arrays(path)
        cube = open_cube(path)
        cube.spectrum(0, 0)
        np.asarray(cube.data[0, :1, :1])
    except SpecFusionError as caught:
        verdict, error = "refused", caught
    except BaseException as caught:
        verdict, error = "WRONG ERROR", caught
    spent, grown = time.process_time() - start, status_bytes("VmHWM") - before
    if any(isinstance(cause, MemoryError) for cause in causes(error)):
        verdict = "ASKED FOR TOO MUCH MEMORY"
    elif grown > SPARE_BYTES + PER_BYTE * size:
        verdict = "TOOK TOO MUCH MEMORY"
    elif spent > SECONDS and verdict != "WRONG ERROR":
        verdict = "SLOW"
    details = "" if verdict in ("opened", "refused") else f"{spent:.1f} s, {grown >> 20} MB for {size} bytes; "
    if details and error is not None:
        details += " <- ".join(f"{type(e).__name__}: {str(e)[:160]}" for e in causes(error)[:3])
    return verdict, details


def work(cases: list[Case], folder: Path, progress: Any, results: Any) -> None:
    """Run some cases in a process of their own; `progress` holds the number under way and when it began."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if sys.platform == "linux":  # others have no such limit, or do not keep to it
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, limit[1]))
    os.close(2)
    os.open(os.devnull, os.O_WRONLY)  # what C libraries say of damaged files
    bases = {kind: MAKERS[kind](_fresh(folder / "made")) for kind in {case.kind for case in cases}}
    for index, case in enumerate(cases):
        progress[0], progress[1] = index, time.monotonic()
        path, size = case.write(bases[case.kind], folder / "case")
        results.put((index, *attempt(path, size)))
    progress[0] = len(cases)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


# --- all of them ---------------------------------------------------------------------------


def run(cases: list[Case], folder: Path, keep: Path | None = None) -> list[tuple[Case, str, str]]:
    """Run cases batch by batch in processes that are stopped where they hang; return each with its verdict."""
    # Forked, or each batch would import everything again.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    done: list[tuple[Case, str, str]] = []
    while len(done) < len(cases):
        batch = cases[len(done) : len(done) + BATCH]
        progress, results = context.Array("d", [0, time.monotonic()]), context.SimpleQueue()
        process = context.Process(target=work, args=(batch, folder, progress, results), daemon=True)
        process.start()
        told: list[tuple[Case, str, str]] = []
        hung = False
        while True:
            while not results.empty():
                index, verdict, details = results.get()
                told.append((batch[index], verdict, details))
            if len(told) == len(batch) or not process.is_alive():
                break
            if time.monotonic() - progress[1] > HANG_SECONDS:
                hung = True
                process.kill()
                break
            time.sleep(0.02)
        process.join()
        while not results.empty():
            index, verdict, details = results.get()
            told.append((batch[index], verdict, details))
        if len(told) < len(batch):
            what = f"more than {HANG_SECONDS:g} s" if hung else f"exit code {process.exitcode}"
            told.append((batch[len(told)], "HUNG" if hung else "CRASHED", what))
        done += told
        for case, verdict, details in told:
            if verdict.isupper():
                print(f"{case} {verdict}: {details}", flush=True)
        if keep is not None:
            _keep([case for case, verdict, _ in told if verdict not in ("opened", "refused")], folder, keep)
    return done


def _keep(cases: list[Case], folder: Path, keep: Path) -> None:
    for case in cases:
        path, _ = case.write(MAKERS[case.kind](_fresh(folder / "made")), keep / str(case).replace(":", "-"))
        print(f"kept {path}")


def main(argv: list[str] | None = None) -> int:
    """Run what the command line says; 1 if a reader did what it must not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (%(default)s)")
    parser.add_argument("--count", type=int, default=2000, help="cases in all (%(default)s)")
    parser.add_argument("--formats", nargs="+", choices=MAKERS, default=list(MAKERS), metavar="FORMAT", help="(all)")
    parser.add_argument("--only", metavar="FORMAT:SEED:NUMBER", help="one case alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to keep the files of what was found")
    options = parser.parse_args(argv)
    cases = [Case(options.formats[n % len(options.formats)], options.seed, n) for n in range(options.count)]
    if options.only:
        kind, seed, number = options.only.split(":")
        cases = [Case(kind, int(seed), int(number))]

    # imported here and not in every batch
    import napari_specfusion.io  # noqa: F401

    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = run(cases, Path(folder), options.keep)
    table = Counter((case.kind, verdict) for case, verdict, _ in results)
    verdicts = sorted({verdict for _, verdict in table}, key=lambda v: (v.isupper(), v))
    for kind in dict.fromkeys(case.kind for case in cases):
        print(f"{kind:8}", *(f"{table[kind, verdict]:7} {verdict}" for verdict in verdicts))
    found = sum(verdict.isupper() for _, verdict, _ in results)
    print(f"seed {options.seed}, {len(cases)} cases, {found} findings, {time.monotonic() - start:.0f} s")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
