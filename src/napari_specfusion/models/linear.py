"""The common shape of all training-free methods here: linear in the guide and in images on the low-resolution grid.

``fused = A @ guide + c + up(R) + E @ spread(Q)``

with ``up`` a cubic interpolation that knows the pair's shift and ``spread`` the transpose of its blur and decimation.
`A`, `c` and `E` are settled once for the scene, and so are the small images `R` and `Q`; what is left is local, so tiles
agree with the whole image to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.degrade import Matrix, Sampling
from napari_specfusion.tiles import Footprint, Tile

if TYPE_CHECKING:
    import torch

__all__ = ["LinearPredictor"]


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """A training-free method, prepared for one scene.

    Attributes
    ----------
    sampling
        The pair's calibrated sampling.
    mixing, constant
        `A` ``(B, G)`` and `c` ``(B,)``: what of each band follows the guide pixel by pixel.
    coarse_mixing
        ``(B, B)``: applied to the cube less what the guide explains, before it is interpolated; None is the identity.
    coarse_guide
        The guide's part to be taken off the cube, ``(B, G)``; None takes nothing off.
    guide
        The degraded guide ``(G, h, w)``.
    valid
        Boolean ``(h, w)``: LR pixels that were measured; the others add nothing.
    basis, detail
        `E` ``(B, p)`` and `Q` ``(p, h, w)``, or None.
    """

    sampling: Sampling
    mixing: NDArray[np.float64]
    constant: NDArray[np.float64]
    guide: NDArray[np.float32]
    valid: NDArray[np.bool_]
    coarse_mixing: NDArray[np.float64] | None = None
    coarse_guide: NDArray[np.float64] | None = None
    coarse_constant: NDArray[np.float64] | None = None
    basis: NDArray[np.float64] | None = None
    detail: NDArray[np.floating[Any]] | None = None

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return len(self.mixing)

    @property
    def footprint(self) -> Footprint:
        """Cubic interpolation reaches two LR pixels, the PSF its radius, both moved by the shift."""
        ratio = float(self.sampling.ratio)
        moved = max(map(abs, self.sampling.shift))
        reach = max(3 * ratio, self.sampling.psf.radius + ratio + 1) + moved
        return Footprint(halo=math.ceil(reach))

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        import torch

        def like(array: NDArray[Any]) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=guide.dtype, device=guide.device)

        coarse = tile.read.divide(self.sampling.ratio)
        rows, columns = (
            np.arange(start, stop).clip(0, count - 1)
            for start, stop, count in zip((coarse.y0, coarse.x0), (coarse.y1, coarse.x1), self.valid.shape, strict=True)
        )
        window = np.ix_(rows, columns)
        rest = hsi
        if self.coarse_guide is not None:
            seen = like(np.nan_to_num(self.guide[:, *window]))
            rest = hsi - torch.einsum("bg,gyx->byx", like(self.coarse_guide), seen)
        if self.coarse_constant is not None:
            rest = rest - like(self.coarse_constant)[:, None, None]
        if self.coarse_mixing is not None:
            rest = torch.einsum("bc,cyx->byx", like(self.coarse_mixing), rest)
        if self.coarse_guide is not None:
            rest = rest * like(self.valid[window])

        low = (math.ceil(shape[0] / self.sampling.ratio), math.ceil(shape[1] / self.sampling.ratio))
        up_y = _part(self.sampling.cubic_matrix(shape[0], low[0], 0), tile.read.slices[0], coarse.slices[0])
        up_x = _part(self.sampling.cubic_matrix(shape[1], low[1], 1), tile.read.slices[1], coarse.slices[1])
        fused = like(up_y) @ rest @ like(up_x).T
        fused += torch.einsum("bg,gyx->byx", like(self.mixing), guide)
        fused += like(self.constant)[:, None, None]
        if self.basis is not None and self.detail is not None:
            down_y = _part(self.sampling.blur_matrix(low[0], shape[0], 0), coarse.slices[0], tile.read.slices[0])
            down_x = _part(self.sampling.blur_matrix(low[1], shape[1], 1), coarse.slices[1], tile.read.slices[1])
            spread = like(down_y).T @ like(self.detail[:, *window]) @ like(down_x)
            fused += torch.einsum("bp,pyx->byx", like(self.basis), spread)
        return fused


def _part(matrix: Matrix, rows: slice, columns: slice) -> NDArray[np.float64]:
    return np.asarray(matrix[rows][:, columns].toarray())
