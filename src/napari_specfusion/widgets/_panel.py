"""What every dock widget shares: it listens to the viewer only while it can be seen."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QEvent, QSize, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_specfusion.widgets._ask import ask_to_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_specfusion.widgets._worker import Job

__all__ = ["Panel", "apart", "open_panel"]

PLUGIN = "napari-specfusion"
# of a panel that was just opened, in pixels
WIDTH = 380

_apart: ContextVar[bool] = ContextVar("_apart", default=False)
_ages = count()


@contextmanager
def apart() -> Iterator[None]:
    """Let the panels that are opened in the block stand by themselves instead of joining the others as tabs."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


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
        self._is_new, self._joins, self._age = True, not _apart.get(), next(_ages)
        self.ask_to_stop = ask_to_stop
        # the panel goes with its window, which may be another one than napari thinks of when a job starts
        jobs = self._jobs
        self.destroyed.connect(lambda: _stop(jobs))

    def sizeHint(self) -> QSize:
        """Leave most of the window to the picture, also beside a plot, which asks for more."""
        return QSize(WIDTH, super().sizeHint().height())

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return pairs of a viewer event and what to call on it."""
        return []

    def mouse(self) -> list[tuple[list[Callable[..., Any]], Callable[..., Any]]]:
        """Return pairs of a viewer's list of mouse callbacks and what to add to it."""
        return []

    def refresh(self) -> None:
        """Take over what changed in the viewer while nobody looked."""

    def start_job(self, job: Job, *, matters: bool = False) -> None:
        """Start a job that ends with this widget at the latest; closing the widget asks about one that `matters`."""
        job.matters = matters
        self._jobs.append(job)
        job.ended.connect(self._forget_jobs)
        job.start()

    def _forget_jobs(self) -> None:
        self._jobs[:] = [job for job in self._jobs if job is not self.sender()]

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

    def at_stake(self) -> str:
        """Return what would be lost if the panel were closed now, in words; empty for nothing."""
        return next((job.title for job in self._jobs if job.matters), "")

    def may_close(self) -> bool:
        """Whether the user, who wants to close the panel, agrees to lose what is `at_stake`."""
        return not (stake := self.at_stake()) or self.ask_to_stop(self, stake)

    def _ask_before_closing(self) -> None:
        """Let the button that closes the dock ask first; napari has no hook for that."""
        dock = self._dock()
        if dock is None or not hasattr(dock, "destroyOnClose"):
            return
        close, me = dock.destroyOnClose, ref(self)

        def asked() -> None:
            panel = me()
            if panel is None or panel.may_close():
                close()

        dock.destroyOnClose = asked

    def _dock(self) -> Any | None:
        parent = self.parent()
        while parent is not None and not isinstance(parent, QDockWidget):
            parent = parent.parent()
        return parent

    def _join(self) -> None:
        """Become a tab beside the panels that were there; napari opens each below the last, too many for a screen."""
        dock, window = self._dock(), self.window()
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        area, group = window.dockWidgetArea(dock), window.tabifiedDockWidgets(dock)
        for other in window.findChildren(QDockWidget):
            beside = other is not dock and other not in group and window.dockWidgetArea(other) == area
            older = (panel := _panel_in(other)) is not None and panel._age < self._age
            if older and beside and not other.isFloating() and not other.isHidden():
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return

    def end(self) -> None:
        """Take away what is of use to this widget only, before it is gone for good."""

    def showEvent(self, event: QShowEvent | None) -> None:
        """Listen from now on."""
        super().showEvent(event)
        if self._is_new:
            self._is_new = False
            self._ask_before_closing()
            if self._joins:
                # when napari has placed the dock
                QTimer.singleShot(0, self._join)
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
            _stop(self._jobs)
            self.deleteLater()
        super().changeEvent(event)


def _stop(jobs: list[Job]) -> None:
    for job in jobs:
        job.stop()


def _panel_in(dock: QDockWidget) -> Panel | None:
    inner = dock.widget()
    if inner is None or isinstance(inner, Panel):
        return inner
    return next(iter(inner.findChildren(Panel)), None)
