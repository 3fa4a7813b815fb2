"""The part of Fuse that fuses one tile by every method, to choose one by its looks and scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_specfusion.fusion.previewing import Preview, preview
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._preview_layers import PreviewLayers
from napari_specfusion.widgets._preview_table import PreviewTable
from napari_specfusion.widgets._worker import Job, Report, ShouldStop

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_specfusion.calibration import CalibratedScene
    from napari_specfusion.progress import Progress
    from napari_specfusion.widgets._panel import Panel

__all__ = ["Place", "PreviewBox"]

# side of the tile in pixels of the guide, and at least in pixels of the cube
SIDE, COARSE_SIDE = 128, 16


@dataclass(frozen=True, eq=False)
class Place:
    """What to preview.

    Attributes
    ----------
    scene
        The pair.
    low, guide
        Its layers.
    matrix
        ``(3, 3)``: from pixels of the fused image to pixels of the guide's layer.
    at
        The pixel (y, x) of the fused image in the middle of the tile.
    device
        Where to compute.
    """

    scene: CalibratedScene
    low: Any
    guide: Any
    matrix: NDArray[np.float64]
    at: tuple[float, float]
    device: str


@dataclass(frozen=True, eq=False)
class _State:
    """What is there, and what is being done."""

    tiles: tuple[Preview, ...] = ()
    doing: Progress | None = None


class PreviewBox(QWidget):
    """A button, and a table of tiles once there are some.

    Attributes
    ----------
    wanted
        The button was pressed: call `begin`.
    chosen
        The name of the method whose line was clicked.
    can
        Whether a preview can be begun.
    """

    wanted = Signal()
    chosen = Signal(str)

    def __init__(self, panel: Panel) -> None:
        super().__init__(panel)
        self._panel = panel
        self._job: Job | None = None
        self._place: Place | None = None
        self._then: Callable[[], None] | None = None
        self._layers: PreviewLayers | None = None
        self.tiles: tuple[Preview, ...] = ()
        self._clicked = False
        self.can = False
        self.button = QPushButton("Preview")
        self.beside_check = QCheckBox("Side by side")
        self.beside_check.setToolTip("Show all tiles in a grid whose parts move together, and nothing else.")
        self.close_button = QPushButton("Close preview")
        self.close_button.setToolTip("Take the tiles away.")
        self.table = PreviewTable()
        self.status = StatusLine()
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(self.close_button)
        row.addWidget(self.beside_check)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.table)
        column.addWidget(self.status)
        self.button.clicked.connect(lambda _=False: self._pressed())
        self.close_button.clicked.connect(lambda _=False: self.close_preview())
        self.beside_check.toggled.connect(self._show_beside)
        self.table.chosen.connect(self._choose)
        self._show_state()

    @property
    def busy(self) -> bool:
        """Whether a preview is being computed."""
        return self._job is not None

    def offer(self, *, can: bool) -> None:
        """Let the button be pressed, or not."""
        self.can = can
        self._show_state()

    def begin(self, place: Place) -> None:
        """Preview a place; an earlier preview ends first."""
        self.close_preview(lambda: self._start(place))

    def close_preview(self, then: Callable[[], None] | None = None) -> None:
        """Take the tiles away and stop what is computed; then call `then`, once nothing uses the pair any more."""
        self._drop()
        self.status.setText("")
        if self._job is None:
            self._show_state()
            if then is not None:
                then()
            return
        self._then = then
        self._job.stop()

    def _start(self, place: Place) -> None:
        self._place, self._clicked = place, False
        size = max(SIDE, math.ceil(COARSE_SIDE * place.scene.stated.factor))

        def work(report: Report, should_stop: ShouldStop) -> _State:
            state = _State()

            def found(tile: Preview) -> None:
                nonlocal state
                state = replace(state, tiles=(*state.tiles, tile))
                report(state)

            def tell(step: Progress) -> None:
                nonlocal state
                state = replace(state, doing=step)
                report(state)

            preview(
                place.scene,
                at=place.at,
                size=size,
                device=place.device,
                found=found,
                progress=tell,
                should_stop=should_stop,
            )
            return replace(state, doing=None)

        self._job = Job("Previewing methods", work)
        self._job.reported.connect(self._reported)
        self._job.succeeded.connect(self._reported)
        self._job.failed.connect(self.status.fail)
        self._job.ended.connect(self._ended)
        self.status.setText("Previewing ...")
        self._panel.start_job(self._job)
        self._show_state()

    def _pressed(self) -> None:
        if self._job is None:
            self.wanted.emit()
            return
        # what is there stays
        self._job.stop()
        self.status.setText("Stopping ...")

    def _reported(self, state: _State) -> None:
        if self._job is None or self.sender() is not self._job or self._job.stopping:
            return
        if state.doing is None:
            self.status.setText("Click a line to see its tile and to choose its method.")
        else:
            self.status.setText(f"{state.doing.message}, {state.doing.done + 1} of {state.doing.total}")
        if len(state.tiles) > len(self.tiles):
            self._take(state.tiles)

    def _take(self, tiles: tuple[Preview, ...]) -> None:
        assert self._place is not None
        fresh, self.tiles = tiles[len(self.tiles) :], tiles
        if self._layers is None:
            place = self._place
            self._layers = PreviewLayers(self._panel.viewer, place.low, place.guide, place.matrix)
        for tile in fresh:
            self._layers.add(tile)
        self.table.fill(tiles)
        if not self._clicked and (fused := [tile.method for tile in tiles if tile.cube is not None]):
            # the latest: methods come from the simplest to the best
            self.table.select(fused[-1])
            self._layers.show(fused[-1])
        self._show_state()

    def _ended(self) -> None:
        if self.sender() is not self._job:
            return
        count = len(self.tiles)
        if self._job is not None and self._job.stopping and count:
            self.status.setText(f"Stopped after {count} method{'s' * (count > 1)}.")
        elif self._job is not None and self._job.stopping:
            self.status.setText("")
        self._job = None
        then, self._then = self._then, None
        self._show_state()
        if then is not None:
            then()

    def _choose(self, method: str) -> None:
        self._clicked = True
        tile = next(tile for tile in self.tiles if tile.method == method)
        if self._layers is not None and tile.cube is not None:
            self._layers.show(method)
        if tile.error:
            self.status.fail(f"{method}: {tile.error}")
        elif not self.busy:
            self.status.setText(tile.note)
        self.chosen.emit(method)

    def _show_beside(self, on: bool) -> None:
        if self._layers is not None:
            self._layers.show_beside(on)

    def _drop(self) -> None:
        layers, self._layers, self.tiles = self._layers, None, ()
        blocked = self.beside_check.blockSignals(True)
        self.beside_check.setChecked(False)
        self.beside_check.blockSignals(blocked)
        self.table.clearSelection()
        self.table.fill(())
        if layers is not None:
            layers.drop()

    def _show_state(self) -> None:
        self.button.setText("Stop" if self.busy else "Preview")
        self.button.setToolTip(
            "Stop; the tiles that are there stay."
            if self.busy
            else "Fuse what is in the middle of the view with every method that fits, to compare them. "
            "Ctrl and a click in the picture take that place."
        )
        self.button.setEnabled(self.busy or self.can)
        there = bool(self.tiles)
        for widget in (self.table, self.close_button, self.beside_check):
            widget.setVisible(there)
        self.beside_check.setEnabled(sum(tile.cube is not None for tile in self.tiles) > 1)
