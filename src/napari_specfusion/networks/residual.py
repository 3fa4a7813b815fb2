"""A network on a base: it predicts, along a few spectral directions, the residual of another method's result."""

from __future__ import annotations

import copy
import dataclasses
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.device import place_network, uploaded
from napari_specfusion.tiling.replay import run_network
from napari_specfusion.tiling.tiles import Footprint

if TYPE_CHECKING:
    import torch

    from napari_specfusion.methods.guide_adapter import GuideAdapter
    from napari_specfusion.networks.pair_units import PairResidual
    from napari_specfusion.tiling.contract import Predictor
    from napari_specfusion.tiling.tiles import Tile

__all__ = ["NUMBERS", "Residual", "ResidualPredictor", "correction", "start_at_zero"]

NUMBERS = ("basis", "centre", "spread", "guide_centre", "guide_spread", "size")
"""Names of the arrays that bring images into a network's range."""


@dataclass(frozen=True, eq=False)
class Residual:
    """A network in the subspace, with the numbers that bring images into its range.

    Attributes
    ----------
    module
        Takes ``(N, G, H, W)``, ``(N, p, h, w)`` and ``base=(N, p, H, W)``; its output minus the base is the residual.
    basis
        Spectral directions ``(B, p)``.
    centre, spread
        Centre and spread of the base's coefficients ``(p,)``.
    guide_centre, guide_spread
        Centre and spread of the guide's bands ``(G,)``.
    size
        Size of the residual in each coefficient ``(p,)``: the network's output is in these units, because an optimiser
        trains outputs near 0.01 too slowly. Where the pair gives the units, see `PairResidual`, a factor to those.
    """

    module: torch.nn.Module
    basis: NDArray[np.float64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    guide_centre: NDArray[np.float64]
    guide_spread: NDArray[np.float64]
    size: NDArray[np.float64]

    @property
    def numbers(self) -> dict[str, NDArray[np.float64]]:
        """The arrays, by name."""
        return {name: getattr(self, name) for name in NUMBERS}

    def of(self, guide: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Return the residual ``(N, p, H, W)`` to coefficients `base`, of its shape, under `guide` ``(N, G, H, W)``."""

        def column(values: NDArray[np.float64]) -> torch.Tensor:
            return uploaded(values, base)[:, None, None]

        start = (base - column(self.centre)) / column(self.spread)
        seen = (guide - column(self.guide_centre)) / column(self.guide_spread)
        return column(self.size) * correction(self.module, seen, start)

    def on(self, guide: torch.Tensor, fused: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """Return bands `fused` ``(N, B, H, W)`` with the residual under `guide` added."""
        import torch

        basis = uploaded(self.basis, fused)
        added = self.of(guide, torch.einsum("bp,nbyx->npyx", basis, fused))
        return fused + strength * torch.einsum("bp,npyx->nbyx", basis, added)

    def placed(self, device: str, dtype: torch.dtype | None) -> Residual:
        """Return a copy for predicting on `device`."""
        module = copy.deepcopy(self.module).requires_grad_(False).eval()
        place_network(module, device, dtype)
        return dataclasses.replace(self, module=module)

    @property
    def reach(self) -> int:
        """HR pixels around a pixel that the network's inputs depend on."""
        return 0


@dataclass(frozen=True, eq=False)
class ResidualPredictor:
    """A base method with the network on top, prepared for one scene.

    Attributes
    ----------
    base
                The predictor of the base method.
    residual
        The network with its numbers, on its device.
    strength
        Share of the residual that is added.
    adapter
        Maps the guide for the network; the base gets it unchanged.
    cube_scale, guide_scale
        Divisors of the values before the network gets them.
    half
        Reduced precision to run the network in, or None.
    partner
        Another network on the same base, whose correction is added too; its own base is not used.
    """

    base: Predictor
    residual: Residual | PairResidual
    strength: float = 1.0
    adapter: GuideAdapter | None = None
    cube_scale: float = 1.0
    guide_scale: float = 1.0
    half: torch.dtype | None = None
    partner: ResidualPredictor | None = None

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return self.base.bands

    @property
    def footprint(self) -> Footprint:
        """The network's reach plus the base's: the network needs a correct base as far as it reaches."""
        module: Any = self.residual.module
        own, below = module.footprint(), self.base.footprint
        found = Footprint(
            halo=own.halo + self.residual.reach + below.halo,
            stride=math.lcm(own.stride, below.stride),
            multiple=math.lcm(own.multiple, below.multiple),
            window=own.window,
        )
        return found if self.partner is None else _both(found, self.partner.footprint)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        base = self.base.predict(guide, hsi, tile, shape)
        fused = self.corrected(guide, base)
        return fused if self.partner is None else fused + (self.partner.corrected(guide, base) - base)

    def corrected(self, guide: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Return the base's result ``(B, H, W)`` with this network's correction."""
        import torch

        seen = guide if self.adapter is None else self.adapter.apply(guide)
        with nullcontext() if self.half is None else torch.autocast(base.device.type, self.half):
            fused = self.residual.on(seen[None] / self.guide_scale, base[None] / self.cube_scale, self.strength)[0]
        return fused.to(base.dtype) * self.cube_scale


def _both(one: Footprint, other: Footprint) -> Footprint:
    """Return what is enough for both."""
    windows = [part.window for part in (one, other) if part.window is not None]
    return Footprint(
        halo=max(one.halo, other.halo),
        stride=math.lcm(one.stride, other.stride),
        multiple=math.lcm(one.multiple, other.multiple),
        window=max(windows, default=None),
    )


def correction(network: torch.nn.Module, guide: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
    """Return what `network` adds to `planes` ``(N, p, H, W)`` under `guide` ``(N, G, H, W)``.

    H and W are multiples of its ratio.
    """
    module: Any = network
    keywords: dict[str, Any] = {"base": planes}
    if module.footprint().uses_grid:
        # the same coordinates everywhere, so that training on crops carries over to any position in an image of any
        # size
        keywords["grid"] = tuple(planes.new_full((n,), 0.5) for n in planes.shape[-2:])
    moved = run_network(module, guide, planes[..., :: module.ratio, :: module.ratio], **keywords)
    return moved - planes


def start_at_zero(network: torch.nn.Module) -> None:
    """Zero the last layer, so that training starts from the base."""
    import torch

    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)][-1]
    torch.nn.init.zeros_(last.weight)
    if last.bias is not None:
        torch.nn.init.zeros_(last.bias)
