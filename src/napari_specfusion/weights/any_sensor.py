"""A network that was trained for any sensor, as a method."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_specfusion.errors import ModelError
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.weights.files import write_weights

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.networks.planes import PlanePredictor
    from napari_specfusion.weights.card import ModelCard

__all__ = ["AnySensor"]


@dataclass(frozen=True, eq=False)
class AnySensor:
    """A network for any sensor, as a `Method`; see `networks.planes`.

    Attributes
    ----------
    module
        An LSO of one band; copied, never changed.
    card
        The model card: base, ratios and training data.
    name
        Name of the weights.
    """

    module: torch.nn.Module
    card: ModelCard
    name: str

    mixed_precision = True

    def __repr__(self) -> str:
        low, high = self.ratios
        return f"AnySensor({self.name!r}: {self.card.network} on {self.card.base}, ratios {low:g} to {high:g})"

    @property
    def ratios(self) -> tuple[float, float]:
        """Lowest and highest ratio that the weights were trained for."""
        return self.card.ratios or (0.0, 0.0)

    def misfit(self, scene: Scene) -> str:
        """Return why the weights do not fit `scene`, or an empty string."""
        low, high = self.ratios
        if low <= scene.factor <= high:
            return ""
        return (
            f"The ratio is {float(scene.factor):g}, {self.name} was trained for {low:g} to {high:g}; choose a method "
            "without weights."
        )

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> PlanePredictor:
        """Prepare the base, and measure the pair for the network.

        Raises
        ------
        ModelError
            If the ratio is none of those of the weights.
        CalibrationError
            If the pair cannot be calibrated.
        """
        import torch

        from napari_specfusion.networks.planes import PlanePredictor, PlaneView

        reason = self.misfit(calibrated.stated)
        if reason:
            raise ModelError(reason)
        half = dtype if dtype in (torch.bfloat16, torch.float16) else None
        kind = torch.float32 if half or dtype is None else dtype
        base = METHODS[self.card.base].prepare(calibrated, device=device, dtype=kind)
        view = PlaneView.of(calibrated)
        return PlanePredictor(base, view, self.module, self.card.strength, half).placed(device, kind)

    def save(self, path: str | Path) -> None:
        """Write the weights and their card to a ``.safetensors`` file; `load_weights` reads it.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        write_weights(path, self.module, dataclasses.replace(self.card, kind="any sensor"))
