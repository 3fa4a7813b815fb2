"""A fused cube beside the two images it was made of, read piece by piece.

A piece is a square of cube pixels and what lies under them in the result and in the guide. The result as the cube's
sensor would see it is computed from a little more, as far as its PSF reaches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion import memory
from napari_specfusion.calibration.moments import MIN_SEEN
from napari_specfusion.errors import SceneError
from napari_specfusion.sensor.sampling import Matrix, apply_separable
from napari_specfusion.tiling.tiles import Box, Footprint, TileGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.data.clean import Cleaning
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.quality.formulas import Floats
    from napari_specfusion.sensor.srf import Srf

__all__ = ["FullScale", "Piece"]

# side of a window for Q, in guide pixels, and at least in cube pixels
WINDOW, SMALLEST_WINDOW = 32, 8
# share of a missing value's weight in a degraded pixel from which on the pixel is missing too
SPOILED = 1e-3


@dataclass(frozen=True, eq=False)
class Piece:
    """A square of cube pixels with what lies under it, as float64 with NaN where something is missing.

    Attributes
    ----------
    box, core
        Where it lies on the cube's grid and on the guide's.
    cube, seen, coarse_guide
        On the cube's grid: the cube ``(L, h, w)``, the result degraded like it, the guide ``(K, h, w)`` likewise.
    result, guide
        On the guide's grid: the result ``(L, H, W)`` and the guide ``(K, H, W)``.
    error, floor
        What the response predicts of the guide, less the guide: from the result ``(K, H, W)``, and from the cube
        ``(K, h, w)``.
    """

    box: Box
    core: Box
    cube: Floats
    seen: Floats
    coarse_guide: Floats
    result: Floats
    guide: Floats
    error: Floats
    floor: Floats


class FullScale:
    """A result and its pair.

    Parameters
    ----------
    calibrated
        The pair.
    result
        What was made of it, on the guide's pixels.

    Raises
    ------
    SceneError
        If the result has another shape than a fusion of the pair, or no band in common with the cube.
    """

    def __init__(self, calibrated: CalibratedScene, result: Cube) -> None:
        stated = calibrated.stated
        shape = (stated.hsi.bands, *stated.shape)
        if result.shape != shape:
            raise SceneError(
                f"The result has shape {result.shape}; a fusion of this cube and guide has {shape}. "
                "Give the cube and the guide that it was made of."
            )
        self.calibrated, self.result = calibrated, result
        self.scene = calibrated.scene
        self.ratio, self.sampling = stated.factor, calibrated.sampling
        self.bands = np.flatnonzero(stated.hsi.good & result.good & calibrated.moments.live)
        if not self.bands.size:
            raise SceneError("The cube and the result have no good band with values in common; check their bands.")
        # as the pair states it or as it was estimated; here, before several threads ask for it
        self.response: Srf = stated.srf or calibrated.calibration.srf
        # cube pixels under the result
        self.coarse = tuple(
            min(n, math.ceil(sharp / self.ratio)) for n, sharp in zip(stated.hsi.shape[1:], stated.shape, strict=True)
        )

    @cached_property
    def window(self) -> int:
        """Side of a window for Q in cube pixels; on the guide's grid it is as many times larger as the ratio."""
        side = max(SMALLEST_WINDOW, round(WINDOW / self.ratio))
        step = self.ratio.denominator
        return math.ceil(side / step) * step

    @cached_property
    def grid(self) -> TileGrid:
        """The pieces, on the cube's grid; each holds whole windows."""
        reach = 2 * math.ceil(self.sampling.psf.radius + max(map(abs, self.sampling.shift)))
        room = math.isqrt(memory.QUALITY_BLOCK // (8 * self.scene.hsi.bands)) - reach
        side = max(1, int(room / self.ratio) // self.window) * self.window
        return TileGrid((self.coarse[0], self.coarse[1]), Fraction(1), Footprint(0), side)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Boolean: cube pixels that the result lets one predict, and where the guide has data."""
        (height, width), (high, wide) = self.coarse, self.result.shape[1:]
        seen = self.sampling.seen(height, high, 0) > MIN_SEEN, self.sampling.seen(width, wide, 1) > MIN_SEEN
        inside = np.outer(*seen)
        if not inside.any():
            inside[:] = True
        return np.asarray(inside & self.calibrated.guide.measured[:height, :width])

    @cached_property
    def _matrices(self) -> tuple[Matrix, Matrix]:
        rows, columns = (
            self.sampling.blur_matrix(n, sharp, axis)
            for axis, (n, sharp) in enumerate(zip(self.coarse, self.result.shape[1:], strict=True))
        )
        return rows, columns

    # --- reading ---------------------------------------------------------------------

    def core(self, box: Box) -> Box:
        """Return what lies under cube pixels on the guide's grid."""
        edges = (math.ceil(self.ratio * edge) for edge in (box.y0, box.y1, box.x0, box.x1))
        height, width = self.result.shape[1:]
        return Box(*edges).clip((height, width))

    def cube(self, box: Box) -> Floats:
        """Return all bands of the cube ``(B, h, w)`` in a box of its grid."""
        return _stated(np.asarray(self.scene.hsi.read(*box.slices), np.float64), self._cleaning(0))

    def coarse_guide(self, box: Box) -> Floats:
        """Return the degraded guide ``(K, h, w)`` in a box of the cube's grid, NaN where it is not known."""
        values = self.calibrated.guide.values[:, *box.slices].astype(np.float64)
        values[:, ~self.inside[box.slices]] = np.nan
        return _stated(values, self._cleaning(1))

    def piece(self, box: Box) -> Piece:
        """Return all there is in a box of the cube's grid."""
        core, used = self.core(box), self.bands
        cube, coarse, guide = self.cube(box), self.coarse_guide(box), self.guide(core)
        result, seen = self._result_and_seen(box, core)
        error, floor = self.predicted(result) - guide, self.predicted(cube) - coarse
        return Piece(box, core, cube[used], seen[used], coarse, result[used], guide, error, floor)

    def seen(self, box: Box) -> Floats:
        """Return the result ``(L, h, w)`` degraded like the cube, in a box of the cube's grid."""
        return self._result_and_seen(box, self.core(box))[1][self.bands]

    def result_values(self, core: Box) -> Floats:
        """Return all bands of the result ``(B, H, W)`` in a box of the guide's grid."""
        return np.asarray(self.result.read(*core.slices), np.float64)

    def guide(self, core: Box) -> Floats:
        """Return the guide ``(K, H, W)`` in a box of its grid."""
        return _stated(np.asarray(self.scene.guide.read(*core.slices), np.float64), self._cleaning(1))

    def predicted(self, values: Floats) -> Floats:
        """Return the guide ``(K, y, x)`` that the bands ``(B, y, x)`` predict; empty ones have no weight."""
        live = self.calibrated.moments.live
        guide = np.tensordot(self.response.matrix[:, live], values[live], axes=1)
        return np.asarray(guide + self.response.offset[:, None, None])

    def _result_and_seen(self, box: Box, core: Box) -> tuple[Floats, Floats]:
        rows, columns = self._matrices[0][slice(box.y0, box.y1)], self._matrices[1][slice(box.x0, box.x1)]
        reads = []
        for matrix, (start, stop) in ((rows, (core.y0, core.y1)), (columns, (core.x0, core.x1))):
            reads.append(slice(min(int(matrix.indices.min()), start), max(int(matrix.indices.max()) + 1, stop)))
        values = np.asarray(self.result.read(*reads), np.float64)
        down = rows[:, reads[0]], columns[:, reads[1]]
        missing = ~np.isfinite(values)
        if missing.any():
            seen = apply_separable(*down, np.where(missing, 0.0, values))
            seen[apply_separable(*down, missing.astype(np.float64)) > SPOILED] = np.nan
        else:
            seen = apply_separable(*down, values)
        seen[:, ~self.inside[box.slices]] = np.nan
        y, x = (read.start for read in reads)
        return values[:, *Box(core.y0 - y, core.y1 - y, core.x0 - x, core.x1 - x).slices], seen

    def _cleaning(self, which: int) -> Cleaning | None:
        cleaning = self.calibrated.cleaning
        return None if cleaning is None or not cleaning[which].moves else cleaning[which]


def _stated(values: Floats, cleaning: Cleaning | None) -> Floats:
    """Return clean values ``(bands, y, x)`` as they were given."""
    if cleaning is None:
        return values
    return np.asarray(values * cleaning.unit[:, None, None] + cleaning.level[:, None, None])
