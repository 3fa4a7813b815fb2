"""Maps of the angle to a picked spectrum, made in the background and added as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_specfusion.spectra.match import angle_picture
from napari_specfusion.widgets._layers import cube_to_show
from napari_specfusion.widgets._pictures import add_picture
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Progress
    from napari_specfusion.spectra import Spectrum
    from napari_specfusion.widgets._panel import Panel

__all__ = ["AngleMaps"]


class AngleMaps(QObject):
    """Makes one map at a time.

    Attributes
    ----------
    changed
        A map was begun or ended.
    told
        How far it is, or what went wrong, in words; and whether it went wrong.
    """

    changed = Signal()
    told = Signal(str, bool)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self._panel = panel
        self._job: Job | None = None

    @property
    def running(self) -> bool:
        """Whether a map is being made."""
        return self._job is not None

    def begin(self, layer: Any, spectrum: Spectrum) -> None:
        """Map the angle between a spectrum and the cube of a layer."""
        if self._job is not None:
            return
        cube = cube_to_show(layer)
        # the layer has the name of the cube already
        spectrum = spectrum.replace(name=spectrum.name.removeprefix(f"{cube.name} "))
        self._job = Job(
            f"Angle map of {cube.name}",
            lambda report, should_stop: (
                layer,
                angle_picture(cube, spectrum, progress=report, should_stop=should_stop),
            ),
        )
        self._job.reported.connect(self._progressed)
        self._job.succeeded.connect(self._made)
        self._job.failed.connect(lambda words: self.told.emit(words, True))
        self._job.ended.connect(self._ended)
        self.told.emit(f"{self._job.title} \u2026", False)
        self._panel.start_job(self._job)
        self.changed.emit()

    def stop(self) -> None:
        """Stop the map that is being made."""
        if self._job is not None:
            self._job.stop()
            self.told.emit("Stopping \u2026", False)

    def _progressed(self, step: Progress) -> None:
        if self._job is not None and not self._job.stopping:
            self.told.emit(f"{step.message}, part {step.done + 1} of {step.total}", False)

    def _made(self, found: tuple[Any, Cube]) -> None:
        layer, picture = found
        viewer = self._panel.viewer
        if layer not in viewer.layers:
            self.told.emit("The cube was removed meanwhile; no layer was added.", True)
            return
        self.told.emit(f"Added \u201c{add_picture(viewer, layer, picture).name}\u201d.", False)

    def _ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.told.emit("Stopped.", False)
        self._job = None
        self.changed.emit()
