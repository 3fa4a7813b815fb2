"""Reading a scene window by window.

The image is padded at the bottom and the right edge to the multiple that the method needs, by repeating its last
pixels. Missing values are replaced by their band's mean over the whole scene, so that a window holds the same numbers
however the scene is cut into tiles; their positions are recorded and stay empty in the result.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_specfusion import memory
from napari_specfusion.data.computed import computed
from napari_specfusion.progress import Watch

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.tiling.tiles import Box, Tile

__all__ = ["TileReader", "Window", "band_means"]

Means = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]


@dataclass(frozen=True, eq=False)
class Window:
    """The input for one tile.

    Attributes
    ----------
    guide
        ``(guide bands, height, width)`` of the tile's read box.
    hsi
        ``(bands, height / ratio, width / ratio)`` under it.
    missing
        Boolean ``(bands, height, width)`` of the tile's *core*: where data are missing; None if they are complete.
    checksum
        Checksum of what was read, from 1 on; 0 where none was asked for.
    """

    guide: NDArray[Any]
    hsi: NDArray[Any]
    missing: NDArray[np.bool_] | None
    checksum: int = 0


class TileReader:
    """Reads windows of a scene; safe to use from several threads.

    Parameters
    ----------
    scene
        The pair.
    dtype
        Floating type of the values to return.
    means
        Band means of the cube ``(B,)`` and of the guide ``(G,)``, which replace missing values. None computes them in
        another pass, if values can be missing.
    checksums
        Whether each window gets a checksum.
    watch
        Told about that pass; can stop it.
    """

    def __init__(
        self,
        scene: Scene,
        dtype: DTypeLike = np.float32,
        means: Means = (None, None),
        *,
        checksums: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self.scene = scene
        self._checksums = checksums
        self.dtype = np.dtype(dtype)
        self._hsi_means, self._guide_means = (
            (band_means(cube, watch) if mean is None else mean) if cube.may_miss else None
            for cube, mean in zip((scene.hsi, scene.guide), means, strict=True)
        )

    def on(self, scene: Scene) -> TileReader:
        """Return a reader with the same means for other copies of the two images."""
        other = copy.copy(self)
        other.scene = scene
        return other

    def read(self, tile: Tile) -> Window:
        """Read the input for `tile`; missing values are filled."""
        ratio = self.scene.factor
        coarse_box = tile.read.divide(ratio)
        digest = hashlib.blake2b(digest_size=8) if self._checksums else None
        guide, no_guide = self._filled(self.scene.guide, tile.read, self._guide_means, digest)
        hsi, no_hsi = self._filled(self.scene.hsi, coarse_box, self._hsi_means, digest)

        missing: NDArray[np.bool_] | None = None
        if no_hsi is not None:
            rows = np.arange(tile.core.y0, tile.core.y1) * ratio.denominator // ratio.numerator - coarse_box.y0
            columns = np.arange(tile.core.x0, tile.core.x1) * ratio.denominator // ratio.numerator - coarse_box.x0
            missing = no_hsi[:, rows[:, None], columns]
        if no_guide is not None:
            blind = np.any(no_guide[:, *tile.crop.slices], axis=0)
            missing = np.broadcast_to(blind, (len(hsi), *blind.shape)) if missing is None else missing | blind
        return Window(guide, hsi, missing, 0 if digest is None else int.from_bytes(digest.digest()) or 1)

    def _filled(
        self, cube: Cube, box: Box, means: NDArray[np.float64] | None, digest: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the values in `box`, and where they were missing, or None if nowhere."""
        inside = box.clip(cube.shape[1:])
        values = cube.read(*inside.slices).astype(self.dtype, copy=False)
        if digest is not None:
            # before anything is filled in: the means may differ in the last digit on another machine
            digest.update(np.ascontiguousarray(values))
        below, right = box.y1 - inside.y1, box.x1 - inside.x1
        if below or right:
            values = np.pad(values, ((0, 0), (0, below), (0, right)), mode="edge")
        if means is None:
            return values, None
        missing = ~np.isfinite(values)
        if not missing.any():
            return values, None
        return np.where(missing, means.astype(self.dtype)[:, None, None], values), missing


def band_means(cube: Cube, watch: Watch | None = None) -> NDArray[np.float64]:
    """Return the mean ``(bands,)`` of the finite physical values of each band, 0 for a band without any.

    Reads the cube once, in strips; `watch` is told, and can stop it.
    """
    watch = watch or Watch()
    if cube.source is None:
        valid = da.isfinite(cube.values)
        totals = da.where(valid, cube.values, 0).sum(axis=(1, 2), dtype=np.float64)
        # one computation, so that nothing is read twice
        total, count = computed(da.stack([totals, valid.sum(axis=(1, 2))]))
    else:
        bands, height, width = cube.shape
        rows = max(1, memory.STRIP // (bands * width * 8))
        total, count = np.zeros(bands), np.zeros(bands)
        for start in range(0, height, rows):
            watch.tell(start, height, f"Reading {cube.name}")
            values = cube.read(slice(start, min(start + rows, height)), slice(0, width))
            finite = np.isfinite(values)
            total += np.where(finite, values, 0).sum(axis=(1, 2), dtype=np.float64)
            count += finite.sum(axis=(1, 2))
    return np.asarray(total / np.maximum(count, 1), dtype=np.float64)
