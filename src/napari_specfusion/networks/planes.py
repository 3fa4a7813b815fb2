"""A network for any sensor: it corrects one spectral coefficient at a time, in units that the pair itself gives.

What the guide does not explain of a cube is a sum of planes, each an image times a spectral direction of that cube. The
network gets one plane of a base method's result, its regression on the guide, what that leaves over, and the brightness
of the guide; all without their low frequencies, and in units of what the regression leaves over in the cube. It returns
the plane's error in the same units. Neither the number of bands nor that of guide bands occurs, so one set of weights
serves every sensor, and the sign and the size of a plane do not matter either.

Bands are weighed by what the guide leaves over of each: one that the guide shows nearly as it is must not suffer from
the correction of the others.
"""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_specfusion.device import place_network, uploaded
from napari_specfusion.networks.pair_detail import PairDetail
from napari_specfusion.tiling.replay import run_network
from napari_specfusion.tiling.tiles import Footprint

if TYPE_CHECKING:
    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.calibration.moments import PairMoments
    from napari_specfusion.tiling.contract import Predictor
    from napari_specfusion.tiling.tiles import Tile

__all__ = [
    "CHANNELS",
    "MIDDLE",
    "MOST_PLANES",
    "NARROW",
    "PlanePredictor",
    "PlaneView",
    "expected",
    "reach_of",
    "without_mean",
]

CHANNELS = 9
"""Images that the network gets for a plane."""

