"""Simulation of a pair with a known reference from a sharp cube (Wald's protocol)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion.arguments import flag, numbers, short, whole
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene, as_ratio
from napari_specfusion.errors import SceneError
from napari_specfusion.io import as_cube
from napari_specfusion.sensor.sampling import Psf, Sampling
from napari_specfusion.sensor.srf import Srf, as_srf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from fractions import Fraction

    from napari_specfusion.data.cube_like import CubeLike

__all__ = ["PROTOCOLS", "Protocol", "blind", "simulate"]


# signal-to-noise ratio in dB
LOUDEST = 300


@dataclass(frozen=True)
class Protocol:
    """A published way to simulate a low-resolution cube.

    Attributes
    ----------
    psf
        Gives the PSF for a ratio.
    shift
        Gives the displacement of the LR grid from the cells, in HR pixels, for a ratio.
    """

    psf: Callable[[int], Psf]
    shift: Callable[[int], float]


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        # LSO (ICML 2026): Gaussian of sigma s/2, every s-th pixel from pixel 0
        "lso": Protocol(lambda ratio: Psf(ratio / 2), lambda ratio: -(ratio - 1) / 2),
        # SpecSolver (ACM MM 2025): s taps of a Gaussian of sigma 2, every s-th pixel from s//2 - 1; the taps of an even
        # kernel reach one pixel further to the right, so the LR pixel sits in the middle of its cell
        "specsolver": Protocol(lambda ratio: Psf(2.0, float(ratio)), lambda ratio: 0.0 if ratio % 2 == 0 else -1.0),
    }
)
"""The published protocols, by name."""


def simulate(
    sharp: CubeLike,
    ratio: int | float | Fraction,
    *,
    srf: Srf | str | Path | ArrayLike = "rgb",
    protocol: str | Psf = "lso",
    shift: tuple[float, float] | None = None,
    noise: tuple[float, float] | None = None,
    seed: int = 0,
    wrap: bool = True,
) -> Scene:
    """Simulate a pair with a known reference from a sharp cube (Wald's protocol).

    Parameters
    ----------
    sharp
        The sharp cube ``(bands, y, x)``, as anything that `as_cube` takes; it is cropped at the bottom and right to a
        multiple of the ratio.
    ratio
        HR pixels per LR pixel.
    srf
        The guide's response: an `Srf`, the name of an analytic one, a CSV file, or a matrix (guide bands, bands). Bands
        without any data get no weight.
    protocol
        ``"lso"`` or ``"specsolver"`` for the published benchmarks (circular borders), or your own `Psf`, with LR pixels
        that cover their cells.
    shift
        (y, x) displacement of the LR grid in HR pixels, instead of the protocol's.
    noise
        Signal-to-noise ratios (cube, guide) in dB of white Gaussian noise to add; the power is the image's mean square.
    seed
        Seeds the noise.
    wrap
        Whether the PSF goes on at the opposite border, as in the published protocols. Otherwise it counts only pixels
        inside the image there.

    Returns
    -------
    Scene
        With `psf`, `shift` and `srf` set, and the cropped sharp cube as `reference`; float32.

    Raises
    ------
    SceneError
        If the protocol is unknown, the cube is too small for the ratio, or the response does not match its bands.
    """
    cube = as_cube(sharp)
    factor = as_ratio(ratio)
    flag("wrap", wrap, SceneError)
    whole("seed", seed, 0, error=SceneError)
    if shift is not None:
        down, right = numbers("shift", shift, (2,), SceneError).tolist()
        if max(abs(down), abs(right)) > min(cube.shape[1:]):
            raise SceneError(f"The shift is {short(shift)}; it must be less than the image of {cube.shape[1:]} pixels.")
        shift = down, right
    levels = None if noise is None else numbers("noise", noise, (2,), SceneError).tolist()
    if levels is not None and max(map(abs, levels)) > LOUDEST:
        raise SceneError(f"The noise is {short(noise)}; give two ratios in dB between -{LOUDEST} and {LOUDEST}.")
    if isinstance(protocol, Psf):
        psf, moved = protocol, 0.0
    elif not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise SceneError(
            f"There is no protocol {short(protocol)}; choose one of {', '.join(PROTOCOLS)}, or give a Psf."
        )
    elif factor.denominator != 1:
        raise SceneError(f"The protocol {protocol} supports whole ratios only, not {factor}; give a Psf instead.")
    else:
        psf, moved = PROTOCOLS[protocol].psf(int(factor)), PROTOCOLS[protocol].shift(int(factor))
    height, width = (n // factor.numerator * factor.numerator for n in cube.shape[1:])
    if 0 in (height, width):
        raise SceneError(
            f"The sharp cube has {cube.shape[1:]} pixels, less than one LR pixel at ratio {factor}; use a larger cube."
        )
    cube = cube.crop(slice(0, height), slice(0, width))
    if cube.wavelengths is not None and cube.spectral_unit != "nm" and isinstance(srf, str | Path):
        raise SceneError(
            f"The response {srf} is defined in nm, but the bands of {cube.name} are in {cube.spectral_unit}; "
            "give a matrix (guide bands, bands)."
        )
    response = as_srf(srf, cube.wavelengths, cube.bands)

    values = cube.read().astype(np.float32, copy=False)
    # Satellite products leave the water vapour bands without data.
    response = response.without(np.asarray(np.isnan(values).all(axis=(1, 2))))
    sampling = Sampling(factor, psf, (moved, moved) if shift is None else shift)
    coarse = sampling.degrade(values, (int(height / factor), int(width / factor)), wrap=wrap)
    guide = response.apply(values)
    if levels is not None:
        rng = np.random.default_rng(seed)
        coarse, guide = (_noisy(image, level, rng) for image, level in zip((coarse, guide), levels, strict=True))
    spectral = {key: getattr(cube, key) for key in ("wavelengths", "spectral_unit", "fwhm", "good_bands")}
    return Scene(
        hsi=Cube.from_array(coarse, name=f"{cube.name} (low resolution)", **spectral),
        guide=Cube.from_array(guide, name=f"{cube.name} (guide)"),
        ratio=factor,
        shift=sampling.shift,
        psf=psf,
        srf=response,
        reference=cube,
    )


def blind(scene: Scene) -> Scene:
    """Return a pair without what is known of how it was made, and without its reference."""
    return scene.replace(psf=None, shift=None, srf=None, reference=None)


def _noisy(image: NDArray[np.float32], decibel: float, rng: np.random.Generator) -> NDArray[np.float32]:
    power = float(np.mean(np.square(image[np.isfinite(image)], dtype=np.float64)))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return image + np.float32(math.sqrt(power * 10 ** (-decibel / 10))) * noise
