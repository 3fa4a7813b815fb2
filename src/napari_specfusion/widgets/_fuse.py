"""Fuse: pick two layers, see whether they belong together, run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt

from napari_specfusion.data.scene import Finding
from napari_specfusion.fusion.destination import state_of
from napari_specfusion.widgets._ask import ask_about_result, ask_about_room, ask_for_folder, ask_to_run
from napari_specfusion.widgets._forms import choose, single_timer
from napari_specfusion.widgets._fuse_options import (
    AUTO,
    FIT,
    WEIGHTS,
    Fused,
    FuseOptions,
    lacks_room,
    open_result,
    run_fusion,
)
from napari_specfusion.widgets._fuse_runs import FuseRuns
from napari_specfusion.widgets._layers import is_unplaced, place_by, suggest_pair
from napari_specfusion.widgets._origins import recipe_of_run
from napari_specfusion.widgets._panel import open_panel
from napari_specfusion.widgets._placing import cube_matrix, fused_matrix
from napari_specfusion.widgets._preflight import BY_HAND, Preflight, inspect_pair
from napari_specfusion.widgets._queue import QueuedRun
from napari_specfusion.widgets._reopen import replace_layer
from napari_specfusion.widgets._worker import Job, Report, ShouldStop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

    from napari_specfusion.alignment import Alignment
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.fusion.recipe import Recipe

__all__ = ["FuseWidget"]

# answers about an older result after which there is something to run
CARRY_ON = ("continue", "overwrite")

INSPECT_DELAY = 200


class FuseWidget(FuseRuns):
    """Pick a cube and a guide, look at what is found out about the pair, and fuse it."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._inspection: Job | None = None
        self._waiting = False
        self.ask = ask_to_run
        self.ask_about_result = ask_about_result
        self.ask_about_room = ask_about_room
        self.ask_for_folder = ask_for_folder
        self._connect()
        self._debounce = single_timer(self, INSPECT_DELAY, self._inspect)
        self._offer_methods()
        self._show_method()
        self._set_running(False)
        self.refresh()

    def _connect(self) -> None:
        self.cube_combo.currentTextChanged.connect(self._pair_changed)
        self.guide_combo.currentTextChanged.connect(self._pair_changed)
        self.ratio_spin.valueChanged.connect(self._inspect_soon)
        self.align_choice.changed.connect(self._inspect_soon)
        self.align_choice.by_hand.connect(self.align_by_hand)
        self.method_combo.currentIndexChanged.connect(self._show_method)
        self.reopen_offer.found.connect(self._look_at_files)
        self.reopen_offer.changed.connect(self._show_verdict)
        self.reopen_offer.accepted.connect(self._reopen)
        self.exchange_button.clicked.connect(lambda _=False: self.exchange())
        self.copy_button.copied.connect(self.status.setText)
        self.copy_button.failed.connect(self.status.fail)
        self.run_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)

    def _show_method(self) -> None:
        method = self.method_combo.currentData()
        self.method_tip.setText(self._choices[method].tip)
        self.method_form.setRowVisible(self.minutes_spin, method == FIT)
        self.method_form.setRowVisible(self.weights_edit, method == WEIGHTS)

    def _offer_methods(self) -> None:
        """Let only those networks be chosen that fit the pair, and say why others do not."""
        unfit = self.preflight.unfit
        model: Any = self.method_combo.model()
        for index, (key, choice) in enumerate(self._choices.items()):
            model.item(index).setEnabled(key not in unfit)
            self.method_combo.setItemData(index, unfit.get(key, choice.tip), Qt.ItemDataRole.ToolTipRole)
        if self.method_combo.currentData() in unfit:
            choose(self.method_combo, AUTO)

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Follow the layer list."""
        events = self.viewer.layers.events
        changes = (events.inserted, events.removed, events.reordered, events.renamed)
        return [*super().links(), *((event, self.refresh) for event in changes)]

    def refresh(self, event: Any = None) -> None:
        """Offer the layers there are; guess a pair where none is chosen."""
        layers = self.viewer.layers
        for combo in (self.cube_combo, self.guide_combo):
            combo.update_layers(layers)
        self.drop_missing()
        if self._pair() is None and (pair := suggest_pair(layers)) is not None:
            if self.cube_combo.layer(layers) is None:
                self.cube_combo.choose(pair[0])
            if self.guide_combo.layer(layers) is None:
                self.guide_combo.choose(pair[1])
        if self._pair() is None and self._inspection is None:
            self._show_preflight(Preflight())

    # --- looking at the pair ------------------------------------------------------------

    def _pair_changed(self) -> None:
        self.align_choice.forget()
        self._inspect_soon()

    def use_alignment(self, low: Any, guide: Any, alignment: Alignment) -> None:
        """Take an alignment of two layers that was made by hand, until another pair is chosen."""
        self.cube_combo.choose(low)
        self.guide_combo.choose(guide)
        self.align_choice.give(alignment)
        self._inspect_soon()

    def align_by_hand(self) -> None:
        """Open the panel for that, with the pair that is chosen here."""
        pair = self._pair()
        panel = open_panel(self.viewer, BY_HAND)
        if pair is not None:
            panel.show_pair(*pair)

    def _inspect_soon(self) -> None:
        if self._inspection is not None:
            self._inspection.stop()
            self._inspection = None
        if self._waiting:
            # what was to be run is no longer chosen
            self._waiting = False
            self.status.setText("")
        self.preview_box.close_preview()
        self._show_preflight(Preflight())
        self._look_at_files()
        if self._pair() is None:
            self._debounce.stop()
        else:
            self._debounce.start()
            self._show_verdict()
            self._show_state()

    def _inspect(self) -> None:
        pair = self._pair()
        if pair is None:
            return
        ratio, how = self.ratio, self.align_choice.how
        job = Job(
            f"Calibrating {pair[0].name} with {pair[1].name}",
            lambda report, should_stop: inspect_pair(*pair, ratio, how, report, should_stop),
        )
        self._inspection = job
        self._show_state()
        job.reported.connect(self._inspected)
        job.succeeded.connect(self._inspected)
        job.failed.connect(self._inspection_failed)
        job.ended.connect(self._inspection_ended)
        self.start_job(job)

    def _inspected(self, preflight: Preflight) -> None:
        # an earlier job may still have reported when another pair was chosen
        if self.sender() is self._inspection:
            self._show_preflight(preflight)

    def _inspection_failed(self, message: str) -> None:
        self._inspected(Preflight(None, (Finding("error", "pair", message),), done=True))

    def _inspection_ended(self) -> None:
        if self.sender() is self._inspection:
            self._inspection = None
            moved = self.preflight.alignment is not None
            if (pair := self._pair()) is not None and self.preflight.believable and (moved or is_unplaced(pair[0])):
                self._lay_over(*pair)
                # the cube has grown over the guide: what was in view before is a corner of it
                self.viewer.reset_view()
            self._show_state()
            if self._waiting:
                self._waiting = False
                self.status.setText("")
                self._show_state()
                self._start_run()

    def _show_preflight(self, preflight: Preflight) -> None:
        self.preflight = preflight
        self._offer_methods()
        self._show_verdict()
        self._show_state()

    def _show_verdict(self) -> None:
        mood, headline = self.preflight.verdict
        if self._debounce.isActive():
            mood, headline = "wait", "Checking the pair ..."
        if mood == "good" and self.reopen_offer.layer is not None:
            mood, headline = "warning", f"{self.reopen_offer.layer.name} was not opened as a cube."
        self.findings.show_verdict(mood, headline, self.preflight.facts, self.preflight.findings)

    def _look_at_files(self) -> None:
        self.reopen_offer.look(self._pair() or ())

    def _reopen(self, layer: Any, cube: Cube) -> None:
        chosen = [combo for combo in (self.cube_combo, self.guide_combo) if combo.layer(self.viewer.layers) == layer]
        new = replace_layer(self.viewer, layer, cube)
        for combo in chosen:
            combo.choose(new)

    def _lay_over(self, low: Any, guide: Any) -> None:
        scene = self.preflight.scene
        assert scene is not None
        place_by(low, guide, cube_matrix(scene, scene.shift if self.preflight.believable else None))

    # --- running --------------------------------------------------------------------------

    def start(self) -> None:
        """Run with what is chosen, as soon as the pair is known."""
        if self._waiting or self._pair() is None:
            return
        if self.preflight.done:
            self._start_run()
            return
        # the run takes the calibration that is under way
        self._waiting = True
        what = "Runs" if self._run is None else "Joins the queue"
        self.status.setText(f"{what} as soon as the pair is calibrated.")
        self._show_state()
        if self._inspection is None and not self._debounce.isActive():
            self._inspect()

    def _start_run(self) -> None:
        pair, scene = self._pair(), self.preflight.calibrated or self.preflight.scene
        if pair is None or scene is None or not self.preflight.can_run:
            return
        doubts = self.preflight.doubts
        if doubts:
            answer = self.ask(self, doubts)
            if answer == "align":
                self.align_by_hand()
            if answer != "run":
                return
        options = self._placed(self.options)
        if options is None:
            return
        # what was found out about the pair is known here, and was agreed to
        options = dataclasses.replace(options, align=not doubts and self.align_choice.how != "off")
        recipe = recipe_of_run(*pair, options, self.align_choice.how, self.ratio, self.preflight)
        self._begin(
            *pair,
            f"Fusing {pair[0].name} with {pair[1].name}",
            lambda report, should_stop: run_fusion(scene, options, report, should_stop, recipe),
            recipe,
        )

    def recipe(self) -> Recipe | None:
        """Return what a run would be begun with; None without a pair."""
        if (pair := self._pair()) is None:
            return None
        how, known = self.align_choice.how, self.preflight
        options = dataclasses.replace(self.options, align=not known.doubts and how != "off")
        return recipe_of_run(*pair, options, how, self.ratio, known)

    def _placed(self, options: FuseOptions) -> FuseOptions | None:
        """Ask where the result may go, if that is a question; None if there is nothing to run."""
        assert self.preflight.scene is not None
        if options.out is None and (lack := lacks_room(self.preflight.scene)) is not None:
            answer = self.ask_about_room(self, *lack)
            folder = self.ask_for_folder(self) if answer == "folder" else None
            if answer == "memory":
                return options
            if folder is None:
                return None
            self.out_edit.set_path(folder)
            options = dataclasses.replace(options, out=folder)
        if options.out is None or self.queue.claims(options.out) or (state := state_of(options.out)) == "free":
            return options
        what = self.ask_about_result(self, options.out, state)
        if what == "open":
            self._open_result(options.out)
        return dataclasses.replace(options, overwrite=what == "overwrite") if what in CARRY_ON else None

    def _open_result(self, path: Path) -> None:
        if (pair := self._pair()) is not None:
            self._begin(*pair, f"Opening {path.name}", lambda report, should_stop: open_result(path))

    def _begin(
        self,
        low: Any,
        guide: Any,
        title: str,
        work: Callable[[Report, ShouldStop], Fused],
        recipe: Recipe | None = None,
    ) -> None:
        self._lay_over(low, guide)
        matrix, out = fused_matrix(self.preflight.alignment), None if recipe is None else recipe.out
        method = self.options.method
        self._queue_up(QueuedRun(low, guide, method, title, work, matrix, recipe, out, self.preflight))

    def cancel(self) -> None:
        """Stop the run within a second, or the calibration before it."""
        if self._run is not None:
            self._cancel_run()
        elif self._inspection is not None or self._debounce.isActive():
            self._debounce.stop()
            if self._inspection is not None:
                self._inspection.stop()
                self._inspection = None
            self._waiting = False
            self.status.setText("")
            self._show_preflight(Preflight())
            self.findings.show_verdict("info", "The check of the pair was stopped. Run begins it again.")

    def _show_state(self) -> None:
        """Let those buttons be pressed that do something."""
        checking = self._inspection is not None or self._debounce.isActive()
        can_run = self.preflight.can_run or (not self.preflight.done and self._pair() is not None)
        self.run_button.setEnabled(can_run and not self._waiting)
        self._name_run_button()
        self.cancel_button.setEnabled(checking if self._run is None else not self._run.stopping)
        self._show_exchange()
        self._show_offers(idle=self._run is None)
