"""The runs of the Fuse panel: one after another, each with a layer that fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_specfusion.widgets._forms import single_timer
from napari_specfusion.widgets._fuse_options import Fused, describe_progress
from napari_specfusion.widgets._fuse_pair import PairForm
from napari_specfusion.widgets._fused_layer import FusedLayer
from napari_specfusion.widgets._queue import QueuedRun, RunQueue
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    import napari

__all__ = ["FuseRuns"]

REFRESH_INTERVAL = 330
RUN, RUN_TIP = "Run", "Fuse the pair. The result appears over the guide and fills tile by tile."
QUEUE, QUEUE_TIP = "Add to queue", "Fuse what is chosen now after the runs that were begun before, with these settings."


class FuseRuns(PairForm):
    """The form with its runs; `FuseWidget` says what they are."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.queue = RunQueue()
        self._run: Job | None = None
        self._result: FusedLayer | None = None
        # whether the user of this panel stopped the run; otherwise something is being closed
        self._cancelled = False
        self._redraw = single_timer(self, REFRESH_INTERVAL, self._redraw_result)
        self.queue_box.removed.connect(self.remove_run)

    def _show_state(self) -> None:
        """Let those buttons be pressed that do something."""
        raise NotImplementedError

    def _queue_up(self, run: QueuedRun) -> None:
        """Begin a run now, or after those before it."""
        if not self.queue.add(run):
            self.status.setText("The same run is in the queue already.")
            return
        if self._run is None:
            self._start_next()
        else:
            self.queue_box.show_queue(self.queue)

    def drop_missing(self) -> None:
        """Close the runs that wait for a layer which was removed."""
        if self.queue.waiting:
            self.queue.drop_missing(self.viewer.layers)
            self.queue_box.show_queue(self.queue)

    def remove_run(self, run: QueuedRun) -> None:
        """Take a run out of the list."""
        self.queue.remove(run)
        self.queue_box.show_queue(self.queue)

    def at_stake(self) -> str:
        """Return what would be lost if the panel were closed now, in words; empty for nothing."""
        stake, more = super().at_stake(), len(self.queue.waiting)
        return f"{stake} (and {more} more in the queue)" if stake and more else stake

    def end(self) -> None:
        """Begin no further run."""
        self.queue.drop_waiting()
        super().end()

    def _start_next(self) -> None:
        run = self.queue.next(self.viewer.layers)
        self.queue_box.show_queue(self.queue)
        if run is None or run.work is None:
            self._set_running(False)
            return
        job = Job(run.title, run.work)
        self._run = job
        self._result = FusedLayer(self.viewer, run.low, run.guide, run.matrix, f"fused {run.method}", run.recipe)
        job.reported.connect(self._progressed)
        job.succeeded.connect(self._succeeded)
        job.failed.connect(self._failed)
        job.ended.connect(self._ended)
        self._set_running(True)
        # the preview lets go of the pair first
        self.preview_box.close_preview(lambda: self.start_job(job, matters=True))

    def _name_run_button(self) -> None:
        words, tip = (RUN, RUN_TIP) if self._run is None else (QUEUE, QUEUE_TIP)
        self.run_button.setText(words)
        self.run_button.setToolTip(tip)

    def _cancel_run(self) -> None:
        if self._run is not None:
            self._cancelled = True
            self._run.stop()
            self.cancel_button.setEnabled(False)
            self.status.setText("Stopping ...")

    def _progressed(self, event: Any) -> None:
        if self._run is None or self._run.stopping:
            return
        share, line = describe_progress(event)
        self.progress.setRange(0, 1000)
        self.progress.setValue(round(1000 * share))
        self.status.setText(line)
        cube = getattr(event, "cube", None)
        if cube is not None and self._result is not None:
            self._result.show(cube)
            if not self._redraw.isActive():
                self._redraw.start()

    def _redraw_result(self) -> None:
        if self._result is not None:
            self._result.redraw()

    def _succeeded(self, fused: Fused) -> None:
        if self._result is not None:
            self._result.finish(fused.cube)
        self.progress.setValue(1000)
        self.queue.end("done", fused.message)
        self.status.setText(f"Done. {fused.message}".strip())

    def _failed(self, message: str) -> None:
        self._drop_result()
        self.queue.end("failed", message)
        self.status.fail(message)

    def _ended(self) -> None:
        if self._run is not None and self._run.stopping:
            self._drop_result()
            self.queue.end("stopped")
            self.status.setText("Stopped.")
            if not self._cancelled:
                self.queue.drop_waiting()
        self._run, self._result, self._cancelled = None, None, False
        self._start_next()

    def _drop_result(self) -> None:
        if self._result is not None:
            self._result.drop()

    def _set_running(self, running: bool) -> None:
        self._show_state()
        self.progress.setVisible(running)
        if running:
            # busy until the first report: calibration and regressions have no steps to count
            self.progress.setRange(0, 0)
            self.status.setText("Preparing ...")
