"""Automatic choice of a method: each is tried at reduced resolution, where the reference is known."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.arguments import short, whole
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.device import pick_device
from napari_specfusion.errors import Cancelled, ModelError, SceneError, SpecFusionError
from napari_specfusion.fusion.trial import SIDE, score_trial, trial_pair
from napari_specfusion.methods.registry import DEFAULT_METHOD, METHODS
from napari_specfusion.progress import Progress, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_specfusion.data.scene import Scene
    from napari_specfusion.quality.metrics import Quality
    from napari_specfusion.tiling.contract import Method
    from napari_specfusion.weights.any_sensor import AnySensor
    from napari_specfusion.weights.trained import Trained

__all__ = ["Choice", "choose"]

# dB by which another method without weights must beat `detail`, and weights may lag behind it: the trial has few
# pixels to learn from, and networks are at a scale that they were hardly trained for. On 141 airborne pairs `subspace`
# led the trial by up to 2.4 dB, where `detail` was 2.7 dB better at full scale; on none was it better by more than 0.4.
# On AVIRIS abu-airport-3 `gsa` led by 5.3 dB, angles included, where it was 0.5 dB worse.
# Weights for any sensor may lag behind more: on 48 pairs of AVIRIS and M3 the trial puts `lso-any` 0.03 dB behind at
# worst, and on 192 it loses 0.03 dB at most at full scale. On the painted sample the trial puts `lso-cave-x4` 0.18 dB
# behind, where it loses 2 dB.
MARGIN, LEARNED_MARGIN, ANY_MARGIN = 6.0, -0.1, -0.3
# a spectral angle counts as worse only beyond this factor; from there on it counts like PSNR, in dB
EQUAL_ANGLE = 1.1
# cap on a band's PSNR in dB: that of a constant band can be infinite
ENOUGH = 80.0
STOPPED = "The trial of methods was stopped; nothing was written."


@dataclass(frozen=True, eq=False)
class Choice:
    """The result of `choose`.

    Attributes
    ----------
    method
        The method to fuse with.
    scores
        Quality of each candidate at reduced resolution, by name, in the order of the trials.
    left_out
        Reason why a candidate could not be tried, by name.
    reason
        Reason for the choice, in words.
    """

    method: Method
    scores: Mapping[str, Quality] = field(default_factory=lambda: MappingProxyType({}))
    left_out: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""

    def __getstate__(self) -> dict[str, Any]:
        # views of mappings cannot be pickled
        return self.__dict__ | {"scores": dict(self.scores), "left_out": dict(self.left_out)}


def choose(
    scene: Scene | CalibratedScene,
    candidates: Iterable[Method] | None = None,
    *,
    side: int = SIDE,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Choice:
    """Try methods on the scene at reduced resolution and choose the best.

    Both images are degraded once more with the pair's own sampling; the original cube is then the reference. What has
    been right comes first: `detail`, or weights for the pair's sensor or for any, if they are no worse there than
    `detail`. Another method must beat it clearly. Spectral angles that differ by more than a tenth count as well.

    Parameters
    ----------
    scene
        The pair; PSF and shift are calibrated if it does not state them.
    candidates
        The methods to try, simplest first. None takes all methods without weights, and the best shipped weights for
        the sensor and those for any sensor, if they fit.
    side
        Largest side of the cube for the trial, in pixels; a larger cube is cropped to its middle.
    device
        Where to compute.
    progress
        Called with a `Progress` while the pair is calibrated and before each method is tried.
    should_stop
        Called before every method and every tile; true stops the trial.

    Returns
    -------
    Choice
        A model for `fuse`. Where no trial is possible, weights for any sensor, if these fit, else `detail`.

    Raises
    ------
    CalibrationError
        If the pair cannot be calibrated.
    Cancelled
        If the trial was stopped.
    """
    side = whole("side", side, 1, error=SceneError)
    candidates = None if candidates is None else _checked(candidates)
    device = pick_device(device)
    calibrated = CalibratedScene.of(scene)
    scene = calibrated.stated
    try:
        with calibrated.watched(Watch(progress, should_stop, STOPPED)):
            pair = trial_pair(calibrated, side)
    except SceneError as error:
        return _untried(scene, candidates, str(error))
    assert pair.scene.reference is not None
    height, width = pair.scene.reference.shape[1:]
    given = (*METHODS.values(), *_weights(scene)) if candidates is None else candidates
    methods = {method.name: method for method in given}
    pair.watch = Watch(None, should_stop, STOPPED)
    scores: dict[str, Quality] = {}
    left_out: dict[str, str] = {}
    for number, (name, method) in enumerate(methods.items()):
        if progress is not None:
            progress(Progress(number, len(methods), f"Trying {name}"))
        try:
            scores[name] = score_trial(method, pair, device)
        except Cancelled:
            raise
        except SpecFusionError as error:
            left_out[name] = str(error)
    if not scores:
        return Choice(
            METHODS[DEFAULT_METHOD],
            left_out=left_out,
            reason=f"{DEFAULT_METHOD} was chosen untried: no method could be tried.",
        )
    best = _best(scores, {name for name, method in methods.items() if _is_for_any_sensor(method)})
    return Choice(methods[best], scores, left_out, _reason(best, scores, left_out, (height, width)))


def _untried(scene: Scene, candidates: tuple[Method, ...] | None, reason: str) -> Choice:
    """Return what has been right on pairs of all kinds: shipped weights for any sensor if they fit, else `detail`.

    Weights for one sensor can be far behind on scenes that they do not know, so they are not taken untried.
    """
    from napari_specfusion.weights.shipped import weights_for

    offered = weights_for(scene) if candidates is None else ()
    method = next(filter(_is_for_any_sensor, offered), METHODS[DEFAULT_METHOD])
    return Choice(method, reason=f"{method.name} was chosen untried. {reason}")


def _checked(candidates: object) -> tuple[Method, ...]:
    """Return methods to try, each with a name and ready to be prepared."""
    try:
        given = tuple(candidates) if isinstance(candidates, Iterable) and not isinstance(candidates, str) else ()
    except Exception:  # an array without axes, or of unknown length
        given = ()
    for one in given:
        if not hasattr(one, "prepare") or not isinstance(getattr(one, "name", None), str):
            raise ModelError(
                f"{short(one)} cannot be tried; give methods: values of METHODS, or results of load_weights or fit."
            )
    if not given:
        raise ModelError("There are no candidates; give methods to try, or None for all.")
    return given


def _weights(scene: Scene) -> list[Trained | AnySensor]:
    """Return the best shipped weights for the sensor of a scene, if there are any, and those for any sensor.

    The best are those for this ratio alone, then those that gained most on the scenes held out from their training: a
    trial at reduced resolution tells networks apart less well. On CAVE's validation scenes, weights for the sensor gain
    more than twice as much as those for any.
    """
    from napari_specfusion.weights.shipped import weights_for
    from napari_specfusion.weights.trained import Trained

    fitting = weights_for(scene)
    own = [weights for weights in fitting if isinstance(weights, Trained)]
    others = [weights for weights in fitting if not isinstance(weights, Trained)]
    return [max(own, key=_promise), *others] if own else [*others]


def _is_for_any_sensor(method: Method) -> bool:
    from napari_specfusion.weights.any_sensor import AnySensor

    return isinstance(method, AnySensor)


def _promise(weights: Trained) -> tuple[bool, float]:
    """Return whether weights are for one ratio alone, and by how many dB they improved the base on held-out scenes."""
    low, high = weights.ratios
    scores = weights.card.scores
    return low == high, scores.get("psnr", -math.inf) - scores.get("base_psnr", 0.0)


def _best(scores: Mapping[str, Quality], for_any: Collection[str] = ()) -> str:
    """Return the name of the method to use; weights `for_any` sensor only if none for one are good enough."""
    first = DEFAULT_METHOD if DEFAULT_METHOD in scores else next(iter(scores))
    for names, learned in ((set(scores) - set(for_any), LEARNED_MARGIN), (set(for_any), ANY_MARGIN)):
        best, gain = first, 0.0
        for name in scores:
            if name == DEFAULT_METHOD or name not in names:
                continue
            # the surplus over what it must reach
            surplus = _advantage(scores[name], scores[first]) - (MARGIN if name in METHODS else learned)
            if surplus > gain:
                best, gain = name, surplus
        if best != first:
            return best
    return first


def _level(quality: Quality) -> float:
    """Return the PSNR in dB, mean over the bands."""
    return float(np.nanmean(np.minimum(quality.bands["psnr"], ENOUGH)))


def _advantage(one: Quality, other: Quality) -> float:
    """Return by how many dB `one` is better than `other`; a clear difference in angle counts too."""
    return _level(one) - _level(other) + _lag(other, one) - _lag(one, other)


def _lag(one: Quality, other: Quality) -> float:
    """Return by how many dB the angle of `one` is larger than that of `other`, 0 if it is not clearly larger."""
    share = one.sam / (EQUAL_ANGLE * other.sam) if other.sam > 0 else 1.0
    return 20 * math.log10(share) if share > 1 else 0.0


def _reason(best: str, scores: Mapping[str, Quality], left_out: Mapping[str, str], shape: tuple[int, int]) -> str:
    def score_text(name: str) -> str:
        return f"{name} {_level(scores[name]):.2f} dB, {scores[name].sam:.2f} degrees"

    others = "; ".join(score_text(name) for name in scores if name != best)
    text = f"{best} was chosen in a trial at reduced resolution, on {shape[0]} x {shape[1]} pixels: {score_text(best)}"
    if others:
        text += f" ({others})"
    if left_out:
        text += f". Left out: {', '.join(left_out)}"
    return text + "."
