"""Training examples for a network of any sensor: planes of pairs that are simulated from cubes of many sensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.errors import SceneError, SpecFusionError
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import blind, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.networks.planes import PlaneView
    from napari_specfusion.sensor.srf import Srf
    from napari_specfusion.training.bases import Bases

__all__ = ["Crop", "PlaneExample", "draw_pairs"]

# what the pairs are drawn from: PSF width in LR pixels, SNR in dB of cube and guide, share of pairs without noise, of
# pairs with the published protocol, of cubes with all their bands, and the fewest bands of the others
PSF_WIDTHS, CUBE_SNR, GUIDE_SNR = (0.3, 0.6), (25.0, 45.0), (30.0, 45.0)
CLEAN, PUBLISHED, ALL_BANDS, FEWEST_BANDS = 0.5, 0.4, 0.7, 16
# least side of a pair's cube in pixels
LEAST_SIDE = 12
# draws for each pair, at most: a cube may be too small for a ratio, or not reach the bands of a guide
ATTEMPTS = 6
# share of the crops whose planes are mixed
MIXED = 0.5
# places among which a crop is taken where the error is largest, and share of crops that look no further
PLACES, FIRST = 3, 0.4


class Crop(NamedTuple):
    """Planes of one crop: inputs ``(p, CHANNELS, s, s)``, error ``(p, s, s)`` and its weight ``(p, 1, 1)``."""

    inputs: torch.Tensor
    error: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True, eq=False)
class PlaneExample:
    """One simulated pair.

    Attributes
    ----------
    name
        Name of the cube.
    view
        What the pair says of its planes.
    guide
        ``(G, H, W)``.
    planes, error
        Planes of the base and what they lack, ``(p, H, W)``.
    power
        Mean square of the base's error in a pixel, summed over all bands in the units of the view.
    lacking
        What the base lacks in each band, ``(B, H, W)``; None in an example to train on.
    """

    name: str
    view: PlaneView
    guide: torch.Tensor
    planes: torch.Tensor
    error: torch.Tensor
    power: float
    lacking: torch.Tensor | None = None

    @classmethod
    def of(cls, scene: Scene, name: str, bases: Bases, *, validates: bool = False) -> PlaneExample:
        """Run the base on a pair, without what is known of its PSF, shift and response.

        Raises
        ------
        SceneError
            If the reference holds values that are not finite.
        CalibrationError
            If the pair cannot be calibrated.
        """
        import torch

        from napari_specfusion.networks.planes import PlaneView

        assert scene.reference is not None
        truth = torch.as_tensor(scene.reference.read().astype(np.float32))
        if not bool(truth.isfinite().all()):
            raise SceneError(f"{name} holds values that are not finite; crop it, or leave it out of the training.")
        pair = blind(scene)
        view = PlaneView.of(CalibratedScene(pair))
        base = bases.of(pair)
        lacking = truth - base
        planes, error = (
            torch.einsum("bp,byx->pyx", base.new_tensor(view.analysis), image) for image in (base, lacking)
        )
        power = float(np.sum(lacking.double().square().mean((1, 2)).numpy() * view.band_weights))
        guide = torch.as_tensor(scene.guide.read().astype(np.float32))
        return cls(name, view, guide, planes, error, power, lacking if validates else None)

    def crop(self, rng: np.random.Generator, side: int) -> Crop:
        """Return a crop of at most `side` pixels, rotated and mirrored; its planes may be mixed with each other."""
        import torch

        shape = self.error.shape[1:]
        sizes = [min(side, n // 4 * 4) for n in shape]
        y, x = self._place(rng, sizes)
        margin = self.view.reach
        inside = (slice(max(0, y - margin), y + sizes[0] + margin), slice(max(0, x - margin), x + sizes[1] + margin))
        top, left = y - inside[0].start, x - inside[1].start
        view, planes = self.view, self.planes[:, *inside]
        error = self.error[:, y : y + sizes[0], x : x + sizes[1]]
        if rng.random() < MIXED:
            turn = np.linalg.qr(rng.standard_normal((len(planes), len(planes))))[0]
            # leading planes are far larger: a turn of all would leave nothing but them
            turn = _blend(turn, view.unit)
            mixing = planes.new_tensor(turn)
            view = view.turned(turn)
            planes, error = (torch.einsum("pq,pyx->qyx", mixing, images) for images in (planes, error))
        inputs = view.inputs(self.guide[:, *inside], planes)[..., top : top + sizes[0], left : left + sizes[1]]
        unit = error.new_tensor(view.unit * view.sign)[:, None, None]
        weight = unit.abs() * math.sqrt(len(planes) / max(self.power, 1e-30))
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))

        def moved(images: torch.Tensor) -> torch.Tensor:
            images = images.rot90(turns, (-2, -1))
            return (images.flip(-1) if mirror else images).contiguous()

        return Crop(moved(inputs), moved(error / unit), weight)

    def _place(self, rng: np.random.Generator, sizes: Sequence[int]) -> tuple[int, int]:
        """Return a corner, one where the error is large more often than not."""
        best, most = (0, 0), -1.0
        for _ in range(1 if rng.random() < FIRST else PLACES):
            y, x = (int(rng.integers(0, n - size + 1)) for n, size in zip(self.error.shape[1:], sizes, strict=True))
            found = float(self.error[:3, y : y + sizes[0] : 2, x : x + sizes[1] : 2].square().mean())
            if found > most:
                best, most = (y, x), found
        return best


def _blend(turn: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return mixing weights ``(p, p)`` for planes of different units: each new plane is some of all, in their units."""
    mixed = turn / unit[:, None]
    return np.asarray(mixed / np.linalg.norm(mixed, axis=0))


def draw_pairs(
    cubes: Sequence[Cube],
    ratios: Sequence[int],
    guides: Sequence[Srf | str | Path],
    count: int,
    seed: int,
) -> Iterator[tuple[Scene, str]]:
    """Simulate `count` pairs from every cube, with the cube's name: ratio, guide, PSF, noise and bands are drawn."""
    for number, cube in enumerate(cubes):
        for pair in range(count):
            rng = np.random.default_rng([seed, number, pair])
            for _ in range(ATTEMPTS):
                try:
                    scene = _drawn(cube, ratios, guides, rng)
                except SpecFusionError:
                    continue
                if scene is not None:
                    yield scene, cube.name
                    break


def _drawn(
    cube: Cube, ratios: Sequence[int], guides: Sequence[Srf | str | Path], rng: np.random.Generator
) -> Scene | None:
    """Simulate a pair; None if it would be too small."""
    ratio = int(rng.choice(list(ratios)))
    guide = guides[int(rng.integers(len(guides)))]
    published = rng.random() < PUBLISHED
    psf = Psf(ratio * rng.uniform(*PSF_WIDTHS))
    noise = None if rng.random() < CLEAN else (rng.uniform(*CUBE_SNR), rng.uniform(*GUIDE_SNR))
    if rng.random() > ALL_BANDS and cube.bands > FEWEST_BANDS:
        bands = int(rng.integers(FEWEST_BANDS, cube.bands))
        start = int(rng.integers(0, cube.bands - bands + 1))
        cube = cube.select(np.arange(start, start + bands))
    if min(cube.shape[1:]) < LEAST_SIDE * ratio:
        return None
    if published:
        return simulate(cube, ratio, srf=guide, protocol="lso", noise=noise)
    return simulate(cube, ratio, srf=guide, protocol=psf, noise=noise, wrap=False)
