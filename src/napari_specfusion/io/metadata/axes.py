"""Which axis of a stored array holds the bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_specfusion.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["band_axis_of", "bands_first"]


def band_axis_of(
    shape: Sequence[int], wavelengths: int | None, declared: int, requested: int | None, path: Path
) -> int:
    """Return the axis of the bands: the requested one, else the one that alone fits the wavelengths, else `declared`.

    Parameters
    ----------
    shape
        Shape of the stored array, three axes.
    wavelengths
        Number of wavelengths where some are known.
    declared
        What the format says or usually means.
    requested
        What the user says; negative counts from the end.
    path
        The file, for the error.

    Raises
    ------
    ReadError
        If `requested` is no axis.
    """
    if requested is not None:
        if not -3 <= requested < 3:
            raise ReadError(f"{path}: band_axis={requested} is no axis of shape {tuple(shape)}; give 0, 1 or 2.")
        return requested % 3
    fitting = [axis for axis, size in enumerate(shape) if size == wavelengths]
    return fitting[0] if len(fitting) == 1 else declared


def bands_first(axis: int) -> tuple[int, int, int]:
    """Return the order of axes that brings `axis` to the front and keeps the other two."""
    first, second = (other for other in range(3) if other != axis)
    return axis, first, second
