"""The options and the progress of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_specfusion.arguments import choice, flag, number, numbers, short, whole
from napari_specfusion.errors import ModelError
from napari_specfusion.networks.registry import DEFAULT_NETWORK, NETWORKS
from napari_specfusion.simulation.pair import PROTOCOLS
from napari_specfusion.weights.card import BASES

__all__ = ["VALIDATION_SCENES", "TrainingOptions", "TrainingProgress", "rate_at"]

VALIDATION_SCENES = 2
"""Default number of scenes that are held out for validation."""

LOSSES = ("l1", "l1+l2", "l1+sam", "huber")
RATE = 1e-3
# largest seed that torch takes
MOST_SEED = 2**63 - 1
FINAL_RATE = 0.02
WARM_UP = 100


@dataclass(frozen=True)
class TrainingOptions:
    """Options of `train`.

    Attributes
    ----------
    model
        The network to train.
    ratio
        Guide pixels per cube pixel.
    ratios
        Guide pixels per cube pixel of several kinds of pairs, in place of `ratio`: the network then works in units that
        each pair gives, and one serves them all. Its base must be ``"detail"`` or ``"subspace"``.
    base
        Method whose result the network corrects: ``"detail"``, ``"subspace"``, or ``"bicubic"`` as published.
    protocols
        Protocols that simulate the training pairs.
    loss
        ``"l1"``; ``"l1+l2"``, which adds the squared error, so that the few pixels with large errors count more;
        ``"l1+sam"``, which adds the spectral angle; or ``"huber"``, which squares errors up to about twice the base's
        and counts larger ones in proportion. Errors are in units of the base's: its mean error in each band or, with
        `ratios`, its root mean square in each band of each pair.
    both_scales
        Also train on the pairs at reduced resolution, which make up a quarter of the crops. Ignored with base
        ``"bicubic"``.
    directions
        Largest number of spectral directions for the network: the leading ones of the training scenes.
    steps
        Optimiser steps.
    batch
        Crops in each step.
    patch
        Side of a crop in pixels; a multiple of the ratio or, with `ratios`, of 4.
    rate
        Highest learning rate; it warms up, then falls along a cosine.
    seed
        Seed of the weights and the crops.
    validate_every
        Steps between two validations.
    noise
        Every pair is also made with this noise: SNR of cube and guide in dB. None makes them without noise only.
    gain
        Brightness changes at random by this factor at most; None leaves it.
    """

    model: str = DEFAULT_NETWORK
    ratio: int = 4
    base: str = "detail"
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
    noise: tuple[float, float] | None = None
    gain: float | None = None
    ratios: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("directions", "steps", "batch", "patch", "validate_every", "ratio"):
            whole(name, getattr(self, name), 1, error=ModelError)
        whole("seed", self.seed, 0, MOST_SEED, ModelError)
        flag("both_scales", self.both_scales, ModelError)
        choice("The network", self.model, NETWORKS, ModelError)
        choice("The base", self.base, BASES, ModelError)
        choice("The loss", self.loss, LOSSES, ModelError)
        number("The learning rate", self.rate, error=ModelError)
        if self.gain is not None:
            number("The gain", self.gain, 1.0, error=ModelError)
        if self.noise is not None:
            numbers("noise", self.noise, (2,), ModelError)
        if not isinstance(self.protocols, tuple | list) or not all(isinstance(p, str) for p in self.protocols):
            raise ModelError(f"The protocols are {short(self.protocols)}; choose from {', '.join(PROTOCOLS)}.")
        if not isinstance(self.ratios, tuple | list):
            raise ModelError(f"The ratios are {short(self.ratios)}; give a tuple of whole numbers, such as (4, 8).")
        for ratio in self.ratios:
            whole("A ratio", ratio, 2, error=ModelError)
        if self.ratios and self.patch % 4:
            raise ModelError(f"The patch is {self.patch} pixels; for several ratios it must be a multiple of 4.")
        if self.ratios and self.base == "bicubic":
            raise ModelError(
                f"The base is {self.base!r} with several ratios; take detail or subspace, which calibrate the pair."
            )
        if not self.ratios and self.patch % self.ratio:
            raise ModelError(f"The patch is {self.patch} pixels; it must be a multiple of the ratio {self.ratio}.")
        unknown = set(self.protocols) - set(PROTOCOLS)
        if unknown or not self.protocols:
            raise ModelError(f"The protocols are {self.protocols}; choose from {', '.join(PROTOCOLS)}.")
        if not 0 < self.rate < 1:
            raise ModelError(f"The learning rate is {self.rate}; it must lie between 0 and 1.")

    @property
    def at(self) -> str:
        """The ratios in words."""
        low, high = (min(self.ratios), max(self.ratios)) if self.ratios else (self.ratio, self.ratio)
        return f"x{low}" if low == high else f"x{low} to x{high}"

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return rate_at(step, self.steps, self.rate)


def rate_at(step: int, steps: int, highest: float) -> float:
    """Return the learning rate of a step: it warms up to the highest, then falls along a cosine."""
    warm = min(1.0, (step + 1) / min(WARM_UP, max(1, steps // 10)))
    fall = math.cos(math.pi / 2 * step / steps) ** 2
    return highest * warm * (FINAL_RATE + (1 - FINAL_RATE) * fall)


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training run.

    Attributes
    ----------
    step, steps
        Optimiser steps done, and in total.
    seconds
        Time spent on them, including earlier runs.
    loss
        Mean training loss since the last validation, in units of the base's error.
    psnr, sam
        Means over the validation scenes in dB and degrees; NaN before the first validation.
    base_psnr, base_sam
        The same for the base.
    """

    step: int
    steps: int
    seconds: float
    loss: float
    psnr: float
    sam: float
    base_psnr: float
    base_sam: float

    @property
    def done(self) -> int:
        """Optimiser steps done."""
        return self.step

    @property
    def total(self) -> int:
        """Optimiser steps in total."""
        return self.steps

    @property
    def message(self) -> str:
        """The loss and, once measured, the gain over the base."""
        gain = f", {self.psnr - self.base_psnr:+.2f} dB over the base" if math.isfinite(self.psnr) else ""
        return f"Training, loss {self.loss:.4f}{gain}"
