"""Networks trained by this package, and the check of whether they fit a scene."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import ModelError
from napari_specfusion.methods.guide_adapter import GuideAdapter
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import value_scales
from napari_specfusion.networks.residual import Residual, ResidualPredictor
from napari_specfusion.sensor.srf import Srf
from napari_specfusion.weights.files import SUFFIX, write_weights

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.calibration.moments import PairMoments
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.tiling.contract import Predictor
    from napari_specfusion.weights.card import ModelCard

__all__ = ["Trained"]

# largest difference of the band centres, as a share of the spacing of the trained bands
WAVELENGTH_TOLERANCE = 0.5
# relative error up to which a guide counts as one of the camera that the weights were trained with
SAME_CAMERA = 0.02


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, as a `Method`.

    Attributes
    ----------
    residual
        The network, in spectral directions of the scenes it was trained on; copied, never changed.
    card
        The model card: sensors, ratio and training data.
    name
        Name of the weights.
    adapt
        Whether to map a guide of another camera to the camera of the weights. False refuses a guide with another number
        of bands.
    partner
        Other weights on the same base, whose correction is added too.

    A network works in units measured on its training scenes and at one ratio, or, if its card says so, in units that
    each pair gives and at a range of ratios (see `networks.pair_units`).
    """

    residual: Residual
    card: ModelCard
    name: str
    adapt: bool = True
    partner: Trained | None = None

    mixed_precision = True

    def __repr__(self) -> str:
        card = self.card
        return f"Trained({self.name!r}: {card.network} on {card.base}, {card.bands} bands, ratio {self._served})"

    @property
    def ratio(self) -> int:
        """HR pixels per LR pixel that the network is built for; it serves `ratios`."""
        module: Any = self.residual.module
        return int(module.ratio)

    @property
    def ratios(self) -> tuple[float, float]:
        """Lowest and highest ratio that the weights were trained for."""
        if self.card.units == "pair" and self.card.ratios is not None:
            return self.card.ratios
        return float(self.ratio), float(self.ratio)

    @property
    def _served(self) -> str:
        low, high = self.ratios
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"

    def at(self, ratio: int) -> Trained:
        """Return the same weights for scenes of another ratio, which they were not trained for.

        Raises
        ------
        ModelError
            If the network cannot work at this ratio.
        """
        from napari_specfusion.networks.inputs import check_ratio

        low, high = self.ratios
        if low <= ratio <= high:
            return self
        check_ratio(self.name, ratio)
        name = f"{self.name} at x{ratio}"
        if self.card.units == "pair":
            wider = dataclasses.replace(self.card, ratios=(min(low, ratio), max(high, ratio)))
            return dataclasses.replace(self, card=wider, name=name)
        # a shallow copy: the parameters are shared, the ratio is not
        module: Any = copy.copy(self.residual.module)
        module.ratio = ratio
        partner = None if self.partner is None else self.partner.at(ratio)
        residual = dataclasses.replace(self.residual, module=module)
        return dataclasses.replace(self, residual=residual, name=name, partner=partner)

    def misfit(self, scene: Scene) -> str:
        """Return why the weights do not fit the cube of `scene`, or an empty string."""
        bands = len(self.residual.basis)
        if scene.hsi.bands != bands:
            return (
                f"The cube has {scene.hsi.bands} bands, {self.name} was trained for {bands}; choose weights for "
                "this sensor, or fit a network to the scene."
            )
        low, high = self.ratios
        if not low <= scene.factor <= high:
            return (
                f"The ratio is {float(scene.factor):g}, {self.name} was trained for {self._served}; choose weights for "
                "this ratio, or fit a network to the scene."
            )
        centres, trained = scene.hsi.wavelengths, np.array(self.card.wavelengths)
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
        """Prepare the base, map the guide if it comes from another camera, and measure the pair if that gives units.

        Raises
        ------
        ModelError
            If the cube's bands, wavelengths or ratio differ from those of the weights; or the guide's bands, if it may
            not be adapted.
        """
        import torch

        for weights in (self, self.partner):
            reason = "" if weights is None else weights.misfit(calibrated.stated)
            if reason:
                raise ModelError(reason)
        half = dtype if dtype in (torch.bfloat16, torch.float16) else None
        kind = torch.float32 if half or dtype is None else dtype
        base = METHODS[self.card.base].prepare(calibrated, device=device, dtype=kind)
        predictor = self._on(base, calibrated, device, kind, half)
        if self.partner is None:
            return predictor
        beside = self.partner._on(base, calibrated, device, kind, half)
        return dataclasses.replace(predictor, partner=dataclasses.replace(beside, strength=self.card.strength))

    def _on(
        self,
        base: Predictor,
        calibrated: CalibratedScene,
        device: str,
        kind: torch.dtype,
        half: torch.dtype | None,
    ) -> ResidualPredictor:
        """Return the network on a base that is prepared, without its partner."""
        from napari_specfusion.networks.pair_detail import PairDetail
        from napari_specfusion.networks.pair_units import PairResidual
        from napari_specfusion.networks.planes import PlaneView

        adapter = self._adapter(calibrated)
        cube_scale, guide_scale = value_scales(calibrated.scene)
        if adapter is not None:
            guide_scale = cube_scale
        if self.card.units == "pair":
            detail = PairDetail.of(calibrated)
            if adapter is not None:
                detail = detail.seen_by(adapter)
            view = PlaneView.along(detail, self.residual.basis)
            pair = PairResidual(self.residual, view, cube_scale, guide_scale)
            return ResidualPredictor(base, pair.placed(device, kind), self.card.strength, adapter, half=half)
        return ResidualPredictor(
            base,
            self.residual.placed(device, kind),
            self.card.strength,
            adapter,
            cube_scale=cube_scale,
            guide_scale=guide_scale,
            half=half,
        )

    def _adapter(self, calibrated: CalibratedScene) -> GuideAdapter | None:
        """Return the map from the guide to the trained camera; None if the guide comes from that camera already."""
        bands, known = calibrated.stated.guide.bands, len(self.residual.guide_centre)
        response = np.array(self.card.response)
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
        """Write the weights and their card to a ``.safetensors`` file, which `load_weights` reads; a partner beside it.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        partner = "" if self.partner is None else self.partner.name
        card = dataclasses.replace(self.card, kind="trained", partner=partner)
        write_weights(path, self.residual.module, card, self.residual.numbers)
        if self.partner is not None:
            self.partner.save(Path(path).with_name(f"{partner}{SUFFIX}"))


def _changes(adapter: GuideAdapter, moments: PairMoments) -> float:
    """Return by how much an adapter changes the guide, as a share of the guide."""
    if adapter.matrix.shape[0] != adapter.matrix.shape[1]:
        return math.inf
    moved = adapter.matrix - np.eye(adapter.bands)
    mean = moved @ moments.guide_mean + adapter.offset
    change = np.trace(moved @ moments.guide_covariance @ moved.T) + mean @ mean
    whole = np.trace(moments.guide_covariance) + moments.guide_mean @ moments.guide_mean
    return math.sqrt(float(change) / max(float(whole), np.finfo(float).tiny))
