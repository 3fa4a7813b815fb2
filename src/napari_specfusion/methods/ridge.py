"""Ridge regression from sums over two halves of a pair, each of which tests what the other one says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.progress import look

if TYPE_CHECKING:
    import torch

    from napari_specfusion.methods.features import Features

__all__ = ["Halves", "Ridge"]

# The ridge of each kind of feature as a share of its power over REFERENCE_PIXELS LR pixels: it does not grow with the
# number of pixels, so that little evidence changes little. Chosen on CAVE training scenes.
RIDGES = MappingProxyType(
    {
        "level": 1e-9,
        "magnified": 0.01,
        "blurred": 0.3,
        "displaced": 0.3,
        "colour": 0.03,
        "colour and place": 0.03,
        "colour times place": 0.03,
    }
)
REFERENCE_PIXELS = 16_384
# How much stronger the ridge may become where one half of the pair says that it should. Never weaker: pixels of the
# cube ask for too weak a ridge, since the sharp image has more contrast than they.
STRENGTHS = (1.0, 8.0, 64.0)
# share that remains at which the weights are taken whole, and at which they are not taken at all
TRUSTED, UNTRUSTED = 0.6, 0.9


@dataclass(frozen=True, eq=False)
class Halves:
    """Sums of products over two halves of the LR pixels.

    Attributes
    ----------
    gram, cross
        Products ``(2, K, K)`` of the features and ``(2, K, p)`` with what they should predict.
    square
        Squares ``(2, p)`` of the latter.
    counts
        Pixels of each half.
    """

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    square: NDArray[np.float64]
    counts: list[int] = field(default_factory=lambda: [0, 0])

    @classmethod
    def empty(cls, features: int, planes: int) -> Halves:
        """Return sums over no pixel."""
        return cls(np.zeros((2, features, features)), np.zeros((2, features, planes)), np.zeros((2, planes)))

    def add(self, half: int, features: torch.Tensor, wanted: torch.Tensor) -> None:
        """Add N pixels to a half: `features` ``(K, N)`` and `wanted` ``(p, N)``."""
        # in double precision on the processor, since not every device has it
        self.gram[half] += (features @ features.T).cpu().double().numpy()
        self.cross[half] += (features @ wanted.T).cpu().double().numpy()
        self.square[half] += wanted.cpu().double().square().sum(1).numpy()
        self.counts[half] += features.shape[1]


@dataclass(frozen=True, eq=False)
class Ridge:
    """The outcome of a regression.

    Attributes
    ----------
    weights
        ``(K, p)``, of the features.
    left
        Squares ``(p,)`` that remain of each image where one half of the pair predicts the other.
    """

    weights: NDArray[np.float64]
    left: NDArray[np.float64]

    @classmethod
    def of(cls, features: Features, halves: Halves) -> Ridge:
        """Regress p images on the features.

        Each image gets the ridge under which the halves predict each other best. Where they predict each other badly,
        its weights are reduced, to 0 if they cannot: what little they seem to explain is chance.
        """
        gram, cross = halves.gram.sum(axis=0), halves.cross.sum(axis=0)
        ridge = _ridge(features, np.diag(gram) / max(sum(halves.counts), 1))
        left = np.stack([_left(halves, ridge * strength) for strength in STRENGTHS])
        best, square = np.argmin(left, axis=0), halves.square.sum(axis=0)
        share = left.min(axis=0) / np.maximum(square, np.finfo(float).tiny)
        trust = _trust(share, sum(halves.counts))
        weights = np.zeros_like(cross)
        for number, strength in enumerate(STRENGTHS):
            chosen = (best == number) & (trust > 0)
            if chosen.any():
                solved = np.linalg.solve(gram + np.diag(ridge * strength), cross[:, chosen])
                weights[:, chosen] = trust[chosen] * solved
        return cls(weights, (1 - trust) * square + trust * left.min(axis=0))


def _trust(share: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the share of the weights to take where one half leaves `share` of the other, of `count` pixels in all."""
    # two standard errors of a variance
    worst = share + 2 * math.sqrt(2 / max(count, 1))
    return np.asarray(np.clip((UNTRUSTED - worst) / (UNTRUSTED - TRUSTED), 0, 1))


def _ridge(features: Features, power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ridge ``(K,)`` for features of mean square `power`."""
    ridge = np.full(len(power), 1e-12 * power.mean() + np.finfo(float).tiny)
    for group in features.groups:
        own = power[group.part]
        ridge[group.part] += RIDGES[group.name] * (own.mean() if group.one_scale and own.size else own)
    return np.asarray(REFERENCE_PIXELS * ridge)


def _left(halves: Halves, ridge: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squares ``(p,)`` that remain when each half is predicted from the other, each with its own ridge."""
    total = np.zeros(halves.square.shape[1])
    for other, here in ((0, 1), (1, 0)):
        look()
        # half the pixels, half the ridge: the weights are as strong as those of all
        weights = np.linalg.solve(halves.gram[other] + np.diag(ridge / 2), halves.cross[other])
        total += halves.square[here] - 2 * np.sum(weights * halves.cross[here], axis=0)
        total += np.sum(weights * (halves.gram[here] @ weights), axis=0)
    return total
