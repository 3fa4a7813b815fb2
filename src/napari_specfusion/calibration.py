"""What the pair itself says about how it was taken: PSF, sub-pixel shift, spectral response, noise.

The guide is degraded with a candidate PSF and shift and regressed on the cube's principal components; the candidate with
the smallest residual wins (after HySure, Simoes et al. 2015, and ZSL, Dian et al. 2023). The residual left over tells
whether the two images belong together at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from napari_specfusion.degrade import Psf, Sampling
from napari_specfusion.errors import CalibrationError
from napari_specfusion.moments import PairMoments
from napari_specfusion.scene import Finding, Scene
from napari_specfusion.srf import Srf

__all__ = ["Calibration", "calibrate", "calibrated_sampling"]

Verdict = Literal["good", "doubtful", "unrelated"]

COMPONENTS = 15
# side of the window of LR pixels that PSF and shift are searched in
WINDOW = 160
# candidates of the coarse scan reach this many LR pixels each way
REACH = 1.5
GOOD, UNRELATED = 0.5, 0.8


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was found out about a pair.

    Attributes
    ----------
    psf
        PSF of the cube on the guide's grid.
    shift
        (y, x) displacement of the LR grid in HR pixels against its cells.
    srf
        Response of the guide at the cube's bands, non-negative, with an offset.
    residual
        Share (0 to 1) of the degraded guide's contrast that the cube does not explain, at `psf` and `shift`.
    baseline
        The same with no shift and a Gaussian PSF of sigma = ratio / 2: what an uncalibrated method would have.
    noise_hsi, noise_guide
        Standard deviation of the noise in the cube's and in the guide's own units.
    at_border
        Whether the best shift lies at the border of the range that was searched.
    """

    psf: Psf
    shift: tuple[float, float]
    srf: Srf
    residual: float
    baseline: float
    noise_hsi: float
    noise_guide: float
    at_border: bool = False

    @property
    def verdict(self) -> Verdict:
        """Whether the two images belong together."""
        if self.residual > UNRELATED or (self.at_border and self.residual > GOOD):
            return "unrelated"
        return "good" if self.residual <= GOOD and not self.at_border else "doubtful"

    def apply(self, scene: Scene) -> Scene:
        """Return `scene` with what it left unknown filled in; given values win."""
        return scene.replace(
            psf=scene.psf or self.psf,
            shift=self.shift if scene.shift is None else scene.shift,
            srf=scene.srf or self.srf,
        )

    def findings(self) -> tuple[Finding, ...]:
        """Say in words what was found."""
        explained = f"The cube explains {1 - self.residual**2:.0%} of the degraded guide's variance"
        match: Finding
        if self.verdict == "good":
            match = Finding("info", "match", f"{explained}: the two images belong together.")
        elif self.verdict == "doubtful":
            match = Finding(
                "warning", "match", f"{explained}: check that both show the same place, time and spectral range."
            )
        else:
            match = Finding(
                "warning",
                "match",
                f"{explained}: the two images do not seem to belong together. Check the files, their crop and the ratio.",
            )
        return (match, *_found(self))


def _found(calibration: Calibration) -> Iterator[Finding]:
    y, x = calibration.shift
    gain = (
        ""
        if calibration.baseline <= calibration.residual
        else (f" (residual {calibration.baseline:.3f} without, {calibration.residual:.3f} with calibration)")
    )
    yield Finding("info", "shift", f"The cube lies {y:+.2f} px down and {x:+.2f} px right of its cells{gain}.")
    kind = "box" if math.isinf(calibration.psf.sigma) else "Gaussian"
    yield Finding("info", "PSF", f"{kind}, standard deviation {calibration.psf.width:.2f} px of the guide.")


def calibrate(scene: Scene) -> Calibration:
    """Estimate PSF, shift, spectral response and noise from the pair alone.

    What `scene` states already (psf, shift, srf) is kept. PSF and shift are searched in a window of at most 160 x 160 LR
    pixels, response and noise come from the whole scene, read in strips.

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        If too few valid pixels remain, or one of the images is constant.
    """
    window, crop = _window(scene)
    residual_of = _residual(window)
    ratio = float(scene.factor)
    neutral = residual_of(Sampling(scene.factor, scene.psf or Psf(ratio / 2), scene.shift or (0.0, 0.0)))
    sampling, residual, at_border = _search(scene, residual_of)
    moments = PairMoments.of(scene, sampling)
    srf = scene.srf or _response(moments)
    noise_hsi, noise_guide = _noise(moments, window, crop)
    return Calibration(
        sampling.psf, sampling.shift, srf, residual, max(neutral, residual), noise_hsi, noise_guide, at_border
    )


