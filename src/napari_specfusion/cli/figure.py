"""Pictures for a report: panels of images side by side with titles, and a colour bar where colour means a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_specfusion.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_specfusion.data.cube import Cube

__all__ = ["Panel", "draw_panels", "natural_colour", "save_picture", "stretch_of"]

Pixels = NDArray[np.uint8]

# where red, green and blue are looked up, nm
RGB = (640.0, 550.0, 460.0)
GAP, MARGIN, TITLE, NOTE, BAR_WIDTH = 18, 28, 22, 16, 14
INK, FAINT, PAPER = (24, 26, 30), (96, 101, 110), (255, 255, 255)
# dark to light through warm colours, so that it reads in grey as well
HEAT = np.array(
    [(8, 6, 26), (52, 18, 92), (122, 30, 108), (192, 52, 82), (238, 104, 52), (250, 176, 66), (253, 245, 190)]
)


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a figure.

    Attributes
    ----------
    title, note
        What stands above and below it.
    image
        ``(y, x, 3)`` colours in 0..1, or ``(y, x)`` numbers, shown as colours with a bar.
    limit
        Number at the upper end of the bar; the lower one is 0.
    unit
        Unit of the numbers.
    smooth
        Whether enlarged pixels are interpolated, or shown as squares.
    frame
        Part to outline as (y0, y1, x0, x1), in fractions of the image.
    """

    title: str
    note: str
    image: NDArray[Any]
    limit: float = 1.0
    unit: str = ""
    smooth: bool = False
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
    values = np.moveaxis(np.asarray(cube.select(_colour_bands(cube)).values, np.float32), 0, -1)
    shown = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1)
    # screens expect brightness in their own gamma; reflectance looks too dark without
    return np.asarray(shown ** (1 / 1.8), dtype=np.float32)


def stretch_of(cube: Cube) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the values (3,) that become black and white: those that all but a half percent of pixels lie between."""
    chosen = cube.select(_colour_bands(cube))
    rows, columns = (slice(None, None, max(1, n // 512)) for n in cube.shape[1:])
    values = np.asarray(chosen.values[:, rows, columns], np.float32).reshape(3, -1)
    low, high = np.nanpercentile(values, [0.5, 99.5], axis=1)
    # one pair for the three, so that colours keep their balance
    low, high = np.full(3, low.min(), np.float32), np.full(3, high.max(), np.float32)
    return low, np.maximum(high, low + np.finfo(np.float32).eps)


def _colour_bands(cube: Cube) -> list[int]:
    known = cube.wavelengths
    if cube.bands < 3:
        return [cube.bands - 1, 0, 0]
    if cube.bands == 3:
        return [0, 1, 2] if known is None else [2, 1, 0]
    if known is not None and known.min() - 30 <= RGB[-1] and known.max() + 30 >= RGB[0]:
        return [cube.band_at(wavelength) for wavelength in RGB]
    good = np.flatnonzero(cube.good) if cube.good.any() else np.arange(cube.bands)
    return [int(good[int(share * (len(good) - 1))]) for share in (0.85, 0.5, 0.15)]


def draw_panels(rows: Sequence[Sequence[Panel]], heading: str, side: int = 384) -> Pixels:
    """Return a figure ``(y, x, 3)`` of equally large panels under a heading.

    Parameters
    ----------
    rows
        The panels, row by row.
    heading
        One line above them all.
    side
        Width of a panel in pixels; its height follows from its image.
    """
    shapes = [panel.image.shape for row in rows for panel in row]
    height = round(side * max(shape[0] / shape[1] for shape in shapes))
    big, small = ImageFont.load_default(TITLE), ImageFont.load_default(NOTE)
    bar = 90 if any(panel.image.ndim == 2 for row in rows for panel in row) else 0
    columns = max(len(row) for row in rows)
    width = 2 * MARGIN + columns * side + (columns - 1) * GAP + bar
    above = [TITLE + 12 if any(panel.title for panel in row) else 0 for row in rows]
    below = [NOTE + 24 if any(panel.note for panel in row) else GAP for row in rows]
    top = MARGIN + TITLE + 22
    figure = Image.new("RGB", (width, top + sum(above) + sum(below) + len(rows) * height + MARGIN - GAP), PAPER)
    draw = ImageDraw.Draw(figure)
    draw.text((MARGIN, MARGIN - 6), heading, INK, font=big)
    y = top
    for row, before, after in zip(rows, above, below, strict=True):
        y += before
        for column, panel in enumerate(row):
            x = MARGIN + column * (side + GAP)
            draw.text((x, y - before), panel.title, INK, font=big)
            draw.text((x, y + height + 6), panel.note, FAINT, font=small)
            figure.paste(_render(panel, side, height), (x, y))
            if panel.frame is not None:
                y0, y1, x0, x1 = panel.frame
                box = (x + x0 * side, y + y0 * height, x + x1 * side - 1, y + y1 * height - 1)
                draw.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), outline=INK, width=4)
                draw.rectangle(box, outline=PAPER, width=2)
            if panel.image.ndim == 2:
                _draw_bar(figure, draw, panel, (x + side + 12, y), height, small)
        y += height + after
    return np.asarray(figure)


def save_picture(pixels: Pixels, path: Path) -> None:
    """Write a picture as PNG.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        Image.fromarray(pixels).save(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error}); choose another folder.") from error


def _render(panel: Panel, side: int, height: int) -> Image.Image:
    colours = _heat(panel.image / panel.limit) if panel.image.ndim == 2 else panel.image
    image = Image.fromarray(np.rint(255 * np.clip(np.nan_to_num(colours), 0, 1)).astype(np.uint8))
    smooth = panel.smooth or min(image.size) > side
    return image.resize((side, height), Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)


def _heat(share: NDArray[Any]) -> NDArray[np.float64]:
    """Turn 0..1 into colours; no data is grey."""
    at = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(np.nan_to_num(share), at, channel) for channel in HEAT.T], axis=-1) / 255
    colours[~np.isfinite(share)] = 0.5
    return np.asarray(colours)


def _draw_bar(
    figure: Image.Image,
    draw: ImageDraw.ImageDraw,
    panel: Panel,
    corner: tuple[int, int],
    height: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x, y = corner
    ramp = _heat(np.linspace(1, 0, height)[:, None] * np.ones((1, BAR_WIDTH)))
    figure.paste(Image.fromarray(np.rint(255 * ramp).astype(np.uint8)), (x, y))
    draw.rectangle((x, y, x + BAR_WIDTH - 1, y + height - 1), outline=FAINT)
    for share in (0.0, 0.5, 1.0):
        level = y + round((1 - share) * (height - 1))
        draw.line((x + BAR_WIDTH, level, x + BAR_WIDTH + 4, level), fill=FAINT)
        text = f"{share * panel.limit:.3g}{panel.unit}"
        draw.text((x + BAR_WIDTH + 8, level), text, FAINT, font=font, anchor="lm")
