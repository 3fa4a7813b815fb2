"""The queue of the Fuse panel, without Qt: which run goes on, which ones wait, and what became of the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_specfusion.fusion.recipe import Recipe
    from napari_specfusion.widgets._fuse_options import Fused
    from napari_specfusion.widgets._worker import Report, ShouldStop

__all__ = ["QueuedRun", "RunQueue", "RunState"]

RunState = Literal["waiting", "running", "done", "failed", "stopped"]
OPEN = ("waiting", "running")


@dataclass(eq=False)
class QueuedRun:
    """A run with the settings of when it was queued.

    Attributes
    ----------
    low, guide
        The layers that are fused.
    method
        What it is called until the method is known.
    title
        What is being done, in words.
    work
        Does it; None once the run is over, so that it holds no images.
    matrix
        ``(3, 3)``: from pixels of the result to pixels of the guide's layer.
    recipe
        What it is begun with; None where a finished result is opened.
    out
        Folder of the result; None keeps it in memory.
    known
        What was known about the pair: two runs on the same knowledge with the same recipe are one.
    state
        What became of it.
    message
        What there is to say about that.
    """

    low: Any
    guide: Any
    method: str
    title: str
    work: Callable[[Report, ShouldStop], Fused] | None
    matrix: NDArray[np.float64]
    recipe: Recipe | None = None
    out: Path | None = None
    known: Any = None
    state: RunState = "waiting"
    message: str = ""

    def __post_init__(self) -> None:
        # as they are called now: later they may be renamed, or gone
        self.pair = f"{self.low.name} with {self.guide.name}"

    @property
    def is_open(self) -> bool:
        """Whether it waits or goes on."""
        return self.state in OPEN

    def equals(self, other: QueuedRun) -> bool:
        """Whether another run would give the same."""
        # layers reach a plugin in wrappers, of which each is another object
        same_pair = self.low == other.low and self.guide == other.guide and self.known is other.known
        # of a recipe, since options of a reader may be arrays, which do not compare
        return same_pair and repr(self.recipe) == repr(other.recipe) and self.title == other.title

    def close(self, state: RunState, message: str = "") -> None:
        """Note how it ended, and let go of what it held."""
        self.state, self.message = state, message
        self.work = self.known = None


class RunQueue:
    """Runs in their order: those that are over, the one that goes on, and those that wait.

    A run that is added when none is open begins a new list.
    """

    def __init__(self) -> None:
        self.runs: list[QueuedRun] = []
        self._was_queue = False

    @property
    def running(self) -> QueuedRun | None:
        """The run that goes on; None where none does."""
        return next((run for run in self.runs if run.state == "running"), None)

    @property
    def waiting(self) -> list[QueuedRun]:
        """The runs that wait, the next one first."""
        return [run for run in self.runs if run.state == "waiting"]

    @property
    def is_worth_showing(self) -> bool:
        """Whether there is, or was, more than a single run to tell about."""
        return self._was_queue and bool(self.runs)

    def claims(self, out: Path | None) -> bool:
        """Whether an open run writes its result to `out`."""
        if out is None:
            return False
        path = os.path.abspath(out)
        return any(run.is_open and run.out is not None and os.path.abspath(run.out) == path for run in self.runs)

    def add(self, run: QueuedRun) -> bool:
        """Let a run wait for its turn; return False if the same one is open already.

        A run to the folder of an open one is listed as failed: which of the two should be there cannot be known.
        """
        if not any(one.is_open for one in self.runs):
            self.runs, self._was_queue = [], False
        if any(one.is_open and one.equals(run) for one in self.runs):
            return False
        if run.out is not None and self.claims(run.out):
            run.close("failed", f"A run before it writes to {run.out.name}; choose another folder under Result in.")
        self.runs.append(run)
        self._was_queue |= len(self.runs) > 1
        return True

    def next(self, layers: Container[Any]) -> QueuedRun | None:
        """Begin the next run whose layers are there, and return it; None if none waits, or one goes on."""
        if self.running is not None:
            return None
        self.drop_missing(layers)
        run = next(iter(self.waiting), None)
        if run is not None:
            run.state = "running"
        return run

    def drop_missing(self, layers: Container[Any]) -> None:
        """Close the waiting runs of which a layer was removed, and say so."""
        for run in self.waiting:
            gone = [str(layer.name) for layer in (run.low, run.guide) if layer not in layers]
            if gone:
                were = "were" if len(gone) > 1 else "was"
                run.close("failed", f"{' and '.join(gone)} {were} removed before its turn; it did not run.")

    def end(self, state: RunState, message: str = "") -> None:
        """Note how the run that goes on ended."""
        if (run := self.running) is not None:
            run.close(state, message)

    def remove(self, run: QueuedRun) -> None:
        """Take a run out of the list, unless it goes on."""
        if run in self.runs and run.state != "running":
            self.runs.remove(run)

    def drop_waiting(self) -> None:
        """Take out all runs that wait."""
        for run in self.waiting:
            self.remove(run)
