"""Estimation of PSF, sub-pixel shift, spectral response and noise from the pair itself.

The guide is degraded with a candidate PSF and shift and regressed on the cube's principal components; the candidate
with the smallest residual wins (after HySure, Simoes et al. 2015, and ZSL, Dian et al. 2023). The size of that residual
shows whether the two images belong together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from napari_specfusion.calibration.noise import cube_noise, guide_noise
from napari_specfusion.calibration.search import search
from napari_specfusion.data.scene import Finding
from napari_specfusion.data.summary import html_summary, psf_text, text_summary
from napari_specfusion.errors import CalibrationError
from napari_specfusion.progress import Watch
from napari_specfusion.sensor.sampling import Psf, Sampling, apply_columns, apply_rows
from napari_specfusion.sensor.srf import Srf

if TYPE_CHECKING:
    from napari_specfusion.calibration.bands import BandGeometry
    from napari_specfusion.calibration.moments import PairMoments
    from napari_specfusion.calibration.search import Residual
    from napari_specfusion.data.scene import Scene

__all__ = ["Calibration", "Match", "calibration_of"]

Verdict = Literal["good", "doubtful", "unrelated"]

# spectral components that the guide is regressed on, and LR pixels for each: with 20 in place of 4, the shift of 8 x 8
# pixels of EnMAP with an RGB guide was wrong by half an LR pixel, not by 0.01
COMPONENTS, PIXELS_PER_COMPONENT = 15, 4
# side of the search window for PSF and shift in LR pixels, and at most how many HR pixels it may cover
WINDOW, SMALLEST_WINDOW, SHARP_WINDOW = 160, 32, 1280
GOOD, UNRELATED = 0.5, 0.8


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibration of a pair.

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
        The same with no shift and a Gaussian PSF of sigma = ratio / 2: the residual without calibration.
    noise_hsi, noise_guide
        Standard deviation of the noise in the cube's and in the guide's own units.
    at_border
        Whether the best shift lies at the border of the search range.
    bands
        Each band's own displacement, magnification and sharpness; None where there are too few pixels to tell.
    """

    psf: Psf
    shift: tuple[float, float]
    srf: Srf
    residual: float
    baseline: float
    noise_hsi: float
    noise_guide: float
    at_border: bool = False
    bands: BandGeometry | None = None

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
        """Return the calibration's results in words."""
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
                f"{explained}: the two images do not seem to belong together. "
                "Check the files, their crop and the ratio.",
            )
        return (match, *_found(self))

    def _summary(self) -> tuple[str, dict[str, str]]:
        return f"Calibration: {self.verdict}", {
            "PSF": psf_text(self.psf),
            "Shift": f"({self.shift[0]:+.2f}, {self.shift[1]:+.2f}) px{', at the border' if self.at_border else ''}",
            "Residual": f"{self.residual:.3f} of the contrast ({self.baseline:.3f} uncalibrated)",
            "Noise": f"cube {self.noise_hsi:.3g}, guide {self.noise_guide:.3g} (standard deviation)",
        }

    def __repr__(self) -> str:
        return text_summary(*self._summary())

    def _repr_html_(self) -> str:
        return html_summary(*self._summary())


def _found(calibration: Calibration) -> Iterator[Finding]:
    y, x = calibration.shift
    gain = ""
    if calibration.baseline > calibration.residual:
        gain = f" (residual {calibration.baseline:.3f} without, {calibration.residual:.3f} with calibration)"
    yield Finding("info", "shift", f"The cube lies {y:+.2f} px down and {x:+.2f} px right of its cells{gain}.")
    kind = "box" if math.isinf(calibration.psf.sigma) else "Gaussian"
    yield Finding("info", "PSF", f"{kind}, standard deviation {calibration.psf.width:.2f} px of the guide.")
    if calibration.bands is not None:
        yield from calibration.bands.findings()


@dataclass(frozen=True, eq=False)
class Match:
    """The sampling that explains the guide best.

    Attributes
    ----------
    sampling
        The best one, or the one that the scene states.
    residual, baseline
        As in `Calibration`.
    at_border
        Whether its shift lies at the border of the search range.
    noise_guide
        Standard deviation of the guide's noise in the search window.
    """

    sampling: Sampling
    residual: float
    baseline: float
    at_border: bool
    noise_guide: float

    @classmethod
    def of(cls, scene: Scene, watch: Watch | None = None) -> Match:
        """Search for the PSF and shift that `scene` does not state, in a window of at most 160 x 160 LR pixels.

        Raises
        ------
        CalibrationError
            If too few valid pixels remain, or one of the images is constant.
        Cancelled
            If `watch` stops it.
        """
        watch = watch or Watch()
        watch.tell(0, 1, "Looking for the shift and the PSF")
        window = _window(scene, watch)
        residual_of = _residual(window, watch)
        neutral = residual_of(
            Sampling(scene.factor, scene.psf or Psf(float(scene.factor) / 2), scene.shift or (0.0, 0.0))
        )
        sampling, residual, at_border = search(scene, residual_of)
        return cls(sampling, residual, max(neutral, residual), at_border, guide_noise(window.guide.read()))


