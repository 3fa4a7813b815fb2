"""A network for any sensor in training, on crops of planes (see `fresh_planes`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253  # a training loads it in any case

from fresh_planes import CROP
from napari_specfusion.networks.planes import CHANNELS
from napari_specfusion.networks.registry import create_model
from student import Student, grid_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

# network: its sizes, plane crops of a step, highest rate, seed
NETWORKS: Mapping[str, tuple[dict[str, int], int, float, int]] = {
    "any": ({"width": 16, "heads": 2, "features": 16}, 128, 2e-3, 0),
    "any-wide": ({"width": 32, "heads": 4, "features": 32}, 128, 1.5e-3, 1),
}
BEND = 3.0
FACTS = 3
STRENGTHS = (0.5, 0.75, 1.0)


class PlanePool:
    """Crops of planes on the device; the oldest are replaced when it is full."""

    def __init__(self, most: int, device: str) -> None:
        self.images = torch.zeros(most, CHANNELS - FACTS + 1, CROP, CROP, dtype=torch.float16, device=device)
        self.facts = torch.zeros(most, FACTS, device=device)
        self.weight = torch.zeros(most, device=device)
        self.count, self.seen, self.at = 0, 0, 0

    def add(self, arrays: Mapping[str, Tensor]) -> None:
        """Add the crops of a pair."""
        number = len(arrays["weight"])
        if self.at + number > len(self.images):
            self.at = 0
        place = slice(self.at, self.at + number)
        for name in ("images", "facts", "weight"):
            getattr(self, name)[place] = arrays[name]
        self.at += number
        self.seen += 1
        self.count = max(self.count, self.at)


class PlaneStudent(Student):
    """A network for any sensor in training."""

    def __init__(self, name: str, pool: PlanePool, device: str) -> None:
        sizes, self.batch, rate, seed = NETWORKS[name]
        torch.manual_seed(seed)
        super().__init__(name, create_model("lso-s", 1, CHANNELS - 1, 4, **sizes), rate, seed, device)
        self.pool = pool
        self.places = torch.zeros(self.batch, dtype=torch.int64, device=device)

    def draw(self) -> dict[str, Tensor]:
        """Return which crops of the pool are next."""
        return {"places": torch.as_tensor(self.rng.integers(0, self.pool.count, self.batch))}

    def loss(self) -> Tensor:
        """Return the loss in units of each pair's error; large errors count less."""
        images = self.pool.images.index_select(0, self.places).float()
        facts = self.pool.facts.index_select(0, self.places)[:, :, None, None].expand(-1, -1, CROP, CROP)
        weight = self.pool.weight.index_select(0, self.places)[:, None, None]
        off = (expected(self.network, torch.cat([images[:, :-1], facts], 1)) - images[:, -1]) * weight
        return ((off.square() + BEND**2).sqrt() - BEND).mean()

    def scores(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return mean and least gain in dB of each share of the correction, by kind of cube and noise."""
        gains = np.array([self.gains_on(pair, STRENGTHS) for pair in pairs])
        found: dict[str, Any] = {"pool": self.pool.seen}
        for place in ("in", "air"):
            for noisy in (False, True):
                own = [n for n, p in enumerate(pairs) if p["place"] == place and p["noisy"] == noisy]
                if own:
                    means, least = gains[own].mean(axis=0), gains[own].min(axis=0)
                    found[f"{place}{' noisy' if noisy else ''}"] = [
                        f"{mean:.3f} ({low:.2f})" for mean, low in zip(means, least, strict=True)
                    ]
        return found

    def gains_on(self, pair: Mapping[str, Any], strengths: Sequence[float]) -> list[float]:
        """Return by how many dB shares of the moving average's correction improve the base on a whole pair."""
        with torch.inference_mode():
            moved = torch.cat([expected(self.averaged, plane[None]) for plane in pair["inputs"]])
            added = torch.einsum("bp,pyx->byx", pair["mix"], moved)
            errors = [pair["lacking"] - strength * added for strength in (0.0, *strengths)]
            before, *after = (error.double().square().mean((1, 2)).clamp_min(1e-20) for error in errors)
            return [float(10 * (before / left).log10().mean()) for left in after]


def expected(network: Any, images: Tensor) -> Tensor:
    """Return the error ``(N, H, W)`` that a network expects, as `networks.planes.expected` does."""
    left = images[:, :1]
    low = left[..., :: network.ratio, :: network.ratio]
    return (network(images[:, 1:], low, grid=grid_of(images), base=left) - left)[:, 0]
