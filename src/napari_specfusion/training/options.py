"""How a network is trained, and how far that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_specfusion.errors import ModelError
from napari_specfusion.simulation.pair import PROTOCOLS
from napari_specfusion.weights.trained import BASES

__all__ = ["TrainingOptions", "TrainingProgress"]

RATE = 1e-3
FINAL_RATE = 0.02
WARM_UP = 100


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    model, ratio
        Name of the network, and HR pixels per LR pixel.
    base
        Method whose result the network corrects: ``"subspace"``, or ``"bicubic"`` as published.
    protocols
        How the pairs are simulated.
    loss
        ``"l1"``, or ``"l1+sam"`` with a spectral angle beside it.
    both_scales
        Whether to train on the pairs one scale down, too: a quarter of the crops. Only over ``"subspace"``.
    directions
        Spectral directions along which the network works, at most: the leading ones of the training scenes.
    steps, batch, patch
        Optimiser steps, crops in each, and their side in pixels.
    rate
        Highest learning rate; it warms up, then falls with a cosine.
    seed
        Seeds the weights and the crops.
    validate_every
        Steps between two looks at the scenes kept for validation.
    """

    model: str = "lso-s"
    ratio: int = 4
    base: str = "subspace"
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    loss: str = "l1"
    both_scales: bool = True
    directions: int = 12
    steps: int = 4000
    batch: int = 8
    patch: int = 64
    rate: float = RATE
    seed: int = 0
    validate_every: int = 250

    def __post_init__(self) -> None:
        for name in ("directions", "steps", "batch", "patch", "validate_every"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.patch % self.ratio:
            raise ModelError(f"The patch of {self.patch} pixels is no multiple of the ratio {self.ratio}; choose one.")
        if self.base not in BASES:
            raise ModelError(f"The base is {self.base!r}; choose one of {', '.join(BASES)}.")
        if self.loss not in ("l1", "l1+sam"):
            raise ModelError(f"The loss is {self.loss!r}; choose l1 or l1+sam.")
        unknown = set(self.protocols) - set(PROTOCOLS)
        if unknown or not self.protocols:
            raise ModelError(f"The protocols are {self.protocols}; choose from {', '.join(PROTOCOLS)}.")
        if not 0 < self.rate < 1:
            raise ModelError(f"The learning rate is {self.rate}; it must lie between 0 and 1.")

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        warm = min(1.0, (step + 1) / min(WARM_UP, max(1, self.steps // 10)))
        fall = math.cos(math.pi / 2 * step / self.steps) ** 2
        return self.rate * warm * (FINAL_RATE + (1 - FINAL_RATE) * fall)


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    Attributes
    ----------
    step, steps
        Optimiser steps done, and all of them.
    seconds
        Time spent on them, that of earlier runs included.
    loss
        Mean training loss since the last look at the validation scenes, in units of the base's error.
    psnr, sam
        Means over the validation scenes in dB and degrees; NaN before the first look.
    base_psnr, base_sam
        The same of the base.
    """

    step: int
    steps: int
    seconds: float
    loss: float
    psnr: float
    sam: float
    base_psnr: float
    base_sam: float
