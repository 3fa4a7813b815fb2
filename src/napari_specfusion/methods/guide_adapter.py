"""Adapts any guide to the camera that weights were trained with.

A trained network expects the bands of one camera. Its image is known at low resolution: it is the camera's response
applied to the cube. An affine least-squares fit maps the guide, degraded to the cube's grid, to that image, and the
same map turns the sharp guide into the camera's image. U2K (arXiv 2503.14892) uses the same idea.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_specfusion.data.scene import Finding
from napari_specfusion.device import uploaded
from napari_specfusion.errors import ModelError

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.calibration.moments import PairMoments
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.sensor.srf import Srf
    from napari_specfusion.tiling.contract import Method, Predictor
    from napari_specfusion.tiling.tiles import Footprint, Tile

__all__ = ["Adapted", "AdaptedPredictor", "GuideAdapter"]

# Shares of the camera's contrast that a guide may leave unexplained. In simulated pairs of laboratory, aerial and
# satellite scenes another RGB camera or five bands stay below the first; one panchromatic band lies above it, in
# colourful scenes above the second.
GOOD, POOR = 0.08, 0.2


@dataclass(frozen=True, eq=False)
class GuideAdapter:
    """An affine map from a guide's bands to a camera's: ``camera = matrix @ guide + offset``.

    Attributes
    ----------
    matrix
        ``(K, G)``: K bands of the camera out of G of the guide.
    offset
        ``(K,)``, in the units of the cube weighted by the camera's response.
    residual
        Share (0 to 1) of the camera's contrast that the guide does not explain, root mean square over the camera's
        bands.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    residual: float

    @classmethod
    def fit(cls, moments: PairMoments, response: Srf) -> GuideAdapter:
        """Fit the map on the low-resolution pair.

        Parameters
        ----------
        moments
                        The moments of the pair.
        response
            The camera's response ``(K, B)`` at the cube's bands.

        Raises
        ------
        ModelError
            If the response is not sampled at the cube's bands.
        """
        if response.bands != moments.bands:
            raise ModelError(
                f"The camera's response has {response.bands} columns, the cube {moments.bands} bands; "
                "sample it at the cube's wavelengths."
            )
        # least squares is linear in its target: the camera's response applied to the cube's regression is the camera's
        weights, constant = moments.cube_from_guide()
        camera = response.matrix
        matrix = camera @ weights
        contrast = np.einsum("kb,bc,kc->k", camera, moments.covariance, camera)
        shared = np.einsum("kg,bg,kb->k", matrix, moments.cross, camera)
        explained = 2 * shared - np.einsum("kg,gh,kh->k", matrix, moments.guide_covariance, matrix)
        seen = contrast > 0
        left = (contrast - explained)[seen] / contrast[seen]
        residual = math.sqrt(float(np.clip(left, 0, 1).mean())) if seen.any() else 1.0
        return cls(matrix, camera @ constant + response.offset, residual)

    @property
    def bands(self) -> int:
        """Number of the camera's bands K."""
        return len(self.matrix)

    def apply(self, guide: torch.Tensor) -> torch.Tensor:
        """Return the camera's image ``(..., K, H, W)`` for a guide ``(..., G, H, W)``, in its precision."""
        import torch

        matrix, offset = (uploaded(values, guide) for values in (self.matrix, self.offset))
        return torch.einsum("kg,...gyx->...kyx", matrix, guide) + offset[:, None, None]

    def picture(self, guide: Cube) -> Cube:
        """Return the camera's image ``(K, y, x)`` for a whole guide, lazily; NaN where a guide band has no data."""
        values = guide.values.rechunk({0: -1})
        dtype = values.dtype
        matrix, offset = self.matrix.astype(dtype), self.offset.astype(dtype)[:, None, None]

        def block(pixels: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(np.tensordot(matrix, pixels, axes=1) + offset)

        data = da.map_blocks(block, values, dtype=dtype, chunks=((self.bands,), *values.chunks[1:]))
        # metadata about single bands of the guide, or about its file, do not apply here
        return guide.replace(
            data=data,
            wavelengths=None,
            fwhm=None,
            good_bands=None,
            nodata=None,
            scale=1.0,
            offset=0.0,
            source=None,
            metadata={},
        )

    def finding(self) -> Finding:
        """Return how well the guide can replace the camera."""
        explained = f"The guide explains {1 - self.residual**2:.1%} of the image of the camera of the weights"
        if self.residual <= GOOD:
            return Finding("info", "camera", f"{explained}: it can replace that camera.")
        if self.residual <= POOR:
            return Finding("info", "camera", f"{explained}; the result may be worse than these weights allow.")
        return Finding(
            "warning",
            "camera",
            f"{explained}, too little for these weights. Choose weights for this sensor, fit a network, or "
            "use subspace.",
        )


@dataclass(frozen=True)
class Adapted:
    """A method with a guide adapter: it gets the image of the camera it was made for, whatever the guide.

    Attributes
    ----------
    method
        The method that fuses, such as a network with weights.
    response
        Response ``(K, B)`` of its camera at the cube's bands.
    """

    method: Method
    response: Srf

    @property
    def name(self) -> str:
        """The inner method's name."""
        return self.method.name

    @property
    def mixed_precision(self) -> bool:
        """Whether the inner method runs in half precision."""
        return self.method.mixed_precision

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> AdaptedPredictor:
        """Fit the adapter and prepare the inner method for the pair with the camera's image.

        Raises
        ------
        ModelError
            If the response or the inner method does not fit the scene.
        CalibrationError
            If the pair cannot be calibrated.
        """
        adapter = GuideAdapter.fit(calibrated.moments, self.response)
        seen = calibrated.known.replace(guide=adapter.picture(calibrated.scene.guide), srf=self.response)
        return AdaptedPredictor(self.method.prepare(calibrated.with_scene(seen), device=device, dtype=dtype), adapter)


@dataclass(frozen=True, eq=False)
class AdaptedPredictor:
    """A predictor that gets the camera's image in place of the guide."""

    inner: Predictor
    adapter: GuideAdapter

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return self.inner.bands

    @property
    def footprint(self) -> Footprint:
        """The inner predictor's footprint: the map works pixel by pixel."""
        return self.inner.footprint

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        return self.inner.predict(self.adapter.apply(guide), hsi, tile, shape)
