"""Mean spectra of the regions in all cubes: computed in the background, kept while nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._layers import plane_matrix
from napari_specfusion.widgets._probe import Curve
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_specfusion.progress import Progress
    from napari_specfusion.spectra import Spectrum
    from napari_specfusion.widgets._panel import Panel
    from napari_specfusion.widgets._regions import Region
    from napari_specfusion.widgets._worker import Report, ShouldStop

__all__ = ["RegionMeans"]

Key = tuple[Any, ...]


class RegionMeans(QObject):
    """The means; what is not known yet is computed in the background.

    Attributes
    ----------
    changed
        There is more to draw, or a job began or ended.
    told
        How far the job is, or what went wrong, in words; and whether it went wrong.
    """

    changed = Signal()
    told = Signal(str, bool)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self._panel = panel
        self._job: Job | None = None
        self._known: dict[Key, tuple[Spectrum, ...]] = {}
        self._wanted: list[tuple[Key, Any, Region]] = []
        self._computing: set[Key] = set()
        # what the user stopped is not begun again until it changes
        self._left: set[Key] = set()

    @property
    def running(self) -> bool:
        """Whether something is being computed."""
        return self._job is not None

    def update(self, layers: Sequence[Any], regions: Sequence[Region]) -> None:
        """Take over what cubes and regions there are."""
        self._wanted = [
            (_key(layer, region), layer, region) for layer in layers for region in regions
        ]  # by cube, then by region, as they are drawn
        keys = {key for key, _, _ in self._wanted}
        self._known = {key: found for key, found in self._known.items() if key in keys}
        self._left &= keys
        missing = [one for one in self._wanted if one[0] not in self._known and one[0] not in self._left]
        if self._job is None or {key for key, _, _ in missing} != self._computing:
            if self._job is not None:
                self._job.stop()
                self._job = None
                # how far it was is no longer of interest
                self.told.emit("", False)
            if missing:
                self._begin(missing)
        self.changed.emit()

    def _begin(self, missing: Sequence[tuple[Key, Any, Region]]) -> None:
        tasks = [(key, Cube.from_layer(layer), plane_matrix(layer), region) for key, layer, region in missing]

        def average(report: Report, should_stop: ShouldStop) -> list[tuple[Key, tuple[Spectrum, ...]]]:
            return [
                (key, region.spectra(cube, matrix, progress=report, should_stop=should_stop))
                for key, cube, matrix, region in tasks
            ]

        self._computing = {key for key, _, _ in missing}
        self._job = job = Job("Averaging regions", average)
        # a job that was replaced is heard no longer
        job.reported.connect(lambda step: self._progressed(step) if job is self._job else None)
        job.succeeded.connect(lambda found: self._finished(found) if job is self._job else None)
        job.failed.connect(lambda words: self._failed(words) if job is self._job else None)
        self._panel.start_job(job)

    def stop(self) -> None:
        """Stop what is being computed, and leave it."""
        if self._job is not None:
            self._left |= {key for key, _, _ in self._wanted if key not in self._known}
            self._job.stop()
            self._job = None
            self.told.emit("Stopped. Change a region to average it again.", False)
            self.changed.emit()

    def curves(self) -> list[Curve]:
        """Return what is known of the regions that are wanted."""
        return [
            Curve(str(layer.name), name, spectrum.replace(name=f"{layer.name} {name}"), colour)
            for key, layer, region in self._wanted
            for spectrum in self._known.get(key, ())
            if (name := region.title(spectrum)) and (colour := region.colours(spectrum.metadata["label"]))
        ]

    def _progressed(self, step: Progress) -> None:
        self.told.emit(f"{step.message}, part {step.done + 1} of {step.total}", False)

    def _finished(self, found: list[tuple[Key, tuple[Spectrum, ...]]]) -> None:
        self._job = None
        self._known |= dict(found)
        empty = self._wanted and not any(self._known.values())
        self.told.emit("No region lies over a cube." if empty else "", False)
        self.changed.emit()

    def _failed(self, words: str) -> None:
        self._job = None
        self._left |= {key for key, _, _ in self._wanted if key not in self._known}
        self.told.emit(words, True)
        self.changed.emit()


def _key(layer: Any, region: Region) -> Key:
    return (id(layer), id(layer.data), plane_matrix(layer).tobytes(), *region.key)
