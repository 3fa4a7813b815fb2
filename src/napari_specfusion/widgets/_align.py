"""Align by hand: click point pairs, or move the cube over the guide, and see how well the two match."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QVBoxLayout

from napari_specfusion.alignment import Alignment, align
from napari_specfusion.alignment.by_hand import align_by
from napari_specfusion.alignment.points import matrix_of_points
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import AlignmentError, OutputError, SpecFusionError
from napari_specfusion.widgets._align_facts import LEAST_PAIRS, facts, headline_of
from napari_specfusion.widgets._align_form import AlignForm, ask_for_file
from napari_specfusion.widgets._compare_views import CompareViews
from napari_specfusion.widgets._layers import place_by, plane_shape, suggest_pair
from napari_specfusion.widgets._live_residual import LiveResidual
from napari_specfusion.widgets._nudge import NudgeKeys, Step, nudged
from napari_specfusion.widgets._panel import Panel, open_panel
from napari_specfusion.widgets._placing import at_middle, first_matrix
from napari_specfusion.widgets._point_pairs import PointPairs
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

__all__ = ["AlignWidget"]

Matrix = NDArray[np.float64]


class AlignWidget(Panel):
    """Lay a cube over its guide by hand, refine that, and hand it to Fuse or a file."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.matrix: Matrix | None = None
        self.alignment: Alignment | None = None
        self.residual: float | None = None
        self._start: Matrix | None = None
        self._start_residual: float | None = None
        self._shown: tuple[Any, Any] | None = None
        self._job: Job | None = None
        self._then: Callable[[Alignment], None] | None = None
        self.form = AlignForm()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self.setMinimumWidth(340)
        self.views = CompareViews(self, viewer)
        self.points = PointPairs(viewer, self._points_changed)
        self.keys = NudgeKeys(viewer, self.nudge)
        self.live = LiveResidual(self)
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        form = self.form
        form.cube_combo.currentTextChanged.connect(self._pair_changed)
        form.guide_combo.currentTextChanged.connect(self._pair_changed)
        form.pick_button.toggled.connect(self._pick)
        form.undo_button.clicked.connect(lambda _=False: self.points.remove_last())
        form.clear_button.clicked.connect(self._clear_points)
        form.modes.buttonClicked.connect(lambda _: self._show_mode())
        form.opacity_slider.valueChanged.connect(lambda _: self._show_mode())
        form.before_box.toggled.connect(lambda _: self._lay())
        form.keys_box.toggled.connect(lambda _: self._bind_keys())
        actions = self.refine, self.use_in_fuse, self._save, self._load, self.reset, self.cancel
        for button, do in zip(form.action_buttons, actions, strict=True):
            button.clicked.connect(lambda _=False, do=do: do())
        self.live.ready.connect(self._pictures_ready)
        self.live.found.connect(self._residual_found)
        self.live.failed.connect(form.status.fail)

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Follow the layer list."""
        events = self.viewer.layers.events
        return [(event, self.refresh) for event in (events.inserted, events.removed, events.reordered, events.renamed)]

    def refresh(self, event: Any = None) -> None:
        """Offer the layers there are; guess a pair where none is chosen."""
        self._offer()
        if self._pair() is None and (pair := suggest_pair(self.viewer.layers)) is not None:
            self.show_pair(*pair)
        if self.points.low is not None and not self.points.there:
            # the user removed one of the layers of points
            self._clear_points()
        self._update()

    def show_pair(self, low: Any, guide: Any) -> None:
        """Choose the two layers to align."""
        self._offer()
        self.form.cube_combo.choose(low)
        self.form.guide_combo.choose(guide)

    def _offer(self) -> None:
        for combo in (self.form.cube_combo, self.form.guide_combo):
            combo.update_layers(self.viewer.layers)

    def _pair(self) -> tuple[Any, Any] | None:
        layers = self.viewer.layers
        low, guide = self.form.cube_combo.layer(layers), self.form.guide_combo.layer(layers)
        return None if low is None or guide is None or low == guide else (low, guide)

    def _cubes(self) -> tuple[Cube, Cube]:
        pair = self._pair()
        assert pair is not None
        return Cube.from_layer(pair[0]), Cube.from_layer(pair[1])

    def _pair_changed(self) -> None:
        pair = self._pair()
        if pair == self._shown:
            # a layer was renamed
            return
        self._forget()
        if pair is not None and self._listening:
            self._begin(*pair)
        self._update()

    def _begin(self, low: Any, guide: Any) -> None:
        self._shown = low, guide
        self.matrix = self._start = first_matrix(low, guide)
        self.alignment = self.residual = self._start_residual = None
        self.views.begin(low, guide)
        self._show_mode()
        self.live.watch(*self._cubes(), math.sqrt(abs(float(np.linalg.det(self.matrix[:2, :2])))))
        self._moved()

    def _forget(self) -> None:
        if self._job is not None:
            self._job.stop()
        self.live.stop()
        self._clear_points()
        self.views.end()
        self.views.pictures = None
        self._shown = self.matrix = self._start = self.alignment = self.residual = None
        self.form.status.setText("")

    # --- moving --------------------------------------------------------------------

    def move_to(self, matrix: Matrix, alignment: Alignment | None = None) -> None:
        """Lay the cube by a matrix ``(3, 3)`` from cube to guide pixels, which may be that of an alignment."""
        self.matrix, self.alignment = matrix, alignment
        self._moved()

    def nudge(self, step: Step) -> None:
        """Move, turn or scale the cube a little."""
        if self.matrix is not None and self._shown is not None and self._job is None:
            self.form.before_box.setChecked(False)
            self.move_to(nudged(self.matrix, plane_shape(self._shown[0])[1:], step))

    def reset(self) -> None:
        """Lay the cube where it was, without points."""
        self._clear_points()
        self.form.status.setText("")
        if self._start is not None:
            self.move_to(self._start)

    def _moved(self) -> None:
        self._lay()
        if self.matrix is not None:
            self.live.ask(self.matrix)
        self._tell()

    def _lay(self) -> None:
        """Lay the cube and its points over the guide."""
        matrix = self._start if self.form.before_box.isChecked() else self.matrix
        pair = self._pair()
        if matrix is None or pair is None:
            return
        affine = at_middle(matrix, plane_shape(pair[0])[1:])
        place_by(*pair, affine)
        self.points.lie(pair[1], affine)
        self.views.update(matrix)

    # --- points --------------------------------------------------------------------

    def _pick(self, on: bool) -> None:
        pair = self._pair()
        if on and pair is not None and self.matrix is not None:
            self.form.before_box.setChecked(False)
            self.points.pick(pair[1], at_middle(self.matrix, plane_shape(pair[0])[1:]))
            self.views.turn(cube=self.points.next_in_cube)
        elif self.points.picking:
            self.points.stop()
            self._show_mode()
        self._update()

    def _points_changed(self) -> None:
        if self.points.picking:
            self.views.turn(cube=self.points.next_in_cube)
        low, guide = self.points.counts
        if low == guide >= LEAST_PAIRS:
            try:
                self.move_to(matrix_of_points(self.points.pairs()))
                self.form.status.setText("")
            except AlignmentError as error:
                self.form.status.fail(str(error))
        self._tell()
        self._update()

    def _clear_points(self) -> None:
        self.form.pick_button.setChecked(False)
        self.points.clear()
        self._tell()
        self._update()

    @property
    def mode(self) -> str:
        """The way to look at the pair, a key of `MODES`."""
        return next(key for key, button in self.form.mode_buttons.items() if button.isChecked())

    def set_mode(self, mode: str) -> None:
        """Look at the pair in another way."""
        self.form.mode_buttons[mode].setChecked(True)
        self._show_mode()

    def _show_mode(self) -> None:
        if self.matrix is not None and self._listening:
            self.form.pick_button.setChecked(False)
            self.views.show(self.mode, self.form.opacity_slider.value() / 100, self.matrix)

    def _pictures_ready(self, pictures: Any) -> None:
        self.views.pictures = pictures
        if self.matrix is not None:
            self.views.update(self.matrix)

    def _residual_found(self, residual: float, matrix: Matrix) -> None:
        if matrix is self._start:
            self._start_residual = residual
        if matrix is self.matrix:
            self.residual = residual
            self._tell()

    def _tell(self) -> None:
        """Say how well the two match, and how they lie."""
        if self.matrix is None or self._shown is None:
            self.form.findings.show_verdict("info", "Choose a cube and a guide.")
            return
        (_, *low), (_, *guide) = map(plane_shape, self._shown)
        residual = self.residual if self.alignment is None else self.alignment.after
        known = facts(
            self.matrix if self.alignment is None else self.alignment,
            ((low[0], low[1]), (guide[0], guide[1])),
            (self._start_residual, residual),
            self.points.pairs(),
        )
        findings = () if self.alignment is None else self.alignment.findings()
        mood, headline = headline_of(self.alignment, residual)
        self.form.findings.show_verdict(mood, headline, known, (f for f in findings if f.topic != "geometry"))

    # --- refining, files, Fuse -----------------------------------------------------

    def refine(self) -> None:
        """Search for the best match from here."""
        self._align("Refining the alignment", align, "start", self.move_to_alignment)

    def move_to_alignment(self, alignment: Alignment) -> None:
        """Lay the cube as an alignment says."""
        self.move_to(alignment.matrix, alignment)

    def use_in_fuse(self) -> None:
        """Hand the alignment to the Fuse panel."""
        self._with_alignment(self._hand_over)

    def save(self, path: Path) -> None:
        """Write the alignment to a file."""
        self._with_alignment(lambda alignment: self._write(alignment, path))

    def load(self, path: Path) -> None:
        """Read an alignment of images of these sizes from a file."""
        try:
            alignment = Alignment.load(path)
            alignment.scene(*self._cubes())
        except SpecFusionError as error:
            self.form.status.fail(str(error))
        else:
            self.move_to_alignment(alignment)
            self.form.status.setText(f"Read {path.name}.")

    def _with_alignment(self, then: Callable[[Alignment], None]) -> None:
        """Do something with the alignment of the moment, judged first if it was made by hand."""
        if self.alignment is not None:
            then(self.alignment)
            return

        def judged(alignment: Alignment) -> None:
            self.move_to_alignment(alignment)
            then(alignment)

        self._align("Judging the alignment", align_by, "matrix", judged)

    def _align(self, title: str, function: Any, argument: str, then: Callable[[Alignment], None]) -> None:
        if self.matrix is None or self._pair() is None or self._job is not None:
            return
        low, guide = self._cubes()
        options = {argument: self.matrix}
        self._then = then
        self._job = Job(
            title, lambda report, stop: function(low, guide, **options, progress=report, should_stop=stop).alignment
        )
        self._job.reported.connect(self._searching)
        self._job.succeeded.connect(self._aligned)
        self._job.failed.connect(self.form.status.fail)
        self._job.ended.connect(self._job_ended)
        self.form.status.setText(f"{title} ...")
        self._update()
        self.start_job(self._job, matters=True)

    def _aligned(self, alignment: Alignment) -> None:
        if self.sender() is self._job and self._then is not None:
            self.form.status.setText("")
            self._then(alignment)

    def cancel(self) -> None:
        """Stop the search."""
        if self._job is not None:
            self._job.stop()
            self.form.status.setText("Stopping ...")

    def _searching(self, step: Any) -> None:
        if self._job is not None and not self._job.stopping:
            self.form.status.setText(f"{step.message} ...")

    def _job_ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.form.status.setText("Stopped.")
        self._job = self._then = None
        self._update()

    def _hand_over(self, alignment: Alignment) -> None:
        if (pair := self._pair()) is not None:
            open_panel(self.viewer, "Fuse").use_alignment(*pair, alignment)

    def _write(self, alignment: Alignment, path: Path) -> None:
        try:
            alignment.save(path)
        except (OutputError, OSError) as error:
            self.form.status.fail(str(error))
        else:
            self.form.status.setText(f"Saved as {path.name}.")

    def _save(self) -> None:
        if (path := ask_for_file(self, writing=True)) is not None:
            self.save(path)

    def _load(self) -> None:
        if (path := ask_for_file(self, writing=False)) is not None:
            self.load(path)

    def _update(self) -> None:
        form, ready = self.form, self.matrix is not None and self._job is None
        for control in form.needing_a_pair:
            control.setEnabled(ready)
        for button in (form.undo_button, form.clear_button):
            button.setEnabled(ready and self.points.there)
        for widget in (form.progress, form.cancel_button):
            widget.setVisible(self._job is not None)
        form.turn_label.setVisible(self.points.picking)
        low, guide = self.points.counts
        where = f"Click point {low + 1} in the cube." if low <= guide else f"Click point {guide + 1} in the guide."
        form.turn_label.setText(where)

    def _bind_keys(self) -> None:
        if self._listening and self.form.keys_box.isChecked():
            self.keys.bind()
        else:
            self.keys.release()
        self.form.keys_label.setVisible(self.form.keys_box.isChecked())

    def listen(self) -> None:
        """Connect to the viewer, take the keys, and show the pair."""
        super().listen()
        self._bind_keys()
        if self._shown is None:
            self._pair_changed()
        elif (pair := self._pair()) is not None:
            self.views.begin(*pair)
            self._show_mode()

    def let_go(self) -> None:
        """Disconnect from the viewer, give the keys back and the layers as they were."""
        super().let_go()
        self._bind_keys()
        self.form.pick_button.setChecked(False)
        self.views.end()

    def end(self) -> None:
        """Take the points away, too."""
        self.live.stop()
        self.points.clear()
