"""What is known about a pair before it is fused: alignment, checks, calibration, and a verdict in words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from napari_specfusion.alignment import Alignment, align
from napari_specfusion.alignment.scene import make_scene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Finding, Scene
from napari_specfusion.errors import Cancelled, SpecFusionError
from napari_specfusion.progress import Watch
from napari_specfusion.widgets._fuse_options import unfit_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.calibration import CalibratedScene, Calibration
    from napari_specfusion.progress import Progress
    from napari_specfusion.widgets._worker import Report, ShouldStop

__all__ = ["ALIGN", "BY_HAND", "Mood", "Preflight", "describe_moves", "inspect_pair", "verdict_of"]

Mood = Literal["wait", "good", "info", "warning", "error"]

# how the guide is brought onto the cube's grid
ALIGN = {"auto": "Automatic", "tags": "Only what the files' tags say", "off": "Off: equal corners"}
BY_HAND = "Align by hand"

_VERDICTS: dict[str, tuple[Mood, str]] = {
    "good": ("good", "The two images belong together."),
    "doubtful": ("warning", "The two images may not show the same area."),
    "unrelated": ("error", "The two images do not belong together."),
}
_ORDER = tuple(_VERDICTS)
_NO_POSITION = Finding(
    "error",
    "alignment",
    "No position of the guide was found in which its detail agrees with the cube's. Click three pairs of points "
    f"({BY_HAND}), or choose other files.",
)


@dataclass(frozen=True, eq=False)
class Preflight:
    """What was found out about a pair so far.

    Attributes
    ----------
    scene
        The pair, aligned, and calibrated once `calibration` is there; None where there is none.
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
    def alignment(self) -> Alignment | None:
        """How the guide was moved onto the cube's grid; None where it is used as it is."""
        found = None if self.scene is None else self.scene.alignment
        return None if found is None or found.placement == "as is" else found

    @property
    def can_run(self) -> bool:
        """Whether the pair can be fused, now that all is known about it."""
        return self.done and self._possible

    @property
    def _possible(self) -> bool:
        return self.scene is not None and not any(f.level == "error" for f in self.checks)

    @property
    def judgement(self) -> str:
        """``"good"``, ``"doubtful"`` or ``"unrelated"``: the worse of alignment and calibration; "" for neither."""
        verdicts = [found.verdict for found in (self.alignment, self.calibration) if found is not None]
        return max(verdicts, key=_ORDER.index) if verdicts else ""

    @property
    def believable(self) -> bool:
        """Whether what was found can be used to lay one image over the other."""
        return self.calibration is not None and self.judgement != "unrelated"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the pair must not be fused without asking; empty where it may."""
        if not self.can_run or self.judgement not in ("doubtful", "unrelated"):
            return ()
        return tuple(f.message for f in self.findings if f.level != "info") or (self.verdict[1],)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What alignment, calibration and checks found, in this order."""
        # where the guide lies, shift and PSF stand among the facts
        moved = () if self.alignment is None else self.alignment.findings()
        moved = tuple(_NO_POSITION if f.topic == "alignment" and f.level == "error" else f for f in moved)
        own = self.calibration.findings() if self.calibration else ()
        return (
            *(f for f in moved if f.topic != "geometry" and (f.topic, f.level) != ("alignment", "info")),
            *(f for f in own if f.level != "info" or f.topic == "match"),
            *self.checks,
        )

    @property
    def verdict(self) -> tuple[Mood, str]:
        """The whole in a mood and a sentence."""
        if not (self.scene or self.checks or self.step):
            return "info", "Choose a cube and a guide."
        if not self.done and (self._possible or self.scene is None):
            return "wait", f"{self.step or 'Calibrating the pair'} ..."
        if not self._possible:
            return "error", "These two cannot be fused."
        if self.calibration is None and self.judgement in ("", "good"):
            return "warning", "The pair could not be calibrated."
        return _VERDICTS[self.judgement]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What was measured, as label and value."""
        moved, facts = self.alignment, list[tuple[str, str]]()
        if moved is not None and moved.verdict != "unrelated":
            facts.append(("Guide", describe_moves(moved)))
        if self.believable and self.calibration is not None:
            # PSF and shift of two images that do not belong together mean nothing
            psf, shift = self.calibration.psf, self.calibration.shift
            facts += [("PSF width", f"{psf.width:.2f} px"), ("Shift (y, x)", f"{shift[0]:+.2f}, {shift[1]:+.2f} px")]
        if moved is not None:
            before = "" if moved.before is None else f"{moved.before:.0%} \u2192 "
            facts.append(("Residual", f"{before}{moved.after:.0%}"))
        elif self.calibration is not None:
            facts.append(("Residual", f"{self.calibration.residual:.1%}"))
        return tuple(facts)


def inspect_pair(
    low: Any, guide: Any, ratio: float | None, how: str | Alignment, report: Report, should_stop: ShouldStop
) -> Preflight:
    """Align the pair that two layers make, check it, report that, then calibrate it; trouble becomes a finding.

    Parameters
    ----------
    low, guide
        The layers.
    ratio
        Guide pixels per cube pixel; None leaves it to the images.
    how
        A key of `ALIGN`, or an alignment that is known.
    report, should_stop
        As `Job` gives them.
    """

    def tell(step: Progress) -> None:
        report(dataclasses.replace(first, step=step.message))

    first = Preflight(step="Aligning the two images")
    report(first)
    try:
        scene = _scene(Cube.from_layer(low), Cube.from_layer(guide), ratio, how, tell, should_stop)
        checks = scene.check(Watch(tell, should_stop))
    except Cancelled:
        return Preflight()
    except SpecFusionError as error:
        return Preflight(None, (Finding("error", "pair", str(error)),), done=True)
    first = Preflight(scene, checks)
    if any(finding.level == "error" for finding in checks) or should_stop():
        return Preflight(scene, checks, done=True)
    report(first)
    # here and not in the GUI's thread: the first time torch is loaded and the weights are opened
    unfit = unfit_weights(scene)
    if first.judgement == "unrelated":
        # calibration on a place that means nothing tells nothing
        return Preflight(scene, checks, done=True, unfit=unfit)
    # scipy and the solvers behind it are loaded when they are first needed
    from napari_specfusion.calibration import CalibratedScene

    calibrated = CalibratedScene(scene, progress=tell, should_stop=should_stop)
    try:
        calibration = calibrated.calibration
    except Cancelled:
        return Preflight(scene, checks, done=True, unfit=unfit)
    except SpecFusionError as error:
        return Preflight(scene, (Finding("warning", "calibration", str(error)), *checks), done=True, unfit=unfit)
    known = calibration.apply(scene)
    return Preflight(known, checks, calibration, done=True, calibrated=calibrated, unfit=unfit)


def _scene(
    low: Cube, guide: Cube, ratio: float | None, how: str | Alignment, tell: Any, should_stop: ShouldStop
) -> Scene:
    if isinstance(how, Alignment):
        return how.scene(low, guide)
    if how == "off":
        return Scene(low, guide, ratio)
    if how == "tags":
        return align(low, guide, start="tags", ratio=ratio, progress=tell, should_stop=should_stop)
    return make_scene(low, guide, ratio, progress=tell, should_stop=should_stop)


def verdict_of(judgement: str) -> tuple[Mood, str]:
    """Return a verdict of alignment or calibration in a mood and a sentence."""
    return _VERDICTS[judgement]


def describe_moves(alignment: Alignment) -> str:
    """Return how the guide lies against the cube, in a line."""
    parts = ["mirrored"] if alignment.mirrored else []
    if abs(alignment.rotation) > 0.005:
        parts.append(f"turned by {alignment.rotation:.2f}\u00b0")
    if abs(alignment.scale - 1) > 5e-4:
        parts.append(f"scaled {alignment.scale:.3f}")
    parts.append(f"moved ({alignment.shift[0]:+.1f}, {alignment.shift[1]:+.1f}) px")
    if alignment.local:
        parts.append("bent")
    return ", ".join(parts)
