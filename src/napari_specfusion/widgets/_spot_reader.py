"""Spectra of pixels, read in the background: a file may be slow, and the window must not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_specfusion.widgets._probe import Curve, Spot, spot_at
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_specfusion.widgets._panel import Panel
    from napari_specfusion.widgets._pins import Pins

__all__ = ["SpotReader", "pin_spots", "spots_at"]

Curves = tuple[Curve, ...]


class SpotReader(QObject):
    """Reads spots for a panel; the newest request wins, and those that were not begun are dropped.

    Attributes
    ----------
    changed
        Other `curves` were read.
    failed
        Why they could not be read, in words.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self._panel = panel
        self._asked: tuple[Spot, ...] = ()
        self._reading: tuple[Spot, ...] = ()
        self._curves: Curves = ()
        self._job: Job | None = None

    def curves(self, cubes: Iterable[str]) -> Curves:
        """Return what was read last, of these cubes."""
        cubes = set(cubes)
        if all(curve.cube in cubes for curve in self._curves):
            # the same object while nothing changed
            return self._curves
        return tuple(curve for curve in self._curves if curve.cube in cubes)

    @property
    def busy(self) -> bool:
        """Whether something is being read."""
        return self._job is not None

    def ask(self, spots: Iterable[Spot]) -> None:
        """Ask for the spectra of these spots and of no others; what is known already is not read again."""
        spots = tuple(spots)
        if spots == self._asked:
            return
        self._asked = spots
        if not spots:
            self._curves = ()
        elif self._job is None:
            self._begin()

    def _begin(self) -> None:
        spots = self._reading = self._asked
        self._job = Job("Reading a spectrum", lambda report, should_stop: tuple(spot.read() for spot in spots))
        self._job.succeeded.connect(self._read)
        self._job.failed.connect(self.failed)
        self._job.ended.connect(self._ended)
        self._panel.start_job(self._job)

    def _read(self, curves: Curves) -> None:
        # a newer place of the same cubes may be on its way: this one is better than nothing where files are slow
        if {spot.data for spot in self._reading} == {spot.data for spot in self._asked}:
            self._curves = curves
            self.changed.emit()

    def _ended(self) -> None:
        self._job = None
        if self._asked and self._asked != self._reading:
            self._begin()


def spots_at(cubes: Iterable[Any], point: Sequence[float] | None) -> list[Spot]:
    """Return the pixel of each cube layer at a point (y, x) of the world; none without a point."""
    return [spot for cube in cubes if point is not None and (spot := spot_at(cube, point)) is not None]


def pin_spots(cubes: Sequence[Any], pins: Pins) -> list[Spot]:
    """Return the pixels of cube layers under pins."""
    return [
        spot
        for number, (point, colour) in enumerate(zip(pins.points(), pins.colours(), strict=True), start=1)
        for cube in cubes
        if (spot := spot_at(cube, point, f"pin {number}", colour)) is not None
    ]
