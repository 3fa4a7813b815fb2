"""A method on the pair one scale down, where the cube is the reference: Wald's protocol on the pair itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion import memory
from napari_specfusion.errors import SceneError
from napari_specfusion.quality.metrics import Quality, evaluate
from napari_specfusion.simulation.reduced import reduced
from napari_specfusion.tiling.tile_reader import TileReader
from napari_specfusion.tiling.tile_runner import predict_tiles, tile_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.tiling.contract import Method

__all__ = ["SIDE", "score_trial", "trial_pair"]

# largest side of the trial's cube, in pixels
SIDE = 256
# pixels per side below which a trial misleads: on 16 x 16 pixels of EnMAP it favours GLP, which is 4 dB worse there
SMALLEST = 24


def trial_pair(calibrated: CalibratedScene, side: int = SIDE) -> CalibratedScene:
    """Return the pair one scale down, with the measured cube as its reference.

    Parameters
    ----------
    calibrated
        The pair.
    side
        Largest side of the cube, in pixels; a larger cube is cropped to its middle, and so is one of many bands.

    Raises
    ------
    SceneError
        If the cube is too small.
    """
    trial = reduced(calibrated, min(side, math.isqrt(memory.TRIAL // (4 * calibrated.stated.hsi.bands))))
    assert trial.reference is not None
    height, width = trial.reference.shape[1:]
    if min(height, width) < SMALLEST:
        raise SceneError(f"A trial on only {height} x {width} pixels is unreliable; it needs {SMALLEST} a side.")
    return calibrated.with_scene(trial)


def score_trial(method: Method, pair: CalibratedScene, device: str) -> Quality:
    """Return the quality of a method on a scene with its reference."""
    trial = pair.scene
    assert trial.reference is not None
    pair.watch.check()
    predictor = method.prepare(pair, device=device)
    grid = tile_grid(trial, predictor.footprint, "auto")
    reader = TileReader(trial, means=pair.band_means(), watch=pair.watch)
    fused: NDArray[np.float32] = np.empty((predictor.bands, *trial.shape), np.float32)
    for tile, window, values in predict_tiles(predictor, reader, grid, device=device):
        pair.watch.check()
        if window.missing is not None:
            values[window.missing] = np.nan
        core = tile.core.clip(trial.shape)
        fused[:, *core.slices] = values[:, : core.shape[0], : core.shape[1]]
    # Border pixels depend on unknown ground beyond the edge, which the published protocols wrap round. Scores there say
    # more about that than about the methods (GLP won on CAVE training scenes where subspace is 3 to 5 dB better).
    border = min(math.ceil(trial.factor), min(trial.shape) // 4)
    # no clipping: negative values are measurements too
    return evaluate(trial.reference, fused, trial.factor, data_range=_peak(trial.reference), clip=False, border=border)


def _peak(cube: Cube) -> float:
    """Return the largest magnitude in the good bands, 1 if there is none."""
    magnitudes = np.abs(cube.read()[cube.good])
    return float(np.max(magnitudes, where=np.isfinite(magnitudes), initial=0.0)) or 1.0
