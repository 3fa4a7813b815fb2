"""Least squares in the cube's spectral subspace, on top of a prior image such as GLP's.

With E the leading p spectral directions and G the prior image, the coefficients Z minimise

    |Y E - D(Z)|^2 + sum_k lm_k |M_k - R_k E Z - o_k|^2 + mu |Z - G E|^2

(after FUSE, Wei et al. 2015) with one weight lm_k for each guide band; the part of G outside the subspace is kept,
shrunk by its noise. Directions in which the guide sees the subspace are uncorrelated with the others once R E is
diagonalised, and with ``V = Z - G E`` the normal equations of each become an equation on the LOW-resolution grid alone:

    V = c / lambda + D^T q,        (W D D^T W + lambda) q = W (Y E - D(G E) - D(c) / lambda)

with c the guide's share and W the valid pixels. So the conjugate gradients run on the small grid, over the whole scene,
and the result is applied tile by tile without any approximation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from napari_specfusion.methods.linear import LinearPredictor, fill
from napari_specfusion.sensor.sampling import apply_separable

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.calibration.moments import PairMoments
    from napari_specfusion.methods.moved import MovedGuide
    from napari_specfusion.progress import Watch
    from napari_specfusion.sensor.sampling import Sampling

__all__ = ["Correction", "LowResolution", "Solver", "Split", "coefficients"]

# The relative error that calibration and interpolation leave on noise-free images. Chosen, as are MIN_MU and
# MU_OF_NOISE, on the 20 CAVE training scenes at x4, x4 with noise and x8.
MODEL_ERROR = 6e-3
MIN_MU = 0.003
# LR pixels of a pair for which the response's ridge is halved
FEW_PIXELS = 2000
MAX_LM = 4.0
# how mu, the weight of GLP, grows with the cube's noise and with the share of the guide that the cube leaves
# unexplained; the second was chosen on real pairs degraded once more
MU_OF_NOISE, MU_OF_UNEXPLAINED = 0.04, 0.6


@dataclass(frozen=True)
class Solver:
    """Least squares in the cube's spectral subspace, on any prior image that is linear in the guide's terms.

    Attributes
    ----------
    iterations
        Conjugate gradient steps, at most.
    tolerance
        Relative residual at which the steps stop.
    response_ridge
        Ridge of the regression of the guide on the subspace, in units of the variance that calibration and
        interpolation add to that of a band; less for small pairs.
    """

    iterations: int = 100
    tolerance: float = 1e-4
    response_ridge: float = 0.0

    def ridge(self, moments: PairMoments) -> float:
        """Return the ridge as a variance."""
        # with 100 LR pixels (M3), 30 would cost 0.3 dB, 1.4 costs nothing
        share = moments.count / (moments.count + FEW_PIXELS)
        return share * self.response_ridge * MODEL_ERROR**2 * float(np.trace(moments.covariance)) / moments.bands

    def solve(
        self,
        calibrated: CalibratedScene,
        split: Split,
        base: LinearPredictor,
        cube: NDArray[np.float32],
        moved: MovedGuide | None,
    ) -> LinearPredictor:
        """Correct a prior image so that it agrees with both images.

        Parameters
        ----------
        calibrated
            The pair.
        split
            Its subspace.
        base
            The prior image G.
        cube
            The cube's coefficients ``(p, h, w)``.
        moved
            The guide in the geometry of the cube, or None.
        """
        system = LowResolution.of(calibrated, base, cube, split.leading)
        view = np.eye(len(base.guide), base.mixing.shape[1])
        if moved is not None:
            view[:, : moved.view.shape[1]] = moved.view
            system = replace(system, guide=moved.values, moments=moved.moments)
        found = Correction.of(system, split, self)
        return LinearPredictor(
            base.sampling,
            mixing=found.image @ base.mixing + found.mixing @ view,
            constant=found.image @ base.constant + found.constant,
            sharp=base.sharp,
            guide=base.guide,
            valid=base.valid,
            coarse_mixing=found.image,
            coarse_guide=base.coarse_guide,
            coarse_constant=base.coarse_constant,
            basis=found.basis,
            detail=found.detail,
            terms=base.terms,
        )


@dataclass(frozen=True, eq=False)
class Split:
    """A cube's spectral subspace, and the noise inside and outside it.

    Attributes
    ----------
    leading
        Orthonormal spectral directions E ``(B, p)``.
    keep
        ``(B, B)``: leaves the subspace unchanged and shrinks the rest by its noise.
    noise
        Variance of the cube's noise along a typical direction.
    slack
        Variance that calibration and interpolation errors add to it.
    """

    leading: NDArray[np.float64]
    keep: NDArray[np.float64]
    noise: float
    slack: float

    @classmethod
    def of(cls, moments: PairMoments, directions: int) -> Split:
        """Take the first `directions`, or fewer if the cube supports fewer."""
        power, axes = moments.principal_directions()
        noise = _noise_floor(moments, axes)
        count = min(directions, max(1, moments.count // 8), int(np.sum(power > 1e-12 * power[0])))
        leading, rest = axes[:, :count], axes[:, count:]
        gain = (power - noise)[count:].clip(0) / np.maximum(power[count:], np.finfo(float).tiny)
        return cls(
            leading,
            keep=leading @ leading.T + (rest * gain) @ rest.T,
            noise=float(np.median(noise[len(noise) // 2 :])),
            slack=MODEL_ERROR**2 * float(power.sum()) / moments.bands,
        )


@dataclass(frozen=True, eq=False)
class Correction:
    """The least-squares result for a prior image G and the guide M: ``image @ G + mixing @ M + constant + E D^T q``.

    Attributes
    ----------
    image, mixing, constant
        ``(B, B)``, ``(B, G)`` and ``(B,)``: the parts that act pixel by pixel.
    basis, detail
        E ``(B, p)`` and q ``(p, h, w)``.
    """

    image: NDArray[np.float64]
    mixing: NDArray[np.float64]
    constant: NDArray[np.float64]
    basis: NDArray[np.float64]
    detail: NDArray[np.float32]

    @classmethod
    def of(cls, system: LowResolution, split: Split, solver: Solver) -> Correction:
        """Weight the terms by the noise of the pair, and solve."""
        moments, leading = system.moments, split.leading
        ridge = solver.ridge(moments)
        view = _GuideView.of(moments, leading, ridge)
        misfit = system.misfit(view)
        lm = np.minimum(MAX_LM, (split.noise + split.slack) / (misfit / 2 + split.slack / 4))
        seen = np.isfinite(view.unit)
        unexplained = float(np.mean(misfit[seen] / view.contrast(moments)[seen])) if seen.any() else 1.0
        noise_share = split.noise / max(system.gap, np.finfo(float).tiny)
        mu = min(1.0, MIN_MU + MU_OF_NOISE * noise_share + MU_OF_UNEXPLAINED * unexplained)
        prior = _Prior(view.weighed(lm), mu)
        detail = system.solve(prior, solver.iterations, solver.tolerance)

        # X = keep G + E share (M / unit - o - R E G) + E D^T q
        view = prior.view
        onto_guide = leading @ prior.share
        return cls(
            image=split.keep - onto_guide @ view.response @ leading.T,
            mixing=onto_guide / view.unit,
            constant=-onto_guide @ view.offset,
            basis=leading,
            detail=detail,
        )


@dataclass(frozen=True, eq=False)
class _GuideView:
    """How the guide's G bands see the p coefficients: ``guide / unit = response @ coefficients + offset``.

    `response` is ``(G, p)``, `offset` and `unit` ``(G,)``. The unit of a band that sees none of them is infinite.
    """

    response: NDArray[np.float64]
    offset: NDArray[np.float64]
    unit: NDArray[np.float64]

    @classmethod
    def of(cls, moments: PairMoments, basis: NDArray[np.float64], ridge: float) -> _GuideView:
        """Regress the guide on the coefficients; units bring each band to the cube's scale, whatever the sensor."""
        response, offset = moments.guide_from_cube(basis, ridge)
        size = np.linalg.norm(response, axis=1)
        power = np.diag(moments.guide_covariance) + moments.guide_mean**2
        seen = size**2 * np.trace(moments.covariance) > 1e-12 * power
        unit = np.where(seen, size, np.inf)
        return cls(response / unit[:, None], offset / unit, unit)

    def contrast(self, moments: PairMoments) -> NDArray[np.float64]:
        """Return the variance ``(G,)`` of the guide in the view's units."""
        return np.asarray(np.diag(moments.guide_covariance) / self.unit**2)

    def weighed(self, weights: NDArray[np.float64]) -> _GuideView:
        """Return the view with squared errors weighted by `weights` ``(G,)``."""
        root = np.sqrt(weights)
        return _GuideView(self.response * root[:, None], self.offset * root, self.unit / root)

    def error(self, guide: NDArray[np.float32], coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what `coefficients` ``(p, ...)`` do not explain of `guide` ``(G, ...)``, in the view's units."""
        shape = (-1,) + (1,) * (guide.ndim - 1)
        unit, offset = (v.astype(np.float32).reshape(shape) for v in (self.unit, self.offset))
        left = guide / unit - offset
        left -= np.tensordot(self.response.astype(np.float32), coefficients, axes=1)
        return left


@dataclass(frozen=True, eq=False)
class _Prior:
    """The terms that act on single pixels of the sharp grid: ``|M - R Z - o|^2 + mu |Z - G E|^2``."""

    view: _GuideView
    mu: float

    @cached_property
    def eigen(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weights lambda ``(p,)`` of these terms, and their directions ``(p, p)``."""
        spectrum, turn = np.linalg.eigh(self.view.response.T @ self.view.response)
        return spectrum.clip(0) + self.mu, turn

    @cached_property
    def share(self) -> NDArray[np.float64]:
        """Map ``(p, G)`` from the guide's error to the coefficients: c / lambda."""
        weight, turn = self.eigen
        return np.asarray((turn / weight) @ turn.T @ self.view.response.T)


@dataclass(frozen=True, eq=False)
class LowResolution:
    """The pair seen from the low-resolution grid, in coefficients of the subspace.

    `cube` is ``Y E`` and `start` ``D(G E)``, both ``(p, h, w)``; `guide` is the degraded guide, `weight` W, `sharp` the
    size of the image that D acts on, and `sampling` defines D.
    """

    cube: NDArray[np.float32]
    start: NDArray[np.float32]
    guide: NDArray[np.float32]
    weight: NDArray[np.float32]
    moments: PairMoments
    sampling: Sampling
    sharp: tuple[int, int]
    watch: Watch

    @classmethod
    def of(
        cls,
        calibrated: CalibratedScene,
        base: LinearPredictor,
        cube: NDArray[np.float32],
        leading: NDArray[np.float64],
    ) -> LowResolution:
        """Express the pair and its GLP result, `base`, in coefficients along `leading`; `cube` holds the cube's."""
        _, height, width = calibrated.stated.hsi.shape
        sharp = base.sharp
        assert base.coarse_guide is not None
        basis = leading.T.astype(np.float32)
        explained = base.seen(leading.T @ base.mixing)
        explained += (basis @ base.constant.astype(np.float32))[:, None, None]
        known = base.valid.astype(np.float32)
        left = fill(cube - explained, known, lambda image: np.pad(image, ((0, 0), (1, 1), (1, 1))))
        sampling = base.sampling
        there_y = sampling.blur_matrix(height, sharp[0], 0) @ sampling.cubic_matrix(sharp[0], height, 0)
        there_x = sampling.blur_matrix(width, sharp[1], 1) @ sampling.cubic_matrix(sharp[1], width, 1)
        start = explained + apply_separable(there_y.astype(np.float32), there_x.astype(np.float32), left)
        return cls.on(calibrated, cube, start, sharp)

    @classmethod
    def on(
        cls,
        calibrated: CalibratedScene,
        cube: NDArray[np.float32],
        start: NDArray[np.float32],
        sharp: tuple[int, int],
    ) -> LowResolution:
        """Set up the system for the coefficients of the cube and of a prior image as the cube would see it."""
        guide, weight = np.nan_to_num(calibrated.guide.values), calibrated.valid.astype(np.float32)
        return cls(cube, start, guide, weight, calibrated.moments, calibrated.sampling, sharp, calibrated.watch)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Boolean ``(h, w)``: the pixels that are used."""
        return self.weight > 0

    @property
    def gap(self) -> float:
        """Mean squared difference of GLP and the cube at low resolution."""
        return float(np.mean(np.square((self.cube - self.start)[:, self.valid], dtype=np.float64)))

    def misfit(self, view: _GuideView) -> NDArray[np.float64]:
        """Mean squared error ``(G,)`` of each guide band predicted from the coefficients."""
        ok = self.valid
        left = view.error(self.guide[:, ok], self.cube[:, ok])
        return np.asarray(np.mean(np.square(left, dtype=np.float64), axis=1))

    def solve(self, prior: _Prior, iterations: int, tolerance: float) -> NDArray[np.float32]:
        """Return q ``(p, h, w)`` along the subspace's own axes."""
        weight, turn = prior.eigen
        target = self.cube - self.start
        target -= np.tensordot(prior.share.astype(np.float32), prior.view.error(self.guide, self.start), axes=1)
        target *= self.weight
        height, width = self.weight.shape
        down_y = self.sampling.blur_matrix(height, self.sharp[0], 0)
        down_x = self.sampling.blur_matrix(width, self.sharp[1], 1)
        gram_y, gram_x = ((m @ m.T).astype(np.float32) for m in (down_y, down_x))

        solution: NDArray[np.float32] = np.tensordot(turn.T.astype(np.float32), target, axes=1)
        for number, (plane, level) in enumerate(zip(solution, weight.tolist(), strict=True)):
            self.watch.tell(number, len(solution), "Solving for the subspace")

            def operator(q: NDArray[np.float32], level: float = level) -> NDArray[np.float32]:
                self.watch.check()
                blurred: NDArray[np.float32] = (gram_x @ (gram_y @ (q * self.weight)).T).T
                blurred *= self.weight
                blurred += np.float32(level) * q
                return blurred

            plane[:] = conjugate_gradients(operator, plane, iterations, tolerance)
        solution *= self.weight
        return np.asarray(np.tensordot(turn.astype(np.float32), solution, axes=1))


def coefficients(calibrated: CalibratedScene, leading: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the cube's coefficients ``(p, h, w)`` along `leading` ``(B, p)``; 0 where not measured."""
    found = calibrated.read_cube(leading).coefficients
    assert found is not None
    return found


def conjugate_gradients(
    operator: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    target: NDArray[np.float32],
    iterations: int,
    tolerance: float,
) -> NDArray[np.float32]:
    """Solve ``operator(x) = target`` for one plane ``(h, w)``, to a relative residual of `tolerance`."""
    shape = target.shape
    system = LinearOperator(
        (target.size, target.size), matvec=lambda x: operator(x.reshape(shape)).ravel(), dtype=np.float32
    )
    solution, _ = cg(system, target.ravel(), rtol=tolerance, maxiter=iterations)
    return np.asarray(solution, np.float32).reshape(shape)


def _noise_floor(moments: PairMoments, axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise variance along each of `axes`: no less than along the trailing ones, where there is little else."""
    noise = moments.noise_along(axes)
    return np.maximum(noise, np.median(noise[len(noise) // 2 :]))
