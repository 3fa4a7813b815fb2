"""A network on a base, along a few fixed spectral directions, in units that the pair itself gives.

Its inputs and its output are in units of what the guide leaves over along each direction, as for a network of any
sensor (see `networks.planes`), so that one network serves scenes of any contrast, noise, and several ratios. It gets
all directions at once, and plain values beside them, so it knows the sensor's spectra as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from napari_specfusion.device import uploaded
from napari_specfusion.networks.planes import MIDDLE, NARROW, PlaneView, reach_of, without_mean
from napari_specfusion.networks.residual import Residual, correction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PAIR_RATIO", "PairResidual", "images_beside"]

PAIR_RATIO = 4
"""Ratio that the network is built for. It matters only to its size: the pair's own ratio is among its inputs."""


def images_beside(directions: int, guide_bands: int) -> int:
    """Return how many images the network gets beside the planes that it corrects."""
    return 2 * directions + 3 * guide_bands + 3


@dataclass(frozen=True, eq=False)
class PairResidual:
    """A network in units of the pair, for one scene; it takes the place of a `Residual`.

    Attributes
    ----------
    residual
        The network, its directions and the ranges of plain values; `size` is a factor to the units of the pair.
    view
        What the pair says of these directions, in the values of the scene.
    cube_scale, guide_scale
        Divisors that bring plain values to the range of the training.
    """

    residual: Residual
    view: PlaneView
    cube_scale: float = 1.0
    guide_scale: float = 1.0

    @property
    def module(self) -> torch.nn.Module:
        """The network."""
        return self.residual.module

    @property
    def reach(self) -> int:
        """HR pixels around a pixel that the network's inputs depend on."""
        return reach_of(MIDDLE)

    @property
    def unit(self) -> NDArray[np.float64]:
        """Unit ``(p,)`` of the network's output along each direction."""
        return self.residual.size * self.view.unit

    def with_module(self, module: torch.nn.Module) -> Self:
        """Return the same with another network."""
        return replace(self, residual=replace(self.residual, module=module))

    def placed(self, device: str, dtype: torch.dtype | None) -> Self:
        """Return a copy for predicting on `device`."""
        return replace(self, residual=self.residual.placed(device, dtype))

    def inputs(self, guide: Tensor, planes: Tensor) -> Tensor:
        """Return the network's inputs ``(C, H, W)`` for `planes` ``(p, H, W)`` under `guide` ``(G, H, W)``.

        They are, all but the plain values and the facts without their low frequencies and on an inverse hyperbolic
        sine: what the regression on the guide leaves over of each plane, the planes, their plain values; the guide's
        bands at two scales, their plain values; and facts of the pair as constant images.
        """

        def column(values: NDArray[np.float64]) -> Tensor:
            return uploaded(values, guide)[:, None, None]

        view, numbers, count = self.view, self.residual, len(planes)
        scaled = planes / column(view.unit)
        regressed = torch.tensordot(uploaded(view.onto_guide, guide), guide, dims=1) / column(view.unit)
        detail = without_mean(torch.cat([scaled - regressed, scaled]), MIDDLE)
        bright = guide * column(len(guide) * view.brightness)
        images = [
            detail[:count].asinh(),
            detail[count:].asinh(),
            (planes / self.cube_scale - column(numbers.centre)) / column(numbers.spread),
            without_mean(bright, MIDDLE).asinh(),
            (3 * without_mean(bright, NARROW)).asinh(),
            (guide / self.guide_scale - column(numbers.guide_centre)) / column(numbers.guide_spread),
            column(view.facts.mean(axis=0)).expand(-1, *planes.shape[1:]),
        ]
        return torch.cat(images)

    def on(self, guide: Tensor, fused: Tensor, strength: float = 1.0) -> Tensor:
        """Return bands `fused` ``(N, B, H, W)`` corrected under `guide` ``(N, G, H, W)``.

        H and W are multiples of 4.
        """
        # detail is a small difference of large values: only the network itself runs in half precision
        with torch.autocast(fused.device.type, enabled=False):
            basis = uploaded(self.residual.basis, fused)
            planes = torch.einsum("bp,nbyx->npyx", basis, fused)
            images = torch.stack([self.inputs(*pair) for pair in zip(guide, planes, strict=True)])
        count = planes.shape[1]
        found = correction(self.module, images[:, count:], images[:, :count]).to(fused.dtype)
        with torch.autocast(fused.device.type, enabled=False):
            added = found * uploaded(self.unit, fused)[:, None, None]
            return fused + strength * torch.einsum("bp,npyx->nbyx", basis, added)
