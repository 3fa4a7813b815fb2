"""Judging a fused cube without a reference, with a trial of its method one scale down."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_specfusion.alignment.scene import make_scene
from napari_specfusion.arguments import flag
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.data.scene import Scene
from napari_specfusion.device import computing, pick_device
from napari_specfusion.errors import Cancelled, SceneError, SpecFusionError
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.fusion.trial import score_trial, trial_pair
from napari_specfusion.io import as_cube
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.progress import Watch
from napari_specfusion.quality.judgement import STOPPED, Judgement, judge_pair
from napari_specfusion.weights.shipped import list_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.progress import Progress, ShouldStop
    from napari_specfusion.quality.metrics import Quality
    from napari_specfusion.tiling.contract import ModelLike

__all__ = ["evaluate_reduced", "judge", "result_scene"]


def judge(
    scene: Scene | CalibratedScene,
    result: CubeLike,
    *,
    trial: bool = True,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Judgement:
    """Judge a fused cube by the two images that it was made of, without a reference.

    The result F is degraded with the pair's own PSF and shift, which gives F'. With the cube Y and the guide P:

    - QNR (Alparone et al. 2008) from D_lambda and D_s, see `quality.distortion`. Q is taken in windows side by side
      that cover the same ground at both resolutions: 32 guide pixels, and at least 8 cube pixels. For a guide of
      several bands, D_s is the mean over them.
    - HQNR = (1 - D_lambda K) (1 - D_s) (B. Aiazzi et al.: Full-scale assessment of pansharpening methods and data
      products, SPIE 9244, 2014) with D_lambda K = 1 - Q2n(F', Y) (M. M. Khan, L. Alparone, J. Chanussot:
      Pansharpening quality assessment using the modulation transfer functions of instruments, IEEE TGRS 47(11), 2009),
      on the cube's grid in the same windows.
    - Consistency: F' against Y, and what F predicts of the guide through the response against P.
    - Values below 0, and values beyond the range of the cube. Sharp detail is expected to exceed it a little.
    - The trial: the quality of the method on the pair one scale down.

    Values missing in one of the images are left out, and so are bad and empty bands, and cube pixels whose PSF reaches
    beyond the result. The images are read piece by piece.

    Parameters
    ----------
    scene
        The pair; PSF, shift and response are calibrated if it does not state them.
    result
        What was made of it ``(bands, y, x)``, physical values on the guide's pixels, as anything that `as_cube` takes.
    trial
        Whether to try the method of the result one scale down as well, if the result names one that comes with the
        package.
    device
        Where to compute the trial.
    progress
        Called with a `Progress` at each step and piece.
    should_stop
        Called about once a second or more often; true stops.

    Raises
    ------
    SceneError
        If the result is not one of this pair, or has no good band in common with it.
    CalibrationError
        If the pair cannot be calibrated.
    Cancelled
        If `should_stop` returned true.
    """
    flag("trial", trial, SceneError)
    calibrated, cube = CalibratedScene.of(scene), as_cube(result)
    judgement = judge_pair(calibrated, cube, progress=progress, should_stop=should_stop)
    if not trial:
        return judgement
    name = _recorded(cube)
    if not name:
        return replace(judgement, note="No trial one scale down: the result does not name a method of this package.")
    try:
        tried = evaluate_reduced(calibrated, name, device=device, progress=progress, should_stop=should_stop)
    except Cancelled:
        raise
    except SpecFusionError as error:
        return replace(judgement, note=f"No trial one scale down: {error}")
    return replace(judgement, reduced=tried)


def evaluate_reduced(
    scene: Scene | CalibratedScene,
    model: ModelLike,
    *,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Quality:
    """Score a method on the pair one scale down, where the cube is the reference.

    Both images are degraded once more with the pair's own sampling (L. Wald, T. Ranchin, M. Mangolini: Fusion of
    satellite images of different spatial resolutions, PE&RS 63(6), 1997). The trial is that of `choose`: the middle of
    a large cube, without its border, unclipped.

    Parameters
    ----------
    scene
        The pair; PSF and shift are calibrated if it does not state them.
    model
        What `fuse` takes, but for ``"auto"``.
    device
        Where to compute.
    progress
        Called with a `Progress` at each step.
    should_stop
        Called before every tile; true stops the trial.

    Raises
    ------
    SceneError
        If the cube is too small for a trial.
    ModelError
        If there is no such method, or it does not fit the pair.
    Cancelled
        If `should_stop` returned true.
    """
    method, device = as_method(model), pick_device(device)
    calibrated, watch = CalibratedScene.of(scene), Watch(progress, should_stop, STOPPED)
    with calibrated.watched(watch), computing(device, "float32"):
        pair = trial_pair(calibrated)
        watch.tell(0, 1, f"Trying {method.name} one scale down")
        return score_trial(method, pair, device)


def result_scene(
    hsi: Cube,
    guide: Cube,
    result: Cube,
    *,
    ratio: Fraction | float | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Scene:
    """Return the pair that a result was made of: aligned as `fuse` does it, or as it lies where only that fits.

    Parameters
    ----------
    hsi, guide, result
        The cube, the guide and what was made of them.
    ratio
        HR pixels per LR pixel; None takes it from what the run of the result recorded, or else from the images.
    progress
        Called with a `Progress` at each step.
    should_stop
        Called about once a second or more often; true stops.

    Raises
    ------
    AlignmentError
        If the two cannot be aligned, and do not make a pair as they are.
    SceneError
        If they make no pair.
    Cancelled
        If `should_stop` returned true.
    """
    run = RunRecord.read(result.metadata)
    ratio = run.ratio if ratio is None and run is not None else ratio
    aligned = make_scene(hsi, guide, ratio, progress=progress, should_stop=should_stop)
    if aligned.shape != result.shape[1:]:
        with suppress(SceneError):
            plain = Scene(hsi, guide, ratio)
            if plain.shape == result.shape[1:]:
                return plain
    return aligned


def _recorded(cube: Cube) -> str:
    """Return the method that made a cube, if it comes with the package; an empty text otherwise."""
    run = RunRecord.read(cube.metadata)
    return run.method if run is not None and run.method in (*METHODS, *list_weights()) else ""
