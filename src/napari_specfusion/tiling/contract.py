"""The contract between methods and the engine that runs them.

A *method* is chosen by name. Prepared for one scene it becomes a *predictor*: everything that needs the whole scene
(regressions, subspace, value range) has been computed, and the rest works on one tile at a time. The predictor's
footprint states what it needs around a tile, and the engine provides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, Union

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.tiling.tiles import Footprint, Tile

__all__ = ["Chosen", "Method", "ModelLike", "Predictor"]


class Predictor(Protocol):
    """A method prepared for one scene; it predicts tile by tile."""

    @property
    def footprint(self) -> Footprint:
        """The pixels that the predictor needs around a tile."""

    @property
    def bands(self) -> int:
        """Number of bands it returns."""

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile.

        Parameters
        ----------
        guide
            ``(G, H, W)``, the guide in ``tile.read``, physical values; missing ones are filled.
        hsi
            ``(B, h, w)``, the low-resolution cube under ``tile.read``, likewise.
        tile
            Position of the tile in the image.
        shape
            Height and width of the whole (padded) image in HR pixels.

        Returns
        -------
        torch.Tensor
            ``(B, H, W)`` over ``tile.read``, physical values, unclipped; only the core is kept.
        """


class Method(Protocol):
    """A fusion method; it has no state until it is prepared for a scene."""

    @property
    def name(self) -> str:
        """The name to choose it by."""

    @property
    def mixed_precision(self) -> bool:
        """Whether it can compute in half precision; otherwise it runs in float32."""

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> Predictor:
        """Compute everything global for a scene and return the predictor.

        The method takes PSF, shift or moments from `calibrated`, which computes only what is asked for.

        Raises
        ------
        ModelError
            If the method does not fit the scene's bands or ratio.
        CalibrationError
            If the method needs a calibration and the pair does not allow one.
        Cancelled
            If the calibration was stopped.
        """


class Chosen(Protocol):
    """A method that was chosen for a scene, such as the `Choice` that `choose` returns."""

    @property
    def method(self) -> Method:
        """The method to fuse with."""


# torch in quotes, so that using the type does not import it
ModelLike: TypeAlias = Union[str, Method, "torch.nn.Module", Chosen]
"""The name of a method, a method, a network that states its bands and footprint, or the result of `choose`."""
