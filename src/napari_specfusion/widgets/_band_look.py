"""How a cube is first seen, and how its contrast follows the band on screen; both are found out in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from qtpy.QtCore import QObject

from napari_specfusion.data.display import band_limits, first_band, likely_limits
from napari_specfusion.widgets._forms import single_timer
from napari_specfusion.widgets._layers import is_cube, layer_data
from napari_specfusion.widgets._readout import band_shown, step_to_band
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    import napari

    from napari_specfusion.data.cube import Cube

__all__ = ["add_cube", "follow_bands"]

Limits = tuple[float, float]

# the slider has to rest so long on a band that was not seen yet, in milliseconds
REST = 60
# by layer; a look goes with its layer
_looks: WeakKeyDictionary[Any, BandLook] = WeakKeyDictionary()


def add_cube(viewer: napari.viewer.Viewer, cube: Cube, **keywords: Any) -> Any:
    """Add a cube to a window without reading it here; band and contrast come as soon as they are known.

    Parameters
    ----------
    viewer
        The window.
    cube
        What to show.
    **keywords
        Arguments of the layer that differ from the usual ones.

    Returns
    -------
    napari.layers.Image
        The new layer.
    """
    data, usual, _ = layer_data(cube, likely_limits(cube))
    layer = viewer.add_image(data, **(usual | keywords))
    follow_bands(viewer, layer, cube)
    return layer


def follow_bands(viewer: napari.viewer.Viewer, layer: Any, cube: Cube, *, first: bool = True) -> None:
    """Let the contrast of a cube's layer follow the band on screen, until the user sets it.

    Parameters
    ----------
    viewer
        The window.
    layer
        A layer of it.
    cube
        Where the limits come from: the layer's own cube, or one of the same bands.
    first
        Whether to go to the band that is best seen first. The slider stays where another cube is in view.
    """
    viewer, layer = (getattr(thing, "__wrapped__", thing) for thing in (viewer, layer))
    look = _looks[layer] = BandLook(viewer, layer, cube)
    look.begin(first=first)


class BandLook(QObject):
    """The contrast limits of a cube's layer, band by band."""

    def __init__(self, viewer: Any, layer: Any, cube: Cube) -> None:
        super().__init__()
        self._viewer, self._layer, self._cube = ref(viewer), ref(layer), cube
        self._limits: dict[int, Limits] = {}
        self._job: Job | None = None
        self._setting = False
        self._begun: int | None = None
        # the user's own limits are left alone
        self.follows = True
        self._rest = single_timer(self, REST, self._show)
        layer.events.contrast_limits.connect(self._contrast_set)
        layer.events.visible.connect(self._stepped)
        viewer.dims.events.current_step.connect(self._stepped)

    def begin(self, *, first: bool) -> None:
        """Find out what is to be seen first."""
        cube, shown = self._cube, self._band()
        self._begun = shown

        def look(report: Any, should_stop: Any) -> tuple[int, Limits, bool]:
            band = first_band(cube) if first or shown is None else shown
            return band, cube.contrast_limits() if cube.bands in (1, 3) else band_limits(cube, band), first

        self._start(look)

    def _start(self, work: Any) -> None:
        self._job = Job(f"Looking at {self._cube.name}", work)
        self._job.succeeded.connect(self._looked)
        self._job.failed.connect(self._failed)
        self._job.ended.connect(self._ended)
        self._job.start()

    def _looked(self, found: tuple[int, Limits, bool]) -> None:
        band, limits, first = found
        self._limits[band] = limits
        viewer, layer = self._viewer(), self._layer()
        if viewer is None or layer is None or layer not in viewer.layers:
            return
        if not is_cube(layer):
            self._set(layer, limits)
            return
        moved = self._band() != self._begun
        if first and not moved and not any(is_cube(other) for other in viewer.layers if other is not layer):
            step_to_band(viewer, layer, band)

    def _failed(self, message: str) -> None:
        # a file that cannot be read any longer says so where it is shown; once is enough
        self.follows = False

    def _ended(self) -> None:
        self._job = None
        self._show()

    def _band(self) -> int | None:
        viewer, layer = self._viewer(), self._layer()
        if viewer is None or layer is None or layer not in viewer.layers or not is_cube(layer):
            return None
        return band_shown(viewer, layer)

    def _stepped(self, event: Any = None) -> None:
        band = self._band()
        if band in self._limits:
            self._show()
        elif band is not None:
            self._rest.start()

    def _show(self) -> None:
        layer, band = self._layer(), self._band()
        if band is None or layer is None or not self.follows or not layer.visible:
            return
        if band in self._limits:
            self._set(layer, self._limits[band])
        elif self._job is None:
            cube, wanted = self._cube, band
            self._start(lambda report, should_stop: (wanted, band_limits(cube, wanted), False))

    def _set(self, layer: Any, limits: Limits) -> None:
        if self.follows and tuple(layer.contrast_limits) != limits:
            self._setting = True
            layer.contrast_limits = limits
            self._setting = False

    def _contrast_set(self, event: Any = None) -> None:
        if not self._setting:
            self.follows = False
