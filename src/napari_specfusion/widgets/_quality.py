"""Quality: how good a result is, by a reference or by the pair it was made of; as a table, curves and maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.fusion.error_map import expected_error
from napari_specfusion.fusion.judging import judge, result_scene
from napari_specfusion.quality.judgement import JUDGEMENTS, REDUCED, Judgement
from napari_specfusion.quality.metrics import MEASURES, Quality, evaluate, quality_maps
from napari_specfusion.quality.pair_maps import judgement_maps
from napari_specfusion.widgets._forms import choose
from napari_specfusion.widgets._layers import (
    plane_shape,
    run_of,
    suggest_estimate,
    suggest_inputs,
    suggest_reference,
)
from napari_specfusion.widgets._map_layer import MapKind, add_map_layer
from napari_specfusion.widgets._plot import CUBE_COLOURS, LINE_STYLES, Line
from napari_specfusion.widgets._quality_form import BY_PAIR, BY_REFERENCE, QualityForm
from napari_specfusion.widgets._worker import Job, Report, ShouldStop

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_specfusion.progress import Progress

__all__ = ["QualityWidget"]


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The layers that are chosen: a result, and what judges it.

    Attributes
    ----------
    result
        The layer to judge.
    others
        The reference, or the cube and the guide.
    """

    result: Any
    others: tuple[Any, ...]

    @property
    def by(self) -> str:
        """The names of what judges."""
        return " and ".join(str(layer.name) for layer in self.others)

    def cubes(self) -> tuple[Cube, ...]:
        """Return the cubes: of the result, then of what judges."""
        return tuple(Cube.from_layer(layer) for layer in (self.result, *self.others))


