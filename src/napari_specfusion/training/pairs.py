"""Training examples: crops of sharp cubes with the inputs simulated from them."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.errors import ModelError, SceneError
from napari_specfusion.networks.pair_detail import PairDetail
from napari_specfusion.sensor.sampling import Sampling
from napari_specfusion.simulation.pair import PROTOCOLS, blind, simulate
from napari_specfusion.simulation.reduced import reduced
from napari_specfusion.training.bases import Bases

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.networks.pair_units import PairResidual
    from napari_specfusion.networks.residual import Residual
    from napari_specfusion.sensor.srf import Srf

__all__ = ["SMALL_SHARE", "Batch", "Example", "Examples", "Making", "UnitBatch", "check_one_sensor"]

SMALL_SHARE = 0.25
# error of a base in a band that counts as none
LEAST_ERROR = 1e-9


class Batch(NamedTuple):
    """Crops: ``guide`` (N, G, s, s), ``base`` and ``truth`` (N, B, s, s)."""

    guide: torch.Tensor
    base: torch.Tensor
    truth: torch.Tensor


class UnitBatch(NamedTuple):
    """Crops for a network in units of the pair.

    ``images``: its inputs (N, C, s, s); ``base`` and ``truth`` (N, B, s, s); ``unit`` of its output (N, p, 1, 1); and
    the ``error`` of the base in each band of the crop's pair (N, B, 1, 1), a root mean square.
    """

    images: torch.Tensor
    base: torch.Tensor
    truth: torch.Tensor
    unit: torch.Tensor
    error: torch.Tensor


@dataclass(frozen=True)
class Making:
    """How a pair is simulated: ratio, protocol, response of the guide's camera, and noise (see `simulate`)."""

    ratio: int
    protocol: str
    srf: Srf | str | Path = "rgb"
    noise: tuple[float, float] | None = None

    def pair(self, sharp: Cube) -> Scene:
        """Simulate a pair."""
        return simulate(sharp, self.ratio, srf=self.srf, protocol=self.protocol, noise=self.noise)


@dataclass(frozen=True, eq=False)
class Example:
    """One simulated pair: guide ``(G, H, W)``, truth and base ``(B, H, W)``.

    For a network in units of the pair also its `detail` and, once the network's directions are known, its `units` and
    the base's `error` in each band ``(B,)``, a root mean square.
    """

    name: str
    protocol: str
    guide: torch.Tensor
    truth: torch.Tensor
    base: torch.Tensor
    detail: PairDetail | None = None
    units: PairResidual | None = None
    error: torch.Tensor | None = None

    @classmethod
    def of(cls, sharp: Cube, made: Making, bases: Bases, device: str = "cpu", *, measure: bool = False) -> Example:
        """Simulate a pair from a sharp cube and run the base on it, without the known PSF, shift and SRF.

        Raises
        ------
        SceneError
            If the sharp cube holds values that are not finite.
        """
        scene = made.pair(sharp)
        assert scene.reference is not None
        bad = int(np.count_nonzero(~np.isfinite(scene.reference.read())))
        if bad:
            raise SceneError(
                f"{sharp.name} holds {bad} values that are not finite; crop it, or leave it out of the training."
            )
        return cls._on(sharp.name, made, scene, blind(scene), bases, device, measure)

    @classmethod
    def one_scale_down(
        cls, sharp: Cube, made: Making, bases: Bases, device: str = "cpu", *, measure: bool = False
    ) -> Example:
        """Simulate a pair, degrade it once more, and run the base on the result; the truth is the pair's cube.

        Raises
        ------
        SceneError
            If the cube is too small.
        """
        small = reduced(CalibratedScene(blind(made.pair(sharp))))
        return cls._on(sharp.name, made, small, small.replace(reference=None), bases, device, measure)

    @classmethod
    def _on(
        cls, name: str, made: Making, scene: Scene, pair: Scene, bases: Bases, device: str, measure: bool
    ) -> Example:
        """Run the base on `pair`, and measure its detail if asked to; guide and truth are those of `scene`."""
        import torch

        assert scene.reference is not None
        guide, truth = (torch.as_tensor(c.read().astype(np.float32)) for c in (scene.guide, scene.reference))
        detail = PairDetail.of(CalibratedScene(pair)) if measure else None
        return cls(name, made.protocol, guide.to(device), truth.to(device), bases.of(pair).to(device), detail)

    def in_units(self, residual: Residual) -> Example:
        """Return the same for a network along the directions of `residual`, in units of the pair."""
        from napari_specfusion.networks.pair_units import PairResidual
        from napari_specfusion.networks.planes import PlaneView

        assert self.detail is not None
        units = PairResidual(residual, PlaneView.along(self.detail, residual.basis))
        error = (self.truth - self.base).square().mean((1, 2)).sqrt().clamp_min(LEAST_ERROR)
        return replace(self, units=units, error=error)


