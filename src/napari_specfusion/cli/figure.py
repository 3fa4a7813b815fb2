"""Pictures for a report, drawn with matplotlib: panels of images, and a colour bar where colour means a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import needs_extra
from napari_specfusion.io.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_specfusion.data.cube import Cube

__all__ = ["NO_PICTURE", "Panel", "draw_panels", "natural_colour", "save_figure", "stretch_of"]

NO_PICTURE = f"There is no picture: it {needs_extra('matplotlib')}"

# width of a panel in inches, and pixels per inch
SIDE, DPI = 3.2, 150
# dark to light through warm colours, so that it reads in grey as well
HEAT = "inferno"


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a figure.

    Attributes
    ----------
    title, note
        Text above and below it.
    image
        ``(y, x, 3)`` colours in 0..1, or ``(y, x)`` numbers, shown as colours with a bar.
    limit
        Number at the upper end of the bar; the lower one is 0.
    frame
        Part to outline as (y0, y1, x0, x1), in fractions of the image.
    """

    title: str
    note: str
    image: NDArray[Any]
    limit: float = 1.0
    frame: tuple[float, float, float, float] | None = None


def natural_colour(cube: Cube, stretch: tuple[NDArray[Any], NDArray[Any]] | None = None) -> NDArray[np.float32]:
    """Return a cube as colours ``(y, x, 3)`` in 0..1.

    Takes the bands nearest to red, green and blue where the cube spans them, else bands spread over its range; three
    bands or fewer are shown as they are.

    Parameters
    ----------
    cube
        What to show.
    stretch
        The values (3,) that become black and white; None takes `stretch_of` this cube.
    """
    low, high = stretch_of(cube) if stretch is None else stretch
    values = np.moveaxis(np.asarray(cube.select(cube.rgb_bands()).values, np.float32), 0, -1)
    shown = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1)
    # screens expect brightness in their own gamma; reflectance looks too dark without
    return np.asarray(shown ** (1 / 1.8), dtype=np.float32)


def stretch_of(cube: Cube) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the values (3,) that become black and white: those that all but a half percent of pixels lie between."""
    chosen = cube.select(cube.rgb_bands())
    rows, columns = (slice(None, None, max(1, n // 512)) for n in cube.shape[1:])
    values = np.asarray(chosen.values[:, rows, columns], np.float32).reshape(3, -1)
    low, high = np.nanpercentile(values, [0.5, 99.5], axis=1)
    # one pair for the three, so that colours keep their balance
    low, high = np.full(3, low.min(), np.float32), np.full(3, high.max(), np.float32)
    return low, np.maximum(high, low + np.finfo(np.float32).eps)


def draw_panels(rows: Sequence[Sequence[Panel]], heading: str) -> Figure:
    """Return a figure of equally large panels under a heading.

    Parameters
    ----------
    rows
        The panels, row by row.
    heading
        One line above them all.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    height = SIDE * max(panel.image.shape[0] / panel.image.shape[1] for row in rows for panel in row)
    figure = Figure(figsize=(columns * SIDE + 0.6, len(rows) * (height + 0.5) + 0.5), dpi=DPI, layout="constrained")
    figure.suptitle(heading, x=0.01, horizontalalignment="left")
    grid: Any = figure.subplots(len(rows), columns, squeeze=False)
    for places, row in zip(grid, rows, strict=True):
        for axes in places:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes, panel in zip(places, row, strict=False):
            _draw(axes, panel)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _draw(axes: Axes, panel: Panel) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    axes.set_title(panel.title, loc="left", fontsize="medium")
    axes.set_xlabel(panel.note, loc="left", fontsize="small", color="0.4")
    # no data is grey
    colours = colormaps[HEAT].with_extremes(bad="0.5")
    image = axes.imshow(panel.image, cmap=colours, vmin=0, vmax=panel.limit)
    if panel.image.ndim == 2 and axes.figure is not None:
        axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    if panel.frame is not None:
        y0, y1, x0, x1 = panel.frame
        for width, colour in ((3.0, "black"), (1.5, "white")):
            # fractions count from the lower left corner
            box = Rectangle((x0, 1 - y1), x1 - x0, y1 - y0, fill=False, color=colour, linewidth=width)
            box.set_transform(axes.transAxes)
            axes.add_patch(box)
