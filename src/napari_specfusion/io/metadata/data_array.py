"""Convert an xarray DataArray to a cube, without importing xarray."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.data_array import CLASHING, KEPT_APART, pixel_size_of
from napari_specfusion.errors import CubeError
from napari_specfusion.io.metadata.units import (
    fits_dtype,
    is_count,
    numbers,
    to_standard_unit,
    unit_in_name,
    wavelengths_in_names,
)
from napari_specfusion.io.metadata.variables import SHIFT_NAMES, VAGUE_NAMES, WAVELENGTH_NAMES, is_spectral

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from napari_specfusion.data.cube_like import LabelledArray

__all__ = ["from_data_array", "is_data_array"]

_AXES = {
    "band": WAVELENGTH_NAMES | SHIFT_NAMES | {"band", "bands", "c", "channel", "channels", "spectral"},
    "y": {"y", "lat", "latitude", "northing"} | {"downtrack", "height", "line", "lines", "row", "rows"},
    "x": {"x", "lon", "longitude", "easting"}
    | {"col", "cols", "column", "columns", "crosstrack", "sample", "samples", "width"},
}  # fmt: skip
# coordinates along axes with other names are at most pixel numbers
_ON_MAPS = {"y", "lat", "latitude", "northing", "x", "lon", "longitude", "easting"}
_UNNAMED = re.compile(r"dim_\d+")
_STANDARD_NAMES = {"radiation_wavelength", "sensor_band_central_radiation_wavelength"}
_FILLS = ("_FillValue", "missing_value", "nodata", "nodatavals")
_GOOD = ("good_bands", "good_wavelengths", "bbl")
# tolerated deviation from an even grid: float32 rounds degrees to about 1/50 of a small pixel
_UNEVEN, _SAME = 0.05, 1e-3


def is_data_array(obj: Any) -> bool:
    """Whether `obj` is an xarray DataArray or a similar labelled array."""
    return all(hasattr(obj, name) for name in ("dims", "coords", "attrs", "data"))


def from_data_array(array: LabelledArray) -> Cube:
    """Convert a labelled array to a cube.

    Dimensions are recognised by name, in any order; xarray's default names (``dim_0``) mean ``(bands, y, x)``.
    Wavelengths, FWHM and good bands are coordinates along the bands, or attributes. Evenly spaced ``y`` and ``x`` give
    the affine, ``spatial_ref`` the reference system. Fill value, scale and offset are used if they are attributes:
    xarray removes these when it applies them. All other attributes become metadata. Dask arrays stay lazy.

    Raises
    ------
    CubeError
        If the dimensions are not those of an image, or the array cannot be a cube.
    """
    order, spectral = _order(array)
    stored = array.data if isinstance(array.data, np.ndarray | da.Array) else np.asarray(array.data)
    stored = stored[tuple(slice(None) if axis in order else 0 for axis in range(stored.ndim))]
    data = stored.transpose([sorted(order).index(axis) for axis in order])
    bands = data.shape[0] if data.ndim == 3 else 1
    attrs = {str(key): value for key, value in array.attrs.items()}
    notes: list[str] = []
    fields = _values(attrs, data.dtype, bands) | _place(array, attrs, order, notes)
    found, names = _spectrum(array, attrs, spectral, bands, notes)
    fields |= found
    metadata = {key: value for key, value in attrs.items() if key not in CLASHING | {KEPT_APART}}
    metadata |= dict(attrs.get(KEPT_APART, {})) | names
    if notes:
        metadata["notes"] = (*metadata.get("notes", ()), *notes)
    return Cube.from_array(data, name="cube" if array.name is None else str(array.name), metadata=metadata, **fields)


def _order(array: LabelledArray) -> tuple[list[int], Hashable]:
    """Return the axes of (bands, y, x) or (y, x), and the name of the band dimension, or None."""
    sizes = dict(zip(array.dims, array.data.shape, strict=True))
    words = {dim: str(dim).strip().lower() for dim in array.dims}
    if all(_UNNAMED.fullmatch(word) for word in words.values()) and len(words) in (2, 3):
        return list(range(len(words))), array.dims[0] if len(words) == 3 else None
    roles: dict[str, Hashable] = {}
    for role, known in _AXES.items():
        named = [dim for dim, word in words.items() if word in known]
        named = [dim for dim in named if sizes[dim] > 1] or named[:1]
        if len(named) > 1:
            raise CubeError(f"{_label(sizes)} has {len(named)} dimensions that could be {role}; rename all but one.")
        if named:
            roles[role] = named[0]
    # ignore dimensions of length one, such as the time of a single image
    rest = [dim for dim in array.dims if dim not in roles.values() and sizes[dim] > 1]
    missing = [role for role in _AXES if role not in roles and (role != "band" or len(rest) + len(roles) > 2)]
    # The remaining dimensions are unambiguous: the only missing axis, or y and x in this order.
    if len(rest) == len(missing) and (len(rest) == 1 or missing == ["y", "x"]):
        roles |= dict(zip(missing, rest, strict=True))
        rest, missing = [], []
    if rest or missing:
        raise CubeError(
            f"{_label(sizes)} does not have the dimensions of an image; rename them to 'wavelength', 'y' and 'x', and "
            "select one entry of any other, as in array.isel(time=0)."
        )
    return [array.dims.index(roles[role]) for role in _AXES if role in roles], roles.get("band")


def _label(sizes: Mapping[Hashable, int]) -> str:
    return f"The DataArray ({', '.join(f'{dim}: {size}' for dim, size in sizes.items())})"


def _numbers(value: Any) -> NDArray[np.float64] | None:
    return numbers(_items(value))


def _items(value: Any) -> list[Any]:
    try:
        items: list[Any] = np.ravel(value).tolist()
    except ValueError:  # ragged rows
        return []
    return items


# --- bands -------------------------------------------------------------------------


def _spectrum(
    array: LabelledArray, attrs: Mapping[str, Any], spectral: Hashable, bands: int, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the band description as fields of a cube, and the band names as metadata."""
    along = {
        str(name): coord
        for name, coord in array.coords.items()
        if tuple(coord.dims) == (() if spectral is None else (spectral,))
    }
    fields: dict[str, Any] = {}
    names: dict[str, Any] = {}
    factor = 1.0
    telling = [name for name in along if _is_spectral_name(name, along[name])]
    for name in (*telling, *({str(spectral)} & along.keys()).difference(telling)):
        values, unit, words = _wavelengths(name, along[name], name in telling)
        if words:
            names = {"band_names": words}
        if values is None:
            if name in telling and not words:
                notes.append(f"the wavelengths in {name} were left out: they are not finite numbers")
            continue
        converted, factor, standard, note = to_standard_unit(values, unit)
        notes += [] if note is None else [note]
        if converted is not None:
            fields = {"wavelengths": converted, "spectral_unit": standard}
            break
    given = {**attrs, **{name: np.atleast_1d(np.asarray(coord.data)) for name, coord in along.items()}}
    if (widths := _numbers(given.get("fwhm", ()))) is not None and widths.size == bands:
        own = along["fwhm"].attrs.get("units") if "fwhm" in along else None
        converted = widths * factor if own is None else to_standard_unit(widths, str(own))[0]
        fields |= {} if converted is None else {"fwhm": converted}
    for key in _GOOD:
        good = _numbers(given.get(key, ()))
        if good is not None and good.size == bands:
            fields["good_bands"] = good != 0
            break
    for key in ("band_names", "long_name"):
        listed = given.get(key)
        if isinstance(listed, list | tuple | np.ndarray) and len(listed) == bands:
            names = {"band_names": tuple(np.asarray(listed, dtype=object).tolist())}
            break
    return fields, names