def calibration_of(scene: Scene, match: Match, moments: PairMoments, bands: BandGeometry | None = None) -> Calibration:
    """Return the calibration from the match and the moments; values that `scene` states are kept."""
    srf = scene.srf or _response(moments)
    sampling = match.sampling
    return Calibration(
        sampling.psf,
        sampling.shift,
        srf,
        match.residual,
        match.baseline,
        cube_noise(moments),
        match.noise_guide,
        match.at_border,
        bands,
    )


def _window(scene: Scene, watch: Watch) -> Scene:
    """Return the window of the scene with the most valid pixels, trying the central one first."""
    ratio = scene.factor
    height, width = (
        max(1, min(low, math.floor(high / ratio)))
        for low, high in zip(scene.hsi.shape[1:], scene.guide.shape[1:], strict=True)
    )
    side = max(SMALLEST_WINDOW, min(WINDOW, math.floor(SHARP_WINDOW / ratio)))
    grid = ratio.denominator
    offers = []
    for place_y, place_x in ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
        rows, columns = (
            slice(at := max(0, (n - side) * place // 2) // grid * grid, min(n, at + side))
            for n, place in ((height, place_y), (width, place_x))
        )
        watch.check()
        share = float(np.isfinite(scene.hsi.read(rows, columns)).any(axis=0).mean())
        offers.append((share, rows, columns))
        if share > 0.9 or (height <= side and width <= side):
            break
    _, rows, columns = max(offers, key=itemgetter(0))
    sharp = (slice(int(part.start * ratio), math.ceil(part.stop * ratio)) for part in (rows, columns))
    return scene.replace(hsi=scene.hsi.crop(rows, columns), guide=scene.guide.crop(*sharp), reference=None)


def _residual(scene: Scene, watch: Watch) -> Residual:
    """Return the function that gives the share of the guide's contrast that a sampling leaves unexplained.

    Each call checks `watch` for a request to stop.
    """
    cube = scene.hsi.read().astype(np.float64)
    watch.check()
    guide = scene.guide.read().astype(np.float32)
    missing = np.asarray(~np.isfinite(guide).all(axis=0))
    guide = np.where(missing, np.float32(0), guide)
    height, width = cube.shape[1:]
    watch.check()
    finite = np.isfinite(cube)
    cube = cube[finite.any(axis=(1, 2))]
    ok = np.asarray(np.isfinite(cube).all(axis=0)) & (len(cube) > 0)
    if missing.any():
        # no missing guide pixel may contribute, at any shift searched
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
    watch.check()
    pixels = cube[:, ok].T
    if not np.any(np.ptp(pixels, axis=0)) or not np.any(np.ptp(guide[:, ~missing], axis=1)):
        raise CalibrationError("One of the two images is constant; there is nothing to match. Check the files.")
    watch.check()
    pixels = pixels - pixels.mean(axis=0)
    components = max(1, min(COMPONENTS, count // PIXELS_PER_COMPONENT, pixels.shape[1]))
    watch.check()
    _, directions = np.linalg.eigh(pixels.T @ pixels)
    watch.check()
    basis = np.linalg.qr(pixels @ directions[:, -components:])[0]
    freedom = count / max(count - components - 1, 1)

    # the coarse scan tries many columns for each row
    @lru_cache(maxsize=1)
    def rows_blurred(psf: Psf, y: float) -> NDArray[np.float32]:
        down = Sampling(scene.factor, psf, (y, 0.0)).blur_matrix(height, guide.shape[1], 0)
        return apply_rows(down.astype(np.float32), guide)

    def residual(sampling: Sampling) -> float:
        watch.check()
        down = sampling.blur_matrix(width, guide.shape[2], 1).astype(np.float32)
        blurred = apply_columns(down, rows_blurred(sampling.psf, sampling.shift[0]))
        seen = blurred[:, ok].T.astype(np.float64)
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
    bands = len(covariance)
    smooth = np.diff(np.eye(bands), 2, axis=0) if bands > 2 else np.zeros((1, bands))
    penalty = 1e-6 * np.trace(covariance) / bands
    root = np.linalg.cholesky(
        covariance + penalty * (smooth.T @ smooth) + 1e-9 * np.trace(covariance) / bands * np.eye(bands)
    )
    rows = [nnls(root.T, np.linalg.solve(root, column))[0] for column in moments.cross.T]
    matrix = np.array(rows)
    return Srf(matrix, moments.guide_mean - matrix @ moments.cube_mean)
