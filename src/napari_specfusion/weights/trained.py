"""Networks trained by this package: what goes with their weights, and which scenes they fit."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import CheckpointError, ModelError
from napari_specfusion.methods.guide_adapter import GuideAdapter
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import value_scales
from napari_specfusion.networks.residual import Residual, ResidualPredictor
from napari_specfusion.sensor.srf import Srf
from napari_specfusion.weights.files import read_residual, write_residual

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.calibration.moments import PairMoments
    from napari_specfusion.data.scene import Scene

__all__ = ["KEY", "Trained", "Training", "load_trained"]

KEY = "specfusion.trained"

BASES = ("bicubic", "subspace")
# share of the spacing of a camera's bands by which a cube's may differ
WAVELENGTH_TOLERANCE = 0.5
# relative error up to which a guide passes for the one the weights were trained with
SAME_CAMERA = 0.02


@dataclass(frozen=True)
class Training:
    """What a network was trained for and on; it travels with the weights.

    Attributes
    ----------
    model
        Name of the network.
    base
        Method whose result the network corrects: ``"subspace"`` or ``"bicubic"``.
    wavelengths
        Band centres in nm; empty where they are not known.
    response
        Rows of the guide's response ``(guide bands, bands)``; empty where it is not known.
    protocols
        How the training pairs were simulated.
    data, steps, scores
        Names of the scenes, optimiser steps, and figures on the scenes kept for validation.
    """

    model: str
    base: str
    wavelengths: tuple[float, ...] = ()
    response: tuple[tuple[float, ...], ...] = ()
    protocols: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    steps: int = 0
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, as a `Method`.

    Attributes
    ----------
    residual
        The network, along spectral directions of the scenes it was trained on; copied, never changed.
    training
        What it was trained for.
    name
        What to call it.
    adapt
        Whether a guide of another camera is mapped onto the one the weights know. False refuses one of other bands.
    """

    residual: Residual
    training: Training
    name: str
    adapt: bool = True

    mixed_precision = True

    @property
    def ratio(self) -> int:
        """HR pixels per LR pixel."""
        module: Any = self.residual.module
        return int(module.ratio)

    def at(self, ratio: int) -> Trained:
        """Return the same weights for scenes of another ratio, which they were not trained for.

        Raises
        ------
        ModelError
            If the network takes no such ratio.
        """
        from napari_specfusion.networks.inputs import check_ratio

        if ratio == self.ratio:
            return self
        check_ratio(self.name, ratio)
        # a shallow copy: the parameters are shared, the ratio is not
        module: Any = copy.copy(self.residual.module)
        module.ratio = ratio
        return dataclasses.replace(
            self, residual=dataclasses.replace(self.residual, module=module), name=f"{self.name} at x{ratio}"
        )

    def misfit(self, scene: Scene) -> str:
        """Return why the weights do not fit the cube of `scene`, or an empty string."""
        bands = len(self.residual.basis)
        if scene.hsi.bands != bands:
            return (
                f"The cube has {scene.hsi.bands} bands, {self.name} was trained for {bands}; choose weights for "
                "this sensor, or fit a network to the scene."
            )
        if Fraction(self.ratio) != scene.factor:
            return (
                f"The ratio is {float(scene.factor):g}, {self.name} was trained for {self.ratio}; choose weights for "
                "this ratio, or fit a network to the scene."
            )
        centres, trained = scene.hsi.wavelengths, np.array(self.training.wavelengths)
        if centres is None or not trained.size:
            return ""
        spacing = float(np.min(np.diff(np.sort(trained)))) if trained.size > 1 else math.inf
        worst = int(np.argmax(np.abs(centres - trained)))
        if scene.hsi.spectral_unit == "nm" and abs(centres[worst] - trained[worst]) <= WAVELENGTH_TOLERANCE * spacing:
            return ""
        return (
            f"Band {worst} of the cube lies at {centres[worst]:g} {scene.hsi.spectral_unit}, {self.name} was trained "
            f"for {trained[worst]:g} nm; resample the cube to its wavelengths, or choose other weights."
        )

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> ResidualPredictor:
        """Prepare the base, and map the guide where it comes from another camera.

        Raises
        ------
        ModelError
            If the cube's bands, wavelengths or ratio are not those of the weights; or the guide's bands, where it may
            not be adapted.
        """
        import torch

        reason = self.misfit(calibrated.stated)
        if reason:
            raise ModelError(reason)
        half = dtype if dtype in (torch.bfloat16, torch.float16) else None
        kind = torch.float32 if half or dtype is None else dtype
        base = METHODS[self.training.base].prepare(calibrated, device=device, dtype=kind)
        adapter = self._adapter(calibrated)
        cube_scale, guide_scale = value_scales(calibrated.scene)
        return ResidualPredictor(
            base,
            self.residual.placed(device, kind),
            adapter=adapter,
            cube_scale=cube_scale,
            guide_scale=guide_scale if adapter is None else cube_scale,
            half=half,
        )

    def _adapter(self, calibrated: CalibratedScene) -> GuideAdapter | None:
        """Return what maps the guide onto the trained camera's; None where it is of that camera already."""
        bands, known = calibrated.stated.guide.bands, len(self.residual.guide_centre)
        response = np.array(self.training.response)
        if not self.adapt or not response.size:
            if bands != known:
                raise ModelError(
                    f"The guide has {bands} bands, {self.name} was trained with {known}; allow it to be "
                    "adapted, choose weights for this camera, or fit a network to the scene."
                )
            return None
        adapter = GuideAdapter.fit(calibrated.moments, Srf(response))
        return None if _changes(adapter, calibrated.moments) < SAME_CAMERA else adapter

    def save(self, path: str | Path) -> None:
        """Write the weights and what goes with them to a ``.safetensors`` file.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        write_residual(self.residual, path, KEY, dataclasses.asdict(self.training))


def _changes(adapter: GuideAdapter, moments: PairMoments) -> float:
    """Return by how much an adapter changes the guide, as a share of the guide."""
    if adapter.matrix.shape[0] != adapter.matrix.shape[1]:
        return math.inf
    moved = adapter.matrix - np.eye(adapter.bands)
    mean = moved @ moments.guide_mean + adapter.offset
    change = np.trace(moved @ moments.guide_covariance @ moved.T) + mean @ mean
    whole = np.trace(moments.guide_covariance) + moments.guide_mean @ moments.guide_mean
    return math.sqrt(float(change) / max(float(whole), np.finfo(float).tiny))


def load_trained(path: str | Path, name: str | None = None) -> Trained:
    """Read what `Trained.save` wrote.

    Parameters
    ----------
    path
        A ``.safetensors`` file.
    name
        What to call the method; None takes the file's name.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or tells nothing of a training.
    """
    file = Path(path)
    try:
        residual, told = read_residual(file, KEY)
        training = Training(
            str(told["model"]),
            str(told["base"]),
            _numbers(told.get("wavelengths", ())),
            tuple(_numbers(row) for row in told.get("response", ())),
            tuple(map(str, told.get("protocols", ()))),
            tuple(map(str, told.get("data", ()))),
            int(told.get("steps", 0)),
            {str(key): float(value) for key, value in dict(told.get("scores", {})).items()},
        )
        bands = len(residual.basis)
        widths = {bands, *map(len, training.response), len(training.wavelengths) or bands}
        if training.base not in BASES or widths != {bands}:
            raise ValueError(f"base {training.base!r}, numbers for {sorted(widths)} bands")
    except Exception as error:  # safetensors and torch raise many kinds
        raise CheckpointError(
            f"{file.name} holds no weights that train(...) wrote ({error}); get the file again, or use load_checkpoint "
            "for a bare network."
        ) from error
    return Trained(residual, training, name or file.stem)


def _numbers(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number is not finite")
    return numbers
