"""How a long step tells how far it is, and learns that it shall stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_specfusion.errors import Cancelled

__all__ = ["Progress", "ShouldStop", "Watch"]

ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes
    ----------
    done, total
        Parts of the step that are done, and all of them.
    message
        What is being done.
    """

    done: int
    total: int
    message: str = ""


@dataclass(frozen=True)
class Watch:
    """Passes on the progress of a step and asks whether to stop.

    Attributes
    ----------
    progress
        Called with each `Progress`; None tells nobody.
    should_stop
        Asked with each report; true ends the step.
    stopped
        What is said then.
    """

    progress: Callable[[Progress], None] | None = None
    should_stop: ShouldStop | None = None
    stopped: str = "Stopped before the first tile; nothing was written."

    def check(self) -> None:
        """Raise Cancelled if the step shall stop."""
        if self.should_stop is not None and self.should_stop():
            raise Cancelled(self.stopped)

    def tell(self, done: int, total: int, message: str) -> None:
        """Report that `done` of `total` parts are done.

        Raises
        ------
        Cancelled
            If the step shall stop.
        """
        self.check()
        if self.progress is not None:
            self.progress(Progress(done, total, message))
