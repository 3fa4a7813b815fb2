"""A scene at reduced resolution with a known reference: Wald's protocol on the pair itself.

Both images are degraded once more, with the sampling of the pair. The original cube is then the reference for the small
pair (L. Wald, T. Ranchin, M. Mangolini: Fusion of satellite images of different spatial resolutions, PE&RS 63(6),
1997).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SceneError

if TYPE_CHECKING:
    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.sensor.sampling import Sampling

__all__ = ["MAX_SIDE", "MIN_SIDE", "reduced"]

# largest side of the cube to degrade, in pixels; a larger cube is cropped to its middle
MAX_SIDE = 512
# smallest side of the degraded cube, in pixels
MIN_SIDE = 4


def reduced(calibrated: CalibratedScene, side: int = MAX_SIDE) -> Scene:
    """Degrade both images of a pair once more.

    Parameters
    ----------
    calibrated
        The pair; its reference, if it has one, is ignored.
    side
        Largest side of the cube in pixels; a larger cube is cropped to its middle.

    Returns
    -------
    Scene
        In memory, float32, with the same ratio, PSF and shift; its `reference` is the measured cube. Missing
        values are NaN.

    Raises
    ------
    SceneError
        If the cube is too small.
    CalibrationError
        If the pair cannot be calibrated.
    """
    scene, sampling = calibrated.scene, calibrated.sampling
    ratio, step = scene.factor, scene.factor.numerator
    spans = [
        _middle(min(low, math.floor(high / ratio)), side, step, ratio.denominator)
        for low, high in zip(scene.hsi.shape[1:], scene.guide.shape[1:], strict=True)
    ]
    small = [int((span.stop - span.start) / ratio) for span in spans]
    if min(small) < MIN_SIDE:
        raise SceneError(
            f"A cube of {scene.hsi.shape[1]} x {scene.hsi.shape[2]} pixels is too small to degrade by "
            f"{float(ratio):g} once more: {MIN_SIDE} pixels a side must remain. Take a larger part of the scene."
        )
    truth = scene.hsi.crop(*spans).read().astype(np.float32, copy=False)
    guide = calibrated.guide.values[:, *spans].copy()
    spectral = ("wavelengths", "spectral_unit", "fwhm", "good_bands", "name")
    described = [{key: getattr(cube, key) for key in spectral} for cube in (scene.hsi, scene.guide)]
    return scene.replace(
        hsi=Cube.from_array(_degraded(truth, sampling, (small[0], small[1])), **described[0]),
        guide=Cube.from_array(guide, **described[1]),
        psf=sampling.psf,
        shift=sampling.shift,
        reference=Cube.from_array(truth, **described[0]),
    )


def _middle(count: int, side: int, step: int, grid: int) -> slice:
    """Return the middle of `count` pixels: a multiple of `step` of them, `side` at most, from a multiple of `grid`."""
    length = min(count, side) // step * step
    start = (count - side) // 2 // grid * grid if count > side else 0
    return slice(start, start + length)


def _degraded(values: NDArray[Any], sampling: Sampling, shape: tuple[int, int]) -> NDArray[Any]:
    """Return `values` ``(bands, y, x)`` degraded to `shape`; NaN where missing values would contribute."""
    missing = ~np.isfinite(values)
    if not missing.any():
        return sampling.degrade(values, shape)
    coarse = sampling.degrade(np.where(missing, np.float32(0), values), shape)
    coarse[sampling.degrade(missing.astype(np.float32), shape) > 1e-3] = np.nan
    return coarse
