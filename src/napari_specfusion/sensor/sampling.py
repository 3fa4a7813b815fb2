"""Spatial sampling of a sensor: point spread function, blur and decimation.

Pixels of the sharp grid are centred at integers. Coarse pixel ``i`` is centred at
``ratio * i + (ratio - 1) / 2 + shift`` on either axis: with no shift it covers its cell of ``ratio`` sharp pixels::

    sharp pixels    | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
    coarse, ratio 4 |       0       |       1       |       shift  0
    coarse, ratio 4 0               1                       shift -1.5: its centre is the cell's first pixel
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_specfusion.arguments import number
from napari_specfusion.errors import SceneError

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["Matrix", "Psf", "Sampling", "apply_columns", "apply_rows", "apply_separable"]

Matrix = sparse.csr_array


# largest PSF in HR pixels
MOST = 1e4


@dataclass(frozen=True)
class Psf:
    """A separable point spread function: a Gaussian truncated to a support.

    Attributes
    ----------
    sigma
        Standard deviation of the Gaussian before truncation, in HR pixels; infinity makes a box.
    support
        Full width in HR pixels outside which it is zero; None means ``2 ceil(3 sigma) + 1``.
    """

    sigma: float
    support: float | None = None

    def __post_init__(self) -> None:
        infinite = isinstance(self.sigma, float) and self.sigma == math.inf
        sigma = math.inf if infinite else number("The PSF's sigma", self.sigma, 0.0, MOST, error=SceneError)
        if not sigma > 0:
            raise SceneError(f"The PSF's sigma is {self.sigma}; it must be positive.")
        if self.support is not None:
            number("The PSF's support", self.support, 0.0, MOST, error=SceneError)
        if math.isinf(self.sigma) and self.support is None:
            raise SceneError("The PSF's sigma is infinite, which makes a box; a box needs a support.")
        if self.support is not None and not self.support > 0:
            raise SceneError(f"The PSF's support is {self.support}; it must be positive.")

    @classmethod
    def box(cls, width: float) -> Psf:
        """Return the PSF of a square detector, `width` HR pixels wide."""
        return cls(math.inf, width)

    @property
    def radius(self) -> float:
        """Half the support in HR pixels."""
        return math.ceil(3 * self.sigma) + 0.5 if self.support is None else self.support / 2

    def weights(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weights at `distance` (HR pixels) from the centre, along the last axis, summing to 1.

        A pixel on the support's edge counts in proportion to the part inside.
        """
        inside = np.clip(self.radius + 0.5 - np.abs(distance), 0.0, 1.0)
        # relative to the nearest pixel, so that a PSF much narrower than a pixel does not vanish between two
        squares = distance**2 - np.min(distance**2, axis=-1, keepdims=True)
        weights = inside if math.isinf(self.sigma) else inside * np.exp(-0.5 * squares / self.sigma**2)
        normalised: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
        return normalised

    def image(self) -> NDArray[np.float64]:
        """Return the weights ``(n, n)`` of HR pixels around a centre that is a pixel's own; n is odd, the sum is 1."""
        reach = max(0, math.ceil(self.radius - 0.5))
        taps = self.weights(np.arange(-reach, reach + 1, dtype=np.float64))
        return np.outer(taps, taps)

    @property
    def width(self) -> float:
        """Standard deviation of the sampled PSF in HR pixels; comparable between all shapes."""
        reach = math.ceil(self.radius) + 1
        taps = np.arange(-reach, reach + 1, dtype=np.float64)
        # averaged over the position inside a pixel, so that it is a property of the PSF alone
        spreads = []
        for at in (0.0, 0.5):
            weights, away = self.weights(taps - at), taps - at
            spreads.append(float(weights @ away**2 - (weights @ away) ** 2))
        return math.sqrt(sum(spreads) / len(spreads))


