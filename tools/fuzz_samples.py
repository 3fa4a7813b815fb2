"""Small valid files of every kind that the package reads, as bytes."""

from __future__ import annotations

import io
import json
import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MAKERS", "Files"]

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


def weight_files(folder: Path) -> list[tuple[str, Files]]:
    """Return weights with a card, and checkpoints in both formats of PyTorch."""
    import torch

    from napari_specfusion.networks.registry import create_model
    from napari_specfusion.weights.card import ModelCard
    from napari_specfusion.weights.files import write_weights

    small = {"width": 4, "heads": 2, "tokens": 2, "basis": 2, "features": 4, "blocks": 1}
    network = create_model("lso", 3, 2, 4, **small)
    for value in network.state_dict().values():  # not random, so that a case is the same at any time
        value.copy_(torch.linspace(-0.1, 0.1, value.numel()).reshape(value.shape))
    card = ModelCard(network="lso", wavelengths=(400.0, 500.0, 600.0), data=("a", "b"), scores={"psnr": 30.0})
    write_weights(folder / "a.safetensors", network, card)
    made = [("scene.safetensors", {"scene.safetensors": _in_order((folder / "a.safetensors").read_bytes())})]
    state = network.state_dict()
    whole = {"model_state_dict": state, "config": {"sf": 4, "patch_size": 4}, "epoch": 3}
    torch.save(whole, folder / "a.pth")
    made.append(("scene.pth", {"scene.pth": (folder / "a.pth").read_bytes()}))
    # Files of the older format name storages by their addresses: all weights in one, whose name is replaced.
    flat = torch.cat([value.ravel() for value in state.values()])
    parts = flat.split([value.numel() for value in state.values()])
    views = {name: part.view(state[name].shape) for name, part in zip(state, parts, strict=True)}
    torch.save(views, folder / "b.pth", _use_new_zipfile_serialization=False)
    name = str(flat.untyped_storage()._cdata).encode()
    old = (folder / "b.pth").read_bytes().replace(struct.pack("<I", len(name)) + name, struct.pack("<I", 1) + b"0")
    return [*made, ("scene.pth", {"scene.pth": old})]


def _in_order(data: bytes) -> bytes:
    """Return a safetensors file with its tensors sorted by name; the library writes them in any order."""
    (length,) = struct.unpack_from("<Q", data)
    stored, packed, place = json.loads(data[8 : 8 + length]), b"", 0
    ordered = {"__metadata__": stored.pop("__metadata__")}
    for name, tensor in sorted(stored.items()):
        first, last = tensor["data_offsets"]
        packed += data[8 + length + first : 8 + length + last]
        ordered[name] = {**tensor, "data_offsets": [place, place := place + last - first]}
    header = json.dumps(ordered).encode()
    return struct.pack("<Q", len(header)) + header + packed


def table_files(folder: Path) -> list[tuple[str, Files]]:
    """Return a spectral response."""
    rows = "".join(f"{nm},{nm / 1000:g},{1 - nm / 1000:g}\n" for nm in range(400, 701, 50))
    return [("scene.csv", {"scene.csv": f"wavelength,red,green\n{rows}".encode()})]


def wavelength_files(folder: Path) -> list[tuple[str, Files]]:
    """Return lists and tables of wavelengths."""
    table = "band;wavelength_um;fwhm\n1;0.4;5\n2;0.5;5\n3;0.6;5\n"
    return [("scene.txt", {"scene.txt": text.encode()}) for text in ("400\n500\n600\n", "400, 500, 600", table)]


def library_files(folder: Path) -> list[tuple[str, Files]]:
    """Return spectral libraries of every kind."""
    from napari_specfusion.spectra import Spectrum, save_spectra

    spectra = [
        Spectrum(np.array([0.1, np.nan, 0.3, 0.2]), np.arange(400.0, 800, 100), name=name, spread=np.ones(4))
        for name in "ab"
    ]
    save_spectra(folder / "scene.sli", spectra)
    save_spectra(folder / "scene.csv", spectra)
    sli = {name: (folder / name).read_bytes() for name in ("scene.hdr", "scene.sli")}
    head = "Name: Clay\nX Units: Wavelength (micrometers)\nY Units: Reflectance (percentage)\n\n"
    texts = {
        "ecostress": {"scene.txt": head + "2.5\t40\n0.5\t30\n0.4\t20\n"},
        "splib06": {
            "scene.txt": "USGS\nline 15 title\nClay CM9\ncopy of a\n"
            " 0.4 -1.23e34 0\n 0.5 0.2 0.1\n 0.6 0.2 0.1\n 0.7 0.3 0.1\n"
        },
        "splib07": {
            "scene.txt": " splib07a Record=1: Clay ASD\n0.1\n-1.23e34\n0.2\n0.3\n",
            "Wavelengths_ASD.txt": " splib07a Record=2: Wavelengths ASD\n0.4\n0.5\n0.6\n0.7\n",
        },
    }
    made = [("scene.sli", sli), ("scene.csv", {"scene.csv": (folder / "scene.csv").read_bytes()})]
    return made + [("scene.txt", {name: text.encode() for name, text in files.items()}) for files in texts.values()]


def alignment_files(folder: Path) -> list[tuple[str, Files]]:
    """Return saved alignments, with and without local displacements."""
    control = np.zeros((2, 4, 4)).tolist()
    stored = {
        "napari_specfusion_alignment": 1, "ratio": [4, 1], "cube_shape": [5, 6], "guide_shape": [20, 24],
        "window": [0, 5, 0, 6], "placement": "cropped", "model": "affine", "local": ["smooth"], "before": 0.5,
        "after": 0.1, "detail": 0.2, "certainty": {"scale": 0.01}, "verdict": "good", "notes": [["info", "a", "b"]],
    }  # fmt: skip
    made = []
    for field in (None, {"control": control, "origin": [0, 0], "spacing": 4.0}):
        moved = {"matrix": [[4, 0, 1.5], [0, 4, 1.5], [0, 0, 1]], "field": field, "lines": None}
        made.append(("scene.json", {"scene.json": json.dumps({**stored, "transform": moved}, indent=1).encode()}))
    return made


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
    "weights": weight_files,
    "response": table_files,
    "wavelengths": wavelength_files,
    "alignment": alignment_files,
    "library": library_files,
}
