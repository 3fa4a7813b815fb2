"""Sample scenes with a known reference, generated in code without a download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.arguments import choice, whole
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import as_ratio
from napari_specfusion.errors import SceneError
from napari_specfusion.samples.canvas import OVERSAMPLING, Canvas
from napari_specfusion.samples.generator import paint_still_life

if TYPE_CHECKING:
    from fractions import Fraction

    from napari_specfusion.data.scene import Scene

__all__ = ["sample_reference", "sample_scene"]

SMALLEST_SIZE, LARGEST_SIZE, MOST_BANDS = 32, 16384, 10_000
FIRST_WAVELENGTH, LAST_WAVELENGTH = 400.0, 700.0
HUE_SHIFT = 4.0
STRIP = 128

Terms = tuple[tuple[float, float, float], ...]

# Reflectance = base + bumps (centre nm, width nm, height) + edges (position nm, width nm, height): pigments are mostly
# edges, leaves a green bump and the red edge, blues a broad bump and a rise in the far red, skin the bands of blood.
MATERIALS: dict[str, tuple[float, Terms, Terms]] = {
    "plaster": (0.42, ((470, 90, -0.03),), ((560, 60, 0.16), (430, 18, 0.06))),
    "sage": (0.16, ((545, 40, 0.10),), ((700, 14, 0.18), (470, 25, 0.05))),
    "linen": (0.30, ((670, 35, -0.02),), ((455, 32, 0.34), (600, 45, 0.09))),
    "indigo": (0.045, ((448, 32, 0.12),), ((688, 14, 0.25),)),
    "paper": (0.12, ((440, 20, 0.06),), ((415, 9, 0.72),)),
    "porcelain": (0.25, ((610, 60, -0.03),), ((412, 12, 0.58),)),
    "ink": (0.028, (), ((640, 40, 0.012),)),
    "walnut": (0.035, ((505, 40, 0.005),), ((610, 42, 0.16),)),
    "oak": (0.09, ((560, 30, 0.02),), ((560, 42, 0.40),)),
    "gold": (0.14, ((480, 22, -0.03),), ((528, 20, 0.52), (620, 40, 0.14))),
    "ochre": (0.06, ((640, 34, -0.06), (470, 24, 0.02)), ((545, 20, 0.50),)),
    "sunflower": (0.05, ((450, 28, -0.015),), ((512, 13, 0.72), (610, 40, 0.08))),
    "orange": (0.05, ((425, 20, 0.02),), ((568, 14, 0.66),)),
    "vermilion": (0.04, ((430, 30, 0.015),), ((601, 11, 0.68),)),
    "bordeaux": (0.03, ((440, 35, 0.02),), ((628, 16, 0.34),)),
    "rose": (0.22, ((432, 38, 0.24), (530, 30, -0.10)), ((598, 16, 0.50),)),
    "terracotta": (0.07, ((535, 24, -0.01),), ((582, 22, 0.34), (490, 30, 0.06))),
    "skin": (0.20, ((545, 13, -0.045), (577, 11, -0.05), (420, 16, -0.06)), ((598, 15, 0.24), (480, 40, 0.18))),
    "leaf": (0.030, ((552, 24, 0.11), (480, 30, -0.004)), ((702, 10, 0.50),)),
    "lime": (0.055, ((556, 34, 0.34), (675, 14, -0.05)), ((515, 14, 0.07), (704, 11, 0.45))),
    "apple": (0.06, ((562, 42, 0.36), (676, 15, -0.07)), ((520, 18, 0.10), (702, 12, 0.34))),
    "bottle green": (0.03, ((522, 32, 0.13),), ((705, 16, 0.20),)),
    "celadon": (0.20, ((505, 48, 0.32),), ((700, 20, 0.12),)),
    "cobalt": (0.035, ((462, 30, 0.36), (545, 14, -0.015)), ((690, 11, 0.42),)),
    "ultramarine": (0.03, ((445, 28, 0.30),), ((705, 18, 0.30),)),
    "violet": (0.06, ((425, 36, 0.34), (545, 30, -0.02)), ((648, 20, 0.40),)),
    "plum": (0.025, ((430, 34, 0.07),), ((660, 22, 0.22),)),
}


def sample_reference(size: int = 256, *, bands: int = 31, seed: int = 0) -> Cube:
    """Paint a still life and return its reflectance as a sharp cube.

    Flowers, fruit, books, a letter and test charts in window light. Spectra are smooth; pigment strength and mixture
    vary from pixel to pixel and act on the reflectance's logarithm, so the cube is not a mixture of a few spectra.

    Parameters
    ----------
    size
        Rows and columns; a larger image shows the same scene in finer detail.
    bands
        Number of bands from 400 to 700 nm, evenly spaced; 31 gives steps of 10 nm.
    seed
        Varies textures, leaves and handwriting; the same numbers give the same cube.

    Returns
    -------
    Cube
        float32 in [0, 1], `bands` x `size` x `size`.

    Raises
    ------
    SceneError
        If the image is too small, or has no band.
    """
    size = whole("The sample's size", size, SMALLEST_SIZE, LARGEST_SIZE, SceneError)
    bands = whole("The sample's number of bands", bands, 1, MOST_BANDS, SceneError)
    seed = whole("seed", seed, 0, error=SceneError)
    wavelengths = np.linspace(FIRST_WAVELENGTH, LAST_WAVELENGTH, bands)
    canvas = paint_still_life(size, {name: number for number, name in enumerate(MATERIALS)}, seed)
    return Cube.from_array(_render(canvas, wavelengths), wavelengths=wavelengths, name="still life")


def sample_scene(
    size: int = 256,
    ratio: int | float | Fraction = 4,
    *,
    guide: Literal["rgb", "pan"] = "rgb",
    noise: tuple[float, float] | None = None,
    seed: int = 0,
) -> Scene:
    """Return a pair simulated from `sample_reference`, with known PSF, shift, SRF and reference.

    Parameters
    ----------
    size
        Rows and columns of the guide.
    ratio
        Guide pixels per pixel of the low-resolution cube.
    guide
        Sensor of the guide: ``"rgb"`` with three bands, ``"pan"`` with one.
    noise
        Signal-to-noise ratios (cube, guide) in dB; None adds no noise.
    seed
        As in `sample_reference`; it also seeds the noise.

    Raises
    ------
    SceneError
        If the size is too small for the ratio.
    """
    ratio = as_ratio(ratio)
    choice("guide", guide, ("rgb", "pan"), SceneError)
    # imported here because a sample cube alone does not need it
    from napari_specfusion.simulation.pair import simulate

    return simulate(sample_reference(size, seed=seed), ratio, srf=guide, noise=noise, seed=seed)


def _reflectance(name: str, wavelengths: NDArray[np.float64]) -> NDArray[np.float64]:
    base, bumps, edges = MATERIALS[name]
    value = np.full_like(wavelengths, base)
    for centre, width, height in bumps:
        value += height * np.exp(-0.5 * ((wavelengths - centre) / width) ** 2)
    for position, width, height in edges:
        value += height / (1 + np.exp((position - wavelengths) / width))
    return np.clip(value, 0.012, 0.97)


def _render(canvas: Canvas, wavelengths: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn materials and light into reflectance ``(bands, y, x)``, each pixel the mean of its canvas points."""
    logs = [np.log([_reflectance(name, wavelengths + d) for name in MATERIALS]) for d in (0, HUE_SHIFT)]
    spectra, shifts = logs[0].astype(np.float32), (logs[1] - logs[0]).astype(np.float32)
    # Shade is lit by the sky and is bluer than lit areas.
    blueness = np.float32(0.18) * np.linspace(1, -1, len(wavelengths), dtype=np.float32)
    size = canvas.side // OVERSAMPLING
    cube = np.empty((len(wavelengths), size, size), np.float32)
    for top in range(0, canvas.side, STRIP):
        rows = slice(top, min(top + STRIP, canvas.side))
        first, second, mix = canvas.first[rows], canvas.second[rows], canvas.mix[rows]
        hue = np.clip(canvas.hue[rows], -2.5, 2.5)
        strength, gloss = np.clip(canvas.strength[rows], 0.4, 1.8), canvas.gloss[rows]
        light = np.clip(canvas.light[rows], 0.03, 1.05)
        sky = light * (1 - light)
        for band, (log_reflectance, shift) in enumerate(zip(spectra.T, shifts.T, strict=True)):
            value = log_reflectance[first]
            value += hue * shift[first]
            value += mix * (log_reflectance[second] - value)
            value *= strength
            np.exp(value, out=value)
            value *= light + blueness[band] * sky
            value += gloss
            blocks = value.reshape(len(value) // OVERSAMPLING, OVERSAMPLING, size, OVERSAMPLING)
            cube[band, top // OVERSAMPLING : rows.stop // OVERSAMPLING] = blocks.mean(axis=(1, 3))
    return np.clip(cube, 0, 1, out=cube)