def calibrated_sampling(scene: Scene) -> Sampling:
    """Return how the cube samples the guide's grid: what `scene` states, and what only the pair can tell.

    Raises
    ------
    CalibrationError
        As `calibrate` does.
    """
    if scene.psf is not None and scene.shift is not None:
        return Sampling(scene.factor, scene.psf, scene.shift)
    return _search(scene, _residual(_window(scene)[0]))[0]


def _search(scene: Scene, residual_of: Callable[[Sampling], float]) -> tuple[Sampling, float, bool]:
    """Find the sampling of the smallest residual: a coarse scan of shifts, then a simplex search for either PSF shape."""
    ratio = float(scene.factor)
    step = max(ratio / 4, 1.0)
    count = math.ceil(REACH * ratio / step)
    limit = (count + 1) * step

    start = scene.shift or (0.0, 0.0)
    if scene.shift is None:
        probe = scene.psf or Psf(ratio / 2)
        moves = [(i * step, j * step) for i in range(-count, count + 1) for j in range(-count, count + 1)]
        start = min(moves, key=lambda move: residual_of(Sampling(scene.factor, probe, move)))

    shapes: tuple[tuple[Callable[[float], Psf], float, tuple[float, float]], ...]
    if scene.psf is not None:
        known = scene.psf
        shapes = ((lambda _: known, 1.0, (1.0, 1.0)),)
    else:
        shapes = ((Psf, 0.5, (0.15, 1.5)), (Psf.box, 1.0, (0.3, 3.0)))

    best: tuple[float, Sampling] | None = None
    for shape, width, (narrow, wide) in shapes:

        def sampling_at(point: NDArray[Any], shape: Callable[[float], Psf] = shape) -> Sampling:
            y, x, size = (point * ratio).tolist()
            return Sampling(scene.factor, shape(size), (y, x) if scene.shift is None else scene.shift)

        origin = np.array([start[0] / ratio, start[1] / ratio, width])
        simplex = origin + np.vstack([np.zeros(3), np.diag([0.15, 0.15, 0.4 * width])])
        reach = limit / ratio
        found = minimize(
            lambda point, at=sampling_at: math.log(max(residual_of(at(point)), 1e-12)),
            origin,
            method="Nelder-Mead",
            bounds=[(-reach, reach), (-reach, reach), (narrow, wide)],
            options={"initial_simplex": simplex, "xatol": 2e-3, "fatol": 1e-3, "maxfev": 250},
        )
        candidate = (float(math.exp(found.fun)), sampling_at(found.x))
        if best is None or candidate[0] < best[0]:
            best = candidate
    assert best is not None
    at_border = scene.shift is None and max(map(abs, best[1].shift)) > limit - 1.01 * step
    return best[1], best[0], at_border


