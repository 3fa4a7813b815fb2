"""Open files as lazy cubes: `open_cube` for paths, `as_cube` for anything cube-like."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import dask.array as da
import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion.arguments import numbers, short, text
from napari_specfusion.data.checks import as_array
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import CubeError, ReadError, SpecFusionError
from napari_specfusion.files import as_path, check_file
from napari_specfusion.io.formats.envi.reader import find_header
from napari_specfusion.io.formats.envi.specim import capture_in
from napari_specfusion.io.metadata.axes import BandAxis, find_band_axis, order_of, uncertain
from napari_specfusion.io.metadata.data_array import from_data_array, is_data_array
from napari_specfusion.io.metadata.description import restored
from napari_specfusion.io.metadata.wavelength_file import read_wavelengths
from napari_specfusion.io.registry import READERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_specfusion.data.cube_like import CubeLike, ImageLayer, LabelledArray
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.io.metadata.variables import Variable
    from napari_specfusion.io.reader import Reader

__all__ = [
    "as_cube",
    "find_reader",
    "list_arrays",
    "open_cube",
    "open_scene",
]

_HEAD = 16


def open_cube(
    path: str | os.PathLike[str],
    *,
    reader: str | None = None,
    name: str | None = None,
    wavelengths: ArrayLike | os.PathLike[str] | None = None,
    spectral_unit: str | None = None,
    **options: Any,
) -> Cube:
    """Open a file or folder as a cube, lazily if the format allows.

    Parameters
    ----------
    path
        An ENVI header or data file, a TIFF or another raster that GDAL can read, a MATLAB, NPY or NPZ file, a picture,
        a Zarr store, HDF5 or NetCDF 4, an EnMAP or DESIS product, a folder with one picture per band, or a scanner's
        capture folder.
    reader
        A key of `READERS`; None chooses by the file name, then by the first bytes.
    name
        Name of the cube; None uses the file name.
    wavelengths
        Band centres ``(bands,)`` in file order, or a text file with a list or a table of them; they override those
        in the file.
    spectral_unit
        ``"nm"`` or ``"cm-1"``; None uses the unit in the file.
    **options
        Options of the reader, such as ``array="Y"`` for MATLAB files.

    Returns
    -------
    Cube
        Lazy cube ``(bands, y, x)`` with ascending wavelengths.

    Raises
    ------
    ReadError
        If the file is missing, damaged, in an unknown format, or does not hold one real, numeric image.
    """
    path = as_path(path)
    wavelengths, unit = _checked(wavelengths)
    chosen = _reader_of(path, reader)
    takes = chosen.options
    unknown = [option for option in options if option not in takes]
    if unknown:
        raise ReadError(
            f"{path}: the {chosen.title} reader takes no option {', '.join(unknown)}; it takes "
            f"{', '.join(takes) or 'none'}."
        )
    if wavelengths is not None and "wavelengths" in takes:
        options["wavelengths"] = wavelengths
    with _reading(path, chosen):
        return _described(restored(chosen.read(path, **options)), name, wavelengths, spectral_unit or unit)


def open_scene(path: str | os.PathLike[str], *, reader: str | None = None) -> Scene:
    """Open a product that holds both a cube and a sharper image, such as PRISMA, as a scene ready to fuse.

    Parameters
    ----------
    path
        The file.
    reader
        A key of `READERS`; None chooses by the name, then by the first bytes.

    Raises
    ------
    ReadError
        If the file cannot be read, or does not hold both images.
    SceneError
        If the two images do not fit together.
    """
    path = as_path(path)
    chosen = _reader_of(path, reader)
    with _reading(path, chosen):
        scene = None if chosen.read_scene is None else chosen.read_scene(path)
    if scene is None:
        raise ReadError(
            f"{path} holds no sharper image for its cube; open two files: Scene(open_cube(cube), open_cube(guide))."
        )
    return scene


def list_arrays(path: str | os.PathLike[str], *, reader: str | None = None) -> tuple[Variable, ...]:
    """List the arrays that can be opened in a file of a format with several: HDF5, MATLAB, NPZ, Zarr.

    Parameters
    ----------
    path
        The file.
    reader
        A key of `READERS`; None chooses by the name, then by the first bytes.

    Returns
    -------
    tuple of Variable
        Name and shape of each array with two or three axes, 3-D and largest first; empty for other formats. Pass the
        name to `open_cube` as ``array``.

    Raises
    ------
    ReadError
        If the file cannot be read.
    """
    path = as_path(path)
    chosen = _reader_of(path, reader)
    if chosen.arrays is None:
        return ()
    with _reading(path, chosen):
        found = [variable for variable in chosen.arrays(path) if variable.is_image]
    return tuple(sorted(found, key=lambda v: (-len(v.shape), -math.prod(v.shape))))


def _reader_of(path: Path, reader: str | None) -> Reader:
    """Return the reader with the key `reader`, or the one that fits the file."""
    check_file(path, folder=True)
    key = reader if reader is not None else find_reader(path)
    if not isinstance(key, str) or key not in READERS:
        known = ", ".join(READERS)
        problem = f"there is no reader {short(reader)}" if reader is not None else f"{path} is in an unknown format"
        raise ReadError(f"{problem}; choose one with reader=: {known}.")
    return READERS[key]


@contextmanager
def _reading(path: Path, reader: Reader) -> Iterator[None]:
    """Turn any error while reading `path` into a ReadError."""
    try:
        yield
    except CubeError as error:
        raise ReadError(f"{path}: {error}") from error
    except SpecFusionError:
        raise
    except Exception as error:  # libraries raise anything on damaged data
        raise ReadError(
            f"{path} cannot be read as {reader.title} ({type(error).__name__}: {error}); it is damaged, truncated "
            "or in another format: get a new copy, or name the format with reader=."
        ) from error


def find_reader(path: str | os.PathLike[str]) -> str | None:
    """Return the key in `READERS` for `path`, by its name, then by its first bytes; or None."""
    path = as_path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        return None  # a pipe or a device
    named = next((key for key, reader in READERS.items() if reader.claims(path)), None)
    if path.is_dir():
        if named == "zarr" or (path / "zarr.json").is_file():
            return "zarr"
        return "folder" if capture_in(path) is None else "envi"
    if named is not None:
        return named
    if not path.is_file():
        return None
    if find_header(path) is not None:
        return "envi"
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return next((key for key, reader in READERS.items() if head.startswith(reader.magic or (b"\0" * _HEAD,))), None)


def as_cube(
    obj: CubeLike,
    wavelengths: ArrayLike | os.PathLike[str] | None = None,
    name: str | None = None,
    *,
    axes: str | None = None,
) -> Cube:
    """Convert `obj` to a cube.

    Parameters
    ----------
    obj
        A cube, a path, a numpy or dask array ``(bands, y, x)`` or ``(y, x)``, a napari image layer, or an xarray
        DataArray, whose dimensions are recognised by name in any order. Dask arrays stay lazy.
    wavelengths
        Band centres ``(bands,)`` in nm, in the order of `obj`, or a text file of them; they override those of `obj`.
    name
        Name of the cube; None keeps its own name.
    axes
        Meaning of the axes of an array or a file, as a permutation of "byx" (bands, rows, columns). None treats an
        array as ``(bands, y, x)``; if its shape suggests another order, such as 145 x 145 x 200, a finding says so.

    Raises
    ------
    ReadError
        If `obj` is a path that cannot be read, or `axes` does not fit the array.
    CubeError
        If `obj` is of another type, or cannot be a cube.
    """
    wavelengths, unit = _checked(wavelengths)
    if name is not None:
        text("name", name, CubeError)
    if axes is not None:
        text("axes", axes, CubeError)
    if isinstance(obj, str | os.PathLike):
        return open_cube(
            obj, wavelengths=wavelengths, spectral_unit=unit, name=name, **({} if axes is None else {"axes": axes})
        )
    is_array = isinstance(obj, np.ndarray | da.Array) or not (hasattr(obj, "metadata") or is_data_array(obj))
    if axes is not None and (isinstance(obj, Cube) or not is_array):
        raise CubeError(f"axes={axes!r} is for arrays and files; a {type(obj).__name__} already has named axes.")
    if isinstance(obj, Cube):
        return _described(obj, name, wavelengths, unit)
    fields: dict[str, Any] = {} if wavelengths is None else {"wavelengths": wavelengths}
    if unit is not None:
        fields["spectral_unit"] = unit
    if isinstance(obj, np.ndarray | da.Array):
        return _of_array(obj, axes, name=name or "cube", **fields)
    if hasattr(obj, "data_vars"):
        held = ", ".join(repr(str(key)) for key in obj.data_vars) or "none"
        raise CubeError(f"A Dataset holds several arrays; give one of them, as dataset[name]. Its arrays: {held}.")
    if is_data_array(obj):
        return _described(from_data_array(cast("LabelledArray", obj)), name, wavelengths, unit)
    if hasattr(obj, "data") and hasattr(obj, "metadata"):
        return _described(Cube.from_layer(cast("ImageLayer", obj)), name, wavelengths, unit)
    if hasattr(obj, "__array__") or isinstance(obj, list | tuple):
        return _of_array(as_array(obj), axes, name=name or "cube", **fields)
    raise CubeError(
        f"{type(obj).__name__} cannot be used as a cube; give a Cube, a path, an array (bands, y, x), a DataArray or "
        "a napari image layer."
    )


def _of_array(array: Any, axes: str | None, **fields: Any) -> Cube:
    """Make a cube of an array with the given axes, else with bands first and a finding if its shape suggests otherwise.

    An ambiguous shape alone gives no finding, because bands-first is documented.
    """
    if axes is not None:
        order = order_of(axes, array.shape, "The array")
        return Cube.from_array((array if array.ndim == 3 else array[None]).transpose(order), **fields)
    if array.ndim == 3 and 0 not in array.shape and all(n == n for n in array.shape):
        seen = find_band_axis(array.shape)
        if seen.certainty != "weak" and seen.axis != 0:
            taken = BandAxis(0, "weak", f"arrays are (bands, y, x), although {seen.reason}")
            fields["metadata"] = uncertain(array.shape, taken, "the array")
    return Cube.from_array(array, **fields)


def _checked(
    wavelengths: ArrayLike | os.PathLike[str] | None,
) -> tuple[NDArray[np.float64] | None, str | None]:
    """Return wavelengths as numbers, and their unit if they come from a file that gives it."""
    if isinstance(wavelengths, str | os.PathLike):
        return read_wavelengths(as_path(wavelengths))
    return None if wavelengths is None else numbers("The wavelengths", wavelengths, error=CubeError), None


def _described(cube: Cube, name: str | None, wavelengths: NDArray[np.float64] | None, unit: str | None) -> Cube:
    fields: dict[str, Any] = {}
    if name is not None:
        fields["name"] = name
    if unit is not None:
        fields["spectral_unit"] = unit
    if wavelengths is not None:
        # FWHM values are valid only for the wavelengths that they came with.
        fields |= {"wavelengths": wavelengths, "fwhm": None}
    return (cube.replace(**fields) if fields else cube).ascending()
