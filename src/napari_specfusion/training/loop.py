"""What every training run does: its loop, the moving average of its weights, and the state that it resumes from."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Protocol

from napari_specfusion.errors import Cancelled, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_specfusion.training.options import TrainingProgress

__all__ = ["Run", "average", "load_state", "run_to_the_end", "state_of"]

REPORT_SECONDS = 5.0


class Run(Protocol):
    """A training run in memory: network, moving average of its weights, optimiser, log."""

    network: torch.nn.Module
    averaged: torch.nn.Module
    optimiser: torch.optim.AdamW
    step: int
    seconds: float
    log: list[dict[str, float]]

    def take_step(self) -> None:
        """Take one step."""

    def validate(self) -> None:
        """Score the moving average of the weights."""

    def progress(self) -> TrainingProgress:
        """Return the progress of the run."""


def run_to_the_end(
    run: Run,
    steps: int,
    validate_every: int,
    save: Callable[[], None],
    progress: Callable[[TrainingProgress], None] | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    """Train up to a number of steps; validate and save every so often, and report every few seconds.

    Raises
    ------
    Cancelled
        If `should_stop` returned True; the state has been saved.
    """
    reported = -math.inf
    while run.step < steps:
        if should_stop is not None and should_stop():
            save()
            raise Cancelled(f"The training was stopped after {run.step} steps; the same call resumes it.")
        run.take_step()
        validated = run.step % validate_every == 0 or run.step == steps
        if validated:
            run.validate()
            save()
        if progress is not None and (validated or time.perf_counter() - reported > REPORT_SECONDS):
            progress(run.progress())
            reported = time.perf_counter()


def average(run: Run, most: float) -> None:
    """Move the average towards the weights after a step; it keeps a share of at most `most` of itself."""
    import torch

    decay = min(most, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for mean, value in zip(run.averaged.parameters(), run.network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


def state_of(run: Run) -> dict[str, Any]:
    """Return what `load_state` needs, apart from what is special to a run."""
    return {
        "step": run.step,
        "seconds": run.seconds,
        "network": run.network.state_dict(),
        "averaged": run.averaged.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "log": run.log,
    }


def load_state(run: Run, state: dict[str, Any], setup: dict[str, Any]) -> None:
    """Resume from `state`, after checking that it was made with the same `setup`.

    Raises
    ------
    OutputError
        If it belongs to a run with other options.
    """
    was = state["facts"]
    other = [key for key in setup if was.get(key) != setup[key]]
    if other:
        raise OutputError(
            f"The folder holds a run with another {other[0]} ({was.get(other[0])!r}, not {setup[other[0]]!r}); give "
            "another folder, or the same options to resume it."
        )
    try:
        run.network.load_state_dict(state["network"])
        run.averaged.load_state_dict(state["averaged"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.step, run.seconds, run.log = state["step"], state["seconds"], state["log"]
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(
            f"The folder holds a run of another network, or a damaged one ({reason}); give another folder."
        ) from error
