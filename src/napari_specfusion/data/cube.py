"""A hyperspectral cube: lazy data and what its numbers mean."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion.data.sources import ArraySource, BandSource, WindowSource
from napari_specfusion.errors import CubeError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Self

    from napari_specfusion.data.sources import Source
    from napari_specfusion.io.save import Saved

__all__ = ["Cube"]

METADATA_KEY = "specfusion"
# what is read at once where a whole cube is
READ_BYTES = 16_000_000
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
        What to call the cube in a layer list.
    source
        Reads single spectra and windows directly; None goes through `data`.
    metadata
        Whatever else the file said.

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
        _check_data(self.data)
        bands = self.data.shape[0]
        for key, dtype in zip(_PER_BAND, (np.float64, np.float64, np.bool_), strict=True):
            value = getattr(self, key)
            if value is None:
                continue
            try:
                value = np.asarray(value).astype(dtype)
            except (TypeError, ValueError) as error:
                raise CubeError(f"{key} are no numbers ({error}); give one per band, or leave it out.") from error
            if value.shape != (bands,):
                raise CubeError(
                    f"{key} has {value.size} entries for {bands} bands; give one per band, or leave it out."
                )
            object.__setattr__(self, key, value)
        for key in ("scale", "offset"):
            value = _numbers(key, getattr(self, key))
            if value.shape not in {(), (bands,)}:
                raise CubeError(f"{key} has shape {value.shape} for {bands} bands; give one number or one per band.")
            object.__setattr__(self, key, value if value.ndim else float(value))
        if self.wavelengths is not None and not np.all(np.isfinite(self.wavelengths)):
            raise CubeError(
                "wavelengths hold NaN or infinite entries; give a number for every band, or leave them out."
            )
        self._check_description()
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    def _check_description(self) -> None:
        if self.spectral_unit not in _UNITS:
            raise CubeError(
                f"spectral_unit is {self.spectral_unit!r}; convert the wavelengths and give one of {', '.join(_UNITS)}."
            )
        if self.nodata is not None and _numbers("nodata", self.nodata).ndim:
            raise CubeError(f"nodata is {self.nodata!r}; give one number, or None.")
        if self.crs is not None and not isinstance(self.crs, str):
            raise CubeError(f"crs is {self.crs!r}, no text; give a code such as 'EPSG:32632' or WKT: str() makes it.")
        for key, count in (("affine", 6), ("pixel_size", 2)):
            value = getattr(self, key)
            if value is None:
                continue
            numbers = _numbers(key, value)
            if key == "affine" and numbers.shape == (9,) and numbers[6:].tolist() == [0, 0, 1]:
                numbers = numbers[:6]  # rasterio's have the last row as well
            if numbers.shape != (count,):
                raise CubeError(f"{key} has shape {numbers.shape}; give {count} numbers, or None.")
            object.__setattr__(self, key, tuple(numbers.tolist()))

    @classmethod
    def from_array(cls, array: ArrayLike | da.Array, **fields: Any) -> Self:
        """Make a cube of an array ``(bands, y, x)``, or of one band ``(y, x)``.

        A cube whose wavelengths descend is turned round, so that they ascend. Values that are masked become NaN, or
        `nodata` where they are integers.

        Raises
        ------
        CubeError
            As the class does, or if integers are masked and `nodata` is not given.
        """
        array = _filled(array, fields.get("nodata"))
        if not isinstance(array, da.Array):
            values = np.asarray(array)
            _check_data(values[None] if values.ndim == 2 and values.size else values)
            if values.ndim == 2:
                values = values[None]
            fields.setdefault("source", ArraySource(values))
            data = da.from_array(values, chunks=(1, *values.shape[1:]), name=False)
            return cls(data, **fields).ascending()
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
        """The bands' names among the metadata; empty where not every band has one."""
        names = self.metadata.get("band_names", ())
        return tuple(names) if isinstance(names, list | tuple | np.ndarray) and len(names) == self.bands else ()

    def band_at(self, wavelength: float) -> int:
        """Return the index of the good band nearest to `wavelength` (in `spectral_unit`)."""
        if self.wavelengths is None:
            raise CubeError(f"{self.name} carries no wavelengths; give them with replace(wavelengths=...).")
        distance = np.abs(self.wavelengths - wavelength)
        return int(np.argmin(np.where(self.good, distance, np.inf) if self.good.any() else distance))

    def replace(self, **fields: Any) -> Self:
        """Return the cube with some fields exchanged; other data are not read from where these came from."""
        if "data" in fields:
            fields.setdefault("source", None)
        return dataclasses.replace(self, **fields)

    def ascending(self) -> Self:
        """Return the cube with its bands in the order of ascending wavelengths."""
        if self.wavelengths is None or np.all(np.diff(self.wavelengths) >= 0):
            return self
        return self.select(np.argsort(self.wavelengths, kind="stable"))

    def select(self, bands: ArrayLike) -> Self:
        """Return a cube of the bands in `bands` (indices or a boolean mask), in that order."""
        index = np.atleast_1d(bands)
        if index.dtype == bool:
            if index.shape != (self.bands,):
                raise CubeError(f"The mask has {index.size} entries for {self.bands} bands; give one per band.")
            index = np.flatnonzero(index)
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
        """Return a cube of a window; its geometry moves along."""
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
        """Whether the stored values are the physical ones already."""
        return self.nodata is None and bool(np.all(np.equal(self.scale, 1.0)) and np.all(np.equal(self.offset, 0.0)))

    @cached_property
    def values(self) -> da.Array:
        """Physical values, lazy ``(bands, y, x)``, floating; no-data as NaN.

        float32, or float64 where the file stores more than float32 holds.
        """
        dtype = self._float_dtype()
        if self.is_physical:
            return self.data if self.dtype == dtype else self.data.astype(dtype)
        scale, offset = (np.asarray(v, dtype).reshape(-1, 1, 1) for v in (self.scale, self.offset))
        scaled: da.Array = self.data.astype(dtype) * scale + offset
        if self.nodata is not None:
            scaled = da.where(self._missing(self.data), dtype.type(np.nan), scaled)
        return scaled

    def spectrum(self, y: int, x: int) -> NDArray[np.floating[Any]]:
        """Return the physical spectrum ``(bands,)`` of one pixel; no-data as NaN.

        Raises
        ------
        CubeError
            If the pixel lies outside the cube.
        """
        _, height, width = self.shape
        if not (0 <= y < height and 0 <= x < width):
            raise CubeError(f"Pixel ({y}, {x}) lies outside {self.name}, which has {height} rows and {width} columns.")
        if self.source is None:
            return np.asarray(self.values[:, y, x])
        return self._physical(self.source.spectrum(y, x)[:, None, None])[:, 0, 0]

    def read(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.floating[Any]]:
        """Return the physical values ``(bands, rows, columns)`` of a window in memory; no-data as NaN."""
        if self.source is None:
            return np.array(self.values[:, rows, columns])
        return self._physical(self.source.window(rows, columns))

    @property
    def may_miss(self) -> bool:
        """Whether values can be missing at all: floating ones can, others where a no-data value is declared."""
        return self.dtype.kind == "f" or self.nodata is not None

    def in_memory(self, watch: Callable[[int, int], None] | None = None) -> Self:
        """Return the cube with its stored values in memory, read once.

        Parameters
        ----------
        watch
            Called with the rows that are read and all rows, between the reads; what it raises ends them.
        """
        if isinstance(self.source, ArraySource) and type(self.source.array) is np.ndarray:
            return self
        if self.source is None:
            # one computation: a chunk that several strips share is not computed again
            values = np.asarray(self.data)
        else:
            bands, height, width = self.shape
            values = np.empty(self.shape, self.dtype)
            step = max(1, READ_BYTES // (bands * width * self.dtype.itemsize))
            for start in range(0, height, step):
                if watch is not None:
                    watch(start, height)
                rows = slice(start, min(start + step, height))
                values[:, rows] = self.source.window(rows, slice(0, width))
        data = da.from_array(values, chunks=(1, *values.shape[1:]), name=False)
        return self.replace(data=data, source=ArraySource(values))

    def sample(self, bands: int = 7) -> NDArray[np.floating[Any]]:
        """Return physical values of up to `bands` good bands on a grid of about 64 x 64 pixels; no-data as NaN."""
        good = np.flatnonzero(self.good) if self.good.any() else np.arange(self.bands)
        chosen = np.unique(good[np.linspace(0, len(good) - 1, min(len(good), bands)).astype(int)])
        rows, columns = (slice(None, None, max(1, n // 64)) for n in self.shape[1:])
        # One basic slice per band, before any arithmetic: dask hands it down to the file, which reads little.
        data = da.stack([self.data[band, rows, columns] for band in chosen])
        return np.asarray(self.select(chosen).replace(data=data, source=None).values)

    def contrast_limits(self) -> tuple[float, float]:
        """Return display limits: the 1st and 99th percentile of a small sample over good bands."""
        sample = self.sample()
        sample = sample[np.isfinite(sample)]
        if sample.size == 0:
            return 0.0, 1.0
        low, high = np.percentile(sample, [1, 99])
        return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)

    # --- files ---------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False, **options: Any) -> Saved:
        """Write the cube to a file: its stored values bit by bit, and what they mean.

        Parameters
        ----------
        path
            Where to: ``.hdr`` (ENVI), ``.tif``, ``.ome.tif``, ``.zarr``, ``.npz`` or ``.mat``.
        overwrite
            Whether to replace what lies there.
        **options
            Whatever else `napari_specfusion.io.save_cube` takes, such as ``progress`` or ``interleave="bip"``.

        Returns
        -------
        Saved
            The paths that were written, and what to know about them.

        Raises
        ------
        OutputError
            If the format is unknown or cannot hold the cube, or the files cannot be written.
        """
        # Files know cubes, not the other way round; this door alone leads back, and opens when it is used.
        from napari_specfusion.io.save import save_cube

        return save_cube(self, path, overwrite=overwrite, **options)

    # --- napari, without importing it -----------------------------------------

    def layer_data(self) -> tuple[da.Array, dict[str, Any], str]:
        """Return the napari layer-data tuple of this cube; nothing about it is lost on the way."""
        keywords = {
            "name": self.name,
            "rgb": False,
            "contrast_limits": self.contrast_limits(),
            "axis_labels": ("wavelength", "y", "x"),
            "units": ("pixel", "pixel", "pixel"),
            "metadata": {METADATA_KEY: self.describe() | {"cube": self}},
            "cache": False,
        }
        return self.values, keywords, "image"

    @classmethod
    def from_layer(cls, layer: Any) -> Cube:
        """Return the cube behind a napari image layer.

        A layer that came from a cube gives it back; its data replaced by others of the same shape keep the spectral
        description; any other image becomes a cube without one, an RGB picture ``(y, x, 3 or 4)`` one of three bands.

        Raises
        ------
        CubeError
            If the layer holds no 2-D or 3-D image.
        """
        data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
        known = dict(layer.metadata.get(METADATA_KEY, {}))
        cube = known.pop("cube", None)
        if isinstance(cube, Cube) and cube.shape == tuple(data.shape):
            shown = cube.values
            if data is shown or getattr(data, "name", None) == shown.name:
                return cube
        array = data if isinstance(data, np.ndarray) else da.asarray(data)
        if getattr(layer, "rgb", False):
            array = np.moveaxis(array[..., :3], -1, 0)
        fields: dict[str, Any] = {}
        if array.ndim == 3 and known.get("wavelengths") is not None and len(known["wavelengths"]) == array.shape[0]:
            names = {f.name for f in dataclasses.fields(cls)} - {"data", "source", "scale", "offset", "nodata", "name"}
            fields = {key: value for key, value in known.items() if key in names}
        return cls.from_array(array, name=str(layer.name), **fields)

    def describe(self) -> dict[str, Any]:
        """Return the description as plain data: every field but the pixels and their source."""
        skip = {"data", "source"}
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in skip}
        return fields | {"metadata": dict(self.metadata)}

    def __repr__(self) -> str:
        bands, height, width = self.shape
        spectrum = ""
        if self.wavelengths is not None:
            spectrum = f", {self.wavelengths[0]:g}-{self.wavelengths[-1]:g} {self.spectral_unit}"
        return f"Cube({self.name!r}, {bands} bands x {height} x {width}, {self.dtype}{spectrum})"

    def _float_dtype(self) -> np.dtype[Any]:
        return np.dtype("f8") if self.dtype.itemsize == 8 else np.dtype("f4")

    def _missing(self, stored: Any) -> Any:
        nodata = self.nodata
        assert nodata is not None
        if np.isnan(nodata) or self.dtype.kind != "f":
            return stored == nodata
        return stored == self.dtype.type(nodata)

    def _physical(self, stored: NDArray[Any]) -> NDArray[np.floating[Any]]:
        dtype = self._float_dtype()
        values: NDArray[np.floating[Any]] = stored.astype(dtype)
        if self.is_physical:
            return values
        scale, offset = (v if isinstance(v, float) else v[:, None, None] for v in (self.scale, self.offset))
        values = (values * np.asarray(scale, dtype) + np.asarray(offset, dtype)).astype(dtype, copy=False)
        if self.nodata is not None:
            values[self._missing(stored)] = np.nan
        return values


def _numbers(key: str, value: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CubeError(f"{key} is {value!r}, no number ({error}); give numbers, or leave it out.") from error


def _filled(array: Any, nodata: Any) -> Any:
    """Return `array` with what is masked as NaN or `nodata`: the values below a mask mean nothing."""
    lazy = isinstance(array, da.Array)
    if not isinstance(array._meta if lazy else array, np.ma.MaskedArray):
        return array
    fill = np.nan if array.dtype.kind == "f" else nodata
    if fill is None and (lazy or np.ma.is_masked(array)):
        raise CubeError(f"The data are masked {array.dtype}; give nodata=, a number of that type that stands for gaps.")
    try:
        return da.ma.filled(array, fill) if lazy else array.filled(fill)
    except (TypeError, ValueError, OverflowError) as error:
        raise CubeError(
            f"nodata is {nodata!r}, which {array.dtype} does not hold ({error}); give a number of that type."
        ) from error


def _check_data(data: Any) -> None:
    """Raise a CubeError unless `data` can be a cube's pixels."""
    dtype = np.dtype(data.dtype)
    if dtype.kind == "c":
        raise CubeError(f"The data are complex ({dtype}); take the magnitude or the real part first.")
    if dtype.kind not in "biuf":
        raise CubeError(f"The data are {dtype}, not numbers; a cube holds integers or floating-point values.")
    if data.ndim != 3:
        raise CubeError(f"The data have {data.ndim} axes; a cube has three: (bands, y, x).")
    if any(n != n for n in data.shape):
        raise CubeError(
            f"The data have an unknown shape {tuple(data.shape)}; call compute_chunk_sizes() on them first."
        )
    if 0 in data.shape:
        raise CubeError(f"The data are empty, shape {tuple(data.shape)}; a cube needs at least one band and one pixel.")
