"""Least squares in the cube's spectral subspace, on top of GLP: the default where no weights fit.

With E the leading p spectral directions and G the GLP result, the coefficients Z minimise

    |Y E - D(Z)|^2 + lm |M - R E Z - o|^2 + mu |Z - G E|^2

(after FUSE, Wei et al. 2015), and the part of G outside the subspace is kept, shrunk by its noise. Directions in which the
guide sees the subspace are uncorrelated with the others once R E is diagonalised, and with ``V = Z - G E`` the normal
equations of each become an equation on the LOW-resolution grid alone:

    V = c / lambda + D^T q,        (W D D^T W + lambda) q = W (Y E - D(G E) - D(c) / lambda)

with c the guide's share and W the valid pixels. So the conjugate gradients run on the small grid, over the whole scene,
and the result is applied tile by tile without any approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.calibration import calibrated_sampling
from napari_specfusion.degrade import apply_separable
from napari_specfusion.models.classical import glp
from napari_specfusion.models.linear import LinearPredictor
from napari_specfusion.moments import PairMoments, strips
from napari_specfusion.scene import Scene

if TYPE_CHECKING:
    import torch

__all__ = ["Subspace"]

# the relative error that calibration and interpolation leave on noise-free images, measured on the CAVE training scenes
MODEL_ERROR = 1e-3
MIN_MU = 0.003
MAX_LM = 4.0


@dataclass(frozen=True)
class Subspace:
    """Subspace least squares on GLP, its weights following the estimated noise.

    Attributes
    ----------
    directions
        Dimension p of the subspace, at most.
    iterations
        Conjugate gradient steps, at most.
    tolerance
        Relative residual at which the steps end.
    """

    directions: int = 12
    iterations: int = 100
    tolerance: float = 1e-4
    name: str = "subspace"

    def prepare(self, scene: Scene, *, device: str = "cpu", dtype: torch.dtype | None = None) -> LinearPredictor:
        """Fit everything that is global.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        moments = PairMoments.of(scene, calibrated_sampling(scene))
        base = glp(moments)
        power, axes = moments.principal_directions()
        noise = _noise_floor(moments, axes)
        count = min(self.directions, max(1, moments.count // 4), int(np.sum(power > 1e-12 * power[0])))
        leading, rest = axes[:, :count], axes[:, count:]
        gain = (1 - noise[count:] / np.maximum(power[count:], np.finfo(float).tiny)).clip(0, 1)

        response, offset = moments.guide_from_cube(leading)
        # each guide band in units of the cube, so that lm means the same for any sensor
        unit = np.linalg.norm(response, axis=1).clip(np.finfo(float).tiny)
        response, offset = response / unit[:, None], offset / unit

        system = _LowResolution.of(scene, moments, base, leading)
        hsi_noise = float(np.median(noise[len(noise) // 2 :]))
        slack = MODEL_ERROR**2 * float(power.sum()) / moments.bands
        misfit = system.misfit(response, offset, unit)
        lm = min(MAX_LM, (hsi_noise + slack) / (misfit / 2 + slack / 4))
        mu = min(1.0, MIN_MU + 0.04 * hsi_noise / max(system.gap, np.finfo(float).tiny))

        spectrum, turn = np.linalg.eigh(response.T @ response)
        weight = lm * spectrum.clip(0) + mu
        # c / lambda = share @ (M / unit - o - R E G)
        share = (turn / weight) @ turn.T @ response.T * lm
        detail = system.solve(share, response, offset, unit, turn, weight, self.iterations, self.tolerance)

        # X = keep G + E share (M / unit - o - R E G) + E D^T q
        keep = leading @ leading.T + (rest * gain) @ rest.T
        onto_guide = leading @ share
        coarse = keep - onto_guide @ response @ leading.T
        return LinearPredictor(
            moments.sampling,
            mixing=coarse @ base.mixing + onto_guide / unit,
            constant=coarse @ base.constant - onto_guide @ offset,
            guide=moments.guide,
            valid=moments.measured,
            coarse_mixing=coarse,
            coarse_guide=base.coarse_guide,
            coarse_constant=base.coarse_constant,
            basis=leading,
            detail=detail,
        )


@dataclass(frozen=True, eq=False)
class _LowResolution:
    """The pair seen from the low-resolution grid, in coefficients of the subspace.

    `cube` is ``Y E`` and `start` ``D(G E)``, both ``(p, h, w)``; `guide` the degraded guide, `weight` is W.
    """

    cube: NDArray[np.float32]
    start: NDArray[np.float32]
    guide: NDArray[np.float32]
    weight: NDArray[np.float32]
    moments: PairMoments
    sharp: tuple[int, int]

    @classmethod
    def of(
        cls, scene: Scene, moments: PairMoments, base: LinearPredictor, leading: NDArray[np.float64]
    ) -> _LowResolution:
        bands, height, width = scene.hsi.shape
        sharp = (scene.guide.shape[1], scene.guide.shape[2])
        assert base.coarse_guide is not None
        basis = leading.T.astype(np.float32)
        guide = np.nan_to_num(moments.guide)
        explained = np.tensordot(basis @ base.mixing.astype(np.float32), guide, axes=1)
        explained += (basis @ base.constant.astype(np.float32))[:, None, None]
        cube = np.empty((len(basis), height, width), np.float32)
        for rows in strips(height, bands * width):
            cube[:, rows] = np.tensordot(basis, np.nan_to_num(scene.hsi.read(rows).astype(np.float32)), axes=1)
        cube *= moments.measured
        left = (cube - explained) * moments.measured
        sampling = moments.sampling
        there_y = sampling.blur_matrix(height, sharp[0], 0) @ sampling.cubic_matrix(sharp[0], height, 0)
        there_x = sampling.blur_matrix(width, sharp[1], 1) @ sampling.cubic_matrix(sharp[1], width, 1)
        start = explained + apply_separable(there_y.astype(np.float32), there_x.astype(np.float32), left)
        return cls(cube, start, guide, moments.valid.astype(np.float32), moments, sharp)

    @property
    def gap(self) -> float:
        """Mean square by which GLP misses the cube at low resolution."""
        return float(np.mean(np.square((self.cube - self.start)[:, self.moments.valid], dtype=np.float64)))

    def misfit(self, response: NDArray[np.float64], offset: NDArray[np.float64], unit: NDArray[np.float64]) -> float:
        """Mean square error of the guide as the subspace sees it, in units of the cube."""
        ok = self.moments.valid
        left = self.guide[:, ok] / unit[:, None] - offset[:, None] - response @ self.cube[:, ok].astype(np.float64)
        return float(np.mean(np.square(left)))

    def solve(
        self,
        share: NDArray[np.float64],
        response: NDArray[np.float64],
        offset: NDArray[np.float64],
        unit: NDArray[np.float64],
        turn: NDArray[np.float64],
        weight: NDArray[np.float64],
        iterations: int,
        tolerance: float,
    ) -> NDArray[np.float32]:
        """Return q, turned back into the subspace's own axes ``(p, h, w)``."""
        left = self.guide / unit.astype(np.float32)[:, None, None] - offset.astype(np.float32)[:, None, None]
        left -= np.tensordot(response.astype(np.float32), self.start, axes=1)
        target = self.cube - self.start - np.tensordot(share.astype(np.float32), left, axes=1)
        target = np.tensordot(turn.T.astype(np.float32), target * self.weight, axes=1)
        height, width = self.weight.shape
        down_y = self.moments.sampling.blur_matrix(height, self.sharp[0], 0)
        down_x = self.moments.sampling.blur_matrix(width, self.sharp[1], 1)
        gram_y, gram_x = ((m @ m.T).astype(np.float32) for m in (down_y, down_x))
        level = weight.astype(np.float32)[:, None, None]

        def operator(q: NDArray[np.float32]) -> NDArray[np.float32]:
            blurred: NDArray[np.float32] = apply_separable(gram_y, gram_x, q * self.weight)
            return blurred * self.weight + level * q

        solution = conjugate_gradients(operator, target, iterations, tolerance) * self.weight
        return np.asarray(np.tensordot(turn.astype(np.float32), solution, axes=1))


def conjugate_gradients(
    operator: Any, target: NDArray[np.float32], iterations: int, tolerance: float
) -> NDArray[np.float32]:
    """Solve ``operator(x) = target`` for each of the ``p`` leading planes of `target` ``(p, h, w)`` on its own."""

    def dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.einsum("pyx,pyx->p", a, b, dtype=np.float64)

    tiny = np.finfo(np.float64).tiny
    solution = np.zeros_like(target)
    residual, direction = target.copy(), target.copy()
    size = start = dot(residual, residual)
    for _ in range(iterations):
        if np.all(size <= tolerance**2 * start):
            break
        image = operator(direction)
        step = (size / np.maximum(dot(direction, image), tiny)).astype(np.float32)[:, None, None]
        solution += step * direction
        residual -= step * image
        size, before = dot(residual, residual), size
        direction = residual + (size / np.maximum(before, tiny)).astype(np.float32)[:, None, None] * direction
    return solution


def _noise_floor(moments: PairMoments, axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise variance along each of the cube's axes: no less than along the trailing ones, where there is little else."""
    noise = moments.noise_along(axes)
    return np.maximum(noise, np.median(noise[len(noise) // 2 :]))