def check_one_sensor(cubes: Sequence[Cube]) -> None:
    """Check that all cubes have the same bands.

    Raises
    ------
    ModelError
        If two differ.
    """
    first = cubes[0]
    for cube in cubes:
        same = cube.bands == first.bands and (
            cube.wavelengths is None
            or first.wavelengths is None
            or bool(np.allclose(cube.wavelengths, first.wavelengths))
        )
        if not same:
            raise ModelError(
                f"{cube.name} ({cube.bands} bands) and {first.name} ({first.bands}) differ in bands or wavelengths; "
                "train on cubes of one sensor."
            )


@dataclass(frozen=True, eq=False)
class Examples:
    """Simulated pairs, the source of random crops.

    Attributes
    ----------
    pairs
        The pairs.
    ratio
        HR pixels per LR pixel, the same for all pairs; of several ratios the first.
    small
        The pairs at reduced resolution; a quarter of the crops come from those that are large enough. The automatic
        choice tests networks at reduced resolution, and a network trained at full resolution only fails there.
    base
        The method whose result the network corrects. ``"bicubic"`` is computed again for every crop, after its
        rotation: its result depends on the side of the cells where the LR pixels lie, and rotating it would move them
        to another side.
    gain
        Brightness changes at random from crop to crop, by this factor at most.
    """

    pairs: Sequence[Example]
    ratio: int
    base: str
    small: Sequence[Example] = ()
    gain: float = 1.0

    @classmethod
    def of(
        cls,
        cubes: Sequence[Cube],
        ratio: int | Sequence[int],
        *,
        srf: Srf | str | Path = "rgb",
        protocols: Sequence[str] = tuple(PROTOCOLS),
        base: str = "subspace",
        both_scales: bool = False,
        noise: tuple[float, float] | None = None,
        gain: float = 1.0,
        folder: Path | None = None,
        device: str = "cpu",
        measure: bool = False,
    ) -> Examples:
        """Simulate a pair from every sharp cube with every protocol, and another one with `noise` if it is given.

        With several ratios there is one of each. `measure` also measures the pairs, for a network in their units.
        Results of the base are kept in `folder`.

        Raises
        ------
        ModelError
            If the cubes differ in their bands.
        SceneError
            If one is not finite or cannot be simulated.
        """
        check_one_sensor(cubes)
        levels = (None,) if noise is None else (None, noise)
        ratios = (ratio,) if isinstance(ratio, int) else tuple(ratio)
        makings = [Making(r, name, srf, level) for r in ratios for name in protocols for level in levels]
        bases = Bases(base, folder)
        made = [Example.of(cube, making, bases, device, measure=measure) for cube in cubes for making in makings]
        small: list[Example] = []
        for cube, making in product(cubes if both_scales else (), makings):
            # a pair may be too small to degrade again
            with suppress(SceneError):
                small.append(Example.one_scale_down(cube, making, bases, device, measure=measure))
        return cls(made, ratios[0], base, small, gain)

    def in_units(self, residual: Residual) -> Examples:
        """Return the same for a network along the directions of `residual`, in units of the pairs."""
        pairs, small = ([pair.in_units(residual) for pair in some] for some in (self.pairs, self.small))
        return replace(self, pairs=pairs, small=small)

    def batch(self, rng: np.random.Generator, count: int, side: int) -> Batch:
        """Return `count` random crops of `side` pixels, rotated by multiples of 90 degrees and mirrored at random."""
        import torch

        crops = [self._crop(rng, side) for _ in range(count)]
        if self.gain != 1:
            gains = self.gain ** rng.uniform(-1, 1, count)
            crops = [tuple(image * gain for image in crop) for crop, gain in zip(crops, gains.tolist(), strict=True)]
        return Batch(*(torch.stack(images) for images in zip(*crops, strict=True)))

    def unit_batch(self, rng: np.random.Generator, count: int, side: int) -> UnitBatch:
        """Return random crops as `batch` does, for a network in units of the pairs; see `in_units`."""
        import torch

        crops = [self._unit_crop(rng, side) for _ in range(count)]
        return UnitBatch(*(torch.stack(images) for images in zip(*crops, strict=True)))

    def _unit_crop(self, rng: np.random.Generator, side: int) -> tuple[torch.Tensor, ...]:
        import torch

        pair, turns, mirror = self._draw(rng, side)
        units, (height, width) = pair.units, pair.truth.shape[1:]
        assert units is not None and pair.error is not None
        if min(height, width) < side:
            raise _too_small(pair, side)
        y, x = (int(rng.integers(0, n - side + 1)) for n in (height, width))
        # brighter or darker in plain values; in units of the pair nothing changes
        scale = self.gain ** -rng.uniform(-1, 1)
        units = replace(units, cube_scale=scale, guide_scale=scale)
        # what the inputs of the crop depend on
        top, left = min(y, units.reach), min(x, units.reach)
        around = (slice(y - top, y + side + units.reach), slice(x - left, x + side + units.reach))
        basis = pair.base.new_tensor(units.residual.basis)
        planes = torch.einsum("bp,byx->pyx", basis, pair.base[:, *around])
        inputs = units.inputs(pair.guide[:, *around], planes)[:, top : top + side, left : left + side]

        def moved(images: torch.Tensor) -> torch.Tensor:
            images = images.rot90(turns, (1, 2))
            return images.flip(2) if mirror else images

        base, truth = (moved(image[:, y : y + side, x : x + side]) for image in (pair.base, pair.truth))
        unit = base.new_tensor(units.unit)
        return moved(inputs), base, truth, unit[:, None, None], pair.error[:, None, None]

    def _draw(self, rng: np.random.Generator, side: int) -> tuple[Example, int, bool]:
        """Return a pair, and whether a crop of it is turned and mirrored."""
        small = [pair for pair in self.small if min(pair.truth.shape[1:]) >= side]
        pairs = small if small and rng.random() < SMALL_SHARE else self.pairs
        pair = pairs[int(rng.integers(len(pairs)))]
        return pair, int(rng.integers(4)), bool(rng.integers(2))

    def _crop(self, rng: np.random.Generator, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pair, turns, mirror = self._draw(rng, side)
        sampling = _sampling(pair.protocol, self.ratio) if self.base == "bicubic" else None
        margin = 0 if sampling is None else _margin(sampling)
        height, width = pair.truth.shape[1:]
        if min(height, width) < side + 2 * margin:
            raise _too_small(pair, side, side + 2 * margin)
        y, x = (int(rng.integers(margin, n - side - margin + 1)) for n in (height, width))

        def cut(image: torch.Tensor, more: int = 0) -> torch.Tensor:
            crop = image[:, y - more : y + side + more, x - more : x + side + more].rot90(turns, (1, 2))
            return crop.flip(2) if mirror else crop

        if sampling is None:
            return cut(pair.guide), cut(pair.base), cut(pair.truth)
        inside = slice(margin, margin + side)
        return cut(pair.guide), _enlarged(cut(pair.truth, margin), sampling)[:, inside, inside], cut(pair.truth)


def _too_small(pair: Example, side: int, needs: int | None = None) -> SceneError:
    height, width = pair.truth.shape[1:]
    return SceneError(
        f"{pair.name} has {height} x {width} pixels, a crop of {side} needs {needs or side}; leave it out, or choose a "
        "smaller patch."
    )


def _sampling(protocol: str, ratio: int) -> Sampling:
    made = PROTOCOLS[protocol]
    return Sampling(Fraction(ratio), made.psf(ratio), (made.shift(ratio), made.shift(ratio)))


def _margin(sampling: Sampling) -> int:
    """Return the HR pixels around a crop, in whole cells, that its degraded and enlarged version depends on."""
    ratio = int(sampling.ratio)
    return (math.ceil((sampling.psf.radius + abs(sampling.shift[0])) / ratio) + 2) * ratio


def _enlarged(image: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Degrade an image ``(B, s, s)`` and enlarge it again."""
    import torch
    from torch.nn import functional

    side = image.shape[-1]
    matrix = sampling.blur_matrix(side // int(sampling.ratio), side, 0).toarray()
    down = torch.as_tensor(matrix, dtype=image.dtype, device=image.device)
    low = down @ image @ down.T
    return functional.interpolate(low[None], size=(side, side), mode="bicubic", align_corners=False)[0]
