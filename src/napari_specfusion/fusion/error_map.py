"""Where a fused cube is likely to be wrong, without a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.device import computing, pick_device
from napari_specfusion.io import as_cube
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.progress import Watch
from napari_specfusion.quality.blocks import pieces
from napari_specfusion.quality.full_scale import FullScale
from napari_specfusion.sensor.sampling import apply_separable
from napari_specfusion.tiling.tile_reader import TileReader
from napari_specfusion.tiling.tile_runner import predict_tiles, tile_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.progress import Progress, ShouldStop
    from napari_specfusion.tiling.contract import Method
    from napari_specfusion.tiling.tiles import Box

__all__ = ["BRIGHTNESS", "expected_error"]

# two methods that are cheap and err in different places
WITNESSES = ("subspace", "detail")
# width in pixels over which the maps are smoothed: at a single pixel a disagreement may be 0 by chance
SMOOTHING = 1.0
# error as a share of the brightness where the methods agree; of 0.005, 0.01, 0.02 and 0.04 the best on CAVE's training
# scenes at x4 and x8
BRIGHTNESS = 0.01
# weight of the detail that the guide does not explain; 0 and 1 are worse on airborne scenes or on CAVE's
UNEXPLAINED = 0.5
STOPPED = "The map of the expected error was stopped."


def expected_error(
    scene: Scene | CalibratedScene,
    result: CubeLike,
    *,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Cube:
    """Return a map of the error that is to be expected of a fused cube.

    Three things add up, each as a root mean square over the bands, in squares:

    - The disagreement with `subspace` and `detail`, the larger of the two, smoothed over 1 guide pixel: where methods
      differ, the pair does not decide what is right.
    - Half of the cube's detail that the guide does not explain: the remainder of a regression of the cube on the
      degraded guide, less its mean over 3 x 3 cube pixels. There all methods may agree, and be wrong.
    - 1 % of the result's brightness.

    The order of the pixels is meaningful, their values roughly: see the page "How it works" for how they agree with the
    true errors of scenes whose reference is known.

    Parameters
    ----------
    scene
        The pair; PSF and shift are calibrated if it does not state them.
    result
        What was made of it ``(bands, y, x)``, physical values on the guide's pixels, as anything that `as_cube` takes.
    device
        Where to compute.
    progress
        Called with a `Progress` at each step and tile.
    should_stop
        Called about once a second or more often; true stops.

    Returns
    -------
    Cube
        One band ``(1, y, x)``, float32 in memory: the root mean square error over the bands, in the cube's own units,
        on the guide's pixels. NaN where values are missing.

    Raises
    ------
    SceneError
        If the result is not one of this pair, or has no good band in common with it.
    CalibrationError
        If the pair cannot be calibrated.
    Cancelled
        If `should_stop` returned true.
    """
    device = pick_device(device)
    calibrated, cube = CalibratedScene.of(scene), as_cube(result)
    watch = Watch(progress, should_stop, STOPPED)
    with calibrated.watched(watch), computing(device, "float32"):
        whole = FullScale(calibrated, cube)
        disagreement = np.zeros(calibrated.stated.shape, np.float32)
        brightness = np.zeros_like(disagreement)
        for name in WITNESSES:
            squared = _squared_difference(whole, METHODS[name], brightness, device, watch)
            disagreement = np.fmax(disagreement, squared)
        unexplained = _unexplained(whole, watch)
    parts = _smooth(np.sqrt(disagreement)), BRIGHTNESS * np.sqrt(brightness), UNEXPLAINED * unexplained
    expected = np.sqrt(sum(part**2 for part in parts))
    expected[np.isnan(brightness)] = np.nan
    guide = calibrated.stated.guide
    place = {key: getattr(guide, key) for key in ("pixel_size", "affine", "crs")}
    return Cube.from_array(expected[None].astype(np.float32), name=f"expected error of {cube.name}", **place)


def _squared_difference(
    whole: FullScale, method: Method, brightness: NDArray[np.float32], device: str, watch: Watch
) -> NDArray[np.float32]:
    """Return the mean squared difference ``(y, x)`` of the result and another method; fill in the squared `brightness`.

    Both are NaN where nothing is known.
    """
    calibrated, bands, shape = whole.calibrated, whole.bands, whole.calibrated.stated.shape
    predictor = calibrated.restoring(method.prepare(calibrated, device=device))
    grid = tile_grid(calibrated.stated, predictor.footprint, "auto", device)
    reader = TileReader(calibrated.scene, means=calibrated.band_means(), watch=watch)
    # a level that says nothing about the contrast is no brightness
    cleaning = calibrated.cleaning
    level = 0.0 if cleaning is None else cleaning[0].level[bands, None, None]
    found = np.empty(shape, np.float32)
    for tile, window, values in predict_tiles(predictor, reader, grid, device=device):
        watch.tell(tile.index, len(grid), f"Comparing with {method.name}")
        if window.missing is not None:
            values[window.missing] = np.nan
        core = tile.core.clip(shape)
        result = whole.result_values(core)[bands]
        found[core.slices] = _mean_square(values[bands, : core.shape[0], : core.shape[1]] - result)
        brightness[core.slices] = _mean_square(result - level)
    return found


def _unexplained(whole: FullScale, watch: Watch) -> NDArray[np.float32]:
    """Return the root mean square ``(y, x)`` of the cube's fine detail that the guide does not explain, enlarged."""
    calibrated, bands, coarse = whole.calibrated, whole.bands, whole.coarse
    weights, constant = calibrated.moments.cube_from_guide()
    cleaning = calibrated.cleaning
    unit = 1.0 if cleaning is None else cleaning[0].unit[bands, None, None]

    def detail(core: Box) -> NDArray[np.float32]:
        # and the neighbours of its pixels
        box = core.grow(1).clip((coarse[0], coarse[1]))
        guide = calibrated.guide.values[:, *box.slices]
        fitted = np.tensordot(weights[bands], guide, axes=1) + constant[bands, None, None]
        left = unit * (calibrated.scene.hsi.read(*box.slices)[bands] - fitted)
        known = np.isfinite(left)
        size = (1, 3, 3)
        filled, share = np.where(known, left, 0.0), ndimage.uniform_filter(known.astype(np.float64), size)
        with np.errstate(divide="ignore", invalid="ignore"):
            left -= ndimage.uniform_filter(filled, size) / share
        return _mean_square(left[:, *core.relative_to(box).slices])

    found = np.empty((coarse[0], coarse[1]), np.float32)
    parts = pieces(whole.grid, detail, watch, "Looking for what the guide does not explain")
    for tile, values in zip(whole.grid, parts, strict=True):
        found[tile.core.slices] = values
    smooth = np.nan_to_num(_smooth(np.sqrt(found)))
    height, width = calibrated.stated.shape
    rows, columns = (
        whole.sampling.cubic_matrix(sharp, low, axis).astype(np.float32)
        for axis, (sharp, low) in enumerate(zip((height, width), coarse, strict=True))
    )
    return np.asarray(np.maximum(apply_separable(rows, columns, smooth[None])[0], 0), np.float32)


def _mean_square(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the mean of the squares over the bands that are there; NaN where none is."""
    known = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.sum(np.where(known, values, 0) ** 2, axis=0) / known.sum(axis=0)
    return np.asarray(mean, np.float32)


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values smoothed over those of their neighbours that are known."""
    known = np.isfinite(values)
    weight = ndimage.gaussian_filter(known.astype(np.float32), SMOOTHING)
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = ndimage.gaussian_filter(np.where(known, values, np.float32(0)), SMOOTHING) / weight
    return np.asarray(smooth)
