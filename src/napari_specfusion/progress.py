"""Progress reports of long steps, and requests to stop them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from napari_specfusion.arguments import callback
from napari_specfusion.errors import Cancelled

__all__ = ["Progress", "ShouldStop", "Watch", "look", "stoppable", "unlooked"]

ShouldStop = Callable[[], bool]

# seconds between two looks at whether to stop, at least
LOOK_INTERVAL = 0.1


@dataclass(frozen=True)
class Progress:
    """Progress of a step.

    Attributes
    ----------
    done, total
        Number of parts that are done, and of all parts.
    message
        Description of the current work.
    """

    done: int
    total: int
    message: str = ""


@dataclass(frozen=True)
class Watch:
    """Reports the progress of a step and checks whether to stop.

    Attributes
    ----------
    progress
        Called with each `Progress`; None reports nothing.
    should_stop
        Called with each report; true stops the step.
    stopped
        Message of the `Cancelled` error.
    """

    progress: Callable[[Progress], None] | None = None
    should_stop: ShouldStop | None = None
    stopped: str = "Stopped before the first tile; nothing was written."

    def __post_init__(self) -> None:
        callback("progress", self.progress)
        callback("should_stop", self.should_stop)

    def check(self) -> None:
        """Raise Cancelled if the step should stop."""
        if self.should_stop is not None and self.should_stop():
            raise Cancelled(self.stopped)

    def tell(self, done: int, total: int, message: str) -> None:
        """Report that `done` of `total` parts are done.

        Raises
        ------
        Cancelled
            If the step should stop.
        """
        self.check()
        if self.progress is not None:
            self.progress(Progress(done, total, message))


_look: ContextVar[Callable[[], None] | None] = ContextVar("_look", default=None)


@contextmanager
def stoppable(check: Callable[[], None]) -> Iterator[None]:
    """Let `look` call `check` in the block, in this thread, ten times a second at most.

    For what runs deep inside one tile, where nobody passes a `Watch`: the features of a block, the layers of a network.
    """
    last = time.monotonic()

    def seldom() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOOK_INTERVAL:
            check()
            last = time.monotonic()

    token = _look.set(seldom)
    try:
        yield
    finally:
        _look.reset(token)


@contextmanager
def unlooked() -> Iterator[None]:
    """Let `look` do nothing in the block, in this thread: for what must not be left halfway."""
    token = _look.set(None)
    try:
        yield
    finally:
        _look.reset(token)


def look() -> None:
    """Raise Cancelled if the run that this thread is in should stop; cheap enough for inner loops."""
    check = _look.get()
    if check is not None:
        check()
