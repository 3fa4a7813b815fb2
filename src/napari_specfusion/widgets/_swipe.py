"""Two layers seen at once: one over the other up to a divider, or side by side; both are given back as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.widgets._forms import single_timer
from napari_specfusion.widgets._layers import VIEW_KEY, place_at, plane_matrix, plane_shape
from napari_specfusion.widgets._readout import band_shown
from napari_specfusion.widgets._swipe_picture import Grid, cover, plane_colours
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from numpy.typing import NDArray

    from napari_specfusion.widgets._panel import Panel

__all__ = ["Alone", "SideBySide", "Swipe"]

# milliseconds between two pictures while the divider moves
FRAME = 30


class Alone:
    """Shows some layers and no other image, until `end`.

    Parameters
    ----------
    viewer
        Where the layers are.
    shown
        The layers to see.
    """

    def __init__(self, viewer: napari.viewer.Viewer, shown: tuple[Any, ...]) -> None:
        self._viewer = viewer
        # not those that come later, such as the picture of a swipe
        self._before = [(layer, bool(layer.visible)) for layer in viewer.layers]
        for layer, _ in self._before:
            layer.visible = layer in shown

    def end(self) -> None:
        """Give the layers back."""
        for layer, visible in self._before:
            if layer in self._viewer.layers:
                layer.visible = visible
        self._before = []


class SideBySide:
    """Shows layers in napari's grid, which moves all together, until `end`.

    Parameters
    ----------
    viewer
        Where the layers are.
    left, right
        The first and the last of them in the list of layers, in the order to see them.
    between
        The others; with any, napari chooses rows and columns.
    """

    def __init__(self, viewer: napari.viewer.Viewer, left: Any, right: Any, between: tuple[Any, ...] = ()) -> None:
        self._alone = Alone(viewer, (left, *between, right))
        # napari before 0.9 has the grid on the viewer itself
        self._grid: Any = viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid
        self._before = self._grid.shape, self._grid.stride, self._grid.enabled
        layers = viewer.layers
        # a positive stride puts the lowest layer first
        stride = 1 if layers.index(left) < layers.index(right) else -1
        shape = (-1, -1) if between else (1, 2)
        self._grid.shape, self._grid.stride, self._grid.enabled = shape, stride, True

    def end(self) -> None:
        """Give grid and layers back."""
        self._alone.end()
        self._grid.shape, self._grid.stride, self._grid.enabled = self._before


class Swipe:
    """Shows `left` up to a divider and `right` beyond it, until `end`.

    Parameters
    ----------
    panel
        Whose jobs read the pictures.
    left, right
        The two layers.
    share
        Where the divider stands: 0 at the left edge of the two, 1 at the right one.
    """

    def __init__(self, panel: Panel, left: Any, right: Any, share: float) -> None:
        self._panel, self._viewer, self.left, self.right = panel, panel.viewer, left, right
        self._share = share
        self._picture: Any = None
        self._colours: NDArray[np.uint8] | None = None
        self._grid = Grid.of(*plane_shape(right)[1:])
        self._job: Job | None = None
        self._stale = False
        self._look = float(right.opacity), str(right.blending)
        self._alone = Alone(self._viewer, (left, right))
        # not hidden, so that its contrast goes on following the band
        right.blending, right.opacity = "translucent", 0.0
        self._draw_soon = single_timer(panel, FRAME, self._draw)
        for event, callback in self._links():
            event.connect(callback)
        self.read()

    def _links(self) -> list[tuple[Any, Callable[..., None]]]:
        events = self.right.events
        looks = (
            events.contrast_limits,
            events.gamma,
            events.colormap,
            events.data,
            self._viewer.dims.events.current_step,
        )
        moves = (events.scale, events.translate, events.affine)
        return [*((event, self.read) for event in looks), *((event, self._moved) for event in moves)]

    @property
    def edges(self) -> tuple[float, float]:
        """World x of the left and the right edge of the right layer."""
        _, height, width = plane_shape(self.right)
        corners = np.array([(y, x, 1.0) for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)])
        across = corners @ plane_matrix(self.right)[1]
        return float(across.min()), float(across.max())

    def move(self, share: float) -> None:
        """Move the divider."""
        self._share = min(1.0, max(0.0, share))
        if not self._draw_soon.isActive():
            self._draw_soon.start()

    def read(self, event: Any = None) -> None:
        """Take over what the right layer shows now; it is read in the background."""
        if self._job is not None:
            self._stale = True
            return
        layer = self.right
        data, band = (layer.data[0] if layer.multiscale else layer.data), None
        if not layer.rgb and layer.ndim == 3 and (band := band_shown(self._viewer, layer)) is None:
            return
        look: dict[str, Any] = {"rgb": bool(layer.rgb)}
        if not layer.rgb:
            look |= {"colormap": layer.colormap, "limits": tuple(layer.contrast_limits), "gamma": float(layer.gamma)}
        step = self._grid.step

        def made(report: Any, should_stop: Any) -> NDArray[np.uint8]:
            plane = data if band is None else data[band]
            return plane_colours(np.asarray(plane[::step, ::step]), **look)

        self._job = Job(f"Looking at {layer.name}", made)
        self._job.succeeded.connect(self._made)
        self._job.ended.connect(self._ended)
        self._panel.start_job(self._job)

    def _made(self, colours: NDArray[np.uint8]) -> None:
        times = self._grid.times
        self._colours = colours.repeat(times, axis=0).repeat(times, axis=1)
        self._draw()

    def _ended(self) -> None:
        self._job = None
        if self._stale:
            self._stale = False
            self.read()

    def _moved(self, event: Any = None) -> None:
        self._draw()

    def _draw(self) -> None:
        layers = self._viewer.layers
        if self._colours is None or self.right not in layers:
            return
        matrix = plane_matrix(self.right) @ self._grid.matrix
        low, high = self.edges
        shown = cover(self._colours, matrix[1], low + self._share * (high - low))
        if self._picture is not None and self._picture in layers:
            self._picture.data = shown
        else:
            active = layers.selection.active
            self._picture = self._viewer.add_image(
                shown, rgb=True, name="swipe", metadata={VIEW_KEY: True}, units=("pixel", "pixel")
            )
            if active is not None:
                layers.selection.active = active
        place_at(self._picture, matrix)

    def end(self) -> None:
        """Take the picture away and give the layers back as they were."""
        self._draw_soon.stop()
        for event, callback in self._links():
            event.disconnect(callback)
        if self._job is not None:
            self._job.succeeded.disconnect(self._made)
            self._job.ended.disconnect(self._ended)
            self._job.stop()
            self._job = None
        self._colours = None
        if self._picture is not None and self._picture in self._viewer.layers:
            self._viewer.layers.remove(self._picture)
        self._picture = None
        self.right.opacity, self.right.blending = self._look
        self._alone.end()
        self._draw_soon.deleteLater()
