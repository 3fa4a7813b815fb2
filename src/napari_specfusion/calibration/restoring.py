"""From clean values back to those that were given: results, and spectral responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_specfusion.sensor.srf import Srf

if TYPE_CHECKING:
    import torch

    from napari_specfusion.data.clean import Cleaning
    from napari_specfusion.tiling.contract import Predictor
    from napari_specfusion.tiling.tiles import Footprint, Tile

__all__ = ["RestoringPredictor", "cleaned_srf", "stated_srf"]


@dataclass(frozen=True, eq=False)
class RestoringPredictor:
    """A predictor whose results get back what was taken out of the cube.

    Attributes
    ----------
    inner
        The predictor, for clean values.
    cleaning
        What was taken out.
    """

    inner: Predictor
    cleaning: Cleaning

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return self.inner.bands

    @property
    def footprint(self) -> Footprint:
        """The inner predictor's footprint."""
        return self.inner.footprint

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        fused: torch.Tensor = self.cleaning.restore(self.inner.predict(guide, hsi, tile, shape))
        return fused


def cleaned_srf(srf: Srf, low: Cleaning, high: Cleaning) -> Srf:
    """Return a response for clean values; `low` says what was taken out of the cube, `high` out of the guide."""
    matrix = srf.matrix * low.unit / high.unit[:, None]
    return Srf(matrix, (srf.matrix @ low.level + srf.offset - high.level) / high.unit)


def stated_srf(srf: Srf, low: Cleaning, high: Cleaning) -> Srf:
    """Return a response for the values as they were given; the inverse of `cleaned_srf`."""
    matrix = srf.matrix / low.unit * high.unit[:, None]
    return Srf(matrix, srf.offset * high.unit + high.level - matrix @ low.level)
