"""A scene with its calibration, computed once, on demand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_specfusion.arguments import instance
from napari_specfusion.calibration.bands import BandGeometry, band_geometry
from napari_specfusion.calibration.estimate import Calibration, Match, calibration_of
from napari_specfusion.calibration.misfit import misfit_of
from napari_specfusion.calibration.moments import CoarseGuide, PairMoments, strips
from napari_specfusion.calibration.restoring import RestoringPredictor, cleaned_srf, stated_srf
from napari_specfusion.data.clean import Cleaning
from napari_specfusion.data.scene import Scene
from napari_specfusion.data.surveying import survey_values
from napari_specfusion.errors import SceneError
from napari_specfusion.progress import Progress, ShouldStop, Watch, stoppable
from napari_specfusion.sensor.sampling import Sampling

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.tiling.contract import Predictor

__all__ = ["CalibratedScene", "CubePass", "calibrate"]


@dataclass(frozen=True, eq=False)
class CubePass:
    """The results of one pass over the whole cube.

    Attributes
    ----------
    measured
        Boolean ``(h, w)``: LR pixels that both images measured; bands that are empty everywhere do not count.
    means
        Mean ``(B,)`` of each band; None where no value can be missing.
    coefficients
        The cube's coefficients along the given directions ``(p, h, w)``, 0 where not measured; None without any.
    """

    measured: NDArray[np.bool_]
    means: NDArray[np.float64] | None
    coefficients: NDArray[np.float32] | None = None


class CalibratedScene:
    """A scene with its sampling and its moments, each computed once, when it is first needed.

    Methods are prepared with it. A fusion reads the pair twice at most, in one pass here and in the tiles; the
    detail regression reads the guide once more. Calibration and moments read bounded samples in addition, and the look
    for odd values all of a pair of up to 256 MB. A pair of up to 64 MB is read once and kept.

    Parameters
    ----------
    scene
        The pair; what it states about PSF, shift and SRF is kept.
    progress
        Called with a `Progress` during each long step.
    should_stop
        Called at least once a second; true stops the step with `Cancelled`.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        progress: Callable[[Progress], None] | None = None,
        should_stop: ShouldStop | None = None,
    ) -> None:
        self.stated = instance("The pair", scene, Scene, "a Scene", SceneError)
        self.watch = Watch(progress, should_stop)
        self._is_clean = False
        self._pass: CubePass | None = None

    @classmethod
    def of(cls, scene: Scene | CalibratedScene) -> CalibratedScene:
        """Return `scene` as it is if it is calibrated already."""
        return scene if isinstance(scene, CalibratedScene) else cls(scene)

    def __getstate__(self) -> dict[str, Any]:
        # without whom it reports to, and without the pixels that it keeps of a small pair
        return {key: value for key, value in self.__dict__.items() if key not in ("given", "scene")} | {
            "watch": Watch()
        }

    @contextmanager
    def watched(self, watch: Watch) -> Iterator[None]:
        """Report to `watch` what is computed in the block, and to the earlier one again after it.

        What runs too deep to know the watch stops by it too (see `look`).
        """
        before, self.watch = self.watch, watch
        try:
            with stoppable(watch.check):
                yield
        finally:
            self.watch = before

    def with_scene(self, scene: Scene) -> CalibratedScene:
        """Return another scene to calibrate, made of this `scene`, with the same progress reports."""
        other = CalibratedScene(scene, progress=self.watch.progress, should_stop=self.watch.should_stop)
        # its values are clean, and in the same units as here
        other._is_clean = True
        return other

    # --- the pair --------------------------------------------------------------

    @cached_property
    def given(self) -> Scene:
        """The pair as it was given; in memory where it is small."""
        if not self.stated.is_small:
            return self.stated
        return self.stated.replace(hsi=_kept(self.stated.hsi, self.watch), guide=_kept(self.stated.guide, self.watch))

    @cached_property
    def cleaning(self) -> tuple[Cleaning, Cleaning] | None:
        """What is done about odd values of the cube and of the guide; None for a pair that is clean as it comes."""
        if self._is_clean:
            return None
        kept = self.given
        whole = kept.is_seen_whole
        low, high = (Cleaning.of(survey_values(cube, whole=whole, watch=self.watch)) for cube in (kept.hsi, kept.guide))
        return low, high

    @cached_property
    def scene(self) -> Scene:
        """The pair to compute with: in memory where it is small, odd values missing, large levels taken out."""
        return self._cleaned(self.given)

    @property
    def from_files(self) -> Scene:
        """The pair to compute with, as another process can read it: not in memory, unless it was given so."""
        return self._cleaned(self.stated).replace(reference=None, alignment=None)

    def _cleaned(self, kept: Scene) -> Scene:
        cleaning = self.cleaning
        if cleaning is None or not any(part.moves or part.survey.masks for part in cleaning):
            return kept
        srf = None if kept.srf is None else cleaned_srf(kept.srf, *cleaning)
        return kept.replace(hsi=cleaning[0].apply(kept.hsi), guide=cleaning[1].apply(kept.guide), srf=srf)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What was found in the values and is left out, in words."""
        if self.cleaning is None:
            return ()
        return tuple(
            text
            for name, part in zip(("cube", "guide"), self.cleaning, strict=True)
            for _, _, text in part.survey.acted_on(name)
        )

    def check_range(self, dtype: DTypeLike) -> None:
        """Check that a result of type `dtype` can hold the cube's values.

        Raises
        ------
        SceneError
            If it cannot.
        """
        if self.cleaning is None:
            return
        survey, bound = self.cleaning[0].survey, float(np.finfo(dtype).max)
        largest = float(np.nanmax(np.abs([survey.low, survey.high]), initial=0))
        if largest > bound:
            raise SceneError(
                f"The cube holds values up to {largest:g}, and {np.dtype(dtype)} numbers end at {bound:.3g}; fuse with "
                "precision='float64', or scale the cube down."
            )

    @property
    def highest(self) -> float:
        """The value that all but a thousandth of the cube's values stay below, in its highest band."""
        cube = self.stated.hsi
        survey = (
            survey_values(cube, whole=False, watch=self.watch) if self.cleaning is None else self.cleaning[0].survey
        )
        return float(np.nanmax(survey.high, initial=-np.inf))

    def restoring(self, predictor: Predictor) -> Predictor:
        """Return a predictor for the values as they were given, from one that was prepared with this scene."""
        if self.cleaning is None or not self.cleaning[0].moves:
            return predictor
        return RestoringPredictor(predictor, self.cleaning[0])

    @property
    def known(self) -> Scene:
        """The pair with the calibrated PSF and shift filled in."""
        return self.scene.replace(psf=self.sampling.psf, shift=self.sampling.shift)

    # --- calibration -------------------------------------------------------------

    @cached_property
    def match(self) -> Match:
        """The sampling that explains the guide best, and how well it does.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        return Match.of(self.scene, self.watch)

    @cached_property
    def sampling(self) -> Sampling:
        """How the cube samples the guide's grid: as the scene states it, or else estimated from the pair.

        Raises
        ------
        CalibrationError
            If the pair cannot be calibrated.
        """
        scene = self.stated
        if scene.psf is not None and scene.shift is not None:
            return Sampling(scene.factor, scene.psf, scene.shift)
        return self.match.sampling

    @cached_property
    def guide(self) -> CoarseGuide:
        """The guide on the cube's grid; one pass over it."""
        return CoarseGuide.of(self.scene, self.sampling, self.watch)

    @cached_property
    def moments(self) -> PairMoments:
        """Second moments of the pair, from a bounded sample of the cube."""
        return PairMoments.of(self.scene.hsi, self.guide, self.watch)

    @cached_property
    def bands(self) -> BandGeometry | None:
        """Each band's own place and sharpness, from patches of the pair; None where too few pixels can tell."""
        return band_geometry(self.scene, self.sampling, self.guide, self.moments.live, self.watch)

    @cached_property
    def calibration(self) -> Calibration:
        """PSF, shift, SRF, noise and the residual of the match."""
        found = calibration_of(self.scene, self.match, self.moments, self.bands)
        if self.cleaning is None or not any(part.moves for part in self.cleaning):
            return found
        low, high = self.cleaning
        return dataclasses.replace(
            found,
            srf=self.stated.srf or stated_srf(found.srf, low, high),
            noise_hsi=found.noise_hsi * float(np.median(low.unit)),
            noise_guide=found.noise_guide * float(np.median(high.unit)),
        )

    @cached_property
    def misfit(self) -> Cube:
        """What calibration leaves: the guide, degraded like the cube, less what the response predicts from the cube.

        ``(guide bands, y, x)`` on the cube's grid, float32, in the guide's own units. NaN where values are missing, and
        where the PSF reaches beyond the guide.
        """
        return misfit_of(self)

    # --- the whole cube -----------------------------------------------------------

    def read_cube(self, directions: NDArray[np.float64] | None = None) -> CubePass:
        """Read the cube once.

        Parameters
        ----------
        directions
            Orthonormal spectral directions ``(B, p)`` to project the cube on. None only finds the measured pixels, and
            reads nothing if no value can be missing or an earlier pass found them.
        """
        if directions is None and self._pass is not None:
            return self._pass
        hsi, guide = self.scene.hsi, self.guide
        measured = guide.measured.copy()
        bands, height, width = hsi.shape
        live = self.moments.live
        if directions is None and not hsi.may_miss:
            self._pass = CubePass(measured & live.any(), None)
            return self._pass
        basis = None if directions is None else directions.T.astype(np.float32)
        found = None if basis is None else np.empty((len(basis), height, width), np.float32)
        total, count = np.zeros(bands), np.zeros(bands)
        parts = strips(height, bands * width)
        for number, rows in enumerate(parts):
            self.watch.tell(number, len(parts), "Reading the cube")
            values = hsi.read(rows)
            whole = True
            if hsi.may_miss:
                finite = np.isfinite(values)
                # most strips miss nothing, and are spared the copies
                whole = bool(finite.all())
                if not whole:
                    measured[rows] &= finite[live].all(axis=0)
                known = values if whole else np.where(finite, values, 0)
                total += known.sum(axis=(1, 2), dtype=np.float64)
                count += finite.sum(axis=(1, 2))
            if basis is not None and found is not None:
                plain = values.astype(np.float32, copy=False)
                found[:, rows] = np.tensordot(basis, plain if whole else np.nan_to_num(plain), axes=1)
        measured &= live.any()
        if found is not None:
            found *= measured
        means = total / np.maximum(count, 1) if hsi.may_miss else None
        self._pass = CubePass(measured, means, None)
        return dataclasses.replace(self._pass, coefficients=found)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Boolean ``(h, w)``: measured LR pixels whose PSF lies inside the guide."""
        return np.asarray(self.read_cube().measured & self.guide.inside)

    def band_means(self) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Return the band means of the cube ``(B,)`` and of the guide ``(G,)``; None where not computed yet."""
        guide = self.__dict__.get("guide")
        return None if self._pass is None else self._pass.means, None if guide is None else guide.means


def calibrate(
    scene: Scene | CalibratedScene,
    *,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Calibration:
    """Estimate PSF, shift, spectral response and noise from the pair alone.

    What `scene` states already (psf, shift, srf) is kept. PSF and shift are searched in a window of at most 160 x 160
    LR pixels; response and noise come from a sample of at least 65 536 of them, read in strips.

    Parameters
    ----------
    scene
        The pair.
    progress
        Called with a `Progress` during the estimate.
    should_stop
        Called at least once a second; true stops it.

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        If too few valid pixels remain, or one of the images is constant.
    Cancelled
        If `should_stop` returned true.
    """
    calibrated = CalibratedScene.of(scene)
    with calibrated.watched(Watch(progress, should_stop)):
        return calibrated.calibration


def _kept(cube: Cube, watch: Watch) -> Cube:
    """Return the cube with its stored values in memory."""
    return cube.in_memory(lambda done, total: watch.tell(done, total, f"Reading {cube.name}"))
