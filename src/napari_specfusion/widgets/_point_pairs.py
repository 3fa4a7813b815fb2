"""Pairs of points that show the same place: two Points layers, one over the cube and one over the guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.widgets._layers import VIEW_KEY, place_by
from napari_specfusion.widgets._pins import PIN_COLOURS

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

__all__ = ["PointPairs"]

# where two points of a pair meet, the round one lies in the square one
_LOOKS: dict[str, dict[str, Any]] = {
    "cube": {"symbol": "square", "border_color": "white", "border_width": 0.06, "canvas_size_limits": (18, 22)},
    "guide": {"symbol": "disc", "border_color": "black", "border_width": 0.1, "canvas_size_limits": (10, 12)},
}


class PointPairs:
    """Point i in the cube shows the same place as point i in the guide.

    The layers hold them, in pixels of the two images: points can be moved and deleted there, too.
    """

    def __init__(self, viewer: napari.viewer.Viewer, changed: Callable[[], None]) -> None:
        self._viewer = viewer
        self._changed = changed
        self._busy = False
        self.low: Any = None
        self.guide: Any = None
        self.picking = False

    # --- what is there -----------------------------------------------------------------

    @property
    def there(self) -> bool:
        """Whether both layers are in the viewer."""
        layers = self._viewer.layers
        return self.low is not None and self.low in layers and self.guide in layers

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of points in the cube and in the guide."""
        return (len(self.low.data), len(self.guide.data)) if self.there else (0, 0)

    @property
    def next_in_cube(self) -> bool:
        """Whether the next click belongs in the cube."""
        low, guide = self.counts
        return low <= guide

    def pairs(self) -> NDArray[np.float64]:
        """Return the complete pairs ``(n, 2, 2)``, as `matrix_of_points` takes them."""
        count = min(self.counts)
        if not count:
            return np.zeros((0, 2, 2))
        return np.stack([np.asarray(layer.data[:count], np.float64) for layer in (self.low, self.guide)], axis=1)

    # --- picking -----------------------------------------------------------------------

    def pick(self, guide: Any, matrix: NDArray[np.float64]) -> None:
        """Let the user click pairs: in the cube, in the guide, and so on."""
        if not self.there:
            self.clear()
            self.low, self.guide = (self._layer(f"points in the {name}", **look) for name, look in _LOOKS.items())
            for layer in (self.low, self.guide):
                layer.events.data.connect(self._on_data)
        self.picking = True
        self.lie(guide, matrix)
        self._take_turns()

    def lie(self, guide: Any, matrix: NDArray[np.float64]) -> None:
        """Keep the points on the images: those of the cube lie where an affine matrix puts its pixels."""
        if self.there:
            place_by(self.low, guide, matrix)
            place_by(self.guide, guide, np.eye(3))

    def stop(self) -> None:
        """Let clicks mean what they always mean."""
        self.picking = False
        if self.there:
            for layer in (self.low, self.guide):
                layer.mode = "pan_zoom"

    def remove_last(self) -> None:
        """Take back the last click."""
        if self.there and max(self.counts):
            low, guide = self.counts
            layer = self.low if low > guide else self.guide
            layer.data = np.asarray(layer.data)[:-1]

    def clear(self) -> None:
        """Take away the points and their layers."""
        self.stop()
        for layer in (self.low, self.guide):
            if layer is not None:
                layer.events.data.disconnect(self._on_data)
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)
        self.low = self.guide = None

    # --- the layers --------------------------------------------------------------------

    def _layer(self, name: str, **look: Any) -> Any:
        return self._viewer.add_points(
            np.empty((0, 2)),
            ndim=2,
            name=name,
            metadata={VIEW_KEY: True},
            features={"number": np.empty(0, int)},
            # blanks keep the number beside its point at any zoom
            text={"string": "{number}".rjust(16), "color": "white", "size": 11, "anchor": "center"},
            size=3,
            face_color=PIN_COLOURS[0],
            units=("pixel", "pixel"),
            **look,
        )

    def _on_data(self, event: Any) -> None:
        if self._busy or not self.there or str(getattr(event, "action", "")).rsplit(".", 1)[-1].endswith("ing"):
            return
        self._busy = True
        try:
            for layer in (self.low, self.guide):
                self._number(layer)
            if self.picking:
                self._take_turns()
        finally:
            self._busy = False
        self._changed()

    def _number(self, layer: Any) -> None:
        count = len(layer.data)
        layer.features = {"number": np.arange(1, count + 1)}
        if count:
            layer.face_color = [PIN_COLOURS[n % len(PIN_COLOURS)] for n in range(count)]

    def _take_turns(self) -> None:
        """Make the layer that the next point belongs in the active one."""
        active, other = (self.low, self.guide) if self.next_in_cube else (self.guide, self.low)
        other.mode = "pan_zoom"
        number = len(active.data)
        active.selected_data = set()
        active.feature_defaults = {"number": number + 1}
        active.current_face_color = PIN_COLOURS[number % len(PIN_COLOURS)]
        self._viewer.layers.selection.active = active
        active.mode = "add"
