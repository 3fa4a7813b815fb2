"""The residual of a pair at any matrix, quickly: for those who move one image over the other by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.alignment.find import SEARCHED, Finder
from napari_specfusion.alignment.transform import Transform
from napari_specfusion.alignment.views import Views
from napari_specfusion.io import as_cube
from napari_specfusion.progress import Progress, ShouldStop, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.cube_like import CubeLike

__all__ = ["Residual"]


class Residual:
    """Tells how well two images match at a matrix.

    Both are read once, when it is made.

    Parameters
    ----------
    hsi, guide
        The two images, as anything that `as_cube` takes.
    scale
        Guide pixels per cube pixel, roughly.
    progress
        Called with a `Progress` while they are read.
    should_stop
        Called at least once a second; true stops with `Cancelled`.

    Raises
    ------
    AlignmentError
        If one of the images is constant or empty.
    """

    def __init__(
        self,
        hsi: CubeLike,
        guide: CubeLike,
        scale: float,
        *,
        progress: Callable[[Progress], None] | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        low, watch = as_cube(hsi), Watch(progress, should_stop)
        self._finder = Finder(Views(low, as_cube(guide), scale, watch), (low.shape[1], low.shape[2]), Watch())

    def at(self, matrix: NDArray[np.float64]) -> float:
        """Return the share (0 to 1) of the guide's contrast that the cube does not explain at a matrix.

        Parameters
        ----------
        matrix
            ``(3, 3)`` from cube to guide pixels, ``(y, x, 1)``. 1 where the images have too little common ground.
        """
        return math.sqrt(self._finder.left_over(Transform(matrix), SEARCHED))
