"""A hyperspectral cube: lazy data with its spectral and spatial description."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion import memory
from napari_specfusion.arguments import short, text, whole
from napari_specfusion.data.checks import (
    as_array,
    check_data,
    check_window,
    filled,
    fixed_numbers,
    one_or_per_band,
    one_per_band,
    places,
    to_numbers,
)
from napari_specfusion.data.computed import computed
from napari_specfusion.data.data_array import to_data_array
from napari_specfusion.data.display import contrast_limits, rgb_bands
from napari_specfusion.data.layers import METADATA_KEY, from_layer, layer_data
from napari_specfusion.data.sources import ArraySource, BandSource, WindowSource
from napari_specfusion.data.summary import cube_rows, cube_title, html_summary, text_summary
from napari_specfusion.data.values import lazy_values, physical
from napari_specfusion.errors import CubeError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from typing import Self

    import xarray

    from napari_specfusion.data.cube_like import ImageLayer
    from napari_specfusion.data.sources import Source
    from napari_specfusion.io.save import Saved

__all__ = ["METADATA_KEY", "Cube"]

_UNITS = ("nm", "cm-1")
_PER_BAND = ("wavelengths", "fwhm", "good_bands")


@dataclass(frozen=True, eq=False)
class Cube:
    """A lazy image of many bands.

    Attributes
    ----------
    data
        Stored values, dask ``(bands, y, x)``, in the file's own numbers.
    wavelengths
        Band centres ``(bands,)`` in `spectral_unit`, ascending; None where unknown.
    spectral_unit
        ``"nm"`` for optics, ``"cm-1"`` for Raman shifts.
    fwhm
        Band widths ``(bands,)`` in `spectral_unit`, or None.
    good_bands
        Boolean ``(bands,)``; None means that all bands are good.
    nodata
        Stored value that means "nothing measured here"; NaN always does.
    scale, offset
        Physical value = stored value * scale + offset; numbers or ``(bands,)``.
    pixel_size
        Ground size (y, x) of a pixel, in the units of `crs` or unknown ones.
    affine, crs
        Geometry as ``(a, b, c, d, e, f)`` of x' = a x + b y + c, y' = d x + e y + f, and its reference system.
    name
        Name of the cube in a layer list.
    source
        Reads single spectra and windows directly; None goes through `data`.
    metadata
        Other entries of the file.

    Raises
    ------
    CubeError
        If the data are not a real, numeric, non-empty 3-D array, or a per-band field has another length.
    """

    data: da.Array
    wavelengths: NDArray[np.float64] | None = None
    spectral_unit: str = "nm"
    fwhm: NDArray[np.float64] | None = None
    good_bands: NDArray[np.bool_] | None = None
    nodata: float | None = None
    scale: float | NDArray[np.float64] = 1.0
    offset: float | NDArray[np.float64] = 0.0
    pixel_size: tuple[float, float] | None = None
    affine: tuple[float, ...] | None = None
    crs: str | None = None
    name: str = "cube"
    source: Source | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_data(self.data)
        bands = self.data.shape[0]
        fields: dict[str, Any] = {}
        data: Any = self.data
        if isinstance(data, np.ndarray):
            fields["data"] = da.from_array(data, chunks=(1, *data.shape[1:]), name=False)
        elif not isinstance(data, da.Array):
            raise CubeError(f"The data are a {type(data).__name__}; give a dask array, or call Cube.from_array.")
        for key, dtype in zip(_PER_BAND, (np.float64, np.float64, np.bool_), strict=True):
            if (value := getattr(self, key)) is not None:
                fields[key] = one_per_band(key, value, bands, dtype)
        for key in ("scale", "offset"):
            fields[key] = one_or_per_band(key, getattr(self, key), bands)
        for key, count in (("affine", 6), ("pixel_size", 2)):
            if (value := getattr(self, key)) is not None:
                fields[key] = fixed_numbers(key, value, count)
        if not np.all(np.isfinite(fields.get("wavelengths", 0.0))):
            raise CubeError(
                "wavelengths hold NaN or infinite entries; give a number for every band, or leave them out."
            )
        if not isinstance(self.spectral_unit, str) or self.spectral_unit not in _UNITS:
            unit = short(self.spectral_unit)
            raise CubeError(f"spectral_unit is {unit}; convert the wavelengths and give one of {', '.join(_UNITS)}.")
        text("name", self.name, CubeError)
        if self.source is not None and not (hasattr(self.source, "spectrum") and hasattr(self.source, "window")):
            raise CubeError(f"source is {short(self.source)}; it must read spectra and windows. Leave it out.")
        if not isinstance(self.metadata, Mapping):
            raise CubeError(f"metadata is {short(self.metadata)}; it must be a dictionary.")
        if self.nodata is not None and to_numbers("nodata", self.nodata).ndim:
            raise CubeError(f"nodata is {short(self.nodata)}; give one number, or None.")
        nodata: Any = self.nodata
        if nodata is not None and not isinstance(nodata, int | float | np.number):
            fields["nodata"] = float(nodata)
        if self.crs is not None and not isinstance(self.crs, str):
            raise CubeError(
                f"crs is {short(self.crs)}; it must be text: a code such as 'EPSG:32632', or WKT. Try str()."
            )
        fields["metadata"] = MappingProxyType(dict(self.metadata))
        for key, value in fields.items():
            object.__setattr__(self, key, value)

    @classmethod
    def from_array(cls, array: ArrayLike | da.Array, **fields: Any) -> Self:
        """Make a cube from an array ``(bands, y, x)``, or from one band ``(y, x)``.

        Bands are sorted by ascending wavelength. Masked values become NaN, or `nodata` in integer arrays.

        Raises
        ------
        CubeError
            As the class does, or if integers are masked and `nodata` is not given.
        """
        array = filled(array, fields.get("nodata"))
        if not isinstance(array, da.Array):
            values = as_array(array)
            check_data(values := values[None] if values.ndim == 2 and values.size else values)
            fields.setdefault("source", ArraySource(values))
            return cls(da.from_array(values, chunks=(1, *values.shape[1:]), name=False), **fields).ascending()
        return cls(array[None] if array.ndim == 2 else array, **fields).ascending()

    # --- shape and bands -------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns."""
        bands, height, width = self.data.shape
        return int(bands), int(height), int(width)

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the stored values."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def good(self) -> NDArray[np.bool_]:
        """Boolean ``(bands,)``: which bands are good."""
        return np.ones(self.bands, bool) if self.good_bands is None else self.good_bands

    @property
    def band_names(self) -> tuple[Any, ...]:
        """The bands' names from the metadata; empty unless every band has one."""
        names = self.metadata.get("band_names", ())
        return tuple(names) if isinstance(names, list | tuple | np.ndarray) and len(names) == self.bands else ()

    def band_at(self, wavelength: float) -> int:
        """Return the index of the good band nearest to `wavelength` (in `spectral_unit`)."""
        if self.wavelengths is None:
            raise CubeError(f"{self.name} has no wavelengths; give them with replace(wavelengths=...).")
        distance = np.abs(self.wavelengths - wavelength)
        return int(np.argmin(np.where(self.good, distance, np.inf) if self.good.any() else distance))

    def rgb_bands(self, wavelengths: Sequence[float] | None = None) -> tuple[int, int, int]:
        """Return the bands to show as red, green and blue.

        These are the good bands nearest to the wavelengths, if the cube covers them. A cube of three bands shows all
        three: red is the last one where wavelengths are known, since they ascend, and the first one otherwise. Any
        other cube, such as one of Raman shifts, shows bands spread over its range.

        Parameters
        ----------
        wavelengths
            Wavelengths of red, green and blue in nm; None takes 640, 550 and 460.

        Raises
        ------
        CubeError
            If the number of wavelengths is not three.
        """
        return rgb_bands(self, wavelengths)

    def replace(self, **fields: Any) -> Self:
        """Return the cube with some fields replaced; new `data` drop the old `source`."""
        if "data" in fields:
            fields.setdefault("source", None)
        return dataclasses.replace(self, **fields)

    def ascending(self) -> Self:
        """Return the cube with its bands in the order of ascending wavelengths."""
        if self.wavelengths is None or np.all(np.diff(self.wavelengths) >= 0):
            return self
        return self.select(np.argsort(self.wavelengths, kind="stable"))

    def select(self, bands: ArrayLike) -> Self:
        """Return a cube with the bands in `bands` (indices or a boolean mask), in that order.

        Raises
        ------
        CubeError
            If there is no such band.
        """
        index = places("The bands", bands, self.bands)
        fields: dict[str, Any] = {
            key: None if getattr(self, key) is None else getattr(self, key)[index] for key in _PER_BAND
        }
        for key in ("scale", "offset"):
            value = getattr(self, key)
            fields[key] = value if isinstance(value, float) else value[index]
        if names := self.band_names:
            fields["metadata"] = {**self.metadata, "band_names": tuple(names[i] for i in index)}
        source = None if self.source is None else BandSource(self.source, index)
        return self.replace(data=self.data[index], source=source, **fields)

    def crop(self, rows: slice, columns: slice) -> Self:
        """Return the cube cropped to a window, with its geometry adjusted.

        Raises
        ------
        CubeError
            If the window is empty or has gaps.
        """
        check_window(rows, columns)
        (y0, y1, _), (x0, x1, _) = rows.indices(self.shape[1]), columns.indices(self.shape[2])
        if any(part.step not in (None, 1) for part in (rows, columns)):
            raise CubeError(f"A window from {rows} and {columns} has gaps; give slices without a step.")
        affine = self.affine
        if affine is not None:
            a, b, c, d, e, f = affine
            affine = (a, b, c + a * x0 + b * y0, d, e, f + d * x0 + e * y0)
        source = None if self.source is None else WindowSource(self.source, y0, x0, y1 - y0, x1 - x0)
        return self.replace(data=self.data[:, y0:y1, x0:x1], affine=affine, source=source)

    # --- values ------------------------------------------------------------

    @cached_property
    def is_physical(self) -> bool:
        """Whether the stored values are physical values already."""
        return self.nodata is None and bool(np.all(np.equal(self.scale, 1.0)) and np.all(np.equal(self.offset, 0.0)))

    @cached_property
    def values(self) -> da.Array:
        """Physical values, lazy ``(bands, y, x)``, floating; no-data as NaN.

        float32, or float64 where float32 cannot hold the stored values.
        """
        return lazy_values(self)

    def spectrum(self, y: int, x: int) -> NDArray[np.floating[Any]]:
        """Return the physical spectrum ``(bands,)`` of one pixel; no-data as NaN.

        Raises
        ------
        CubeError
            If the pixel lies outside the cube.
        """
        _, height, width = self.shape
        y, x = whole("The row of a pixel", y, error=CubeError), whole("The column of a pixel", x, error=CubeError)
        if not (0 <= y < height and 0 <= x < width):
            raise CubeError(f"Pixel ({y}, {x}) lies outside {self.name}, which has {height} rows and {width} columns.")
        if self.source is None:
            return computed(self.values[:, y, x])
        return physical(self, self.source.spectrum(y, x)[:, None, None])[:, 0, 0]

    def read(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.floating[Any]]:
        """Return the physical values ``(bands, rows, columns)`` of a window in memory; no-data as NaN.

        Raises
        ------
        CubeError
            If `rows` or `columns` is not a slice of whole numbers.
        """
        check_window(rows, columns)
        if self.source is None:
            return np.array(computed(self.values[:, rows, columns]))
        return physical(self, self.source.window(rows, columns))

    @property
    def may_miss(self) -> bool:
        """Whether values can be missing: always in floating-point data, otherwise if a no-data value is declared."""
        return self.dtype.kind == "f" or self.nodata is not None

    def in_memory(self, watch: Callable[[int, int], None] | None = None) -> Self:
        """Return the cube with its stored values in memory, read once.

        Parameters
        ----------
        watch
            Called between reads with the number of rows read and of all rows; an exception from it stops the reading.
        """
        if isinstance(self.source, ArraySource) and type(self.source.array) is np.ndarray:
            return self
        if self.source is None:
            # in one computation, so that a chunk shared by several strips is not computed twice
            values = computed(self.data)
        else:
            bands, height, width = self.shape
            values = np.empty(self.shape, self.dtype)
            step = max(1, memory.READ // (bands * width * self.dtype.itemsize))
            for start in range(0, height, step):
                if watch is not None:
                    watch(start, height)
                rows = slice(start, min(start + step, height))
                values[:, rows] = self.source.window(rows, slice(0, width))
        chunks = (1, *values.shape[1:])
        return self.replace(data=da.from_array(values, chunks=chunks, name=False), source=ArraySource(values))

    def sample(self, bands: int = 7) -> NDArray[np.floating[Any]]:
        """Return physical values of up to `bands` good bands on a grid of about 64 x 64 pixels; no-data as NaN."""
        bands = whole("The number of bands", bands, 1, error=CubeError)
        good = np.flatnonzero(self.good) if self.good.any() else np.arange(self.bands)
        chosen = np.unique(good[np.linspace(0, len(good) - 1, min(len(good), bands)).astype(int)])
        rows, columns = (slice(None, None, max(1, n // 64)) for n in self.shape[1:])
        # One basic slice per band, before any arithmetic: dask passes it on to the file, so that little is read.
        data = da.stack([self.data[band, rows, columns] for band in chosen])
        return computed(self.select(chosen).replace(data=data, source=None).values)

    def contrast_limits(self) -> tuple[float, float]:
        """Return display limits: the 1st and 99th percentile of a small sample over good bands."""
        return contrast_limits(self)

    # --- files ---------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False, **options: Any) -> Saved:
        """Write the cube to a file: its stored values unchanged, with their description.

        Parameters
        ----------
        path
            File to write: ``.hdr`` (ENVI), ``.tif``, ``.ome.tif``, ``.zarr``, ``.npz`` or ``.mat``.
        overwrite
            Whether to replace existing files.
        **options
            Further options of `napari_specfusion.io.save_cube`, such as ``progress`` or ``interleave="bip"``.

        Returns
        -------
        Saved
            The paths that were written, with remarks about them.

        Raises
        ------
        OutputError
            If the format is unknown or cannot hold the cube, or the files cannot be written.
        """
        # io depends on data; this one import the other way is deferred until it is used.
        from napari_specfusion.io.save import save_cube

        return save_cube(self, path, overwrite=overwrite, **options)

    # --- other libraries, without importing them --------------------------------

    def to_xarray(self) -> xarray.DataArray:
        """Return the cube as a labelled array of its physical values, lazily; no-data is NaN.

        Returns
        -------
        xarray.DataArray
            ``(wavelength, y, x)``, or ``(band, y, x)`` where wavelengths are unknown, with ``fwhm``, ``good_bands`` and
            ``band_names`` along the bands, ``y`` and ``x`` at the pixels' centres, ``spatial_ref`` as rioxarray reads
            it, and the metadata as attributes. `as_cube` converts it back to a cube.

        Raises
        ------
        CubeError
            If xarray is not installed.
        """
        return to_data_array(self)

    def layer_data(self) -> tuple[da.Array | list[da.Array], dict[str, Any], str]:
        """Return the napari layer-data tuple of this cube, with its full description in the metadata.

        The data are a list, the cube and its coarser copies, where a large file holds these.
        """
        return layer_data(self)

    @classmethod
    def from_layer(cls, layer: ImageLayer) -> Cube:
        """Return the cube behind a napari image layer.

        A layer made from a cube returns that cube. New data in such a layer keep the spectral description if the number
        of bands is the same. Any other image becomes a cube without one; an RGB image ``(y, x, 3 or 4)`` gives three
        bands.

        Raises
        ------
        CubeError
            If the layer does not hold a 2-D or 3-D image.
        """
        return from_layer(cls, layer)

    def describe(self) -> dict[str, Any]:
        """Return every field except the pixels and their source as plain data."""
        names = [f.name for f in dataclasses.fields(self) if f.name not in ("data", "source")]
        return {name: getattr(self, name) for name in names} | {"metadata": dict(self.metadata)}

    def __reduce__(self) -> tuple[Any, ...]:
        # a file is pickled as its path; a view of a mapping cannot be pickled, and cached values need not be
        return partial(type(self), self.data, source=self.source, **self.describe()), ()

    def __repr__(self) -> str:
        return text_summary(cube_title(self), cube_rows(self))

    def _repr_html_(self) -> str:
        return html_summary(cube_title(self), cube_rows(self))