class QualityWidget(QualityForm):
    """Judge results; each one judged adds a column to the table and a curve to the plot."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.results: dict[str, Quality] = {}
        self.judgements: dict[str, Judgement] = {}
        # by mode, what the columns were judged by
        self._of = {BY_REFERENCE: "", BY_PAIR: ""}
        self._pair: tuple[tuple[Any, ...], CalibratedScene] | None = None
        self._estimate: Any = None
        self._mode_is_chosen = False
        self._told = ""
        self._job: Job | None = None
        self.compare_button.clicked.connect(lambda _=False: self.compare())
        self.cancel_button.clicked.connect(lambda _=False: self.cancel())
        self.map_button.clicked.connect(lambda _=False: self.add_map(self.map_combo.currentData()))
        self.mode_combo.activated.connect(self._choose_mode)
        self.mode_combo.currentIndexChanged.connect(self._mode_changed)
        self.estimate_combo.currentTextChanged.connect(self._estimate_changed)
        for combo in (self.reference_combo, self.cube_combo, self.guide_combo):
            combo.currentTextChanged.connect(self._chosen)
        self.ratio_spin.valueChanged.connect(self._chosen)
        self.band_combo.currentIndexChanged.connect(self._draw)
        self.setMinimumWidth(340)
        self._mode_changed()
        self.refresh()

    # --- listening ------------------------------------------------------------------

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Follow the layer list and the theme."""
        events = self.viewer.layers.events
        changes = (events.inserted, events.removed, events.reordered, events.renamed)
        return [*((event, self.refresh) for event in changes), (self.viewer.events.theme, self._take_theme)]

    def mouse(self) -> list[tuple[list[Callable[..., Any]], Callable[..., Any]]]:
        """Let the line of a swipe follow the mouse."""
        return [(self.viewer.mouse_move_callbacks, self.see_both.mouse_moved)]

    def let_go(self) -> None:
        """Keep no pair in memory while nobody looks, and give the layers back."""
        super().let_go()
        self.see_both.end()
        self._pair = None

    def refresh(self, event: Any = None) -> None:
        """Offer the layers there are; choose the latest result and what it can be judged by where the user did not."""
        self._take_theme()
        layers = self.viewer.layers
        for combo in (self.reference_combo, self.estimate_combo, self.cube_combo, self.guide_combo):
            combo.update_layers(layers)
        if self.estimate_combo.is_free(layers) and (estimate := suggest_estimate(layers)) is not None:
            self.estimate_combo.suggest(estimate)
        self._suggest_others()
        self._chosen()
        # rows are as tall as the style of the window says, which is not known before
        self._fill_table()

    def _suggest_others(self) -> None:
        layers = self.viewer.layers
        estimate = self.estimate_combo.layer(layers)
        if self.reference_combo.is_free(layers):
            self.reference_combo.suggest(suggest_reference(estimate, layers))
        for combo, layer in zip((self.cube_combo, self.guide_combo), suggest_inputs(estimate, layers), strict=True):
            if combo.is_free(layers):
                combo.suggest(layer)
        if not self._mode_is_chosen:
            pair = all(combo.layer(layers) is not None for combo in (self.cube_combo, self.guide_combo))
            choose(self.mode_combo, BY_PAIR if pair and not self.reference_combo.currentText() else BY_REFERENCE)

    def _choose_mode(self, _: int) -> None:
        self._mode_is_chosen = True

    def _mode_changed(self, _: int = 0) -> None:
        self.show_mode()
        self._chosen()
        self._fill_table()
        self._draw()

    def _estimate_changed(self) -> None:
        self._suggest_others()
        self._chosen()

    def _chosen(self) -> None:
        """Take the ratio from the run of the result, and say what is missing."""
        layers = self.viewer.layers
        estimate = self.estimate_combo.layer(layers)
        run = None if estimate is None else run_of(estimate)
        if estimate is not None and estimate != self._estimate:
            # once, so that another ratio can be entered after it
            self._estimate = estimate
            if run is not None:
                self.ratio_spin.setValue(run.ratio)
        if estimate is None or run is None:
            note = "" if estimate is None else "Not known from the result: enter it."
        elif self.ratio_spin.value() == run.ratio:
            note = f"From the run of {estimate.name}."
        else:
            note = f"The run of {estimate.name} had {run.ratio:g}."
        self.ratio_note.setText(note)
        self.show_mode()
        other = (self.cube_combo if self.by_pair else self.reference_combo).layer(layers)
        self.see_both.offer(estimate, other)
        missing = self._missing(estimate)
        if missing != self._told and self._job is None:
            # what went wrong stays to be read
            self._told = missing
            self.status.setText(missing)
        self._update_buttons()

    def _missing(self, estimate: Any | None) -> str:
        layers = self.viewer.layers
        if estimate is None:
            return ""
        if self.by_pair:
            lacks = [
                name
                for name, combo in (("cube", self.cube_combo), ("guide", self.guide_combo))
                if combo.layer(layers) is None
            ]
            return f"Choose the {' and the '.join(lacks)} that {estimate.name} was made of." if lacks else ""
        if self.reference_combo.layer(layers) is None:
            bands, height, width = plane_shape(estimate)
            return f"Open the true cube of {height} x {width} pixels and {bands} bands to compare {estimate.name} with."
        return ""

    def _take_theme(self, event: Any = None) -> None:
        self.plot.set_theme(self.viewer.theme)

    def _choice(self) -> _Chosen | None:
        layers = self.viewer.layers
        combos = (self.cube_combo, self.guide_combo) if self.by_pair else (self.reference_combo,)
        result, others = self.estimate_combo.layer(layers), tuple(combo.layer(layers) for combo in combos)
        found = (result, *others)
        return None if None in found or any(result == other for other in others) else _Chosen(result, others)

    def _update_buttons(self) -> None:
        ready = self._choice() is not None and self._job is None
        for button in (self.compare_button, self.map_button):
            button.setEnabled(ready)
        self.cancel_button.setEnabled(self._job is not None)

    # --- measuring -------------------------------------------------------------------

    def compare(self) -> None:
        """Judge the chosen result."""
        if (chosen := self._choice()) is None or self._job is not None:
            return
        name = str(chosen.result.name)
        if self.by_pair:
            pair, trial = self._pair_maker(chosen), self.trial_check.isChecked()

            def judged(report: Report, should_stop: ShouldStop) -> Any:
                calibrated, result = pair(report, should_stop)
                found = judge(calibrated, result, trial=trial, progress=report, should_stop=should_stop)
                return name, chosen, calibrated, found

            self._start(f"Judging {name} by {chosen.by}", judged, self._judged)
            return
        (estimate, reference), ratio = chosen.cubes(), self.ratio_spin.value()

        def compared(report: Report, should_stop: ShouldStop) -> Any:
            return name, chosen.by, evaluate(reference, estimate, ratio, progress=report, should_stop=should_stop)

        self._start(f"Comparing {name} with {chosen.by}", compared, self._compared)

    def add_map(self, key: str) -> None:
        """Compute a map and add it as a layer."""
        if (chosen := self._choice()) is None or self._job is not None:
            return
        kind = self.maps[key]
        title = f"Mapping the {kind.name} of {chosen.result.name}"
        if self.by_pair:
            pair = self._pair_maker(chosen)

            def mapped(report: Report, should_stop: ShouldStop) -> Any:
                calibrated, result = pair(report, should_stop)
                if key == "expected":
                    values = expected_error(calibrated, result, progress=report, should_stop=should_stop).read()[0]
                else:
                    maps = judgement_maps(calibrated, result, progress=report, should_stop=should_stop)
                    values = maps[key].compute()
                return kind, chosen, calibrated, values

            self._start(title, mapped, self._mapped)
            return
        estimate, reference = chosen.cubes()
        self._start(
            title,
            lambda _, should_stop: (
                kind,
                chosen,
                None,
                quality_maps(reference, estimate, should_stop=should_stop)[key].compute(),
            ),
            self._mapped,
        )

    def _pair_maker(self, chosen: _Chosen) -> Callable[[Report, ShouldStop], tuple[CalibratedScene, Cube]]:
        """Return a function that makes the pair, unless it was made before, and the result."""
        result, low, guide = chosen.cubes()
        known = self._pair
        kept = known[1] if known is not None and known[0] == _identity(chosen) else None

        def made(report: Report, should_stop: ShouldStop) -> tuple[CalibratedScene, Cube]:
            if kept is not None:
                return kept, result
            return CalibratedScene(result_scene(low, guide, result, progress=report, should_stop=should_stop)), result

        return made

    def _keep(self, chosen: _Chosen, calibrated: CalibratedScene) -> None:
        self._pair = (_identity(chosen), calibrated)

    def cancel(self) -> None:
        """Stop what is being computed."""
        if self._job is not None:
            self._job.stop()
            self.cancel_button.setEnabled(False)
            self.status.setText("Stopping ...")

    def _start(self, title: str, function: Callable[[Report, ShouldStop], Any], done: Callable[[Any], None]) -> None:
        self._job = Job(title, function)
        self._job.reported.connect(self._progressed)
        self._job.succeeded.connect(done)
        self._job.failed.connect(self._failed)
        self._job.ended.connect(self._ended)
        self.status.setText(f"{title} ...")
        self._update_buttons()
        self.start_job(self._job, matters=True)

    def _compared(self, outcome: tuple[str, str, Quality]) -> None:
        name, by, quality = outcome
        if by != self._of[BY_REFERENCE]:
            self.results.clear()
            self._of[BY_REFERENCE] = by
        self.results[name] = quality
        self.status.setText(f"Compared with {by} on {quality.coverage:.0%} of the values.")
        self._fill_table()
        self._draw()

    def _judged(self, outcome: tuple[str, _Chosen, CalibratedScene, Judgement]) -> None:
        name, chosen, calibrated, judgement = outcome
        self._keep(chosen, calibrated)
        if chosen.by != self._of[BY_PAIR]:
            self.judgements.clear()
            self._of[BY_PAIR] = chosen.by
        self.judgements[name] = judgement
        floor = f"The response alone leaves {judgement.guide_floor:.2f} % of the guide."
        self.status.setText(f"Judged by {chosen.by}. {floor} {judgement.note}".strip())
        self._fill_table()
        self._draw()

    def _mapped(self, outcome: tuple[MapKind, _Chosen, CalibratedScene | None, Any]) -> None:
        kind, chosen, calibrated, values = outcome
        grid: tuple[Any, tuple[float, float]] = (1, (0.0, 0.0))
        if calibrated is not None:
            self._keep(chosen, calibrated)
            if values.shape != calibrated.stated.shape:
                # it is on the cube's grid
                grid = calibrated.sampling.ratio, calibrated.sampling.shift
        add_map_layer(self.viewer, kind, values, chosen.result, grid)
        self.status.setText("")

    def _failed(self, message: str) -> None:
        self.status.fail(message)

    def _progressed(self, step: Progress) -> None:
        if self._job is not None and not self._job.stopping:
            self.status.setText(f"{step.message}, {step.done + 1} of {step.total}")

    def _ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.status.setText("Stopped.")
        self._job = None
        self._update_buttons()

    # --- showing ---------------------------------------------------------------------

    @property
    def _shown(self) -> dict[str, Any]:
        return dict(self.judgements if self.by_pair else self.results)

    def _fill_table(self) -> None:
        tried = any(one.reduced is not None for one in self.judgements.values())
        self.table.fill(self._shown, (*(REDUCED if tried else ()), *JUDGEMENTS) if self.by_pair else MEASURES)

    def _draw(self) -> None:
        if (measure := self.band_measure()) is None:
            return
        lines = []
        unit = "band"
        for index, (name, result) in enumerate(self._shown.items()):
            values = result.bands[measure.key]
            known = result.wavelengths
            unit = "band" if known is None else result.spectral_unit
            positions = np.arange(len(values)) if known is None else known
            style = LINE_STYLES[index % len(LINE_STYLES)]
            lines.append(Line(name, positions, values, CUBE_COLOURS[index % len(CUBE_COLOURS)], style, 2.0, name))
        self.plot.set_axes(unit, measure.title)
        self.plot.draw(lines)


def _identity(chosen: _Chosen) -> tuple[Any, ...]:
    """Return what makes another pair: the two layers, their data, and the pixels of the result."""
    low, guide = chosen.others
    return low, guide, id(low.data), id(guide.data), plane_shape(chosen.result)[1:], run_of(chosen.result)
