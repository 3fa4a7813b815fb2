"""MATLAB files: version 4 to 7 through scipy, version 7.3 (HDF5) through h5py."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io._axes import band_axis_of, bands_first
from napari_specfusion.io._hdf import HdfArray, import_h5py
from napari_specfusion.io._lazy import lazy_cube
from napari_specfusion.io._registry import Reader
from napari_specfusion.io._variables import Variable, choose_unfolded, choose_variable, image_size, spectral_axis

if TYPE_CHECKING:
    from napari_specfusion.cube import Cube

__all__ = ["READER", "read_matlab"]

_HDF_MAGIC = b"\x89HDF\r\n\x1a\n"
_NUMERIC = {
    "double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "logical",
}  # fmt: skip

Load = Callable[[str], NDArray[Any]]


def read_matlab(
    path: Path,
    *,
    variable: str | None = None,
    band_axis: int | None = None,
    size: tuple[int, int] | None = None,
    wavelengths: Any = None,
) -> Cube:
    """Open an array of a MATLAB file as a cube.

    Version 7.3 files are read lazily; of older ones the one variable is loaded.

    Parameters
    ----------
    path
        The file.
    variable
        Name of the array; None takes the largest with three axes. A 2-D one opens as one band.
    band_axis
        Axis of the bands as MATLAB shows the array; None takes the one that fits the wavelengths, else the last.
    size
        Height and width of an image unfolded to (bands, pixels), where no variables such as nRow and nCol say it.
    wavelengths
        Wavelengths that `open_cube` puts in; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If no array, or several with equal right, could be the cube, or h5py is missing for a 7.3 file.
    """
    with path.open("rb") as file:
        head = file.read(512 + len(_HDF_MAGIC))
    if _HDF_MAGIC in {head[: len(_HDF_MAGIC)], head[512:]}:
        variables, load = _list_hdf(path)
        lazy = True
    else:
        variables, load = _list_old(path)
        lazy = False
        if variable is None and not any(v.is_image for v in variables):
            exported = _dataset_object(path)
            if exported is not None:
                return exported
    scalars = {v.name: float(np.ravel(load(v.name))[0]) for v in variables if v.numeric and math.prod(v.shape) == 1}
    chosen = choose_unfolded(variables, scalars, size) if variable is None else None
    chosen = chosen or choose_variable(variables, variable, path)
    found = spectral_axis(variables, chosen.shape, load)
    array: Any
    if len(chosen.shape) == 2:
        unfolded = image_size(chosen.shape, scalars, size)
        if unfolded is None and (variable is None or size is not None):
            raise ReadError(
                f"{path} holds {chosen.name} of shape {chosen.shape}, and no height and width that unfold it. "
                "Give size=(height, width), or variable= alone to open it as an image of one band."
            )
        matrix = load(chosen.name)
        array = matrix[None] if unfolded is None else _fold(matrix, *unfolded)
    else:
        count = np.size(wavelengths) if wavelengths is not None else None if found is None else found[0].size
        axis = band_axis_of(chosen.shape, count, 2, band_axis, path)
        order = bands_first(axis)
        array = HdfArray.transposed(path, chosen.name).seen_as(order) if lazy else load(chosen.name).transpose(order)
    fields: dict[str, Any] = {"name": chosen.name}
    if found is not None and found[0].size == array.shape[0]:
        fields |= {"wavelengths": found[0], "spectral_unit": found[1]}
    return lazy_cube(array, path, **fields)


def _fold(matrix: NDArray[Any], height: int, width: int, pixel_axis: int) -> NDArray[Any]:
    """Return ``(bands, y, x)`` of an unfolded image; MATLAB runs down the columns first."""
    bands_first = matrix if pixel_axis == 1 else matrix.T
    return bands_first.reshape(-1, width, height).transpose(0, 2, 1)


def _list_old(path: Path) -> tuple[list[Variable], Load]:
    from scipy.io import loadmat, whosmat

    def load(name: str) -> NDArray[Any]:
        return np.asarray(loadmat(path, variable_names=[name])[name])

    return [Variable(name, shape, kind in _NUMERIC) for name, shape, kind in whosmat(path)], load


def _list_hdf(path: Path) -> tuple[list[Variable], Load]:
    h5py = import_h5py(path)
    variables = []
    with h5py.File(path, "r") as file:
        for name, item in file.items():
            if isinstance(item, h5py.Dataset) and not name.startswith("#"):
                kind = item.attrs.get("MATLAB_class", b"double")
                word = kind.decode() if isinstance(kind, bytes) else str(kind)
                numeric = word in _NUMERIC and item.dtype.kind in "biuf" and "MATLAB_empty" not in item.attrs
                variables.append(Variable(name, tuple(item.shape)[::-1], numeric))

    def load(name: str) -> NDArray[Any]:
        with h5py.File(path, "r") as file:
            return np.asarray(file[name][()].T)

    return variables, load


def _dataset_object(path: Path) -> Cube | None:
    """Return the image in a dataset object of PLS_Toolbox, as WITec's Project FIVE exports Raman maps; or None.

    Its fields: data (pixels, channels) with pixels down the columns, imagesize, and axisscale, whose second row holds
    the spectral axis.
    """
    from scipy.io import loadmat

    for value in loadmat(path).values():
        names = getattr(getattr(value, "dtype", None), "names", None) or ()
        if not {"data", "imagesize"} <= set(names) or value.size != 1:
            continue
        record = value.flat[0]
        data, image = np.asarray(record["data"]), np.ravel(record["imagesize"])
        if data.ndim != 2 or image.size != 2 or int(image[0]) * int(image[1]) != data.shape[0]:
            continue
        fields: dict[str, Any] = {"name": str(np.ravel(record["name"])[0]) if "name" in names else path.stem}
        scales = np.asarray(record["axisscale"]) if "axisscale" in names else np.empty((0, 0), object)
        axis = np.ravel(scales[1, 0]) if scales.ndim == 2 and len(scales) > 1 else np.empty(0)
        if axis.dtype.kind == "f" and axis.size == data.shape[1]:
            # The object has no place for a unit; Raman shifts are what this program exports.
            note = "the spectral axis has no unit and was taken for Raman shifts in cm-1"
            fields |= {"wavelengths": axis, "spectral_unit": "cm-1", "metadata": {"notes": (note,)}}
        return lazy_cube(_fold(data, int(image[0]), int(image[1]), 0), path, **fields)
    return None


READER = Reader(title="MATLAB", patterns=("*.mat",), read=read_matlab, magic=(b"MATLAB 5.0", b"MATLAB 7.3"))
