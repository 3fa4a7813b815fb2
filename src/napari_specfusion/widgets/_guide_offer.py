"""The offer to take another array of the cube's file as the guide."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import SpecFusionError
from napari_specfusion.fusion.recipe import Origin
from napari_specfusion.io import list_guides, open_cube
from napari_specfusion.widgets._band_look import add_cube
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._forms import choice_combo
from napari_specfusion.widgets._layers import plane_shape
from napari_specfusion.widgets._origins import keep_origin, origin_of
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from napari_specfusion.io import Variable
    from napari_specfusion.widgets._panel import Panel

__all__ = ["GuideOffer"]

Key = tuple[Any, tuple[int, int, int]]


class GuideOffer(QFrame):
    """Says which arrays of the cube's file can be the guide, with a button that opens one and takes it.

    Attributes
    ----------
    found
        Something is known now to be worth an offer: look again.
    opened
        The layer of the cube, and that of the guide.
    """

    found = Signal()
    opened = Signal(object, object)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._panel = panel
        self._origin: Origin | None = None
        self._low: Any = None
        # by file and shape of the cube; None while they are looked for
        self._known: dict[Key, tuple[Variable, ...] | None] = {}
        self._declined: set[Key] = set()
        self._key: Key | None = None
        self._opening = False
        self.text = StatusLine()
        self.array_combo = choice_combo({})
        self.array_combo.setToolTip("The array to take.")
        self.open_button = QPushButton("Use as guide")
        self.open_button.setToolTip("Open this array of the cube's file, and choose it as the guide.")
        self.decline_button = QPushButton("No")
        self.decline_button.setToolTip("Do not offer it for this cube again.")
        row = QHBoxLayout()
        row.addWidget(self.open_button, 2)
        row.addWidget(self.decline_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self.text)
        column.addWidget(self.array_combo)
        column.addLayout(row)
        self.open_button.clicked.connect(lambda _=False: self.accept())
        self.decline_button.clicked.connect(lambda _=False: self.decline())
        self.hide()

    def look(self, low: Any, guide: Any) -> None:
        """Offer a guide for the cube of a layer, unless the chosen guide is of that file too; it is read aside."""
        origin = None if low is None else origin_of(low)
        # a product that holds both is opened as both
        if origin is None or origin.part:
            self._show(None, None, None)
            return
        key = self._key_of(low, origin)
        if key not in self._known:
            self._known[key] = None
            self._list(key, low, origin)
        chosen = None if guide is None else origin_of(guide)
        found = self._known[key]
        of_file = chosen is not None and chosen.path == origin.path
        self._show(*((None, None, None) if not found or of_file or key in self._declined else (key, low, origin)))

    def accept(self) -> None:
        """Open the array that is chosen; it becomes the guide."""
        low, origin, name = self._low, self._origin, self.array_combo.currentData()
        if low is None or origin is None or self._opening:
            return
        for layer in self._panel.viewer.layers:
            there = origin_of(layer)
            if there is not None and there.path == origin.path and there.options.get("array") == name:
                self.opened.emit(low, layer)
                return
        options = {"array": name} | {key: value for key, value in origin.options.items() if key == "reader"}
        job = Job(f"Opening {name}", lambda report, should_stop: open_cube(origin.path, **options))
        job.succeeded.connect(lambda cube: self._add(low, cube, Origin(origin.path, options), name))
        job.failed.connect(self.text.fail)
        job.ended.connect(self._ended)
        self._opening = True
        self.open_button.setEnabled(False)
        self._panel.start_job(job)

    def decline(self) -> None:
        """Offer nothing more for this cube."""
        if self._key is not None:
            self._declined.add(self._key)
        self._show(None, None, None)

    def _key_of(self, low: Any, origin: Origin) -> Key:
        return (origin.path, origin.options.get("array")), plane_shape(low)

    def _list(self, key: Key, low: Any, origin: Origin) -> None:
        cube = Cube.from_layer(low)

        def work(report: Any, should_stop: Any) -> tuple[Variable, ...]:
            # a file that is gone, or that napari opened and this package cannot, holds nothing to offer
            with suppress(SpecFusionError):
                return list_guides(origin.path, cube, reader=origin.options.get("reader"))
            return ()

        job = Job(f"Looking for a guide in {origin.path.name}", work)
        job.succeeded.connect(lambda found: self._listed(key, found))
        self._panel.start_job(job)

    def _listed(self, key: Key, found: tuple[Variable, ...]) -> None:
        self._known[key] = found
        if found:
            self.found.emit()

    def _add(self, low: Any, cube: Cube, origin: Origin, name: str) -> None:
        layers = self._panel.viewer.layers
        if low not in layers:
            return
        layer = add_cube(self._panel.viewer, cube, name=name.strip("/"))
        keep_origin(layer, origin)
        # the guide lies under its cube
        layers.move(len(layers) - 1, layers.index(low))
        self.opened.emit(low, layer)

    def _ended(self) -> None:
        self._opening = False
        self.open_button.setEnabled(True)

    def _show(self, key: Key | None, low: Any, origin: Origin | None) -> None:
        before, self._key, self._low, self._origin = self._key, key, low, origin
        self.setVisible(key is not None)
        found = None if key is None else self._known[key]
        if key is None or not found or origin is None or key == before:
            return
        self.array_combo.clear()
        for variable in found:
            self.array_combo.addItem(str(variable), variable.name)
        self.array_combo.setVisible(len(found) > 1)
        what = f"{found[0]}, which" if len(found) == 1 else f"{len(found)} arrays that"
        self.text.setText(f"{origin.path.name} also holds {what} can be the guide.")
