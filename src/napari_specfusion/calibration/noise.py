"""Estimates of the white noise in a cube and in a guide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_specfusion.calibration.moments import PairMoments

__all__ = ["cube_noise", "guide_noise"]


def cube_noise(moments: PairMoments) -> float:
    """Estimate the white noise of the cube, typical over its bands."""
    _, directions = moments.principal_directions()
    trailing = directions[:, moments.bands // 2 :] if moments.bands > 3 else directions
    return math.sqrt(float(np.median(moments.noise_along(trailing))))


def guide_noise(image: NDArray[Any]) -> float:
    """Estimate the standard deviation of white noise in ``(G, H, W)`` from its flattest blocks.

    A second difference in both directions (Immerkaer 1996) removes slopes; its spread over the calmest tenth of blocks
    of 16 x 16 pixels is the noise, or the finest texture where nothing is flat.
    """
    height, width = (n // 16 * 16 for n in (image.shape[1] - 2, image.shape[2] - 2))
    if 0 in (height, width):
        return 0.0
    rows = image[:, :-2] - 2 * image[:, 1:-1] + image[:, 2:]
    both = (rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:])[:, :height, :width] / 6
    blocks = both.reshape(len(image), height // 16, 16, width // 16, 16)
    spread = np.sqrt(np.mean(np.square(blocks), axis=(2, 4)))
    # a block with a missing pixel gives no estimate
    spread = spread[np.isfinite(spread)]
    return float(np.percentile(spread, 10)) if spread.size else 0.0
