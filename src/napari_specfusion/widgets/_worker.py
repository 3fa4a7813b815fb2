"""The one bridge from the core's callbacks to Qt: a function that runs in the background and reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from napari_specfusion.errors import Cancelled, SpecFusionError

__all__ = ["Job", "Report", "ShouldStop"]

Report = Callable[[object], None]
ShouldStop = Callable[[], bool]

REPORT_INTERVAL = 0.05


class Job(QObject):
    """One run of ``function(report, should_stop)`` in a thread.

    All signals arrive in the thread that made the job. Reports that come faster than a screen shows them are dropped.
    What ends a job is said once: a SpecFusionError as its own words, any other exception the way napari shows them.

    Attributes
    ----------
    reported
        What the function reported.
    succeeded
        What it returned.
    failed
        Why it did not, in words.
    ended
        Always comes last, also after a stop.
    """

    reported = Signal(object)
    succeeded = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(self, title: str, function: Callable[[Report, ShouldStop], Any]) -> None:
        super().__init__()
        self._task = _Task(title, function, self)
        self._worker: Any = create_worker(self._task, _start_thread=False)
        self._worker.errored.connect(self._on_error)
        self._worker.finished.connect(self._on_finish)
        self._trouble = ""

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    def stop(self) -> None:
        """Ask the function to stop; it acts when it next looks."""
        self._worker.quit()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self._worker.abort_requested)

    def _on_error(self, error: Exception) -> None:
        # napari has shown it already, with its traceback
        self._trouble = f"{type(error).__name__}: {error}"

    def _on_finish(self) -> None:
        error = self._task.error
        if error is not None and not isinstance(error, Cancelled) and not self.stopping:
            self._trouble = str(error)
            show_error(self._trouble)
        if self._trouble:
            self.failed.emit(self._trouble)
        elif error is None and not self.stopping:
            self.succeeded.emit(self._task.result)
        self._task.result = None
        self.ended.emit()


class _Task:
    """What the thread calls; its name is what napari asks about before it closes over a running job."""

    def __init__(self, title: str, function: Callable[[Report, ShouldStop], Any], job: Job) -> None:
        self.title, self.function, self.job = title, function, job
        self.result: Any = None
        self.error: SpecFusionError | None = None
        self._last_report = -1.0

    def __call__(self) -> None:
        try:
            self.result = self.function(self.report, lambda: self.job.stopping)
        except SpecFusionError as error:
            self.error = error

    def report(self, event: object) -> None:
        now = time.monotonic()
        if now - self._last_report >= REPORT_INTERVAL:
            self._last_report = now
            self.job.reported.emit(event)

    def __repr__(self) -> str:
        return self.title
