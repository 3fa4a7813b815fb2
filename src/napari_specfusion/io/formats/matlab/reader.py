"""Read MATLAB files: version 4 to 7 from their headers (structs with scipy), version 7.3 (HDF5) with h5py."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.lazy import LoadedArray, MappedArray, lazy_cube
from napari_specfusion.io.formats.hdf5.arrays import HdfArray
from napari_specfusion.io.formats.hdf5.file import attribute, checked, child, datasets, open_hdf
from napari_specfusion.io.formats.matlab.elements import Element, alone, inflated, list_elements
from napari_specfusion.io.guards.limits import check_inflation
from napari_specfusion.io.metadata.axes import requested_order
from napari_specfusion.io.metadata.description import LONGEST, OWN_KEY
from napari_specfusion.io.metadata.variables import (
    Variable,
    also_held,
    choose_unfolded,
    choose_variable,
    image_size,
    spectral_axis,
)
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube

__all__ = ["READER", "read_matlab"]

_HDF_MAGIC = b"\x89HDF\r\n\x1a\n"
_NUMERIC = {
    "double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "logical",
}  # fmt: skip

Load = Callable[[str], NDArray[Any]]


def read_matlab(
    path: Path,
    *,
    array: str | None = None,
    axes: str | None = None,
    band_axis: int | None = None,
    size: tuple[int, int] | None = None,
    wavelengths: Any = None,
) -> Cube:
    """Open an array of a MATLAB file as a cube.

    Version 7.3 files and uncompressed older ones are read lazily; a compressed variable is unpacked when its first
    pixel is needed. Structs are searched only if no image is stored outside them, and are read whole.

    Parameters
    ----------
    path
        The file.
    array
        Name of the array, such as ``"map.data"`` for a field of a struct; None takes the 3-D array with the most
        bands. A 2-D array opens as one band.
    axes
        Meaning of the axes as MATLAB shows the array, as a permutation of "byx" (bands, rows, columns). None applies
        the rules of `napari_specfusion.io.metadata.axes`, with "yxb" as the MATLAB convention.
    band_axis
        Band axis, if the other two are rows and columns in this order.
    size
        Height and width of an image unfolded to (bands, pixels), if no variables such as nRow and nCol give them.
    wavelengths
        Wavelengths that `open_cube` sets later; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If no array could be the cube, the choice is ambiguous, or h5py is missing for a 7.3 file.
    """
    content = _content(path, array)
    if array is None and content.export is not None:
        return content.export
    variables, load = content.variables, content.load
    # This package writes the array as "data", together with its own entry.
    entry = content.entry if array in {None, "data"} and any(v.name == "data" for v in variables) else None
    array = array if entry is None else "data"
    sizes = [v for v in variables if v.numeric and math.prod(v.shape) == 1 and v.is_size]
    scalars = {v.field: float(np.ravel(load(v.name))[0]) for v in sizes}
    chosen = choose_unfolded(variables, scalars, size) if array is None else None
    chosen = chosen or choose_variable(variables, array, path, usual=2)
    found = spectral_axis(variables, chosen.shape, load)
    extra: dict[str, Any] = {}
    stored: Any
    if len(chosen.shape) == 2:
        if axes not in {None, "yx"}:
            raise ReadError(f"{path}: axes={axes!r} does not fit {chosen}; it needs an array with three axes.")
        unfolded = image_size(chosen.shape, scalars, size)
        if unfolded is None and (array is None or size is not None):
            raise ReadError(
                f"{path} holds {chosen.name} of shape {chosen.shape}, but no height and width to fold it. "
                "Give size=(height, width), or only array= to open it as a single band."
            )
        stored = content.matrix(chosen, unfolded)
    else:
        count = np.size(wavelengths) if wavelengths is not None else None if found is None else found[0].size
        named = None if entry is None else 2
        order, extra = requested_order(chosen.shape, count, axes, band_axis, path, named=named, usual=2)
        stored = content.cube(chosen, order)
    metadata = extra if entry is None else {OWN_KEY: entry}
    if array is None:
        metadata |= also_held(variables, chosen, metadata)
    fields: dict[str, Any] = {"name": chosen.field, "metadata": metadata}
    if found is not None and found[0].size == stored.shape[0]:
        fields |= {"wavelengths": found[0], "spectral_unit": found[1]}
    return lazy_cube(stored, path, **fields)


@dataclass(frozen=True)
class _Content:
    """The variables of a file, and functions that load one or turn a 3-D or 2-D one into a cube's array."""

    variables: list[Variable]
    load: Load
    cube: Callable[[Variable, tuple[int, int, int]], Any]
    matrix: Callable[[Variable, tuple[int, int, int] | None], Any]
    export: Cube | None = None
    entry: str | None = None


