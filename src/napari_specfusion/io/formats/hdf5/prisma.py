"""PRISMA of ASI, levels 1 and 2: a cube from two detectors and a panchromatic image, in HDF-EOS 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.joined import join_bands
from napari_specfusion.io.formats.hdf5.arrays import hdf_cube
from napari_specfusion.io.formats.hdf5.file import attribute, child, vector
from napari_specfusion.io.formats.hdf5.product import Product
from napari_specfusion.io.metadata.units import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["PRODUCT"]

_SWATHS = "HDFEOS/SWATHS"
_LEVELS = ("L2D", "L2C", "L2B", "L1")
# Hyperspectral cube and panchromatic image: co-registered, else each in its own geometry.
_PAIRS = (("HCO", "PCO"), ("HRC", "PRC"))
_DETECTORS = ("Vnir", "Swir")
_FULL_SCALE = 65535
_CUBE_PIXEL, _PAN_PIXEL = 30.0, 5.0


def _find(file: Any) -> tuple[str, Any, Any] | None:
    """Return the level, the data fields of the cube and those of the panchromatic image (or None)."""
    for level in _LEVELS:
        for cube, pan in _PAIRS:
            fields = child(file, f"{_SWATHS}/PRS_{level}_{cube}/Data Fields")
            if fields is not None and any(child(fields, f"{name.upper()}_Cube") is not None for name in _DETECTORS):
                return level, fields, child(file, f"{_SWATHS}/PRS_{level}_{pan}/Data Fields/Cube")
    return None


def _read(path: Path, file: Any) -> Cube:
    found = _find(file)
    assert found is not None
    level, fields, _ = found
    parts, notes = [], []
    for detector in _DETECTORS:
        dataset = child(fields, f"{detector.upper()}_Cube")
        if dataset is not None:
            part = _detector(path, file, level, detector, dataset)
            parts += [] if part is None else [part]
    if not parts:
        raise ReadError(f"{path}: List_Cw_Vnir and List_Cw_Swir list no used band; get a new copy of the product.")
    if len({part.shape[1:] for part in parts}) > 1:
        raise ReadError(f"{path}: VNIR and SWIR differ in size, {[part.shape for part in parts]}; get a new copy.")
    good = None
    if len(parts) == 2:
        vnir, swir = (np.asarray(part.wavelengths) for part in parts)
        twice = swir <= vnir.max()
        if twice.any():
            good = np.concatenate([np.ones(vnir.size, bool), ~twice])
            notes.append(f"{twice.sum()} SWIR bands up to {vnir.max():g} nm overlap the VNIR bands and are marked bad")
    if level == "L2D":
        notes.append("Product_ULcorner was read as the outer corner of the image; some readers shift by half a pixel")
    metadata = {"product": f"PRISMA {level}", "notes": tuple(notes)}
    cube = join_bands(parts, good_bands=good, metadata=metadata, name=path.stem, **_place(file, level, _CUBE_PIXEL))
    return cube.ascending()


def _detector(path: Path, file: Any, level: str, detector: str, dataset: Any) -> Cube | None:
    """Return the used bands of one detector; unused ones have wavelength 0."""
    centres, widths = (vector(attribute(file, f"List_{key}_{detector}")) for key in ("Cw", "Fwhm"))
    flags = vector(attribute(file, f"List_Cw_{detector}_Flags"))
    bands = dataset.shape[1]
    if centres is None or centres.size != bands:
        raise ReadError(f"{path}: List_Cw_{detector} does not give one wavelength for each of {bands} bands.")
    used = centres > 0
    if flags is not None and flags.size == bands:
        used &= flags > 0
    if not used.any():
        return None
    cube = hdf_cube(
        path,
        dataset,
        # Only L2D is on a map grid. The other levels store each scan line as a row, from right to left.
        "ybx" if level == "L2D" else "xby",
        mirrored=level != "L2D",
        wavelengths=centres,
        fwhm=widths if widths is not None and widths.size == bands else None,
        **_values(file, level, detector),
    )
    return cube.select(used)


def _values(file: Any, level: str, detector: str) -> dict[str, Any]:
    """Return scale, offset and no-data value of one detector."""
    if level == "L1":
        values = numbers(attribute(file, f"{key}_{detector}") for key in ("ScaleFactor", "Offset"))
        return {} if values is None or values[0] == 0 else {"scale": 1 / float(values[0]), "offset": -float(values[1])}
    values = numbers(attribute(file, f"L2Scale{detector}{key}") for key in ("Min", "Max"))
    fields: dict[str, Any] = {"nodata": 0.0}
    if values is not None and values[1] > values[0]:
        fields |= {"scale": float(values[1] - values[0]) / _FULL_SCALE, "offset": float(values[0])}
    return fields


def _place(file: Any, level: str, pixel: float) -> dict[str, Any]:
    """Return affine, pixel size and reference system of L2D's map grid."""
    if level != "L2D":
        return {}
    fields: dict[str, Any] = {"pixel_size": (pixel, pixel)}
    corner = numbers(attribute(file, f"Product_ULcorner_{key}") for key in ("easting", "northing"))
    if corner is not None:
        fields["affine"] = (pixel, 0.0, float(corner[0]), 0.0, -pixel, float(corner[1]))
    code = numbers([attribute(file, "Epsg_Code")])
    if code is not None:
        fields["crs"] = f"EPSG:{int(code[0])}"
    return fields


def _read_scene(path: Path, file: Any) -> Scene | None:
    found = _find(file)
    if found is None or found[2] is None:
        return None
    level, _, dataset = found
    flat = level == "L2D"
    pan = hdf_cube(
        path,
        dataset,
        "yx" if flat else "xy",
        mirrored=not flat,
        name=f"{path.stem} PAN",
        metadata={"product": f"PRISMA {level} PAN"},
        **_values(file, level, "Pan"),
        **_place(file, level, _PAN_PIXEL),
    )
    return Scene(_read(path, file), pan)


PRODUCT = Product("PRISMA", lambda file: _find(file) is not None, _read, _read_scene)