# planes that are corrected, at most, and LR pixels for each
MOST_PLANES, PIXELS_PER_PLANE = 10, 8
# standard deviations in HR pixels of the means that are subtracted; the last one is the ratio, between these limits
NARROW, MIDDLE, WIDEST = 1.0, 2.0, 8.0
# standard deviations at which the Gaussians end
END = 3.0
# noise in units, and share that is left over, at most
MOST = 2.0
# share of a band's standard deviation that counts as left over in any case: calibration and interpolation are not exact
LEAST_LEFT = 0.01
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class PlaneView:
    """What a pair says of its planes, all measured on the cube's grid.

    Matrices rather than variances, so that directions can be mixed afterwards, see `turned`.

    Attributes
    ----------
    analysis
        Weights ``(B, p)`` of the bands in each plane: along the leading directions of the detail that the guide leaves
        over, with the bands in units of what it leaves over of each.
    synthesis
        Weights ``(B, p)`` of the planes in each band.
    onto_guide
        Regression ``(p, G)`` of the planes on the guide.
    brightness
        Weights ``(G,)`` of the guide's bands in its brightness, whose detail has a root mean square of 1.
    detail, left
        Mean products ``(p, p)`` of the planes' detail, and of what the regression leaves over of it.
    noise
        The same ``(p, p)`` of the cube's noise.
    shared
        Mean products ``(p,)`` of the regression's detail with that of the brightness.
    band_weights
        Weight ``(B,)`` of a squared error in each band: 1 over what the guide leaves over of it.
    ratio
        HR pixels per LR pixel.
    """

    analysis: NDArray[np.float64]
    synthesis: NDArray[np.float64]
    onto_guide: NDArray[np.float64]
    brightness: NDArray[np.float64]
    detail: NDArray[np.float64]
    left: NDArray[np.float64]
    noise: NDArray[np.float64]
    shared: NDArray[np.float64]
    band_weights: NDArray[np.float64]
    ratio: float

    @classmethod
    def of(cls, calibrated: CalibratedScene) -> PlaneView:
        """Measure a pair, on a sample of the cube's rows.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        detail = PairDetail.of(calibrated)
        analysis, synthesis, band_weights = _directions(detail.moments, detail.left_over()[1])
        return cls._of(detail, analysis, synthesis, band_weights)

    @classmethod
    def along(cls, detail: PairDetail, directions: NDArray[np.float64]) -> PlaneView:
        """Return the view of planes along orthonormal `directions` ``(B, p)``."""
        return cls._of(detail, directions, directions, np.ones(len(directions)))

    @classmethod
    def _of(
        cls,
        detail: PairDetail,
        analysis: NDArray[np.float64],
        synthesis: NDArray[np.float64],
        band_weights: NDArray[np.float64],
    ) -> PlaneView:
        moments = detail.moments
        weights, left = detail.left_over()
        spread = np.sqrt(np.diag(moments.guide_covariance).clip(0))
        brightness = 1 / np.maximum(spread, 1e-3 * spread.max() + TINY)
        brightness /= math.sqrt(max(brightness @ detail.guide @ brightness, 0)) + TINY
        onto_guide = analysis.T @ weights
        return cls(
            analysis,
            synthesis,
            onto_guide,
            brightness,
            detail=analysis.T @ detail.cube @ analysis,
            left=analysis.T @ left @ analysis,
            noise=np.diag(moments.noise_along(analysis)),
            shared=onto_guide @ detail.guide @ brightness,
            band_weights=band_weights,
            ratio=detail.ratio,
        )

    @cached_property
    def unit(self) -> NDArray[np.float64]:
        """Root mean square ``(p,)`` of the detail that the regression leaves over: the unit of a plane's error."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.left), 1e-12 * np.diag(self.detail) + TINY**2)))

    @cached_property
    def sign(self) -> NDArray[np.float64]:
        """1 or -1 ``(p,)``: how each plane goes with the brightness."""
        return np.where(self.shared < 0, -1.0, 1.0)

    @cached_property
    def facts(self) -> NDArray[np.float64]:
        """Numbers ``(p, 3)`` for the network: ratio, noise in units, and share of the detail that is left over."""
        noise = np.sqrt(np.diag(self.noise)) / self.unit
        share = self.unit / np.sqrt(np.maximum(np.diag(self.detail), TINY**2))
        ratio = np.full(len(noise), math.log2(self.ratio) / 2 - 1)
        return np.stack([ratio, noise.clip(0, MOST), share.clip(0, MOST)], axis=1)

    @property
    def widest(self) -> float:
        """Standard deviation in HR pixels of the widest mean."""
        return min(max(MIDDLE, self.ratio), WIDEST)

    @property
    def reach(self) -> int:
        """HR pixels around a pixel that the inputs depend on."""
        return reach_of(self.widest)

    def turned(self, turn: NDArray[np.float64]) -> PlaneView:
        """Return the view of other planes, mixed by `turn` ``(p, q)`` from these."""
        return replace(
            self,
            analysis=self.analysis @ turn,
            synthesis=self.synthesis @ turn,
            onto_guide=turn.T @ self.onto_guide,
            shared=turn.T @ self.shared,
            **{name: turn.T @ getattr(self, name) @ turn for name in ("detail", "left", "noise")},
        )

    def inputs(self, guide: Tensor, planes: Tensor) -> Tensor:
        """Return the network's inputs ``(p, CHANNELS, H, W)`` for `planes` ``(p, H, W)`` under ``(G, H, W)``."""
        scale = uploaded(self.sign / self.unit, guide)[:, None, None]
        scaled = scale * planes
        regressed = scale * torch.tensordot(uploaded(self.onto_guide, guide), guide, dims=1)
        bright = torch.tensordot(uploaded(self.brightness, guide), guide, dims=1)[None]
        plane, onto = (without_mean(images, MIDDLE) for images in (scaled, regressed))
        images = [
            plane - onto,
            plane,
            onto,
            without_mean(scaled - regressed, self.widest),
            without_mean(bright, MIDDLE).expand_as(planes),
            3 * without_mean(bright, NARROW).expand_as(planes),
        ]
        facts = uploaded(self.facts, guide)[:, :, None, None].expand(-1, -1, *planes.shape[1:])
        return torch.cat([torch.stack(images, 1).asinh(), facts], 1)

    def error_of(self, network: Any, guide: Tensor, planes: Tensor) -> Tensor:
        """Return the error ``(p, H, W)`` that a network expects of `planes`, in their own values."""
        found = expected(network, self.inputs(guide, planes))
        return found * uploaded(self.sign * self.unit, found)[:, None, None]

    def on(self, network: Any, guide: Tensor, fused: Tensor, strength: float = 1.0) -> Tensor:
        """Return bands `fused` ``(B, H, W)`` under `guide` ``(G, H, W)``, corrected plane by plane."""
        planes = torch.einsum("bp,byx->pyx", uploaded(self.analysis, fused), fused)
        for number in range(len(planes)):
            one = self.turned(np.eye(len(planes))[:, number : number + 1])
            planes[number] = one.error_of(network, guide, planes[number : number + 1])[0].to(fused.dtype)
        return fused + strength * torch.einsum("bp,pyx->byx", uploaded(self.synthesis, fused), planes)


