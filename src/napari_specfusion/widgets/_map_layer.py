"""Maps of quality as layers: with limits that a few odd pixels cannot stretch, and a colour bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_specfusion.widgets._layers import VIEW_KEY, place_over

if TYPE_CHECKING:
    from fractions import Fraction

    import napari
    from numpy.typing import NDArray

__all__ = ["PAIR_MAPS", "REFERENCE_MAPS", "MapKind", "add_map_layer", "map_limits"]

PERCENTILES = (1.0, 99.0)
# what the metadata call these layers
MAP = "quality map"


@dataclass(frozen=True)
class MapKind:
    """A map that can be added.

    Attributes
    ----------
    title
        What it shows, in the list.
    name
        What its layer is called, before "of" and the name of the result.
    colormap
        Name of a colormap of napari.
    tip
        The same in a sentence.
    both
        Whether values have either sign, so that 0 is in the middle.
    """

    title: str
    name: str
    colormap: str
    tip: str
    both: bool = False


REFERENCE_MAPS = {
    "sam": MapKind("SAM", "SAM", "inferno", "Spectral angle at each pixel, in degrees."),
    "rmse": MapKind("RMSE", "RMSE", "magma", "Error at each pixel, over all bands."),
    "error": MapKind("Mean error", "mean error", "coolwarm", "Result less reference, mean over the bands.", both=True),
}
PAIR_MAPS = {
    "expected": MapKind(
        "Expected error",
        "expected error",
        "magma",
        "Error to be expected of each pixel, from how far other methods disagree.",
    ),
    "cube": MapKind(
        "Difference to the cube",
        "difference to the cube",
        "magma",
        "Error of the result, blurred like the cube, over all bands.",
    ),
    "guide": MapKind(
        "Difference to the guide",
        "difference to the guide",
        "magma",
        "Error of the guide that the result predicts, in units of the guide's contrast.",
    ),
    "outside": MapKind(
        "Overshoot", "overshoot", "inferno", "How far values lie out of the range of the cube, in % of that range."
    ),
}


def map_limits(values: NDArray[np.floating[Any]], *, both: bool = False) -> tuple[float, float]:
    """Return the 1st and the 99th percentile of a map, or limits around 0 for values of either sign."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(known, PERCENTILES))
    if both:
        high = max(abs(low), abs(high))
        low = -high
    if high <= low:
        # most of the map is one value: show what is not
        low, high = float(known.min()), float(known.max())
    return (low, high) if high > low else (low, low + 1.0)


def add_map_layer(
    viewer: napari.viewer.Viewer,
    kind: MapKind,
    values: NDArray[np.floating[Any]],
    result: Any,
    grid: tuple[Fraction | float, tuple[float, float]] = (1, (0.0, 0.0)),
) -> Any:
    """Add a map over the layer of a result, and hide the earlier maps: one alone can be read, and its bar fits.

    Parameters
    ----------
    viewer
        Where it is shown.
    kind
        What it is.
    values
        ``(y, x)``.
    result
        The layer of the result.
    grid
        Pixels of the result per pixel of the map, and the shift, as `place_over` takes them.
    """
    for other in viewer.layers:
        if other.metadata.get(VIEW_KEY) == MAP:
            other.visible = False
    nearest: Literal["nearest"] = "nearest"
    layer = viewer.add_image(
        values,
        name=f"{kind.name} of {result.name}",
        colormap=kind.colormap,
        contrast_limits=map_limits(values, both=kind.both),
        interpolation2d=nearest,
        units=("pixel", "pixel"),
        metadata={VIEW_KEY: MAP},
    )
    place_over(layer, result, *grid)
    layer.colorbar.visible = True
    return layer
