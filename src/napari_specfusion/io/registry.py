"""The registry of formats: one entry here makes a reader, a product or a writer available everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_specfusion.io.formats import enmap, gdal, lan, pictures
from napari_specfusion.io.formats.envi import reader as envi_reader
from napari_specfusion.io.formats.envi import writer as envi_writer
from napari_specfusion.io.formats.hdf5 import emit, hyperspy, neon, prisma, tanager
from napari_specfusion.io.formats.hdf5 import reader as hdf5_reader
from napari_specfusion.io.formats.matlab import reader as matlab_reader
from napari_specfusion.io.formats.matlab import writer as matlab_writer
from napari_specfusion.io.formats.npz import reader as npz_reader
from napari_specfusion.io.formats.npz import writer as npz_writer
from napari_specfusion.io.formats.tiff import reader as tiff_reader
from napari_specfusion.io.formats.tiff import writer as tiff_writer
from napari_specfusion.io.formats.zarr import reader as zarr_reader
from napari_specfusion.io.formats.zarr import writer as zarr_writer

if TYPE_CHECKING:
    from napari_specfusion.io.formats.hdf5.product import Product
    from napari_specfusion.io.reader import Reader
    from napari_specfusion.io.writer import Writer

__all__ = ["PRODUCTS", "READERS", "WRITERS"]

# products in HDF5 files; the first match wins
PRODUCTS: dict[str, Product] = {
    "neon": neon.PRODUCT,
    "prisma": prisma.PRODUCT,
    "emit": emit.PRODUCT,
    "tanager": tanager.PRODUCT,
    "hyperspy": hyperspy.PRODUCT,
}

READERS: dict[str, Reader] = {
    "envi": envi_reader.READER,
    # must come before TIFF: its files are TIFFs with special names
    "enmap": enmap.READER,
    "tiff": tiff_reader.READER,
    "gdal": gdal.READER,
    "lan": lan.READER,
    "hdf5": hdf5_reader.reader_for(PRODUCTS.values()),
    "matlab": matlab_reader.READER,
    "npy": npz_reader.NPY_READER,
    "npz": npz_reader.NPZ_READER,
    "zarr": zarr_reader.READER,
    "picture": pictures.PICTURE_READER,
    "folder": pictures.FOLDER_READER,
}
"""The formats that `open_cube` knows, in the order in which they are asked."""

WRITERS: dict[str, Writer] = {
    "envi": envi_writer.WRITER,
    "tiff": tiff_writer.WRITER,
    "ome-tiff": tiff_writer.OME_WRITER,
    "zarr": zarr_writer.WRITER,
    "npz": npz_writer.WRITER,
    "matlab": matlab_writer.WRITER,
}
"""The formats that `save_cube` writes."""
