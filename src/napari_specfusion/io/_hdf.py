"""Datasets in HDF5 files, read when they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import ReadError
from napari_specfusion.io._lazy import BlockArray, Box

__all__ = ["HdfArray", "import_h5py"]

_CHUNK_CACHE = 64 << 20


def import_h5py(path: Path) -> Any:
    """Return the module h5py, or say how to get it."""
    try:
        import h5py
    except ImportError as error:
        raise ReadError(
            f"{path} is an HDF5 file, which needs the package h5py: pip install 'napari-specfusion[hdf]'."
        ) from error
    return h5py


@dataclass(frozen=True, eq=False)
class HdfArray(BlockArray):
    """A dataset with three axes of an HDF5 file, seen as ``(bands, y, x)``."""

    dataset: str

    @classmethod
    def transposed(cls, path: Path, dataset: str) -> Self:
        """Return a MATLAB 7.3 array: its axes lie reversed in the file."""
        with import_h5py(path).File(path, "r") as file:
            found = file[dataset]
            stored, dtype = tuple(found.shape), found.dtype.str
        return cls(str(path), stored, dtype, (2, 1, 0), dataset)

    def seen_as(self, order: tuple[int, ...]) -> Self:
        """Return the same dataset with its visible axes in another order."""
        axes = (self.axes[order[0]], self.axes[order[1]], self.axes[order[2]])
        return type(self)(self.path, self.stored_shape, self.stored_dtype, axes, self.dataset)

    @cached_property
    def _open(self) -> Any:
        # Kept open: its cache of decompressed chunks makes neighbouring spectra cheap.
        h5py = import_h5py(Path(self.path))
        return h5py.File(self.path, "r", rdcc_nbytes=_CHUNK_CACHE)[self.dataset]

    def _read(self, box: Box) -> NDArray[Any]:
        return np.asarray(self._open[box])
