"""A network fitted on one scene: it predicts, in the spectral subspace, the residual of another method's result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_specfusion.errors import ModelError
from napari_specfusion.methods.registry import DEFAULT_METHOD, METHODS
from napari_specfusion.networks.registry import DEFAULT_NETWORK
from napari_specfusion.networks.residual import Residual, ResidualPredictor
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import write_weights

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.tiling.contract import Predictor

__all__ = ["Fitted"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The result of `fit`: a method for the scene it was fitted on, and for others by the same sensors.

    Attributes
    ----------
    residual
        The network and its numbers; None if the network was no improvement and was not kept.
    strength
        Share of the residual that is added.
    base_score, score
        PSNR in dB of base and result on the part of the low-resolution scene that was held out.
    message
        The outcome of the fit, in words.
    model
        The network's name.
    base
        Name of the method whose result it corrects.
    """

    residual: Residual | None
    strength: float
    base_score: float
    score: float
    message: str
    model: str = DEFAULT_NETWORK
    base: str = DEFAULT_METHOD

    mixed_precision = False

    @property
    def name(self) -> str:
        """The method's name."""
        return f"{self.model} fitted"

    def __repr__(self) -> str:
        return f"Fitted({self.name!r}: {self.message})"

    @property
    def kept(self) -> bool:
        """Whether the network is used; if not, the result is the base's."""
        return self.residual is not None

    @classmethod
    def of(cls, residual: Residual, card: ModelCard) -> Fitted:
        """Return the fitted network of a weight file."""
        base_score, score = (card.scores.get(key, math.nan) for key in ("base_psnr", "psnr"))
        return cls(residual, card.strength, base_score, score, card.message, card.network, card.base)

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> Predictor:
        """Prepare the base for the scene and put the network on top.

        Raises
        ------
        ModelError
            If the scene has other bands than the one it was fitted on.
        """
        scene = calibrated.stated
        base = METHODS[self.base].prepare(calibrated, device=device, dtype=dtype)
        if self.residual is None:
            return base
        bands, guides = len(self.residual.basis), len(self.residual.guide_centre)
        if (bands, guides) != (scene.hsi.bands, scene.guide.bands):
            raise ModelError(
                f"The network was fitted on {bands} bands and a guide of {guides}, the scene has {scene.hsi.bands} and "
                f"{scene.guide.bands}; fit it on this scene."
            )
        return ResidualPredictor(base, self.residual.placed(device, dtype), self.strength)

    def save(self, path: str | Path) -> None:
        """Write the fitted network to a ``.safetensors`` file; `load_weights` reads it.

        Raises
        ------
        ModelError
            If no network was kept.
        OutputError
            If the file cannot be written.
        """
        if self.residual is None:
            raise ModelError(f"There is no network to save: {self.message}")
        card = ModelCard(
            kind="fitted",
            network=self.model,
            base=self.base,
            scores={"psnr": self.score, "base_psnr": self.base_score},
            strength=self.strength,
            message=self.message,
        )
        write_weights(path, self.residual.module, card, self.residual.numbers)
