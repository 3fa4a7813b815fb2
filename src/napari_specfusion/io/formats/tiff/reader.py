"""Read TIFF stacks: pages, planes or interleaved samples, plain or compressed, with their tags."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.gamma import LINEAR, SRGB, linearised, without_alpha
from napari_specfusion.io.arrays.lazy import MappedArray, lazy_cube
from napari_specfusion.io.formats.tiff.segments import (
    Layout,
    SegmentArray,
    SegmentPage,
    decoded,
    open_tiff,
    quiet_tifffile,
    segment_shape,
    separate_pages,
)
from napari_specfusion.io.formats.tiff.tags import describe_tags, lists_wavelengths
from napari_specfusion.io.guards.limits import check_inflation, check_shape
from napari_specfusion.io.guards.tile_pictures import check_codec
from napari_specfusion.io.metadata.axes import band_axis_of, bands_first
from napari_specfusion.io.metadata.world_file import world_fields
from napari_specfusion.io.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

    import tifffile

    from napari_specfusion.data.cube import Cube

__all__ = ["READER", "read_tiff"]

_ALPHA = {1, 2}
_GREY = {0, 1}
# PhotometricInterpretation: RGB and YCbCr
_PICTURES = {2, 6}
_DESCRIPTION = 270


def read_tiff(
    path: Path,
    *,
    series: int | None = None,
    band_axis: int | None = None,
    linear: bool = False,
    wavelengths: Any = None,
) -> Cube:
    """Open a TIFF as a cube; strips and tiles are read lazily.

    Parameters
    ----------
    path
        The file.
    series
        Image series of the file; None takes the one with the most values.
    band_axis
        Axis of the stored array that holds the bands; None uses the axes that the file declares,
        unless the number of wavelengths fits only another axis.
    linear
        Whether to undo the gamma of a colour picture, giving linear light from 0 to 1. If the picture may have a
        gamma, ``metadata["transfer"]`` is "sRGB".
    wavelengths
        Wavelengths that `open_cube` sets later; here they only help to find the band axis and to tell a band from
        transparency.

    Raises
    ------
    ReadError
        If the file is not a TIFF, is truncated, needs a missing codec, or has more than three axes.
    """
    with quiet_tifffile() as messages, open_tiff(path) as tiff:
        number = _choose_series(path, tiff, series)
        chosen = tiff.series[number]
        page = chosen.keyframe
        shape, axes = _squeezed(path, chosen)
        _check_codec(path, page)
        _check_length(path, chosen, messages)
        tags = {tag.code: tag.value for tag in tiff.pages.first.tags.values()}
        labels = (tiff.imagej_metadata or {}).get("Labels") or ()
        text = tags.get(_DESCRIPTION, "")
        text = text if isinstance(text, str) else ""
        declared = next((i for i, letter in enumerate(axes) if letter not in "YX"), 0)
        count = None if wavelengths is None else np.size(wavelengths)
        if count is None:
            count = next((n for n in shape if lists_wavelengths(n, text, labels)), None)
        chosen_axis = band_axis_of(shape, count, declared, band_axis, path)
        description = describe_tags(tags, shape[chosen_axis], np.dtype(page.dtype), text, labels)
        if "affine" not in description:
            description |= world_fields(path)
        if separate_pages(tiff):
            note = f"its {len(tiff.pages)} pages were written one by one and were read as the bands of one image"
            description["metadata"]["notes"] += (note,)
        alike = sum(other.shape == chosen.shape and not other.keyframe.is_mask for other in tiff.series)
        if series is None and alike > 1:
            note = f"the file holds {alike} images of this shape; series={number} was opened"
            description["metadata"]["notes"] += (note,)
        array = _array(path, tiff, number, shape, axes, bands_first(chosen_axis), description.get("nodata"))
        picture = axes[chosen_axis] == "S" and page.photometric in _PICTURES and np.dtype(page.dtype) == np.uint8
        alpha = axes[chosen_axis] == "S" and _has_alpha(page) and count != shape[chosen_axis]
    transfer = SRGB if picture else None
    lit: Any = linearised(array, transfer, path) if linear else array
    if linear or picture:
        description["metadata"]["transfer"] = LINEAR if linear else transfer
    cube = lazy_cube(lit, path, name=path.stem, **description)
    return without_alpha(cube) if alpha else cube


def _has_alpha(page: Any) -> bool:
    """Whether the tags of a page mark its last sample as transparency."""
    if len(page.extrasamples) != 1 or page.extrasamples[0] not in _ALPHA:
        return False
    return bool(page.samplesperpixel == (4 if page.photometric in _PICTURES else 2 if page.photometric in _GREY else 0))


def _choose_series(path: Path, tiff: tifffile.TiffFile, series: int | None) -> int:
    count = len(tiff.series)
    if series is None and count:
        return max(range(count), key=lambda i: (math.prod(tiff.series[i].shape), -i))
    if series is None or not 0 <= series < count:
        raise ReadError(f"{path} holds {count} image series; series={series} must be from 0 to {count - 1}.")
    return series


def _squeezed(path: Path, series: tifffile.TiffPageSeries) -> tuple[tuple[int, int, int], str]:
    """Return shape and axis letters without axes of length one, adding a leading band axis if none is left."""
    axes = "".join(a for a, n in zip(series.axes, series.shape, strict=True) if n > 1 or a in "YX")
    shape = tuple(n for a, n in zip(series.axes, series.shape, strict=True) if n > 1 or a in "YX")
    if len(shape) == 2:
        axes, shape = f"S{axes}", (1, *shape)
    if len(shape) != 3 or not {"Y", "X"} <= set(axes):
        raise ReadError(
            f"{path} has axes {series.axes} of shape {series.shape}; a cube has two image axes and one band axis. "
            "Save one time, depth or colour channel as a separate file."
        )
    return (shape[0], shape[1], shape[2]), axes


def _check_codec(path: Path, page: Any) -> None:
    import tifffile

    check_codec(path, int(page.compression))
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        if page.predictor != 1:
            tifffile.TIFF.UNPREDICTORS[page.predictor]
    except (KeyError, ValueError, ImportError) as error:
        name = getattr(page.compression, "name", page.compression)
        raise ReadError(
            f"{path} is compressed with {name}, which needs the package imagecodecs: pip install imagecodecs. "
            "GDAL may support it too: reader='gdal'."
        ) from error


def _check_length(path: Path, series: tifffile.TiffPageSeries, messages: list[str]) -> None:
    if any("invalid page offset" in message for message in messages):
        raise ReadError(f"{path} lacks pages that it points to; it is truncated, get a new copy.")
    actual = path.stat().st_size
    needed = 0
    if series.dataoffset is not None:
        needed = series.dataoffset + series.nbytes
    for page in series.pages:
        if page is not None and page.dataoffsets and page.parent is series.keyframe.parent:
            needed = max(needed, *(o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)))
    if needed > actual:
        raise ReadError(f"{path} has {actual} bytes, but its pages end at {needed}; it is truncated, get a new copy.")


def _array(
    path: Path,
    tiff: tifffile.TiffFile,
    number: int,
    shape: tuple[int, int, int],
    axes: str,
    order: tuple[int, int, int],
    nodata: float | None,
) -> MappedArray | SegmentArray | np.ndarray[Any, Any]:
    """Return the pixels as (bands, y, x): memory-mapped, by segments, or fully decoded for unusual layouts."""
    series = tiff.series[number]
    page = series.keyframe
    if series.dataoffset is not None:
        dtype = np.dtype(page.dtype).newbyteorder(tiff.byteorder).str
        return MappedArray(str(path), dtype, shape, int(series.dataoffset), order)
    pages = [p for p in series.pages if p is not None]
    check_shape(path, shape, order[0])
    separate, samples = page.shaped[0], page.shaped[4]
    layouts: dict[Layout, bool] = {
        "contiguous": axes == "YXS" and len(pages) == separate == 1 and samples == shape[2],
        "planar": axes == "SYX" and len(pages) == samples == 1 and separate == shape[0],
        "pages": axes.endswith("YX") and separate == samples == 1 and len(pages) == len(series.pages) == shape[0],
    }
    layout = next((name for name, holds in layouts.items() if holds), None)
    if layout is None or page.shaped[1] != 1:
        return decoded(path, series).reshape(shape).transpose(order)
    segment = segment_shape(page)
    size = math.prod(segment) * (samples if layout == "contiguous" else 1) * np.dtype(page.dtype).itemsize
    longest = max((max(p.databytecounts, default=0) for p in pages), default=0)
    check_inflation(path, "a strip or tile", longest, size)
    across, down = -(-int(page.imagewidth) // segment[1]), -(-int(page.imagelength) // segment[0])
    needed = across * down * (separate if layout == "planar" else 1)
    fewest = min((min(len(p.dataoffsets), len(p.databytecounts)) for p in pages), default=0)
    if fewest < needed:
        raise ReadError(
            f"{path}: a page has {fewest} strips or tiles, but its {page.imagelength} x {page.imagewidth} pixels need "
            f"{needed}; it is damaged, get a new copy."
        )
    stored, moved = shape, order
    if layout == "contiguous":
        # Segments are read planes first: stored (Y, X, S) becomes (S, Y, X).
        place = {0: 1, 1: 2, 2: 0}
        stored, moved = (shape[2], shape[0], shape[1]), (place[order[0]], place[order[1]], place[order[2]])
    return SegmentArray(
        path=str(path),
        stored_shape=stored,
        stored_dtype=np.dtype(page.dtype).str,
        axes=moved,
        series=number,
        layout=layout,
        segment=segment,
        fill=0.0 if nodata is None else nodata,
        pages=tuple(
            SegmentPage(str(p.parent.filehandle.path), tuple(p.dataoffsets), tuple(p.databytecounts)) for p in pages
        ),
    )


READER = Reader(
    title="TIFF",
    patterns=("*.tif", "*.tiff", "*.btf", "*.ome.tf8"),
    read=read_tiff,
    magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
)