def expected(network: Any, images: Tensor) -> Tensor:
    """Return the error ``(N, H, W)`` that `network` expects of planes described by ``(N, CHANNELS, H, W)``.

    It is an LSO of one band, whose guide are the other images. Its coordinates are the same everywhere, so that what it
    learned on crops holds in images of any size. The sides are multiples of 4.
    """
    left = images[:, :1]
    grid = tuple(images.new_full((n,), 0.5) for n in images.shape[-2:])
    moved = run_network(network, images[:, 1:], left[..., :: network.ratio, :: network.ratio], grid=grid, base=left)
    return (moved - left)[:, 0]


@dataclass(frozen=True, eq=False)
class PlanePredictor:
    """A base method with a network for any sensor on top, prepared for one scene.

    Attributes
    ----------
    base
        The predictor of the base method.
    view
        What the pair says of its planes.
    network
        The network, on its device.
    strength
        Share of the network's correction that is added.
    half
        Reduced precision to run the network in, or None.
    """

    base: Predictor
    view: PlaneView
    network: Any
    strength: float = 1.0
    half: torch.dtype | None = None

    def placed(self, device: str, dtype: torch.dtype | None) -> Self:
        """Return the same with a copy of the network for predicting on `device`."""
        network = copy.deepcopy(self.network).requires_grad_(False).eval()
        place_network(network, device, dtype)
        return replace(self, network=network)

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return self.base.bands

    @property
    def footprint(self) -> Footprint:
        """The network's reach, plus that of its inputs, plus the base's."""
        own, below = self.network.footprint(), self.base.footprint
        return Footprint(
            halo=own.halo + self.view.reach + below.halo,
            stride=math.lcm(own.stride, below.stride),
            multiple=math.lcm(own.multiple, below.multiple),
        )

    def predict(self, guide: Tensor, hsi: Tensor, tile: Tile, shape: tuple[int, int]) -> Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        base = self.base.predict(guide, hsi, tile, shape)
        with nullcontext() if self.half is None else torch.autocast(base.device.type, self.half):
            return self.view.on(self.network, guide, base, self.strength).to(base.dtype)


def _directions(
    moments: PairMoments, left: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights of bands in planes and of planes in bands, ``(B, p)`` each, and of squared errors ``(B,)``.

    `left` ``(B, B)`` holds mean products of the detail that the guide leaves over.
    """
    variance = np.diag(moments.covariance).clip(0)
    spread = np.sqrt(np.diag(left).clip(0) + LEAST_LEFT**2 * variance)
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=variance > TINY**2 * max(variance.max(), TINY))
    power, axes = np.linalg.eigh(inverse[:, None] * (left + left.T) / 2 * inverse)
    count = min(MOST_PLANES, max(1, moments.count // PIXELS_PER_PLANE), max(1, int(np.sum(power > TINY * power[-1]))))
    leading = axes[:, ::-1][:, :count]
    return inverse[:, None] * leading, spread[:, None] * leading, inverse**2


def reach_of(width: float) -> int:
    """Return the HR pixels around a pixel that its Gaussian mean depends on."""
    return math.ceil(END * width)


def without_mean(images: Tensor, width: float) -> Tensor:
    """Return `images` ``(k, H, W)`` minus their Gaussian mean."""
    radius = reach_of(width)
    place = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (place / width) ** 2)
    kernel = uploaded((weights / weights.sum()).numpy(), images)
    # images as channels of their own: as a batch, each pixel's neighbourhood would be copied out first
    count, mean = len(images), images[None]
    for shape, pad in (((-1, 1), (0, 0, radius, radius)), ((1, -1), (radius, radius, 0, 0))):
        weights = kernel.view(1, 1, *shape).repeat(count, 1, 1, 1)
        mean = functional.conv2d(functional.pad(mean, pad, mode="replicate"), weights, groups=count)
    return images - mean[0]