@dataclass(frozen=True)
class Sampling:
    """Positions of the LR pixels on the HR grid, and their PSF.

    Attributes
    ----------
    ratio
        HR pixels per LR pixel, exact.
    psf
        Weights of the HR pixels in an LR pixel.
    shift
        (y, x) displacement of the LR grid in HR pixels.
    """

    ratio: Fraction
    psf: Psf
    shift: tuple[float, float] = (0.0, 0.0)

    def centres(self, count: int, axis: int, start: int = 0) -> NDArray[np.float64]:
        """Return the HR coordinates of `count` LR pixels from `start` on, along axis 0 (y) or 1 (x)."""
        ratio = float(self.ratio)
        return ratio * np.arange(start, start + count, dtype=np.float64) + (ratio - 1) / 2 + self.shift[axis]

    def blur_matrix(self, coarse: int, sharp: int, axis: int, *, wrap: bool = False) -> Matrix:
        """Return the sparse ``(coarse, sharp)`` matrix that blurs and decimates one axis.

        At the border the PSF is renormalised over the pixels inside the image, or wrapped round (`wrap`).
        """
        centre = self.centres(coarse, axis)
        reach = math.ceil(self.psf.radius) + 1
        taps = np.rint(centre).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
        weights = self.psf.weights(taps - centre[:, None])
        rows = np.broadcast_to(np.arange(coarse)[:, None], taps.shape)
        if wrap:
            taps = taps % sharp
        else:
            weights = np.where((taps >= 0) & (taps < sharp), weights, 0.0)
            total = weights.sum(axis=1, keepdims=True)
            # a pixel entirely outside takes the nearest one inside
            nearest = np.arange(taps.shape[1]) == reach
            weights = np.where(total > 1e-6, weights / np.maximum(total, 1e-6), nearest)
            taps = np.clip(taps, 0, sharp - 1)
        matrix = sparse.csr_array((weights.ravel(), (rows.ravel(), taps.ravel())), shape=(coarse, sharp))
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix

    def seen(self, coarse: int, sharp: int, axis: int) -> NDArray[np.float64]:
        """Return the share ``(coarse,)`` of each LR pixel's PSF that lies inside the sharp image."""
        centre = self.centres(coarse, axis)
        reach = math.ceil(self.psf.radius) + 1
        taps = np.rint(centre).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
        weights = self.psf.weights(taps - centre[:, None])
        return np.asarray(np.sum(np.where((taps >= 0) & (taps < sharp), weights, 0.0), axis=1))

    def cubic_matrix(self, sharp: int, coarse: int, axis: int) -> Matrix:
        """Return the sparse ``(sharp, coarse)`` matrix of cubic convolution (Keys 1981, a = -1/2) along one axis.

        Beyond the border the last pixel is repeated.
        """
        ratio = float(self.ratio)
        position = (np.arange(sharp) - (ratio - 1) / 2 - self.shift[axis]) / ratio
        taps = np.floor(position).astype(np.int64)[:, None] + np.arange(-1, 3)
        away = np.abs(taps - position[:, None])
        near = (1.5 * away - 2.5) * away**2 + 1
        far = ((-0.5 * away + 2.5) * away - 4) * away + 2
        weights = np.where(away <= 1, near, np.where(away < 2, far, 0.0))
        rows = np.broadcast_to(np.arange(sharp)[:, None], taps.shape)
        matrix = sparse.csr_array(
            (weights.ravel(), (rows.ravel(), np.clip(taps, 0, coarse - 1).ravel())), shape=(sharp, coarse)
        )
        matrix.sum_duplicates()
        return matrix

    def degrade(self, image: NDArray[Any], shape: tuple[int, int], *, wrap: bool = False) -> NDArray[Any]:
        """Return `image` ``(planes, H, W)`` blurred and decimated to ``(planes, *shape)``, in its own precision."""
        down_y = self.blur_matrix(shape[0], image.shape[1], 0, wrap=wrap).astype(image.dtype)
        down_x = self.blur_matrix(shape[1], image.shape[2], 1, wrap=wrap).astype(image.dtype)
        return apply_separable(down_y, down_x, image)


def apply_separable(rows: Matrix, columns: Matrix, image: NDArray[Any]) -> NDArray[Any]:
    """Return ``rows @ image @ columns.T`` for each plane of `image` ``(planes, y, x)``."""
    return apply_columns(columns, apply_rows(rows, image))


def apply_rows(matrix: Matrix, image: NDArray[Any]) -> NDArray[Any]:
    """Return ``matrix @ plane`` for each plane of `image` ``(planes, y, x)``."""
    return np.stack([matrix @ plane for plane in image])


def apply_columns(matrix: Matrix, image: NDArray[Any]) -> NDArray[Any]:
    """Return ``plane @ matrix.T`` for each plane of `image` ``(planes, y, x)``."""
    return np.stack([(matrix @ plane.T).T for plane in image])
