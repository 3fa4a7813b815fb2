"""Fitting a small network on one scene, without a reference.

The loss has two parts. By Wald's protocol both images are degraded with the pair's own PSF, and the network learns to
turn the base of that smaller scene into the measured cube. At full resolution, where the truth is unknown, the result
must be consistent with both images: blurred and decimated it must give the cube, and through the response the guide. A
part of the low-resolution scene is held out, and the network is kept only if it beats the base there.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_specfusion.arguments import callback, choice, number, whole
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.device import pick_device
from napari_specfusion.errors import Cancelled, ModelError
from napari_specfusion.methods.registry import DEFAULT_METHOD
from napari_specfusion.networks.registry import DEFAULT_NETWORK, NETWORKS, create_model
from napari_specfusion.networks.residual import start_at_zero
from napari_specfusion.progress import Progress, Watch
from napari_specfusion.training.fit_data import FitData, Windows
from napari_specfusion.training.options import MOST_SEED
from napari_specfusion.weights.fitted import Fitted
from napari_specfusion.weights.shipped import weights_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.scene import Scene

__all__ = ["FIT_MINUTES", "FitProgress", "fit"]

FIT_MINUTES = 3.0
"""Default time for a fit."""

# Chosen on CAVE training scenes.
RATE = 1e-3
# the best strength on the held-out part is reduced, because the correction was learned at another resolution
STRENGTHS = (1 / 3, 2 / 3, 1.0)
TRUST = 0.75
MIN_GAIN = 0.02
CONSISTENCY = 0.03
REPORT_SECONDS = 1.0


@dataclass(frozen=True)
class FitProgress:
    """Progress of a fit.

    Attributes
    ----------
    step
        Optimiser steps done.
    seconds, minutes
        Time since the start in seconds, and time allowed in minutes.
    loss
        Running mean of the training loss, in units of the base's error.
    score
        PSNR in dB on the held-out part, as last measured; NaN before that.
    phase
        ``"prepare"``, ``"train"`` or ``"done"``.
    """

    step: int
    seconds: float
    minutes: float
    loss: float
    score: float
    phase: Literal["prepare", "train", "done"]

    @property
    def done(self) -> float:
        """Seconds of the time allowed that have passed."""
        return min(self.seconds, self.total)

    @property
    def total(self) -> float:
        """The time allowed in seconds."""
        return 60 * self.minutes

    @property
    def message(self) -> str:
        """The phase in words."""
        return {"prepare": "Preparing the fit", "train": f"Fitting, step {self.step}", "done": "Done"}[self.phase]


def fit(
    scene: Scene | CalibratedScene,
    model: str = DEFAULT_NETWORK,
    *,
    minutes: float = FIT_MINUTES,
    steps: int | None = None,
    progress: Callable[[FitProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Fitted:
    """Fit a network to `scene`, to correct the result of the default method, `detail`.

    Parameters
    ----------
    scene
        The pair. PSF and shift are calibrated if the scene does not state them. A reference is not used.
    model
        Name of the network; one of `list_networks`.
    minutes
        Total time allowed.
    steps
        Optimiser steps to take, in place of a time limit; the same steps and seed give the same network.
    progress
        Called about once a second.
    should_stop
        Called about once a second; if it returns True, the fit stops.
    device
                Device to train on.
    seed
        Seed of the weights and the crops.

    Returns
    -------
    Fitted
        A method for ``fuse(..., model=...)``. If the network is no better on the held-out part, it is dropped, `fuse`
        returns that method's result, and the message says so. The message also says if shipped weights fit
        the scene: in the benchmark they gain more than a fit in the mean.

    Raises
    ------
    SceneError
        If the cube is too small to degrade once more.
    Cancelled
        If `should_stop` returned True.
    ModelError
        If the network is unknown or does not support the ratio.
    """
    import torch

    started = time.perf_counter()
    callback("progress", progress, ModelError)
    callback("should_stop", should_stop, ModelError)
    choice("The network", model, NETWORKS, ModelError)
    whole("seed", seed, 0, MOST_SEED, ModelError)
    if steps is not None:
        whole("steps", steps, 0, error=ModelError)
    else:
        number("The time allowed in minutes", minutes, above=0.0, error=ModelError)
    deadline = math.inf if steps is not None else started + 60 * minutes

    def report(step: int, loss: float, score: float, phase: Literal["prepare", "train", "done"]) -> None:
        if should_stop is not None and should_stop():
            raise Cancelled("The fit was stopped; nothing was kept.")
        if progress is not None:
            progress(FitProgress(step, time.perf_counter() - started, minutes, loss, score, phase))

    def preparing(_: Progress) -> None:
        report(0, math.nan, math.nan, "prepare")

    report(0, math.nan, math.nan, "prepare")
    device = pick_device(device)
    calibrated = CalibratedScene.of(scene)
    with calibrated.watched(Watch(preparing, should_stop)):
        scene = calibrated.scene
        data = FitData.of(calibrated)
    torch.manual_seed(seed)
    network = create_model(model, data.basis.shape[1], scene.guide.bands, int(scene.factor))
    start_at_zero(network)
    network.to(device)
    residual = data.residual(network)
    with calibrated.watched(Watch(preparing, should_stop)):
        windows = Windows.of(calibrated, residual, np.random.default_rng(seed))
    base_score = data.score(residual, 0.0)

    averaged = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    rng = np.random.default_rng(seed)
    running, reported, step = math.nan, -math.inf, 0
    # leave time for scoring at the end
    while (step < steps) if steps is not None else (time.perf_counter() < deadline - 2.0):
        now = time.perf_counter()
        share = step / steps if steps is not None else (now - started) / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = (
                RATE * min(1.0, (step + 1) / 20) * (0.02 + 0.98 * math.cos(math.pi / 2 * min(share, 1.0)) ** 2)
            )
        loss = data.loss(residual, rng) + CONSISTENCY * windows.loss(residual, rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
                mean.lerp_(value, max(0.02, 10 / (step + 10)))
        running = loss.item() if math.isnan(running) else 0.95 * running + 0.05 * loss.item()
        if now - reported > REPORT_SECONDS:
            report(step, running, math.nan, "train")
            reported = now

    final = data.residual(averaged.cpu().eval())
    strength = TRUST * max(STRENGTHS, key=lambda share: data.score(final, share))
    score = data.score(final, strength)
    report(step, running, score, "done")
    gain, instead = score - base_score, _instead(scene)
    if gain < MIN_GAIN:
        return Fitted(
            None,
            0.0,
            base_score,
            base_score,
            f"The network changed the held-out part by {gain:+.2f} dB after {step} steps, too little to keep it: "
            f"the {DEFAULT_METHOD} result is used.{instead}",
            model,
        )
    message = f"The network gains {gain:.2f} dB on the held-out part after {step} steps.{instead}"
    return Fitted(final, strength, base_score, score, message, model)


def _instead(scene: Scene) -> str:
    """Return a hint if weights of the package fit a scene: in the benchmark they gain more in the mean than a fit."""
    if not weights_for(scene):
        return ""
    return " Weights that come with the package fit this pair, too, and usually gain more: compare with auto."