@dataclass(frozen=True, eq=False)
class MatlabArray(LoadedArray):
    """A lazily loaded variable of a MATLAB file: 3-D as MATLAB shows it, or unfolded.

    Attributes
    ----------
    variable
        Its name.
    unfolded
        Height, width and pixel axis of an unfolded (2-D) image of several bands.
    """

    variable: str
    unfolded: tuple[int, int, int] | None = None

    def _load(self) -> NDArray[Any]:
        path = Path(self.path)
        values = _content(path, self.variable).load(self.variable)
        if values.ndim == 3:
            return values
        return values[None] if self.unfolded is None else _fold(values, *self.unfolded)


def _content(path: Path, requested: str | None = None) -> _Content:
    """Return the contents of a file of any version; structs are searched if `requested` is in one."""
    with path.open("rb") as file:
        head = file.read(512 + len(_HDF_MAGIC))
    is_hdf = _HDF_MAGIC in {head[: len(_HDF_MAGIC)], head[512:]}
    return _list_hdf(path) if is_hdf else _list_old(path, requested)


def _fold(matrix: NDArray[Any], height: int, width: int, pixel_axis: int) -> NDArray[Any]:
    """Fold a matrix into ``(bands, y, x)``; MATLAB stores pixels column by column."""
    bands_first = matrix if pixel_axis == 1 else matrix.T
    return bands_first.reshape(-1, width, height).transpose(0, 2, 1)


def _folded_shape(shape: tuple[int, ...], unfolded: tuple[int, int, int] | None) -> tuple[int, int, int]:
    if unfolded is None:
        return 1, shape[0], shape[1]
    height, width, pixel_axis = unfolded
    return shape[1 - pixel_axis], height, width


# --- version 4 to 7 ---------------------------------------------------------------------


def _list_old(path: Path, requested: str | None) -> _Content:
    elements = {element.name: element for element in list_elements(path)}
    variables = [Variable(e.name, e.shape, e.numeric) for e in elements.values()]
    inside: dict[str, Any] = {}
    export = None
    named = requested is not None and requested not in elements
    if named or not any(v.is_image for v in variables):
        for element in elements.values():
            if element.kind in {"struct", "object"} and (requested or element.name).startswith(element.name):
                record = _record(path, element)
                export = export or _dataset_object(path, record)
                inside |= dict(_fields(record, element.name))
        variables += [Variable(name, np.shape(value), True) for name, value in inside.items()]

    def load(name: str) -> NDArray[Any]:
        return inside[name] if name in inside else _numbers(path, elements[name])

    def cube(chosen: Variable, order: tuple[int, int, int]) -> Any:
        if chosen.name in inside:
            return inside[chosen.name].transpose(order)
        element = elements[chosen.name]
        _check(path, element)
        if element.compressed:
            return MatlabArray(str(path), _three(element.shape), element.dtype, order, element.name)
        # The file stores the axes in reverse order: the first one varies fastest.
        axes = _three(tuple(2 - axis for axis in order))
        place = element.position + element.offset
        return MappedArray(str(path), element.dtype, _three(element.shape[::-1]), place, axes)

    def matrix(chosen: Variable, unfolded: tuple[int, int, int] | None) -> Any:
        if chosen.name in inside:
            values = inside[chosen.name]
            return values[None] if unfolded is None else _fold(values, *unfolded)
        element = elements[chosen.name]
        _check(path, element)
        shape = _folded_shape(element.shape, unfolded)
        return MatlabArray(str(path), shape, element.dtype, (0, 1, 2), element.name, unfolded)

    return _Content(variables, load, cube, matrix, export, _entry(path, elements.get(OWN_KEY)))


def _entry(path: Path, element: Element | None) -> str | None:
    """Return the text of this package's own entry, or None."""
    if element is None or element.kind != "char" or element.size > LONGEST or math.prod(element.shape) > LONGEST:
        return None
    text = np.ravel(_record(path, element))
    return str(text[0]) if text.dtype.kind == "U" and text.size == 1 else None


def _check(path: Path, element: Element) -> None:
    if element.complex:
        raise ReadError(f"{path}: {element.name} is complex; take the magnitude or the real part first.")
    check_inflation(path, element.name, element.stored, element.size)


