"""The offer to open a layer again as a cube, where napari opened its file as plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout

from napari_specfusion.fusion.recipe import Origin
from napari_specfusion.io.reopen import cube_of_file, plain_file, what_is_told
from napari_specfusion.widgets._band_look import add_cube
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._layers import place_at, plane_matrix, plane_shape
from napari_specfusion.widgets._origins import keep_origin
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Iterable

    import napari

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.widgets._panel import Panel

__all__ = ["ReopenOffer", "replace_layer"]

# how the user had set up the look of a layer
_LOOK = ("visible", "opacity", "blending")


class ReopenOffer(QFrame):
    """Says which layer was opened as plain numbers although its file is a cube, with a button that opens it as one.

    Attributes
    ----------
    found
        A layer is known now to be worth an offer: look again.
    changed
        An offer appeared or went.
    accepted
        The layer, and the cube to put in its place: see `replace_layer`.
    """

    found = Signal()
    changed = Signal()
    accepted = Signal(object, object)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._panel = panel
        self._layer: Any = None
        self._cube: Cube | None = None
        self._reading: list[Any] = []
        # layers that were looked at, with the cube in their file if there is one
        self._known: list[tuple[Any, Cube | None]] = []
        self.text = StatusLine()
        self.open_button = QPushButton("Open as a cube")
        self.open_button.setToolTip("Read the file again, and put the cube in the place of this layer.")
        self.keep_button = QPushButton("Keep")
        self.keep_button.setToolTip("Go on with the plain numbers.")
        row = QHBoxLayout()
        row.addWidget(self.open_button, 2)
        row.addWidget(self.keep_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self.text)
        column.addLayout(row)
        self.open_button.clicked.connect(lambda _=False: self.accept())
        self.keep_button.clicked.connect(lambda _=False: self.decline())
        self.hide()

    @property
    def layer(self) -> Any | None:
        """The layer that the offer is about; None where there is none."""
        return self._layer

    def look(self, layers: Iterable[Any]) -> None:
        """Offer to open one of `layers` again, if that is of use; files are read in the background."""
        layers = [layer for layer in layers if layer is not None]
        present = list(self._panel.viewer.layers)
        self._known = [(layer, cube) for layer, cube in self._known if layer in present]
        seen = [layer for layer, _ in self._known]
        for layer in layers:
            if layer not in seen and layer not in self._reading and plain_file(layer) is not None:
                self._read(layer)
        found = [(layer, cube) for layer, cube in self._known if cube is not None and layer in layers]
        self._show(*(found[0] if found else (None, None)))

    def accept(self) -> None:
        """Take the offer."""
        layer, cube = self._layer, self._cube
        self._show(None, None)
        if layer is not None and layer in self._panel.viewer.layers:
            self.accepted.emit(layer, cube)

    def decline(self) -> None:
        """Offer it no more for this layer."""
        self._known = [(layer, None if layer == self._layer else cube) for layer, cube in self._known]
        self._show(None, None)

    def _read(self, layer: Any) -> None:
        job = Job(f"Looking at the file of {layer.name}", lambda report, should_stop: (layer, cube_of_file(layer)))
        self._reading.append(layer)
        job.succeeded.connect(self._found)
        job.failed.connect(lambda _: self._found((layer, None)))
        self._panel.start_job(job)

    def _found(self, outcome: tuple[Any, Cube | None]) -> None:
        self._reading = [layer for layer in self._reading if layer != outcome[0]]
        self._known.append(outcome)
        if outcome[1] is not None:
            self.found.emit()

    def _show(self, layer: Any, cube: Cube | None) -> None:
        before, self._layer, self._cube = self._layer, layer, cube
        self.setVisible(layer is not None)
        if layer is not None and cube is not None:
            told = what_is_told(cube, layer)
            listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
            self.text.warn(
                f"{layer.name} was opened as plain numbers. Its file is a cube and also tells {listed}; without that, "
                "what is computed here can be wrong."
            )
        if before != layer:
            self.changed.emit()


def replace_layer(viewer: napari.viewer.Viewer, layer: Any, cube: Cube) -> Any:
    """Put a cube in the place of a layer, with its name and rank, and where it lies if the size agrees; return it."""
    name, index, active = str(layer.name), viewer.layers.index(layer), viewer.layers.selection.active
    look = {key: getattr(layer, key) for key in _LOOK}
    shape, matrix = plane_shape(layer)[1:], plane_matrix(layer)
    path = plain_file(layer)
    viewer.layers.remove(layer)
    new = add_cube(viewer, cube, **look, name=name)
    if path is not None:
        keep_origin(new, Origin(path))
    viewer.layers.move(len(viewer.layers) - 1, index)
    if plane_shape(new)[1:] == shape:
        place_at(new, matrix)
    viewer.layers.selection.active = new if active == layer else active
    return new
