"""The picture that a swipe uncovers: what a layer shows, as colours, transparent on one side of a divider."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Grid", "cover", "plane_colours"]

# pixels of the picture along the longer side: at most, and at least, so that the divider is thin
MOST, LEAST = 4096, 768
MISSING = (128, 128, 128, 255)
LINE = (255, 196, 0, 255)


@dataclass(frozen=True)
class Grid:
    """The pixels of a picture against those of its layer: every `step`-th one, each `times` times a side."""

    step: int
    times: int

    @classmethod
    def of(cls, height: int, width: int) -> Grid:
        """Return the grid for an image of that size."""
        longest = max(height, width)
        return cls(max(1, math.ceil(longest / MOST)), max(1, math.ceil(LEAST / longest)))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """``(3, 3)``: from pixels (y, x, 1) of the picture to pixels of the layer."""
        # the middle of the first pixel of several lies towards the corner
        matrix = np.diag([self.step / self.times, self.step / self.times, 1.0])
        matrix[:2, 2] = (1 / self.times - 1) / 2
        return matrix


def plane_colours(
    plane: NDArray[Any], *, rgb: bool, colormap: Any = None, limits: tuple[float, float] = (0, 1), gamma: float = 1.0
) -> NDArray[np.uint8]:
    """Return the colours ``(y, x, 4)`` of a plane ``(y, x)``, or of an RGB image ``(y, x, 3 or 4)``.

    Missing values are grey. A plane takes the `colormap` of napari between `limits`.
    """
    if rgb:
        colours = plane[..., :3]
        missing = ~np.isfinite(colours).all(axis=-1)
        if colours.dtype != np.uint8:
            top = float(np.iinfo(colours.dtype).max) if colours.dtype.kind in "iu" else 1.0
            colours = (np.clip(np.nan_to_num(colours) / top, 0, 1) * 255).astype(np.uint8)
        found = np.full((*colours.shape[:2], 4), 255, np.uint8)
        found[..., :3] = colours
    else:
        low, high = limits
        missing = ~np.isfinite(plane)
        share = np.clip((np.nan_to_num(plane).astype(np.float32) - low) / max(high - low, 1e-30), 0, 1) ** gamma
        table = np.round(np.asarray(colormap.map(np.linspace(0, 1, 256))) * 255).astype(np.uint8)
        table[:, 3] = 255
        found = table[np.round(share * 255).astype(np.uint8)]
    found[missing] = MISSING
    return found


def cover(colours: NDArray[np.uint8], across: NDArray[np.float64], divider: float) -> NDArray[np.uint8]:
    """Return colours that are transparent left of a divider, with a thin line at it.

    Parameters
    ----------
    colours
        ``(y, x, 4)``.
    across
        ``(3,)``: world x of a pixel (y, x, 1).
    divider
        Where it stands, in world x.
    """
    height, width = colours.shape[:2]
    place = across[0] * np.arange(height)[:, None] + across[1] * np.arange(width)[None] + across[2]
    shown = np.where((place >= divider)[..., None], colours, np.uint8(0))
    shown[np.abs(place - divider) <= math.hypot(*across[:2])] = LINE
    return shown