def _numbers(path: Path, element: Element) -> NDArray[Any]:
    """Load the numbers of a variable, real parts only."""
    data = inflated(path, element)
    count = math.prod(element.shape)
    values = data[element.offset : element.offset + count * np.dtype(element.dtype).itemsize].view(element.dtype)
    return values.reshape(element.shape, order="F")


def _record(path: Path, element: Element) -> Any:
    """Return a struct or an object as a numpy record array."""
    from scipy.io import loadmat

    file: Any = alone(path, element)
    return loadmat(file, variable_names=[element.name], chars_as_strings=True).get(element.name)


def _fields(record: Any, prefix: str, depth: int = 4) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the numeric arrays in a struct, with MATLAB-style names: ``map.data``."""
    names = getattr(getattr(record, "dtype", None), "names", None)
    if not names or record.size != 1 or not depth:
        return
    for name in names:
        value = record.flat[0][name]
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            yield f"{prefix}.{name}", value
        else:
            yield from _fields(value, f"{prefix}.{name}", depth - 1)


def _dataset_object(path: Path, value: Any) -> Cube | None:
    """Return the image in a PLS_Toolbox dataset object, as exported by WITec's Project FIVE; or None.

    Its fields: data (pixels, channels) with pixels column by column, imagesize, and axisscale, whose second row is the
    spectral axis.
    """
    names = getattr(getattr(value, "dtype", None), "names", None) or ()
    if not {"data", "imagesize"} <= set(names) or value.size != 1:
        return None
    record = value.flat[0]
    data, image = np.asarray(record["data"]), np.ravel(record["imagesize"])
    if data.ndim != 2 or image.size != 2 or int(image[0]) * int(image[1]) != data.shape[0]:
        return None
    fields: dict[str, Any] = {"name": str(np.ravel(record["name"])[0]) if "name" in names else path.stem}
    scales = np.asarray(record["axisscale"]) if "axisscale" in names else np.empty((0, 0), object)
    axis = np.ravel(scales[1, 0]) if scales.ndim == 2 and len(scales) > 1 else np.empty(0)
    if axis.dtype.kind == "f" and axis.size == data.shape[1]:
        # The object cannot store a unit; this program exports Raman shifts.
        note = "the spectral axis has no unit and was read as Raman shifts in cm-1"
        fields |= {"wavelengths": axis, "spectral_unit": "cm-1", "metadata": {"notes": (note,)}}
    return lazy_cube(_fold(data, int(image[0]), int(image[1]), 0), path, **fields)


# --- version 7.3 -----------------------------------------------------------------------


def _list_hdf(path: Path) -> _Content:
    places: dict[str, str] = {}
    variables = []
    entry = None
    with open_hdf(path) as file:
        for item in datasets(file):
            if str(item.name).startswith("/#") or item.shape is None:
                continue
            name = str(item.name).lstrip("/").replace("/", ".")
            word = str(attribute(item, "MATLAB_class") or "double")
            plain = item.dtype.kind in "biuf" and "MATLAB_empty" not in item.attrs
            if name == OWN_KEY and word == "char" and item.dtype == np.uint16 and item.size <= LONGEST:
                entry = np.ravel(item[()]).astype("<u2").tobytes().decode("utf-16-le", "replace")
            places[name] = str(item.name)
            variables.append(Variable(name, tuple(item.shape)[::-1], word in _NUMERIC and plain))

    def load(name: str) -> NDArray[Any]:
        with open_hdf(path) as file:
            found = checked(path, child(file, places[name]), name, image=False)
            stored = path.stat().st_size
            check_inflation(path, name, stored, math.prod(found.shape) * found.dtype.itemsize)
            return np.asarray(found[()].T)

    def cube(chosen: Variable, order: tuple[int, int, int]) -> Any:
        return HdfArray.transposed(path, places[chosen.name]).seen_as(order)

    def matrix(chosen: Variable, unfolded: tuple[int, int, int] | None) -> Any:
        with open_hdf(path) as file:
            dtype = child(file, places[chosen.name]).dtype.str
        return MatlabArray(str(path), _folded_shape(chosen.shape, unfolded), dtype, (0, 1, 2), chosen.name, unfolded)

    return _Content(variables, load, cube, matrix, entry=entry)


def _three(values: tuple[int, ...]) -> tuple[int, int, int]:
    first, second, third = values
    return first, second, third


READER = Reader(
    title="MATLAB",
    patterns=("*.mat",),
    read=read_matlab,
    magic=(b"MATLAB 5.0", b"MATLAB 7.3"),
    arrays=lambda path: _content(path).variables,
)
