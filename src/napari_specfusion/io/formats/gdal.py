"""Read rasters with GDAL: GeoTIFFs, and formats that have no other reader."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError, needs_extra
from napari_specfusion.files import check_file, check_inside
from napari_specfusion.io.arrays.gamma import without_alpha
from napari_specfusion.io.arrays.lazy import BlockArray, Box, lazy_cube
from napari_specfusion.io.metadata.gdal_items import GdalItems, gdal_fields
from napari_specfusion.io.metadata.units import fits_dtype
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_specfusion.data.cube import Cube

__all__ = ["READER", "read_gdal"]

# These formats fetch their data from elsewhere: other files, databases, servers.
_ELSEWHERE = {
    "DAAS", "DERIVED", "EEDA", "EEDAI", "GTI", "HTTP", "MEM", "MRF", "NGW", "OGCAPI", "PLMOSAIC", "PLSCENES",
    "PostGISRaster", "STACIT", "STACTA", "VRT", "WCS", "WMS", "WMTS",
}  # fmt: skip
_DOMAINS = (None, "IMAGERY", "ENVI")
_PIX_BLOCK = 512


def read_gdal(path: Path, *, wavelengths: Any = None) -> Cube:
    """Open a raster with GDAL as a lazy cube.

    Parameters
    ----------
    path
        The file.
    wavelengths
        Wavelengths that `open_cube` sets later; here they only tell bands from transparency.

    Raises
    ------
    ReadError
        If rasterio is missing, GDAL does not know the format, the file does not hold exactly one image, or it refers to
        files outside its folder.
    """
    with _opened(path) as source:
        if not source.count:
            parts = ", ".join(name.rpartition(":")[2] for name in source.subdatasets[:8])
            raise ReadError(
                f"{path} does not hold a single image, but {parts or 'no image that GDAL knows'}; save one image as a "
                "separate file, or name another reader."
            )
        _check_neighbours(path, source.files)
        _check_length(path, source.driver)
        dtype = np.result_type(*(np.dtype(name) for name in set(source.dtypes)))
        notes: list[str] = []
        if source.subdatasets:
            notes.append(f"the file holds {len(source.subdatasets)} images; GDAL opened the first")
        fields = gdal_fields(*_items(source), notes) | _geometry(source)
        fields["nodata"] = _nodata(source.nodatavals, dtype, notes)
        alpha = source.count in {2, 4} and source.colorinterp[-1].name == "alpha"
        alpha = alpha and (wavelengths is None or np.size(wavelengths) != source.count)
        shape = (source.count, source.height, source.width)
        fields["metadata"] = {"gdal": dict(source.tags()), "driver": source.driver, "notes": tuple(notes)}
        if any(source.descriptions):
            fields["metadata"]["band_names"] = tuple(text or "" for text in source.descriptions)
    array = GdalArray(str(path), shape, dtype.str, (0, 1, 2))
    cube = lazy_cube(array, path, name=path.stem, **fields)
    return without_alpha(cube) if alpha else cube


@dataclass(frozen=True, eq=False)
class GdalArray(BlockArray):
    """The bands of a raster, read window by window."""

    @cached_property
    def _lock(self) -> threading.Lock:
        # A GDAL handle must not be used by two threads at once.
        return threading.Lock()

    @cached_property
    def _source(self) -> Any:
        return _open(Path(self.path))

    def _read(self, box: Box) -> NDArray[Any]:
        from rasterio.windows import Window

        bands, rows, columns = box
        window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        with self._lock:
            read = self._source.read(list(range(bands.start + 1, bands.stop + 1)), window=window, out_dtype=self.dtype)
        return np.asarray(read)


def _open(path: Path) -> Any:
    """Open a raster, allowing only the GDAL drivers that read no other sources."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
        from rasterio.io import DatasetReader
    except ImportError as error:
        raise ReadError(f"{path} is read with GDAL, which {needs_extra('rasterio')}.") from error
    # GDAL looks for georeferencing and pyramids in files of a like name.
    alike = [p for p in path.absolute().parent.iterdir() if p.stem in {path.stem, path.name} and p.name != path.name]
    for neighbour in alike:
        if neighbour.exists():
            check_file(neighbour, folder=True)
    with rasterio.Env() as env, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            return DatasetReader(str(path.absolute()), driver=sorted(set(env.drivers()) - _ELSEWHERE))
        except RasterioIOError as error:
            raise ReadError(
                f"{path} cannot be opened by GDAL ({error}); it is damaged, in an unknown format, or it "
                "only points to data elsewhere (as VRT and WMS files do): open those data, or convert it to GeoTIFF."
            ) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with _open(path) as source:
        yield source


def _check_neighbours(path: Path, files: list[str]) -> None:
    for file in files:
        check_inside(Path(file), path)


def _check_length(path: Path, driver: str) -> None:
    """Raise a ReadError for a truncated PCIDSK file, which GDAL would fill with zeros."""
    if driver != "PCIDSK":
        return
    with path.open("rb") as file:
        blocks = file.read(32)[16:]
    needed, actual = int(blocks) * _PIX_BLOCK if blocks.strip().isdigit() else 0, path.stat().st_size
    if needed > actual:
        raise ReadError(f"{path} has {actual} bytes, but its header says {needed}; it is truncated, get a new copy.")


def _items(source: Any) -> GdalItems:
    def items(band: int) -> dict[str, str]:
        found: dict[str, str] = {}
        for domain in _DOMAINS:
            for key, text in source.tags(band, ns=domain).items():
                found.setdefault(key.lower(), text)
        return found

    per_band = [items(band) for band in range(1, source.count + 1)]
    for band, scale, offset, text in zip(per_band, source.scales, source.offsets, source.descriptions, strict=True):
        band |= {"scale": repr(float(scale)), "offset": repr(float(offset))}
        if text:
            band.setdefault("description", text)
    return items(0), per_band


def _nodata(values: tuple[float | None, ...], dtype: np.dtype[Any], notes: list[str]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len({repr(value) for value in known}) > 1:
        notes.append("the bands have different no-data values; only the first one was used")
    found = fits_dtype(known[0], dtype)
    if found is None:
        notes.append(f"no-data value {known[0]} was left out: {dtype} cannot hold it")
    return found


def _geometry(source: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if not source.transform.is_identity:
        a, b, c, d, e, f = (float(value) for value in source.transform[:6])
        fields = {"affine": (a, b, c, d, e, f), "pixel_size": (float(np.hypot(b, e)), float(np.hypot(a, d)))}
    if source.crs:
        code = source.crs.to_epsg()
        fields["crs"] = source.crs.to_wkt() if code is None else f"EPSG:{code}"
    return fields


READER = Reader(
    title="GDAL raster",
    patterns=("*.jp2", "*.j2k", "*.pix", "*.ntf", "*.nitf", "*.ers", "*.vrt"),
    read=read_gdal,
    magic=(b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"PCIDSK  "),
)
