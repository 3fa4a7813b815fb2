"""Projection of any result onto agreement with both images: `subspace` with that result as its prior image.

A network may be wrong where its training data differ from the scene, and nothing in it enforces agreement with the
pair. Least squares in the spectral subspace do (see `methods.subspace`, after FUSE, Wei et al. 2015): here the result
of another method is the prior image instead of GLP. The solver only needs that image degraded to the cube's grid, a
small image that is summed up over the tiles of the other method's result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.device import uploaded
from napari_specfusion.methods.least_squares import Correction, LowResolution, Solver, Split, coefficients
from napari_specfusion.methods.linear import seen_from
from napari_specfusion.methods.subspace import Subspace
from napari_specfusion.tiling.tile_reader import TileReader
from napari_specfusion.tiling.tile_runner import predict_tiles, tile_grid
from napari_specfusion.tiling.tiles import Footprint

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.sensor.sampling import Sampling
    from napari_specfusion.tiling.contract import Method, Predictor
    from napari_specfusion.tiling.tiles import Tile

__all__ = ["Projected", "ProjectedPredictor"]


@dataclass(frozen=True)
class Projected:
    """A method whose result is corrected to agree with the pair.

    The result minimises, in the cube's spectral subspace, ::

        |Y E - D(Z)|^2 + sum_k lm_k |M_k - R_k E Z - o_k|^2 + mu |Z - X E|^2

    with X the other method's result; the part of X outside the subspace is kept, shrunk by the cube's noise.

    The weights are those of `subspace`, and suit other prior images as well: mu = 0.003 + 0.04 noise / gap, and more
    where the guide stays unexplained, grows as X, seen from the cube, comes as near to it as the noise allows. On parts
    of six CAVE training scenes at x4 the mean PSNR lies within 0.15 dB of that of the best mu for GLP, bicubic and the
    truth with smooth errors as X; it rises from 31.9 to 46.0 dB for bicubic and from 42.5 to 49.3 dB for GLP. With
    noise of 35 dB on the cube and 40 dB on the guide it lies within 0.25 dB for the first two. There a prior image that
    is cleaner than the pair (50 dB and more) loses 2 to 4 dB to the pair's noise.

    Attributes
    ----------
    method
        The other method.
    directions, iterations, tolerance
        As for `Subspace`.
    """

    method: Method
    directions: int = Subspace.directions
    iterations: int = Subspace.iterations
    tolerance: float = Subspace.tolerance

    @property
    def name(self) -> str:
        """The other method's name, marked as projected."""
        return f"{self.method.name}, projected"

    @property
    def mixed_precision(self) -> bool:
        """Whether the other method runs in half precision."""
        return self.method.mixed_precision

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> ProjectedPredictor:
        """Run the other method over the scene, tile by tile, and solve for its correction.

        Raises
        ------
        ModelError
            If the other method does not fit the scene.
        CalibrationError
            If the pair cannot be calibrated.
        """
        import torch

        sampling, scene = calibrated.sampling, calibrated.scene
        inner = self.method.prepare(calibrated, device=device, dtype=dtype)
        # D sees the fused image, and a guide may be a little larger
        height, width = scene.shape
        covered = calibrated
        if scene.guide.shape[1:] != scene.shape:
            covered = calibrated.with_scene(
                calibrated.known.replace(guide=scene.guide.crop(slice(0, height), slice(0, width)), reference=None)
            )
        split = Split.of(covered.moments, self.directions)
        values = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        start, kept = _first_pass(inner, calibrated, split.leading, device, values)
        system = LowResolution.on(covered, coefficients(covered, split.leading), start.astype(np.float32), scene.shape)
        found = Correction.of(system, split, Solver(self.iterations, self.tolerance))
        return ProjectedPredictor(inner, found, sampling, scene.shape, kept)


@dataclass(frozen=True, eq=False)
class ProjectedPredictor:
    """Another method and its correction, prepared for one scene.

    Attributes
    ----------
    inner
        The other method.
    correction
        The correction of its result.
    sampling
        The pair's calibrated sampling.
    sharp
        Height and width of the fused image.
    kept
        The other method's result over the padded image ``(B, H, W)``, or None if it is too large to keep.
    """

    inner: Predictor
    correction: Correction
    sampling: Sampling
    sharp: tuple[int, int]
    kept: NDArray[Any] | None

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return self.inner.bands

    @property
    def footprint(self) -> Footprint:
        """The correction needs nothing around a tile; the other method may, unless its result is kept."""
        own = self.inner.footprint
        return own if self.kept is None else Footprint(0, multiple=own.multiple)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        import torch

        def like(array: NDArray[Any]) -> torch.Tensor:
            return uploaded(array, guide)

        rows, columns = tile.read.slices
        prior = self.inner.predict(guide, hsi, tile, shape) if self.kept is None else like(self.kept[:, rows, columns])
        found = self.correction
        fused = torch.einsum("bc,cyx->byx", like(found.image), prior)
        fused += torch.einsum("bg,gyx->byx", like(found.mixing), guide)
        fused += like(found.constant)[:, None, None]
        (near_y, down_y), (near_x, down_x) = (
            seen_from(self.sampling, axis, coarse, sharp, pixels)
            for axis, (coarse, sharp, pixels) in enumerate(
                zip(found.detail.shape[1:], self.sharp, (rows, columns), strict=True)
            )
        )
        spread = like(down_y).T @ like(found.detail[:, near_y, near_x]) @ like(down_x)
        return fused + torch.einsum("bp,pyx->byx", like(found.basis), spread)


def _first_pass(
    inner: Predictor,
    calibrated: CalibratedScene,
    leading: NDArray[np.float64],
    device: str,
    dtype: np.dtype[Any],
) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
    """Return D of the result's coefficients ``(p, h, w)``, summed up over the tiles, and the result if it is small.

    The tiles are always of the automatic size, so that the correction does not depend on the tiles of the run.
    """
    scene, sampling = calibrated.scene, calibrated.sampling
    low = scene.hsi.shape[1:]
    start = np.zeros((leading.shape[1], *low))
    grid = tile_grid(scene, inner.footprint, "auto")
    kept: NDArray[Any] | None = None
    if inner.bands * math.prod(grid.shape) * dtype.itemsize <= memory.BASE_CACHE:
        kept = np.empty((inner.bands, *grid.shape), dtype)
    reader = TileReader(scene, dtype, means=calibrated.band_means(), watch=calibrated.watch)
    for tile, _, values in predict_tiles(inner, reader, grid, device=device):
        calibrated.watch.tell(tile.index, len(grid), "Computing the result to be corrected")
        if kept is not None:
            kept[:, *tile.core.slices] = values
        core = tile.core.clip(scene.shape)
        height, width = core.shape
        part = np.tensordot(leading.T, values[:, :height, :width], axes=1)
        (near_y, down_y), (near_x, down_x) = (
            seen_from(sampling, axis, coarse, sharp, pixels)
            for axis, (coarse, sharp, pixels) in enumerate(zip(low, scene.shape, core.slices, strict=True))
        )
        start[:, near_y, near_x] += down_y @ part @ down_x.T
    return start, kept