def _window(scene: Scene) -> tuple[Scene, tuple[slice, slice]]:
    """Return the central window of the scene that holds the most valid pixels, and its LR rows and columns."""
    height, width = scene.hsi.shape[1:]
    ratio = scene.factor
    grid = ratio.denominator
    offers = []
    for place_y, place_x in ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
        rows, columns = (
            slice(at := max(0, (n - WINDOW) * place // 2) // grid * grid, min(n, at + WINDOW))
            for n, place in ((height, place_y), (width, place_x))
        )
        sample = scene.hsi.read(rows, columns)
        share = float(np.isfinite(sample).any(axis=0).mean())
        offers.append((share, rows, columns))
        if share > 0.9 or (height <= WINDOW and width <= WINDOW):
            break
    _, rows, columns = max(offers, key=lambda offer: offer[0])
    sharp = (slice(int(part.start * ratio), math.ceil(part.stop * ratio)) for part in (rows, columns))
    return scene.replace(
        hsi=scene.hsi.crop(rows, columns), guide=scene.guide.crop(*sharp), ratio=ratio, reference=None
    ), (rows, columns)


def _residual(scene: Scene) -> Callable[[Sampling], float]:
    """Return the function that tells how badly a sampling explains the guide, as a share of its contrast."""
    cube = scene.hsi.read().astype(np.float64)
    guide = scene.guide.read().astype(np.float32)
    missing = ~np.isfinite(guide).all(axis=0)
    guide = np.where(missing, np.float32(0), guide)
    height, width = cube.shape[1:]
    finite = np.isfinite(cube)
    cube = cube[finite.any(axis=(1, 2))]
    ok = np.isfinite(cube).all(axis=0)
    if missing.any():
        # at any shift searched, no missing guide pixel may enter
        wide = Sampling(scene.factor, Psf.box(6 * float(scene.factor)))
        spoiled = wide.degrade(missing[None].astype(np.float32), (height, width))[0] > 0
        ok &= ~spoiled
    border = 1 if min(height, width) >= 8 else 0
    frame = np.zeros_like(ok)
    frame[border : height - border, border : width - border] = True
    ok &= frame
    count = int(ok.sum())
    if count < 12:
        raise CalibrationError(
            f"Only {count} low-resolution pixels are valid in both images; at least 12 are needed. "
            "Check the no-data values, or take a larger part of the scene."
        )
    pixels = cube[:, ok].T
    pixels = pixels - pixels.mean(axis=0)
    if not np.any(pixels) or float(np.std(guide[:, ~missing])) == 0:
        raise CalibrationError("One of the two images is constant; there is nothing to match. Check the files.")
    components = max(1, min(COMPONENTS, count // 20, pixels.shape[1]))
    basis = np.linalg.svd(pixels, full_matrices=False)[0][:, :components]
    freedom = count / max(count - components - 1, 1)

    def residual(sampling: Sampling) -> float:
        seen = sampling.degrade(guide, (height, width))[:, ok].T.astype(np.float64)
        seen -= seen.mean(axis=0)
        left = seen - basis @ (basis.T @ seen)
        contrast = np.sum(seen**2, axis=0)
        kept = contrast > 0
        if not kept.any():
            return 1.0
        share = float(np.mean(np.sum(left**2, axis=0)[kept] / contrast[kept]))
        return min(1.0, math.sqrt(freedom * share))

    return residual


def _response(moments: PairMoments) -> Srf:
    """Fit a non-negative, slightly smooth response (and an offset) of each guide band to the cube's bands."""
    covariance = moments.covariance
    mean = moments.cube_cube[:-1, -1] / moments.count
    guide_mean = moments.guide_guide[:-1, -1] / moments.count
    cross = moments.cube_guide[:-1, :-1] / moments.count - np.outer(mean, guide_mean)
    bands = len(covariance)
    smooth = np.diff(np.eye(bands), 2, axis=0) if bands > 2 else np.zeros((1, bands))
    penalty = 1e-6 * np.trace(covariance) / bands
    root = np.linalg.cholesky(
        covariance + penalty * (smooth.T @ smooth) + 1e-9 * np.trace(covariance) / bands * np.eye(bands)
    )
    rows = [nnls(root.T, np.linalg.solve(root, column))[0] for column in cross.T]
    matrix = np.array(rows)
    return Srf(matrix, guide_mean - matrix @ mean)


def _noise(moments: PairMoments, window: Scene, crop: tuple[slice, slice]) -> tuple[float, float]:
    """Estimate the white noise of the cube (typical over its bands) and of the guide."""
    _, directions = moments.principal_directions()
    trailing = directions[:, moments.bands // 2 :] if moments.bands > 3 else directions
    hsi = math.sqrt(float(np.median(moments.noise_along(trailing))))
    return hsi, guide_noise(window.guide.read())


def guide_noise(image: NDArray[Any]) -> float:
    """Estimate the standard deviation of white noise in ``(G, H, W)`` from its flattest blocks.

    A second difference in both directions (Immerkaer 1996) removes slopes; its spread over the calmest tenth of blocks
    of 16 x 16 pixels is the noise, or the finest texture where nothing is flat.
    """
    height, width = (n // 16 * 16 for n in (image.shape[1] - 2, image.shape[2] - 2))
    if 0 in (height, width):
        return 0.0
    rows = image[:, :-2] - 2 * image[:, 1:-1] + image[:, 2:]
    both = (rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:])[:, :height, :width] / 6
    blocks = both.reshape(len(image), height // 16, 16, width // 16, 16)
    spread = np.sqrt(np.nanmean(np.square(blocks), axis=(2, 4), where=np.isfinite(blocks)))
    spread = spread[np.isfinite(spread)]
    return float(np.percentile(spread, 10)) if spread.size else 0.0
