"""The common form of all training-free methods here: linear in the guide and in images on the low-resolution grid.

``fused = A @ guide + c + up(R) + E @ spread(Q)``

with ``up`` a cubic interpolation that respects the pair's shift and ``spread`` the transpose of its blur and
decimation. `A`, `c` and `E` and the small images `R` and `Q` are computed once for the scene. The rest is local, so
tiles agree with the whole image to rounding.

In place of the guide there may be images that are made of it: its terms in the geometry of each band
(`sensor.expansion`), where the bands do not lie exactly on each other, and what was learned from the pair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.device import uploaded
from napari_specfusion.tiling.tiles import Footprint

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_specfusion.sensor.sampling import Matrix, Sampling
    from napari_specfusion.tiling.tiles import Box, Tile

__all__ = ["LinearPredictor", "Terms", "fill", "seen_from"]


class Terms(Protocol):
    """Images made of the guide that take its place: T for each band in another geometry, or learned ones."""

    @property
    def reach(self) -> int:
        """HR pixels around a pixel that its terms depend on."""

    def coarse(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the terms ``(T, rows, columns)`` as the cube sees them."""

    def coarse_sum(self, mixing: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the terms weighted by `mixing` ``(K, T)``, as the cube sees them: ``(K, h, w)``."""

    def add_sharp(self, fused: torch.Tensor, guide: torch.Tensor, mixing: torch.Tensor, tile: Tile) -> None:
        """Add the terms of `guide` ``(G, H, W)``, weighted by `mixing` ``(K, T)``, to `fused` ``(K, H, W)``."""


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """A training-free method, prepared for one scene.

    Attributes
    ----------
    sampling
        The pair's calibrated sampling.
    mixing, constant
        `A` ``(B, G)`` and `c` ``(B,)``: the part of each band that follows the guide pixel by pixel.
    coarse_mixing
        ``(B, B)``: applied to the cube minus the guide's part, before it is interpolated; None is the identity.
    coarse_guide, coarse_constant
        The guide's part ``(B, G)`` and the constant ``(B,)`` to subtract from the cube; None subtracts nothing.
    sharp
        Height and width of the guide that the sampling refers to.
    guide
        The degraded guide ``(G, h, w)``.
    valid
        Boolean ``(h, w)``: measured LR pixels; the others contribute nothing.
    basis, detail
        `E` ``(B, p)`` and `Q` ``(p, h, w)``, or None.
    terms
        T images made of the guide that take its place: `mixing` and `coarse_guide` are ``(B, T)`` then. None is the
        guide itself.
    """

    sampling: Sampling
    mixing: NDArray[np.float64]
    constant: NDArray[np.float64]
    sharp: tuple[int, int]
    guide: NDArray[np.float32]
    valid: NDArray[np.bool_]
    coarse_mixing: NDArray[np.float64] | None = None
    coarse_guide: NDArray[np.float64] | None = None
    coarse_constant: NDArray[np.float64] | None = None
    basis: NDArray[np.float64] | None = None
    detail: NDArray[np.floating[Any]] | None = None
    terms: Terms | None = None

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return len(self.mixing)

    @property
    def footprint(self) -> Footprint:
        """Cubic interpolation reaches two and a half LR pixels, moved by the shift; `detail` covers the whole image."""
        # one LR pixel more where missing ones are filled from their neighbours
        low = 3 if self.valid.all() else 4
        halo = math.ceil(low * float(self.sampling.ratio) + max(map(abs, self.sampling.shift)))
        return Footprint(halo if self.terms is None else max(halo, self.terms.reach))

    def seen(self, mixing: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the guide, or its terms, weighted by `mixing` ``(K, G)``, as the cube sees them: ``(K, h, w)``."""
        if self.terms is not None:
            return self.terms.coarse_sum(mixing)
        return np.asarray(np.tensordot(mixing.astype(np.float32), np.nan_to_num(self.guide), axes=1))

    def seen_at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the guide, or its terms, as the cube sees them: ``(G, rows, columns)``."""
        if self.terms is not None:
            return self.terms.coarse(rows, columns)
        return np.asarray(np.nan_to_num(self.guide[:, rows[:, None], columns]))

    def add_sharp(self, fused: torch.Tensor, guide: torch.Tensor, mixing: torch.Tensor, tile: Tile) -> None:
        """Add the guide, or its terms, weighted by `mixing` ``(K, G)``, to `fused` ``(K, H, W)``."""
        import torch

        if self.terms is not None:
            self.terms.add_sharp(fused, guide, mixing, tile)
        else:
            fused += torch.einsum("bg,gyx->byx", mixing, guide)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        import torch

        def like(array: NDArray[Any]) -> torch.Tensor:
            return uploaded(array, guide)

        coarse = tile.read.divide(self.sampling.ratio)
        # beyond the cube's border its last pixel is repeated; nothing of that is in the result
        rows, columns = (
            np.arange(start, stop).clip(0, count - 1)
            for start, stop, count in zip((coarse.y0, coarse.x0), (coarse.y1, coarse.x1), self.valid.shape, strict=True)
        )
        rest = hsi
        if self.coarse_guide is not None:
            rest = hsi - torch.einsum("bg,gyx->byx", like(self.coarse_guide), like(self.seen_at(rows, columns)))
        if self.coarse_constant is not None:
            rest = rest - like(self.coarse_constant)[:, None, None]
        if self.coarse_mixing is not None:
            rest = torch.einsum("bc,cyx->byx", like(self.coarse_mixing), rest)
        if self.coarse_guide is not None:
            known = self.valid[rows[:, None], columns] & _inside(coarse, self.valid.shape)
            # asked of the array: a device would have to be waited for
            if not known.all():
                rest = fill(rest, like(known), lambda image: torch.nn.functional.pad(image, (1, 1, 1, 1)))

        up_y, up_x = (
            like(_block(self.sampling.cubic_matrix(size, min(count, int(size / self.sampling.ratio)), axis), *parts))
            for axis, (size, count, *parts) in enumerate(
                zip(shape, self.valid.shape, tile.read.slices, coarse.slices, strict=True)
            )
        )
        fused = up_y @ rest @ up_x.T
        self.add_sharp(fused, guide, like(self.mixing), tile)
        fused += like(self.constant)[:, None, None]
        if self.basis is not None and self.detail is not None:
            (near_y, down_y), (near_x, down_x) = (
                seen_from(self.sampling, axis, self.valid.shape[axis], self.sharp[axis], pixels)
                for axis, pixels in enumerate(tile.read.slices)
            )
            spread = like(down_y).T @ like(self.detail[:, near_y, near_x]) @ like(down_x)
            fused += torch.einsum("bp,pyx->byx", like(self.basis), spread)
        return fused


def fill(images: Any, known: Any, pad: Callable[[Any], Any]) -> Any:
    """Return LR images ``(k, h, w)`` with unknown pixels replaced by the mean of their neighbours.

    `known` ``(h, w)`` is 1 or 0. Where no neighbour is known, they are 0. Works on arrays and on tensors; `pad` adds a
    pixel of zeros on each side.
    """
    if known.all():
        return images
    seen = images * known

    def summed(image: Any) -> Any:
        tall = pad(image)
        tall = tall[..., :-2, :] + tall[..., 1:-1, :] + tall[..., 2:, :]
        return tall[..., :-2] + tall[..., 1:-1] + tall[..., 2:]

    count = summed(known[None])
    return seen + (1 - known) * summed(seen) / (count + (count == 0))


def _inside(box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels of a box lie in an image of `shape`."""
    y, x = (
        (np.arange(start, stop) >= 0) & (np.arange(start, stop) < size)
        for start, stop, size in zip((box.y0, box.x0), (box.y1, box.x1), shape, strict=True)
    )
    return np.outer(y, x)


def seen_from(
    sampling: Sampling, axis: int, coarse: int, sharp: int, pixels: slice
) -> tuple[slice, NDArray[np.float64]]:
    """Return which of `coarse` LR pixels see some of the sharp `pixels` along `axis`, and their weights.

    The block ``(LR pixels, pixels)`` of the blur matrix is dense, and zero for pixels beyond the image's `sharp` ones.
    """
    down = sampling.blur_matrix(coarse, sharp, axis)
    seeing = np.flatnonzero(down[:, pixels].sum(axis=1))
    near = slice(int(seeing[0]), int(seeing[-1]) + 1) if seeing.size else slice(0, 0)
    return near, _block(down, near, pixels)


def _block(matrix: Matrix, rows: slice, columns: slice) -> NDArray[np.float64]:
    """Return a block of `matrix`, dense; zero beyond its edge."""
    block = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
    part = matrix[rows][:, columns]
    block[: part.shape[0], : part.shape[1]] = part.toarray()
    return block
