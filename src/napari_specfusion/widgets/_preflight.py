"""What is known about a pair before it is fused: checks, calibration, and a verdict in words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Finding, Scene
from napari_specfusion.errors import Cancelled, SpecFusionError
from napari_specfusion.widgets._fuse_options import unfit_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.calibration import CalibratedScene, Calibration
    from napari_specfusion.progress import Progress
    from napari_specfusion.widgets._worker import Report, ShouldStop

__all__ = ["Mood", "Preflight", "inspect_pair"]

Mood = Literal["wait", "good", "info", "warning", "error"]

_VERDICTS: dict[str, tuple[Mood, str]] = {
    "good": ("good", "The two images belong together."),
    "doubtful": ("warning", "The two images may not show the same area."),
    "unrelated": ("error", "The two images do not belong together."),
}


@dataclass(frozen=True, eq=False)
class Preflight:
    """What was found out about a pair so far.

    Attributes
    ----------
    scene
        The pair, calibrated once `calibration` is there; None where there is none.
    checks
        What looking at the two from outside found.
    calibration
        PSF, shift and residual; None before it is done or where it failed.
    calibrated
        The pair with what calibration keeps of it, for the run; None before.
    step
        What is being done, while it is.
    unfit
        Why weights that come with the package cannot be used for the pair, by name.
    done
        Whether nothing more is to come.
    """

    scene: Scene | None = None
    checks: tuple[Finding, ...] = ()
    calibration: Calibration | None = None
    done: bool = False
    calibrated: CalibratedScene | None = None
    step: str = ""
    unfit: Mapping[str, str] = field(default_factory=dict)

    @property
    def can_run(self) -> bool:
        """Whether nothing found so far forbids a run."""
        return self.scene is not None and not any(f.level == "error" for f in self.checks)

    @property
    def believable(self) -> bool:
        """Whether the calibration can be used to lay one image over the other."""
        return self.calibration is not None and self.calibration.verdict != "unrelated"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the calibration and the checks found, the former first."""
        own = self.calibration.findings() if self.calibration else ()
        # shift and PSF stand among the facts
        return (*(f for f in own if f.level != "info" or f.topic == "match"), *self.checks)

    @property
    def verdict(self) -> tuple[Mood, str]:
        """The whole in a mood and a sentence."""
        if not (self.scene or self.checks):
            return "info", "Choose a cube and a guide."
        if not self.can_run:
            return "error", "These two cannot be fused."
        if not self.done:
            return "wait", f"{self.step or 'Calibrating the pair'} ..."
        if self.calibration is None:
            return "warning", "The pair could not be calibrated."
        return _VERDICTS[self.calibration.verdict]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What the calibration measured, as label and value."""
        if self.calibration is None:
            return ()
        residual = ("Residual", f"{self.calibration.residual:.1%}")
        if not self.believable:
            # PSF and shift of two images that do not belong together mean nothing
            return (residual,)
        psf, shift = self.calibration.psf, self.calibration.shift
        return (
            ("PSF width", f"{psf.width:.2f} px"),
            ("Shift (y, x)", f"{shift[0]:+.2f}, {shift[1]:+.2f} px"),
            residual,
        )


def inspect_pair(low: Any, guide: Any, ratio: float | None, report: Report, should_stop: ShouldStop) -> Preflight:
    """Check the pair that two layers make, report that, then calibrate it; trouble becomes a finding."""
    try:
        scene = Scene(Cube.from_layer(low), Cube.from_layer(guide), ratio)
        checks = scene.check()
    except SpecFusionError as error:
        return Preflight(None, (Finding("error", "pair", str(error)),), done=True)
    first = Preflight(scene, checks)
    if not first.can_run or should_stop():
        return Preflight(scene, checks, done=True)
    report(first)
    # here and not in the GUI's thread: the first time torch is loaded and the weights are opened
    unfit = unfit_weights(scene)
    # scipy and the solvers behind it are loaded when they are first needed
    from napari_specfusion.calibration import CalibratedScene

    def tell(step: Progress) -> None:
        report(dataclasses.replace(first, step=step.message))

    calibrated = CalibratedScene(scene, progress=tell, should_stop=should_stop)
    try:
        calibration = calibrated.calibration
    except Cancelled:
        return Preflight(scene, checks, done=True, unfit=unfit)
    except SpecFusionError as error:
        return Preflight(scene, (Finding("warning", "calibration", str(error)), *checks), done=True, unfit=unfit)
    known = calibration.apply(scene)
    return Preflight(known, checks, calibration, done=True, calibrated=calibrated, unfit=unfit)