def _is_spectral_name(name: str, coord: LabelledArray) -> bool:
    """Whether a coordinate is named like wavelengths or Raman shifts."""
    word = name.lower()
    return (is_spectral(word) and word not in VAGUE_NAMES) or coord.attrs.get("standard_name") in _STANDARD_NAMES


def _wavelengths(
    name: str, coord: LabelledArray, spectral: bool
) -> tuple[NDArray[np.float64] | None, str | None, tuple[str, ...]]:
    """Return the wavelengths in a band coordinate, or None, their unit, and the coordinate's names."""
    raw = np.atleast_1d(np.asarray(coord.data))
    unit = coord.attrs.get("units", coord.attrs.get("unit"))
    if raw.dtype.kind in "OSU":
        words = tuple(str(word) for word in raw.tolist())
        values, found = wavelengths_in_names(words)
        return values, found if unit is None else str(unit), words
    if unit is None and not spectral and raw.dtype.kind != "f":
        return None, None, ()  # integers without a unit are band numbers
    values = numbers(raw)
    if unit is None:
        unit = unit_in_name(name) or ("cm-1" if name.lower() in SHIFT_NAMES else None)
    if unit is None and values is not None and is_count(values):
        return None, None, ()
    return values, None if unit is None else str(unit), ()


# --- values ------------------------------------------------------------------------


def _values(attrs: Mapping[str, Any], dtype: np.dtype[Any], bands: int) -> dict[str, Any]:
    """Return scale, offset and no-data value from attributes with xarray's, CF's or rasterio's names."""
    fields: dict[str, Any] = {}
    for field, keys in (("scale", ("scale_factor", "scales")), ("offset", ("add_offset", "offsets"))):
        for key in keys:
            found = _numbers(attrs.get(key, ()))
            if found is not None and found.size in (1, bands):
                fields[field] = float(found[0]) if np.all(found == found[0]) else found
    fills = {fits_dtype(value, dtype) for key in _FILLS for value in _items(attrs.get(key, ()))[:1]}
    known = [fill for fill in fills if fill is not None and not np.isnan(fill)]
    return fields | ({"nodata": known[0]} if known else {})


# --- georeferencing ----------------------------------------------------------------


