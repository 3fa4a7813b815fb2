"""An alignment that somebody made by hand, judged but not changed."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from napari_specfusion.alignment.alignment import Alignment
from napari_specfusion.alignment.begin import fitting_ratio
from napari_specfusion.alignment.engine import verdict_of
from napari_specfusion.alignment.find import Finder
from napari_specfusion.alignment.place import place
from napari_specfusion.alignment.transform import Transform
from napari_specfusion.alignment.views import Views
from napari_specfusion.data.scene import as_ratio
from napari_specfusion.io import as_cube
from napari_specfusion.progress import Progress, ShouldStop, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.data.scene import Scene

__all__ = ["align_by"]


def align_by(
    hsi: CubeLike,
    guide: CubeLike,
    matrix: NDArray[Any],
    *,
    ratio: Fraction | int | float | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Scene:
    """Bring two images onto one grid by a matrix that is known; nothing is searched.

    Parameters
    ----------
    hsi, guide, ratio, progress, should_stop
        As `align` takes them.
    matrix
        ``(3, 3)`` from cube to guide pixels, ``(y, x, 1)``.

    Returns
    -------
    Scene
        As `align` returns it. ``scene.alignment`` tells how well the two match there.

    Raises
    ------
    AlignmentError
        If the matrix is not valid, an image is constant or empty, or the two have no common ground.
    Cancelled
        If `should_stop` returned true.
    """
    watch = Watch(progress, should_stop)
    low, sharp = as_cube(hsi), as_cube(guide)
    watch.tell(0, 1, "Comparing the two images")
    transform = Transform(matrix)
    shapes = (low.shape[1], low.shape[2]), (sharp.shape[1], sharp.shape[2])
    given = None if ratio is None else as_ratio(ratio)
    fitting = fitting_ratio(low, sharp, given)
    wanted = given or fitting
    where = place(transform, *shapes, wanted, fits=fitting is not None)
    finder = Finder(Views(low, sharp, transform.scale_of(shapes[0]), watch), shapes[0], watch)
    after, detail = math.sqrt(finder.left_over(transform)), math.sqrt(finder.detail_left(transform))
    alignment = Alignment(
        where.transform,
        where.ratio,
        *shapes,
        where.window,
        where.placement,
        model="by hand",
        after=after,
        detail=detail,
        verdict=verdict_of(after, detail, moved=True),
    )
    return alignment.scene(low, sharp)
