"""What every dock widget shares: it listens to the viewer only while it can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_specfusion.widgets._worker import Job

__all__ = ["Panel", "open_panel"]

PLUGIN = "napari-specfusion"


def open_panel(viewer: napari.viewer.Viewer, name: str) -> Any:
    """Return one of the plugin's widgets by its name; it is opened beside the others, or comes to the front."""
    dock, panel = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    dock.show()
    dock.raise_()
    return panel


class Panel(QWidget):
    """A dock widget over a viewer.

    It connects to the viewer's events when it is shown and lets go of them when it is hidden, closed or taken out of
    its window, so that nothing is called on a widget that is gone.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self._listening = False
        self._jobs: list[Job] = []

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return pairs of a viewer event and what to call on it."""
        return []

    def mouse(self) -> list[tuple[list[Callable[..., Any]], Callable[..., Any]]]:
        """Return pairs of a viewer's list of mouse callbacks and what to add to it."""
        return []

    def refresh(self) -> None:
        """Take over what changed in the viewer while nobody looked."""

    def start_job(self, job: Job) -> None:
        """Start a job that ends with this widget at the latest."""
        self._jobs.append(job)
        job.ended.connect(self._forget_jobs)
        job.start()

    def _forget_jobs(self) -> None:
        self._jobs = [job for job in self._jobs if job is not self.sender()]

    def listen(self) -> None:
        """Connect to the viewer."""
        if not self._listening:
            self._listening = True
            for event, callback in self.links():
                event.connect(callback)
            for callbacks, callback in self.mouse():
                callbacks.append(callback)

    def let_go(self) -> None:
        """Disconnect from the viewer."""
        if self._listening:
            self._listening = False
            for event, callback in self.links():
                event.disconnect(callback)
            for callbacks, callback in self.mouse():
                if callback in callbacks:
                    callbacks.remove(callback)

    def end(self) -> None:
        """Take away what is of use to this widget only, before it is gone for good."""

    def showEvent(self, event: QShowEvent | None) -> None:
        """Listen from now on."""
        super().showEvent(event)
        self.listen()
        self.refresh()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Listen no longer, except while the window is merely minimised."""
        if event is None or not event.spontaneous():
            self.let_go()
        super().hideEvent(event)

    def changeEvent(self, event: QEvent | None) -> None:
        """End a widget that is taken out of its window, and its jobs with it; napari leaves both to themselves."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.let_go()
            self.end()
            for job in self._jobs:
                job.stop()
            self.deleteLater()
        super().changeEvent(event)
