"""The residual of a pair at the matrix of the moment, computed in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_specfusion.alignment.live import Residual
from napari_specfusion.widgets._compare_views import Pictures
from napari_specfusion.widgets._forms import single_timer
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.widgets._panel import Panel

__all__ = ["LiveResidual"]

DELAY = 60


class LiveResidual(QObject):
    """Reads a pair once, then tells its residual at each matrix that it is asked for.

    Attributes
    ----------
    ready
        The `Pictures` of the pair: it was read.
    found
        A residual and the matrix it is for. Matrices that come while one is looked at are left out but for the last.
    failed
        Why the pair cannot be compared, in words.
    """

    ready = Signal(object)
    found = Signal(float, object)
    failed = Signal(str)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self._panel = panel
        self._residual: Residual | None = None
        self._wanted: NDArray[np.float64] | None = None
        self._reading: Job | None = None
        self._looking: Job | None = None
        self._debounce = single_timer(panel, DELAY, self._look)

    @property
    def busy(self) -> bool:
        """Whether something is still to come."""
        return self._reading is not None or self._looking is not None or self._debounce.isActive()

    def watch(self, low: Cube, guide: Cube, scale: float) -> None:
        """Read another pair; `scale` is about the number of guide pixels per cube pixel."""
        self.stop()

        def read(report: Any, should_stop: Any) -> Any:
            return Pictures.of(low, guide), Residual(low, guide, scale, should_stop=should_stop)

        self._reading = job = Job(f"Reading {low.name} and {guide.name}", read)
        job.succeeded.connect(self._read)
        job.failed.connect(self.failed)
        job.ended.connect(self._reading_ended)
        self._panel.start_job(job)

    def ask(self, matrix: NDArray[np.float64]) -> None:
        """Tell the residual at a matrix, soon."""
        self._wanted = matrix
        if self._residual is not None:
            self._debounce.start()

    def stop(self) -> None:
        """Forget the pair."""
        self._debounce.stop()
        for job in (self._reading, self._looking):
            if job is not None:
                job.stop()
        self._residual = self._wanted = self._reading = self._looking = None

    def _read(self, outcome: Any) -> None:
        if self.sender() is not self._reading:
            return
        pictures, self._residual = outcome
        self.ready.emit(pictures)
        if self._wanted is not None:
            self._debounce.start()

    def _reading_ended(self) -> None:
        if self.sender() is self._reading:
            self._reading = None

    def _look(self) -> None:
        residual, matrix = self._residual, self._wanted
        if residual is None or matrix is None or self._looking is not None:
            return
        self._wanted = None
        self._looking = job = Job("Comparing the two images", lambda report, stop: (residual.at(matrix), matrix))
        job.succeeded.connect(self._found)
        job.failed.connect(self.failed)
        job.ended.connect(self._looked)
        self._panel.start_job(job)

    def _found(self, outcome: tuple[float, Any]) -> None:
        if self.sender() is self._looking:
            self.found.emit(*outcome)

    def _looked(self) -> None:
        if self.sender() is self._looking:
            self._looking = None
            if self._wanted is not None:
                self._debounce.start()
