"""Scenes for those who fuse: aligned where that is needed, and refused where it cannot be trusted."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from napari_specfusion.alignment.engine import align
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import AlignmentError, SceneError

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Progress, ShouldStop

__all__ = ["check_trust", "make_scene"]


def make_scene(
    hsi: Cube,
    guide: Cube,
    ratio: Fraction | int | float | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Scene:
    """Make a scene of two images, aligned.

    Two images that cannot be compared, such as very small or constant ones, make the scene that their sizes give.

    Raises
    ------
    AlignmentError
        If the two cannot be aligned, and do not make a scene as they are.
    Cancelled
        If `should_stop` returned true.
    """
    try:
        return align(hsi, guide, ratio=ratio, progress=progress, should_stop=should_stop)
    except AlignmentError:
        try:
            return Scene(hsi, guide, ratio)
        except SceneError:
            pass
        raise


def check_trust(scene: Scene) -> None:
    """Refuse a scene whose alignment cannot be trusted; warn of one that is doubtful.

    Two images that are used as they came are left to the judgement of the calibration.

    Raises
    ------
    AlignmentError
        If no alignment was found.
    """
    alignment = scene.alignment
    if alignment is None or alignment.trusted or alignment.placement == "as is":
        return
    reason = alignment.findings()[0].message
    if alignment.verdict == "unrelated":
        raise AlignmentError(f"{reason} To take equal corners all the same, switch alignment off (align=False).")
    warnings.warn(f"The alignment is doubtful. {reason}", UserWarning, stacklevel=3)
