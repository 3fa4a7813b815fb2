"""Search for a transform from nothing: turns, mirrors and scales, and for each of them all shifts at once.

For one turn and scale, the residual of the regression is computed for every shift by Fourier transforms: means and
covariances over the overlap are correlations of masks, values and products (masked correlation, Padfield 2012, for a
regression on several components instead of one).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from napari_specfusion.alignment.fit import COMMON, LEAST

if TYPE_CHECKING:
    from napari_specfusion.alignment.views import CubeView, GuideView

__all__ = ["Candidate", "Pose", "ShiftSearch", "distinct", "poses"]

COMPONENTS, BANDS = 4, 3
# least step of the turns in degrees; in smaller views, half a step moves the corners by about a pixel
TURN = 6.0
# peaks that are kept of each pose
PEAKS = 3


@dataclass(frozen=True)
class Pose:
    """A turn in degrees, a scale against the expected one, and whether the guide is mirrored left to right."""

    turn: float
    scale: float = 1.0
    mirrored: bool = False

    def matrix(self, nominal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the linear part ``(2, 2)`` from cube to guide pixels; `nominal` is the expected one."""
        angle = math.radians(self.turn)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        mirror = np.diag([1.0, -1.0 if self.mirrored else 1.0])
        return np.asarray(self.scale * turn @ mirror @ nominal)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A matrix ``(3, 3)`` with the gain in log-likelihood of its match."""

    gain: float
    matrix: NDArray[np.float64]


def poses(shape: tuple[int, int]) -> Iterator[tuple[Pose, ...]]:
    """Yield sets of poses to try for a view of some rows and columns, the likely ones first."""
    near, scales = (0.9, 1.0, 1.1), (0.5, 0.56, 0.63, 0.71, 0.8, 1.25, 1.4, 1.58, 1.78, 2.0)
    count = 360 / max(TURN, math.degrees(4 / math.hypot(*shape)))
    turns = (np.arange(math.ceil(count)) * 360 / math.ceil(count)).tolist()
    yield tuple(Pose(turn, scale) for turn in turns for scale in near)
    yield tuple(Pose(turn, scale, mirrored=True) for turn in turns for scale in near)
    yield tuple(Pose(turn, scale) for turn in turns for scale in scales)
    yield tuple(Pose(turn, scale, mirrored=True) for turn in turns for scale in scales)


class ShiftSearch:
    """Finds the best shifts of one pose after another.

    Parameters
    ----------
    cube
        A coarse view of the cube.
    """

    def __init__(self, cube: CubeView) -> None:
        self.cube = cube
        self._spectra: dict[tuple[int, int], NDArray[np.complex128]] = {}
        mask = cube.measured.astype(np.float64)
        planes = cube.values[:COMPONENTS].astype(np.float64) * mask
        self.components = len(planes)
        self._pairs = np.triu_indices(self.components)
        self._planes = np.concatenate([mask[None], planes, planes[self._pairs[0]] * planes[self._pairs[1]]])

    def peaks(self, guide: GuideView, linear: NDArray[np.float64]) -> list[Candidate]:
        """Return the best shifts for a linear part ``(2, 2)`` of the matrix."""
        step, (height, width) = self.cube.step, self.cube.measured.shape
        _, sharp_y, sharp_x = guide.values.shape
        extent = np.array([sharp_y, sharp_x]) * guide.step
        # the guide on the cube's grid, all of it
        back = np.linalg.inv(linear * step)
        corners = np.array([[sy, sx] for sy in (-0.5, 0.5) for sx in (-0.5, 0.5)]) * extent
        size = np.ceil(np.ptp(corners @ back.T, axis=0)).astype(int) + 1
        middle, centre = (size - 1) / 2, (extent - 1) / 2
        rows, columns = np.meshgrid(np.arange(size[0]) - middle[0], np.arange(size[1]) - middle[1], indexing="ij")
        places = np.einsum("ij,jhw->ihw", linear * step, np.stack([rows, columns])) + centre[:, None, None]
        y, x = places[0].ravel(), places[1].ravel()
        seen = guide.inside(y, x)
        values = guide.sample(y, x)[:BANDS].astype(np.float64) * seen
        scores = self._scores(seen.reshape(size).astype(np.float64), values.reshape(-1, *size))
        found = []
        for gain, down, right in _highest(scores, PEAKS):
            # pixel (a, b) of the cube's view lies at (a + down, b + right) of the turned guide
            offset = np.array([down - height + 1, right - width + 1]) - middle - (step - 1) / 2 / step
            matrix = np.eye(3)
            matrix[:2, :2], matrix[:2, 2] = linear, linear * step @ offset + centre
            found.append(Candidate(gain, matrix))
        return found

    def _scores(self, seen: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gain for every shift ``(H, W)``; 0 where the overlap is too small."""
        (height, width), full = self.cube.measured.shape, seen.shape
        shape = full[0] + height - 1, full[1] + width - 1
        fast = scipy.fft.next_fast_len(shape[0], real=True), scipy.fft.next_fast_len(shape[1], real=True)
        if fast not in self._spectra:
            # reversed, so that products of spectra are correlations
            self._spectra[fast] = scipy.fft.rfft2(self._planes[:, ::-1, ::-1], fast, workers=-1)
        cube = self._spectra[fast]
        k, g = self.components, len(values)
        sharp = scipy.fft.rfft2(np.concatenate([seen[None], values, values**2]), fast, workers=-1)
        products = np.concatenate(
            [
                cube * sharp[0],
                (cube[None, : k + 1] * sharp[1 : 1 + g, None]).reshape(-1, *cube.shape[1:]),
                cube[0] * sharp[1 + g :],
            ]
        )
        sums = scipy.fft.irfft2(products, fast, workers=-1)[:, : shape[0], : shape[1]]
        count = sums[0]
        least = max(LEAST * (k + 1), COMMON * min(self._planes[0].sum(), seen.sum()))
        valid = count >= least
        n = count[valid]
        flat = sums[:, valid]
        mean_c = flat[1 : k + 1] / n
        pairs = len(self._pairs[0])
        inner = np.empty((n.size, k, k))
        for place, (i, j) in enumerate(zip(*self._pairs, strict=True)):
            inner[:, i, j] = inner[:, j, i] = flat[1 + k + place] / n - mean_c[i] * mean_c[j]
        cross = flat[1 + k + pairs : 1 + k + pairs + g * (k + 1)].reshape(g, k + 1, -1)
        mean_g = cross[:, 0] / n
        outer = cross[:, 1:] / n - mean_g[:, None] * mean_c
        variance = flat[1 + k + pairs + g * (k + 1) :] / n - mean_g**2
        inner += 1e-3 * np.eye(k)
        weights = np.linalg.solve(inner, outer.transpose(2, 1, 0))
        explained = np.einsum("pkg,gkp->gp", weights, outer)
        # a band that is flat on the overlap says nothing
        share = np.clip(1 - explained / np.maximum(variance, 4e-4), 0, 1).mean(axis=0) * n / (n - k - 1)
        scores = np.zeros(shape)
        scores[valid] = -n * np.log(np.clip(share, 1e-6, 1))
        return scores


def _highest(scores: NDArray[np.float64], count: int) -> list[tuple[float, int, int]]:
    """Return the highest local maxima as (score, row, column)."""
    tops = (scores == maximum_filter(scores, 5)) & (scores > 0)
    rows, columns = np.nonzero(tops)
    order = np.argsort(-scores[rows, columns])[:count]
    return [(float(scores[rows[i], columns[i]]), int(rows[i]), int(columns[i])) for i in order]


def distinct(found: list[Candidate], corners: NDArray[np.float64], apart: float, count: int) -> list[Candidate]:
    """Return the best candidates whose corners lie at least `apart` guide pixels from those of better ones."""
    kept: list[tuple[Candidate, NDArray[np.float64]]] = []
    for candidate in sorted(found, key=lambda c: -c.gain):
        image = candidate.matrix @ corners
        image = image[:2] / image[2]
        if all(np.abs(image - other).max() > apart for _, other in kept):
            kept.append((candidate, image))
            if len(kept) == count:
                break
    return [candidate for candidate, _ in kept]
