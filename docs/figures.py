"""Draw the figures of `explanation.md`, from the painted pair and the package's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import napari_specfusion as sf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

IMAGES = Path(__file__).parent / "images"
DPI = 110
GUIDE, CUBE, WRITTEN = "0.75", "#c0392b", "#2c6fbb"
RATIO = 4
METHODS = ("bicubic", "gsa", "glp", "subspace", "detail")
# a part of the painted scene: rows, columns
PART = (slice(70, 150), slice(150, 250))


def save(figure: Figure, name: str) -> None:
    """Write a figure among the pictures."""
    figure.savefig(IMAGES / f"{name}.png", dpi=DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08)


def draw_grids() -> None:
    """Draw where the two protocols put the pixels of the cube on those of the guide."""
    figure = Figure(figsize=(7.2, 3.6))
    axes = figure.subplots(1, 2)
    for ax, (name, shift) in zip(axes, (("lso", -(RATIO - 1) / 2), ("specsolver", 0.0)), strict=True):
        side = 3 * RATIO
        draw_pixels(ax, side, 1, GUIDE, 0.6)
        draw_pixels(ax, side, RATIO, "black", 1.4)
        centres = np.arange(3) * RATIO + (RATIO - 1) / 2 + shift
        y, x = np.meshgrid(centres, centres, indexing="ij")
        ax.plot(x.ravel(), y.ravel(), "o", color=CUBE, markersize=6)
        ax.set_title(f"{name}: shift {shift:g}", fontsize=10)
        plain(ax, side)
    axes[0].set_xlabel("grey: pixels of the guide\nblack: cells of 4 x 4", fontsize=9)
    axes[1].set_xlabel("red: centres of the cube's pixels\nas they were sampled", fontsize=9)
    save(figure, "grids")


def draw_pixels(ax: Axes, side: int, step: int, colour: str, width: float) -> None:
    """Draw the borders of square pixels whose first is centred at 0."""
    for at in np.arange(0, side + 1, step) - 0.5:
        ax.plot([at, at], [-0.5, side - 0.5], color=colour, linewidth=width)
        ax.plot([-0.5, side - 0.5], [at, at], color=colour, linewidth=width)


def plain(ax: Axes, side: int) -> None:
    """Leave out ticks and frame; rows go down."""
    ax.set(xlim=(-1, side), ylim=(side, -1), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def draw_residual() -> None:
    """Draw what calibration minimises: the residual over the width of the PSF and the shift."""
    scene = sf.sample_scene()
    blind = scene.replace(psf=None, shift=None)
    found = sf.calibrate(blind)
    widths, shifts = np.linspace(0.6, 3.4, 15), np.linspace(-4.5, 1.5, 17)
    residuals = np.array([[residual(blind, width, shift) for shift in shifts] for width in widths])
    figure = Figure(figsize=(6.4, 3.8))
    ax = figure.subplots()
    mesh = ax.pcolormesh(shifts, widths, residuals, cmap="viridis", shading="nearest", vmin=0)
    figure.colorbar(mesh, ax=ax, label="residual")
    width = found.psf.sigma
    ax.plot(found.shift[0], width, "+", color="white", markersize=16, markeredgewidth=2.5)
    ax.set(xlabel="shift on both axes [guide pixels]", ylabel="sigma of the PSF [guide pixels]")
    ax.set_title(f"found: sigma {width:.2f}, shift {found.shift[0]:.2f}; true: 2, -1.5", fontsize=10)
    save(figure, "residual")


def residual(scene: sf.Scene, width: float, shift: float) -> float:
    """Return the residual of a pair that has a certain PSF and shift."""
    return sf.calibrate(scene.replace(psf=sf.Psf(float(width)), shift=(float(shift), float(shift)))).residual


def draw_methods() -> None:
    """Draw a part of the painted scene as each method fuses it, in colour, and its spectral angle to the truth."""
    scene = sf.sample_scene().replace(psf=None, shift=None)
    truth = scene.reference
    assert truth is not None
    calibrated = sf.CalibratedScene(scene)
    figure = Figure(figsize=(10, 3.5))
    rows = figure.subplots(2, len(METHODS) + 1)
    show(rows[0][0], truth, truth, "truth")
    rows[1][0].set_axis_off()
    for column, method in enumerate(METHODS, start=1):
        fused = sf.fuse(calibrated, model=method)
        score = sf.evaluate(truth, fused, scene.ratio)
        show(rows[0][column], fused, truth, method)
        picture = rows[1][column].imshow(angles(truth, fused)[PART], cmap="inferno", vmin=0, vmax=20)
        rows[1][column].set_xlabel(f"{score.psnr:.1f} dB, {score.sam:.1f}°", fontsize=9)
        rows[1][column].set(xticks=[], yticks=[])
    figure.subplots_adjust(wspace=0.05, hspace=0.05)
    bar = figure.add_axes((0.145, 0.16, 0.012, 0.28))
    figure.colorbar(picture, cax=bar, label="spectral angle [°]")
    save(figure, "methods")


def show(ax: Axes, cube: sf.Cube, truth: sf.Cube, title: str) -> None:
    """Draw a part of a cube in natural colour, as bright as the truth."""
    bands = [int(np.abs(truth.wavelengths - wave).argmin()) for wave in (640, 550, 460)]
    colours = np.moveaxis(cube.read()[bands], 0, -1)[PART]
    ax.imshow((colours / truth.read()[bands].max()).clip(0, 1) ** (1 / 2.2))
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[])


def angles(truth: sf.Cube, fused: sf.Cube) -> NDArray[np.float64]:
    """Return the spectral angles between two cubes, in degrees."""
    a, b = truth.read(), fused.read()
    cosine = (a * b).sum(0) / np.maximum(np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0), 1e-12)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def draw_tiles() -> None:
    """Draw what a tile reads and what it writes."""
    figure = Figure(figsize=(4.2, 3.9))
    ax = figure.subplots()
    side, core, halo = 16, 4, 2
    draw_pixels(ax, side, core, GUIDE, 1.2)
    for row, column, colour in ((1, 2, WRITTEN), (3, 0, CUBE)):
        top, left = row * core, column * core
        box = [max(0, top - halo), max(0, left - halo), min(side, top + core + halo), min(side, left + core + halo)]
        corner, height, width = (box[1] - 0.5, box[0] - 0.5), box[2] - box[0], box[3] - box[1]
        ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linestyle="--", linewidth=1.8))
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), core, core, facecolor=colour, alpha=0.35))
        ax.text(left + core / 2 - 0.5, top + core / 2 - 0.5, "writes", ha="center", va="center", fontsize=9)
        ax.text(corner[0] + 0.2, corner[1] + 0.2, "reads", ha="left", va="top", fontsize=9, color=colour)
    plain(ax, side)
    save(figure, "tiles")


def main() -> None:
    """Draw all figures."""
    IMAGES.mkdir(exist_ok=True)
    draw_grids()
    draw_tiles()
    draw_residual()
    draw_methods()


if __name__ == "__main__":
    main()
