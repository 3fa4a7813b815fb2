"""Read HDF5 and NetCDF 4: known products by their structure, and any dataset by its name."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import AmbiguousArrayError, ReadError
from napari_specfusion.io.formats.hdf5 import hyperspy
from napari_specfusion.io.formats.hdf5.arrays import hdf_cube
from napari_specfusion.io.formats.hdf5.file import attribute, axis_name, child, datasets, open_hdf, vector
from napari_specfusion.io.metadata.axes import (
    BandAxis,
    find_band_axis,
    is_picture,
    letters_of,
    named_axis,
    uncertain,
)
from napari_specfusion.io.metadata.units import (
    fits_dtype,
    guessed_unit,
    is_count,
    numbers,
    to_standard_unit,
    unit_in_name,
)
from napari_specfusion.io.metadata.variables import VAGUE_NAMES, Variable, listed
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.io.formats.hdf5.product import Product

__all__ = ["read_hdf", "read_hdf_scene", "reader_for"]

_WAVELENGTH_WORDS = ("wavelength", "wavenumber", "raman_shift", "ramanshift")
_WAVELENGTH_NAMES = {
    "band_centers", "band_centres", "bandcenters", "bandcentres", "lam", "lambda", "lambdas", "wave", "waves", "wl",
    "wls", "wvl", "wvls",
}  # fmt: skip

_FWHM_NAMES, _GOOD_NAMES = {"fwhm", "bandwidth", "bandwidths"}, {"good_wavelengths", "good_bands", "bbl"}
_FILL_NAMES = ("_FillValue", "missing_value", "Data_Ignore_Value", "data_ignore_value", "nodata")


def read_hdf(
    products: Collection[Product],
    path: Path,
    *,
    array: str | None = None,
    axes: str | None = None,
    wavelengths: Any = None,
) -> Cube:
    """Open an HDF5 or NetCDF 4 file as a lazy cube.

    Products are recognised by their structure. From any other file, the only dataset with three axes is read, or the
    only one that is not a picture.

    Parameters
    ----------
    products
        The products to look for.
    path
        The file.
    array
        Name of a dataset, such as "/entry/data"; product readers are then skipped, but
        HyperSpy signals keep their axes. A dataset with two axes opens as one band.
    axes
        Meaning of its axes, as a permutation of "byx" (bands, rows, columns), or "yx". None applies the rules of
        `napari_specfusion.io.metadata.axes`; a finding reports an uncertain guess.
    wavelengths
        Wavelengths that `open_cube` sets later; here they only help to find the band axis.

    Raises
    ------
    ReadError
        If the dataset is ambiguous, or the named one is not an image of real numbers.
    """
    with open_hdf(path) as file:
        if array is None and axes is None:
            product = next((p for p in products if p.matches(file)), None)
            if product is not None:
                return product.read(path, file)
        every = datasets(file)
        chosen = _named(path, file, array, every) if array is not None else _only(path, every)
        if axes is None and hyperspy.is_signal(file, chosen):
            return hyperspy.read_signal(path, chosen)
        count = None if wavelengths is None else np.size(wavelengths)
        return _generic(path, chosen, axes, count, every, alone=array is None)


def read_hdf_scene(products: Collection[Product], path: Path) -> Scene | None:
    """Return the cube and the sharper image of a product as a scene, or None if it has no such image."""
    with open_hdf(path) as file:
        product = next((p for p in products if p.read_scene is not None and p.matches(file)), None)
        return None if product is None or product.read_scene is None else product.read_scene(path, file)


# --- any other file --------------------------------------------------------------------


def _named(path: Path, file: Any, name: str, every: Sequence[Any]) -> Any:
    found = child(file, name)
    if getattr(found, "shape", None) is None:
        raise ReadError(f"{path} has no dataset {name!r}; choose one of {listed(_seen(every))}.")
    return found


def _only(path: Path, every: Sequence[Any]) -> Any:
    cubes = [item for item, seen in zip(every, _seen(every), strict=True) if _is_cube(seen)]
    # a picture next to the cube is a guide
    deeper = [item for item in cubes if not is_picture(item.shape)]
    if 1 in (len(cubes), len(deeper)):
        return (deeper or cubes)[0]
    if cubes:
        raise AmbiguousArrayError(f"{path} has several datasets: {listed(_seen(cubes))}. Name one with array=.")
    flat = [item for item in every if len(item.shape or ()) == 2 and _numeric(item) and _is_image(item)]
    what = f"{path} has no numeric dataset with three axes, only {listed(_seen(flat or every))}."
    if flat:
        raise AmbiguousArrayError(f"{what} Name one with array= to open it as a single band.")
    raise ReadError(f"{what} Choose a file with an image.")


def _generic(
    path: Path, dataset: Any, axes: str | None, count: int | None, every: Sequence[Any], *, alone: bool
) -> Cube:
    shape = tuple(dataset.shape)
    letters = None if axes is None else axes.lower()
    if letters is not None and sorted(letters) != sorted("byx" if len(shape) == 3 else "yx"):
        wanted = "a permutation of byx" if len(shape) == 3 else "yx or xy"
        raise ReadError(f"{path}: axes={axes!r} does not fit {dataset.name} of shape {shape}; give {wanted}.")
    notes: list[str] = []
    extra: dict[str, Any] = {}
    if letters is None and len(shape) == 3:
        found = _band_axis(dataset, count, every)
        letters = letters_of(found.axis)
        extra = uncertain(shape, found, f"{path.name}:{dataset.name}") if found.certainty == "weak" else {}
    letters = letters or "yx"
    bands = shape[letters.index("b")] if "b" in letters else 1
    fields = _spectrum(dataset, bands, every, notes)
    scale = numbers([attribute(dataset, "scale_factor")])
    offset = numbers([attribute(dataset, "add_offset")])
    if scale is not None and scale[0] != 0:
        fields["scale"] = float(scale[0])
    if offset is not None:
        fields["offset"] = float(offset[0])
    fill = next((v for v in (attribute(dataset, name) for name in _FILL_NAMES) if v is not None), None)
    if fill is not None and dataset.dtype.kind in "iuf":
        fields["nodata"] = fits_dtype(fill, dataset.dtype)
    others = [v for v in _seen(every) if _is_cube(v) and v.name != dataset.name] if alone else []
    if others:
        words = f'The file also holds {listed(others)}; open one with array="{others[0].name}".'
        extra["findings"] = (*extra.get("findings", ()), ("info", words))
    metadata = {"dataset": str(dataset.name), "notes": tuple(notes)} | extra
    return hdf_cube(path, dataset, letters, name=path.stem, metadata=metadata, **fields)


def _band_axis(dataset: Any, count: int | None, every: Sequence[Any]) -> BandAxis:
    """Return the band axis, by the number of wavelengths, the axis names, then the shape."""
    shape = tuple(map(int, dataset.shape))
    if count is None:
        fitting = [n for n in set(shape) if _vectors(dataset, n, every, _is_wavelength)]
        count = fitting[0] if len(fitting) == 1 else None
    # a dimension scale of wavelengths is also a vector of that name, so the two agree
    named = None if shape.count(count or 0) == 1 else named_axis([_axis_name(dataset, axis) for axis in range(3)])
    return find_band_axis(shape, count, named=named)


def _axis_name(dataset: Any, axis: int) -> str:
    """Return the name of an axis: its label, or the name of the NetCDF dimension scale attached to it."""
    try:
        return axis_name(dataset, axis).lower()
    except (KeyError, RuntimeError, ValueError, OSError, AttributeError):  # a broken reference
        return ""


def _spectrum(dataset: Any, bands: int, every: Sequence[Any], notes: list[str]) -> dict[str, Any]:
    """Return wavelengths, unit, FWHM and good bands from suitably named datasets in the same file."""
    found = _vectors(dataset, bands, every, _is_wavelength)
    if not found or bands == 1:
        return {}
    values, unit = found[0]
    name = "wavenumber" if unit is None and found[0][0][0] > 30000 else unit
    converted, factor, standard, note = to_standard_unit(values, name)
    if note:
        notes.append(note)
    if converted is None:
        return {}
    fields: dict[str, Any] = {"wavelengths": converted, "spectral_unit": standard}
    widths = _vectors(dataset, bands, every, lambda word: word in _FWHM_NAMES)
    good = _vectors(dataset, bands, every, lambda word: word in _GOOD_NAMES)
    if widths:
        fields["fwhm"] = widths[0][0] * factor
    if good:
        fields["good_bands"] = good[0][0] > 0
    return fields


def _vectors(dataset: Any, size: int, every: Sequence[Any], fits: Any) -> list[tuple[NDArray[np.float64], str | None]]:
    """Return vectors of `size` finite numbers with a matching name, and their units; nearest to `dataset` first."""
    found: list[tuple[NDArray[np.float64], str | None]] = []
    for name in itertools.islice(dataset.attrs, 1000):
        values = vector(attribute(dataset, name)) if fits(name.lower()) else None
        if values is not None and values.size == size > 1:
            found.append((values, _unit(dataset, name.lower())))
    home = str(dataset.name).split("/")

    def distance(item: Any) -> int:
        shared = sum(
            1 for _ in itertools.takewhile(lambda p: p[0] == p[1], zip(home, item.name.split("/"), strict=False))
        )
        return -shared

    for item in sorted(every, key=distance):
        word = str(item.name).rpartition("/")[2].lower()
        if fits(word) and size > 1 and (item.size or 0) == size == max(item.shape or (0,)):
            values = vector(item)
            if values is not None:
                units = next((u for u in (attribute(item, k) for k in ("units", "Units", "unit")) if u), None)
                units = unit_in_name(word) if units is None else str(units)
                counts = units is None and (is_count(values) or (word in VAGUE_NAMES and guessed_unit(values) is None))
                if not (counts and _is_wavelength(word)):
                    found.append((values, units))
    return found


def _unit(dataset: Any, name: str) -> str | None:
    if "wavenumber" in name or "raman" in name:
        return "cm-1"
    known = {key.lower(): key for key in itertools.islice(dataset.attrs, 1000)}
    wanted = (f"{name}_units", f"{name}_unit", "wavelength_units", "wavelength_unit", "wavelengths_units")
    found = next((attribute(dataset, known[key]) for key in wanted if key in known), None)
    return None if found is None else str(found)


def _is_wavelength(word: str) -> bool:
    return word in _WAVELENGTH_NAMES | VAGUE_NAMES or bool(
        any(part in word for part in _WAVELENGTH_WORDS) and not any(s in word for s in ("unit", "good", "flag"))
    )


def _numeric(item: Any) -> bool:
    try:
        return bool(item.dtype.kind in "biuf" and 0 not in item.shape)
    except TypeError:  # not a numpy type
        return False


def _is_image(item: Any) -> bool:
    return bool(sum(n > 1 for n in item.shape) >= 2)


def _is_cube(variable: Variable) -> bool:
    return variable.is_image and len(variable.shape) == 3


def _seen(items: Sequence[Any]) -> list[Variable]:
    return [Variable(str(item.name), tuple(map(int, item.shape or ())), _numeric(item)) for item in items]


def _arrays(path: Path) -> list[Variable]:
    with open_hdf(path) as file:
        return _seen(datasets(file))


def reader_for(products: Collection[Product]) -> Reader:
    """Return a reader of HDF5 files that recognises `products`; the first match wins."""
    return Reader(
        title="HDF5",
        patterns=("*.h5", "*.hdf5", "*.he5", "*.hdf", "*.nc", "*.nc4", "*.hspy"),
        read=partial(read_hdf, products),
        magic=(b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"CDF\x02"),
        read_scene=partial(read_hdf_scene, products),
        arrays=_arrays,
    )
