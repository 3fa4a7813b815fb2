"""The one bridge from the core's callbacks to Qt: a function that runs in the background and reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal

from napari_specfusion.errors import Cancelled, FusionError, SpecFusionError
from napari_specfusion.progress import ShouldStop

__all__ = ["Job", "Report", "ShouldStop"]

Report = Callable[[object], None]

REPORT_INTERVAL = 0.05
# what Windows says of a DLL that is not there or does not start
DLL_ERRORS = {126, 127, 1114}
TORCH_AFTER_QT = (
    "PyTorch does not load after Qt here ({}). Start napari with PyTorch loaded first: "
    'python -c "import torch, napari; napari.Viewer(); napari.run()"'
)


class Job(QObject):
    """One run of ``function(report, should_stop)`` in a thread.

    All signals arrive in the thread that made the job. Reports that come faster than a screen shows them are dropped.
    What ends a job is said by the panel that started it. napari shows an exception that is no SpecFusionError, too.

    Attributes
    ----------
    matters
        Whether the user is asked before it is stopped by closing something.
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
        self.matters = False
        self._task = _Task(title, function, self)
        self._worker: Any = create_worker(self._task, _start_thread=False)
        self._worker.finished.connect(self._on_finish)

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    def stop(self) -> None:
        """Ask the function to stop; it acts when it next looks."""
        self._worker.quit()

    @property
    def title(self) -> str:
        """What it does, in words."""
        return self._task.title

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self._worker.abort_requested)

    def _on_finish(self) -> None:
        error, result = self._task.outcome()
        if isinstance(error, SpecFusionError):
            # words of the end of a run that the user ended tell nothing new
            if not isinstance(error, Cancelled) and not self.stopping:
                self.failed.emit(str(error))
        elif error is not None:
            notification_manager.receive_error(type(error), error, error.__traceback__)
            self.failed.emit(f"{type(error).__name__}: {error}")
        elif not self.stopping:
            self.succeeded.emit(result)
        self.ended.emit()


def _torch_after_qt(error: Exception) -> bool:
    """Whether torch found the C++ library that Qt brought, which may be older than what it needs."""
    return isinstance(error, OSError) and getattr(error, "winerror", None) in DLL_ERRORS and "torch" in str(error)


class _Task:
    """What the thread calls; its name is what napari asks about before it closes over a running job."""

    def __init__(self, title: str, function: Callable[[Report, ShouldStop], Any], job: Job) -> None:
        self.title, self.function, self.job = title, function, job
        self._result: Any = None
        self._error: Exception | None = None
        self._last_report = -1.0
        self._was_step = True

    def __call__(self) -> None:
        try:
            self._result = self.function(self.report, lambda: self.job.stopping)
        except Exception as error:
            self._error = FusionError(TORCH_AFTER_QT.format(error)) if _torch_after_qt(error) else error

    def outcome(self) -> tuple[Exception | None, Any]:
        """Return what went wrong and what came out, and let go of both."""
        outcome, self._error, self._result = (self._error, self._result), None, None
        return outcome

    def report(self, event: object) -> None:
        now, is_step = time.monotonic(), getattr(event, "step", None) is not None
        # the first report after the preparing steps brings the result, and must not be lost
        if now - self._last_report >= REPORT_INTERVAL or is_step != self._was_step:
            self._last_report, self._was_step = now, is_step
            self.job.reported.emit(event)

    def __repr__(self) -> str:
        return self.title
