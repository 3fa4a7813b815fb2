"""Lazy arrays over the strips and tiles of a TIFF."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io.arrays.lazy import BlockArray, BlockCache, Box
from napari_specfusion.io.guards.limits import check_inflation
from napari_specfusion.io.guards.tiff_pages import check_ome, check_pages
from napari_specfusion.io.guards.tile_pictures import PICTURES, check_codec, check_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import tifffile

__all__ = ["SegmentArray", "SegmentPage", "decoded", "open_tiff", "quiet_tifffile", "segment_shape", "separate_pages"]

Layout = Literal["pages", "planar", "contiguous"]


@contextmanager
def quiet_tifffile() -> Iterator[list[str]]:
    """Collect tifffile's log messages (unfitting fill values, unreachable pages) in the yielded list."""
    logger = logging.getLogger("tifffile")
    messages: list[str] = []

    def take(record: logging.LogRecord) -> bool:
        messages.append(record.getMessage())
        return False

    logger.addFilter(take)
    try:
        yield messages
    finally:
        logger.removeFilter(take)


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF after checking that its pages and its description are safe to follow."""
    import tifffile

    check_pages(path)
    tiff = tifffile.TiffFile(path)
    try:
        if tiff.is_ome and not check_ome(path, tiff.pages.first.description):
            tiff.close()
            tiff = tifffile.TiffFile(path, is_ome=False)
        if _is_one_image(tiff):
            tiff.close()
            tiff = tifffile.TiffFile(path, is_shaped=False)
    except BaseException:
        tiff.close()
        raise
    return tiff


def _is_one_image(tiff: tifffile.TiffFile) -> bool:
    """Whether a file by tifffile holds one image in equal planes, each written as a separate image."""
    if not tiff.is_shaped or len(tiff.series) < 2:
        return False
    first = tiff.series[0]
    kind = first.shape, first.dtype, first.keyframe.hash
    alike = all((s.shape, s.dtype, s.keyframe.hash) == kind and len(s.pages) == 1 for s in tiff.series)
    return alike and first.axes == "YX" and len(first.levels) == 1


def separate_pages(tiff: tifffile.TiffFile) -> bool:
    """Whether the pages of an open file are, by their descriptions, separate images that were merged."""
    return (
        len(tiff.pages) > 1
        and tiff.series[0].kind != "shaped"
        and len(tiff.series) == 1
        and bool(tiff.pages.first.is_shaped)
    )


def segment_shape(page: Any) -> tuple[int, int]:
    """Return the height and width of a page's strips or tiles."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(min(page.rowsperstrip, page.imagelength)), int(page.imagewidth)


def decoded(path: Path, series: tifffile.TiffPageSeries) -> NDArray[Any]:
    """Decode a whole series, after checking that no strip or tile declares too large a size."""
    check_inflation(path, "the image", path.stat().st_size, series.nbytes)
    for page in series.pages:
        if page is None:
            continue
        frame: Any = page.keyframe
        check_codec(path, int(frame.compression))
        if frame.compression not in PICTURES:
            continue
        height, width = segment_shape(frame)
        expected = height * max(1, int(frame.tiledepth)), width, int(frame.shaped[4])
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False):
            with open(page.parent.filehandle.path, "rb") as file:
                file.seek(offset)
                data = (frame.jpegheader or b"") + file.read(size)
            if size:
                check_picture(path, int(frame.compression), data, frame.jpegtables, expected)
    return np.asarray(series.asarray())


@dataclass(frozen=True)
class SegmentPage:
    """Location of the strips or tiles of one page."""

    path: str
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    def __getstate__(self) -> dict[str, Any]:
        # as the array does that these are pages of
        return {"path": os.path.abspath(self.path), "offsets": self.offsets, "sizes": self.sizes}


@dataclass(frozen=True, eq=False)
class SegmentArray(BlockArray):
    """A TIFF series ``(plane, y, x)`` read strip by strip, or tile by tile.

    Attributes
    ----------
    series
        Index of the series in the file.
    layout
        Whether a plane is a page, a separate sample of a single page, or a sample interleaved with the others.
    segment
        Height and width of a strip or tile.
    fill
        Value of segments that are missing from the file.
    pages
        The segments of each page.
    """

    series: int
    layout: Layout
    segment: tuple[int, int]
    fill: float
    pages: tuple[SegmentPage, ...] = field(repr=False)

    @cached_property
    def _cache(self) -> BlockCache:
        return BlockCache()

    @cached_property
    def _decoder(self) -> tuple[Callable[..., Any], dict[str, Any], int]:
        with quiet_tifffile(), open_tiff(Path(self.path)) as tiff:
            page = tiff.series[self.series].keyframe
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
            return page.decode, tables, int(page.compression)

    def _read(self, box: Box) -> NDArray[Any]:
        planes, rows, columns = box
        height, width = self.segment
        out = np.empty([s.stop - s.start for s in box], self.dtype)
        interleaved = self.layout == "contiguous"
        # Interleaved samples share segments, so one pass fills every plane.
        for target, plane in [(slice(None), 0)] if interleaved else list(enumerate(range(planes.start, planes.stop))):
            for iy in range(rows.start // height, -(-rows.stop // height)):
                for ix in range(columns.start // width, -(-columns.stop // width)):
                    block = self._segment(plane, iy, ix)
                    part = block[..., planes] if interleaved else block[..., 0]
                    y0, x0 = max(rows.start, iy * height), max(columns.start, ix * width)
                    y1 = min(rows.stop, iy * height + block.shape[0])
                    x1 = min(columns.stop, ix * width + block.shape[1])
                    inside = part[y0 - iy * height : y1 - iy * height, x0 - ix * width : x1 - ix * width]
                    where = (slice(y0 - rows.start, y1 - rows.start), slice(x0 - columns.start, x1 - columns.start))
                    out[(target, *where)] = np.moveaxis(inside, -1, 0) if interleaved else inside
        return out

    def _segment(self, plane: int, iy: int, ix: int) -> NDArray[Any]:
        """Return the decoded segment ``(y, x, samples)``."""
        across = -(-self.stored_shape[2] // self.segment[1])
        down = -(-self.stored_shape[1] // self.segment[0])
        number = iy * across + ix
        page = 0
        if self.layout == "planar":
            number += plane * down * across
        elif self.layout == "pages":
            page = plane
        return self._cache.get((page, number), lambda: self._decode(self.pages[page], number))

    def _decode(self, page: SegmentPage, number: int) -> NDArray[Any]:
        samples = self.stored_shape[0] if self.layout == "contiguous" else 1
        if page.sizes[number] == 0:
            return np.full((*self.segment, samples), self.fill, self.dtype)
        with open(page.path, "rb") as file:
            file.seek(page.offsets[number])
            data = file.read(page.sizes[number])
        if len(data) < page.sizes[number]:
            raise ReadError(f"{page.path} ends before strip or tile {number}; it is truncated, get a new copy.")
        decode, tables, compression = self._decoder
        whole = (tables["jpegheader"] or b"") + data
        check_picture(Path(page.path), compression, whole, tables["jpegtables"], (*self.segment, samples))
        block, _, _ = decode(data, number, **tables)
        if block is None:
            return np.full((*self.segment, samples), self.fill, self.dtype)
        return np.asarray(block[0], self.dtype)