def _place(array: LabelledArray, attrs: Mapping[str, Any], order: list[int], notes: list[str]) -> dict[str, Any]:
    """Return affine, pixel size and reference system as fields of a cube."""
    grid = _mapping(array, attrs)
    fields: dict[str, Any] = {}
    texts = [grid.get("spatial_ref"), grid.get("crs_wkt"), attrs.get("crs")]
    crs = next((text for text in texts if text is not None), None)
    if crs is not None:
        fields["crs"] = crs.to_wkt() if hasattr(crs, "to_wkt") else str(crs)
    written = affine = _geotransform(grid, attrs)
    (y_name, x_name), size = zip(*((array.dims[axis], array.data.shape[axis]) for axis in order[-2:]), strict=True)
    upright = written is None or written[1] == written[3] == 0
    if upright and all(str(name).lower() in _ON_MAPS for name in (y_name, x_name)):
        y = _axis(array, y_name, y_name, None if written is None else written[4], notes)
        x = _axis(array, x_name, x_name, None if written is None else written[0], notes)
        # coordinates 0, 1, 2, ... are pixel numbers, not map coordinates
        if y is not None and x is not None and (y, x) != ((0.0, 1.0), (0.0, 1.0)):
            affine = (x[1], 0.0, x[0] - x[1] / 2, 0.0, y[1], y[0] - y[1] / 2)
            if written is not None and _agree(affine, written, size):
                affine = written  # full precision, while coordinates are rounded
    elif written is not None:
        names = (y_name, x_name) if upright else ("row", "column")
        rows, columns = _axis(array, names[0], y_name, 1.0, []), _axis(array, names[1], x_name, 1.0, [])
        affine = _part(written, rows or (0.0, 1.0), columns or (0.0, 1.0))
    if affine is not None:
        fields |= {"affine": affine, "pixel_size": pixel_size_of(affine)}
    stated = _numbers(attrs.get("pixel_size", ()))
    if stated is not None and stated.size == 2:
        fields["pixel_size"] = (float(stated[0]), float(stated[1]))
    return fields


def _mapping(array: LabelledArray, attrs: Mapping[str, Any]) -> Mapping[Any, Any]:
    """Return the attributes of the grid mapping coordinate."""
    named = attrs.get("grid_mapping", getattr(array, "encoding", {}).get("grid_mapping"))
    for name in (named, "spatial_ref", "crs"):
        if name is not None and name in array.coords:
            attributes: Mapping[Any, Any] = array.coords[name].attrs
            return attributes
    return {}


def _geotransform(grid: Mapping[Any, Any], attrs: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the affine stored with the grid mapping, in GDAL's order, or in an attribute, in rasterio's order."""
    text = grid.get("GeoTransform")
    values = numbers(str(text).split()) if text is not None else None
    if values is not None and values.size == 6:
        c, a, b, f, d, e = values.tolist()
        return a, b, c, d, e, f
    values = _numbers(attrs.get("transform", ()))
    return tuple(values.tolist()[:6]) if values is not None and values.size in (6, 9) else None


def _axis(
    array: LabelledArray, name: Hashable, dim: Hashable, step: float | None, notes: list[str]
) -> tuple[float, float] | None:
    """Return the start and step of a coordinate along a dimension; `step` is used for a single entry."""
    coord = array.coords[name] if name in array.coords else None
    values = numbers(np.asarray(coord.data)) if coord is not None and tuple(coord.dims) == (dim,) else None
    if values is None:
        return None
    if values.size == 1:
        return None if step is None else (float(values[0]), step)
    first, step = float(values[0]), float((values[-1] - values[0]) / (values.size - 1))
    even = first + step * np.arange(values.size)
    if step == 0 or np.abs(values - even).max() > _UNEVEN * abs(step):
        notes.append(f"the coordinates along {name} were left out: they are not evenly spaced")
        return None
    return first, step


def _agree(one: tuple[float, ...], other: tuple[float, ...], size: tuple[int, ...]) -> bool:
    """Whether two affines without rotation place the corners of an image of `size` (y, x) equally."""
    for scale, place, count in ((0, 2, size[1]), (4, 5, size[0])):
        apart = one[place] - other[place], one[place] - other[place] + count * (one[scale] - other[scale])
        if max(map(abs, apart)) > _SAME * abs(one[scale]):
            return False
    return True


def _part(affine: tuple[float, ...], rows: tuple[float, float], columns: tuple[float, float]) -> tuple[float, ...]:
    """Return the affine of a part of an image with (first pixel, step) given by `rows` and `columns`."""
    a, b, c, d, e, f = affine
    (first_y, step_y), (first_x, step_x) = rows, columns
    # shift from the outer corner of the image to that of the part, whose first pixel is centred at its start
    y0, x0 = first_y + 0.5 - step_y / 2, first_x + 0.5 - step_x / 2
    return a * step_x, b * step_y, c + a * x0 + b * y0, d * step_x, e * step_y, f + d * x0 + e * y0
