"""The guide in the geometry of each band: its terms, at high and at low resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.calibration.moments import strips
from napari_specfusion.device import uploaded
from napari_specfusion.sensor.expansion import DIFFERENCES, TERMS, Expansion, seen_differences

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.sensor.sampling import Sampling
    from napari_specfusion.tiling.tiles import Tile

__all__ = ["GuideTerms"]


@dataclass(frozen=True, eq=False)
class GuideTerms:
    """The T terms of a guide, each as wide as its G bands, whose weighted sum is a band in its own geometry.

    Attributes
    ----------
    expansion
        How the terms are made of the guide.
    sampling
        The pair's calibrated sampling.
    differences
        The guide's differences as the cube sees them ``(6, G, h, w)``; 0 where the guide has no data.
    """

    expansion: Expansion
    sampling: Sampling
    differences: NDArray[np.float32]

    @classmethod
    def of(cls, calibrated: CalibratedScene, expansion: Expansion) -> GuideTerms:
        """Take the differences of a pair's guide, in one pass over it."""
        scene, sampling = calibrated.scene, calibrated.sampling
        (_, *low), (guides, *sharp) = scene.hsi.shape, scene.guide.shape
        down_y, down_x = (expansion.seen_matrices(sampling, low[axis], sharp[axis], axis) for axis in (0, 1))
        found = np.empty((len(DIFFERENCES), guides, *low), np.float32)
        parts = strips(low[0], 2 * guides * sharp[1] * math.ceil(sampling.ratio))
        for number, rows in enumerate(parts):
            calibrated.watch.tell(number, len(parts), "Displacing the guide")
            cut = [matrix[rows] for matrix in down_y]
            used = np.unique(np.concatenate([matrix.indices for matrix in cut]))
            span = slice(int(used[0]), int(used[-1]) + 1)
            image = np.nan_to_num(scene.guide.read(span, slice(None)).astype(np.float32, copy=False))
            found[:, :, rows] = seen_differences([matrix[:, span] for matrix in cut], down_x, image)
        return cls(expansion, sampling, found)

    @property
    def reach(self) -> int:
        """HR pixels around a pixel that its terms depend on."""
        return self.expansion.step

    def coarse(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the terms ``(T G, rows, columns)`` as the cube sees them."""
        guides, height, width = self.differences.shape[1:]
        y, x = (
            self.expansion.coordinate(self.sampling.centres(count, axis)[part], axis).astype(np.float32)
            for axis, (count, part) in enumerate(((height, rows), (width, columns)))
        )
        part = self.differences[:, :, rows[:, None], columns]
        found = self.expansion.terms(part, y[:, None], x)
        return np.asarray(np.stack(found).reshape(TERMS * guides, len(rows), len(columns)))

    def coarse_sum(self, mixing: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the terms weighted by `mixing` ``(K, T G)``, as the cube sees them: ``(K, h, w)``."""
        height, width = self.differences.shape[2:]
        found = np.empty((len(mixing), height, width), np.float32)
        for rows in strips(height, mixing.shape[1] * width):
            terms = self.coarse(np.arange(rows.start, rows.stop), np.arange(width))
            found[:, rows] = np.tensordot(mixing.astype(np.float32), terms, axes=1)
        return found

    def means(self, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the mean ``(T G,)`` of each term as the cube sees it, over the LR pixels `valid` ``(h, w)``."""
        height, width = valid.shape
        total = np.zeros(TERMS * self.differences.shape[1])
        for rows in strips(height, len(total) * width):
            terms = self.coarse(np.arange(rows.start, rows.stop), np.arange(width))
            total += terms[:, valid[rows]].sum(axis=1, dtype=np.float64)
        return np.asarray(total / max(1, np.count_nonzero(valid)))

    def add_sharp(self, fused: torch.Tensor, guide: torch.Tensor, mixing: torch.Tensor, tile: Tile) -> None:
        """Add the terms of `guide` ``(G, H, W)``, weighted by `mixing` ``(K, T G)``, to `fused` ``(K, H, W)``."""
        import torch

        step = self.expansion.step
        # beyond the image's edge the last pixel is repeated; beyond the tile's, nothing of that is kept
        padded = torch.nn.functional.pad(guide[None], (step, step, step, step), mode="replicate")[0]
        y, x = (
            uploaded(self.expansion.coordinate(np.arange(part.start, part.stop, dtype=np.float64), axis), guide)
            for axis, part in enumerate(tile.read.slices)
        )
        guides, height, width = guide.shape
        most = memory.EXPANDED if guide.device.type == "cpu" else memory.DEVICE_EXPANDED
        rows = max(1, most // (TERMS * guides * width * guide.element_size()))
        for start in range(0, height, rows):
            stop = min(height, start + rows)
            differences = self.expansion.differences(padded[:, start : stop + 2 * step])
            terms = torch.cat(self.expansion.terms(differences, y[start:stop, None], x))
            fused[:, start:stop] += torch.einsum("kt,tyx->kyx", mixing, terms)
