"""Maps of what speaks against a fused cube, without a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask.array as da
import numpy as np

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.io import as_cube
from napari_specfusion.progress import Watch
from napari_specfusion.quality.blocks import cuts
from napari_specfusion.quality.full_scale import FullScale
from napari_specfusion.quality.judgement import STOPPED
from napari_specfusion.quality.levels import Levels
from napari_specfusion.tiling.tiles import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.progress import Progress, ShouldStop
    from napari_specfusion.quality.formulas import Floats

__all__ = ["judgement_maps"]


def judgement_maps(
    scene: Scene | CalibratedScene,
    result: CubeLike,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, da.Array]:
    """Return lazy maps of what speaks against a fused cube; the pair is calibrated and read once here.

    Parameters
    ----------
    scene, result, progress
        As `judge` takes them.
    should_stop
        Called for each block, here and when the maps are computed; true stops that with `Cancelled`.

    Returns
    -------
    dict
        ``"cube"`` on the cube's grid ``(y, x)``: root mean square over the bands of the result, degraded like the cube,
        less the cube, in the cube's own units. On the guide's grid, ``"guide"``: the same of what the result predicts
        of the guide less the guide, in units of the guide's standard deviation, and ``"outside"``: how far the values
        lie beyond the range of their band in the cube, mean over the bands, in % of that range. Each is float32, with
        NaN where values are missing.

    Raises
    ------
    SceneError, CalibrationError, Cancelled
        As `judge` does.
    """
    calibrated = CalibratedScene.of(scene)
    watch = Watch(progress, should_stop, STOPPED)
    with calibrated.watched(watch):
        whole = FullScale(calibrated, as_cube(result))
        levels = Levels.of(whole, watch)
    spread = np.sqrt(levels.guide_variance)[:, None, None]

    def cube(box: Box) -> Floats:
        return _root_mean_square(whole.seen(box) - whole.cube(box)[whole.bands])

    def guide(core: Box) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return _root_mean_square((whole.predicted(whole.result_values(core)) - whole.guide(core)) / spread)

    def outside(core: Box) -> Floats:
        values = whole.result_values(core)[whole.bands]
        return np.where(np.isfinite(values).any(axis=0), 100 * levels.beyond(values).mean(axis=0), np.nan)

    side = whole.grid.core_shape[0]
    sharp = int(side * whole.ratio)
    fine = whole.result.shape[1], whole.result.shape[2]
    return {
        "cube": _mapped(cube, (whole.coarse[0], whole.coarse[1]), side, watch),
        "guide": _mapped(guide, fine, sharp, watch),
        "outside": _mapped(outside, fine, sharp, watch),
    }


def _root_mean_square(values: Floats) -> Floats:
    """Return the root mean square ``(y, x)`` over the bands that are there; NaN where none is."""
    known = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.sum(np.where(known, values, 0) ** 2, axis=0) / known.sum(axis=0)))


def _mapped(compute: Callable[[Box], Floats], shape: tuple[int, int], side: int, watch: Watch) -> da.Array:
    def block(block_info: dict[Any, Any]) -> NDArray[np.float32]:
        watch.check()
        (y0, y1), (x0, x1) = block_info[None]["array-location"]
        return compute(Box(y0, y1, x0, x1)).astype(np.float32)

    chunks = tuple(cuts(n, side) for n in shape)
    name = f"judgement-map-{uuid4().hex}"
    found: da.Array = da.map_blocks(
        block, name=name, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )
    return found
