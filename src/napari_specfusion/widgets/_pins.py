"""Pinned points: a Points layer that the user may also move, recolour and delete by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari

__all__ = ["PIN_COLOURS", "Pins", "as_hex", "as_rgb"]

PIN_COLOURS = ("#ff5c5c", "#ffd23f", "#3ddbd9", "#ff8ad8", "#a6e22e", "#c9a2ff", "#ffb087")
KEY = "specfusion_pins"


def as_hex(colour: Sequence[float]) -> str:
    """Return a colour, as numbers from 0 to 1, in the words of Qt."""
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour[:3])


def as_rgb(colour: str) -> tuple[float, ...]:
    """Return a colour in the words of Qt as numbers from 0 to 1."""
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


class Pins:
    """The pins of a viewer; the layer holds them, this only reads and adds."""

    def __init__(self, viewer: napari.viewer.Viewer, changed: Callable[..., None]) -> None:
        self._viewer = viewer
        self._changed = changed
        self.layer: Any = None

    def follow(self) -> None:
        """Find the layer of pins, and hear of its changes."""
        found = next((layer for layer in self._viewer.layers if KEY in layer.metadata), None)
        if found != self.layer:
            self.let_go()
            self.layer = found
            if found is not None:
                for event in (found.events.data, found.events.face_color):
                    event.connect(self._changed)

    def let_go(self) -> None:
        """Hear of changes no longer."""
        if self.layer is not None:
            for event in (self.layer.events.data, self.layer.events.face_color):
                event.disconnect(self._changed)
            self.layer = None

    def points(self) -> list[tuple[float, float]]:
        """Return where the pins are, (y, x) of the world."""
        if self.layer is None:
            return []
        return [tuple(float(v) for v in self.layer.data_to_world(p)[-2:]) for p in self.layer.data]  # type: ignore[misc]

    def colours(self) -> list[str]:
        """Return the colour of each pin."""
        if self.layer is None:
            return []
        return [as_hex(colour) for colour in self.layer.face_color]

    def add(self, point: tuple[float, float]) -> None:
        """Pin a point (y, x) of the world."""
        if self.layer is None:
            active = self._viewer.layers.selection.active
            self._viewer.add_points(
                np.empty((0, 2)),
                ndim=2,
                name="Pinned spectra",
                metadata={KEY: True},
                size=7,
                canvas_size_limits=(9, 14),
                border_color="white",
                border_width=0.12,
                face_color=PIN_COLOURS[0],
            )
            if active is not None:
                self._viewer.layers.selection.active = active
            self.follow()
        layer = self.layer
        # what is selected takes the new colour, too
        layer.selected_data = set()
        layer.current_face_color = PIN_COLOURS[len(layer.data) % len(PIN_COLOURS)]
        layer.add(layer.world_to_data(point))
        layer.selected_data = set()

    def clear(self) -> None:
        """Take all pins away, and their layer with them."""
        if self.layer is not None:
            layer = self.layer
            self.let_go()
            self._viewer.layers.remove(layer)
