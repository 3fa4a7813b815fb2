"""The Fuse form with what comes before a run: a guide from the file of the cube, the calibration seen, a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.widgets._forms import choose
from napari_specfusion.widgets._fuse_form import FuseForm
from napari_specfusion.widgets._layers import is_cube, plane_matrix
from napari_specfusion.widgets._placing import fused_matrix
from napari_specfusion.widgets._preflight import Preflight
from napari_specfusion.widgets._preview_box import Place
from napari_specfusion.widgets._preview_layers import camera_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

__all__ = ["PairForm"]


class PairForm(FuseForm):
    """A form that shows more of its pair."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.preflight = Preflight()
        self.guide_offer.found.connect(self._offer_guide)
        self.guide_offer.opened.connect(self._take_pair)
        self.preview_box.wanted.connect(lambda: self.preview())
        self.preview_box.chosen.connect(lambda method: choose(self.method_combo, method))

    def links(self) -> list[tuple[Any, Callable[..., None]]]:
        """Follow the theme."""
        return [*super().links(), (self.viewer.events.theme, self._take_theme)]

    def mouse(self) -> list[tuple[list[Callable[..., Any]], Callable[..., Any]]]:
        """Preview where the picture is clicked with Ctrl."""
        return [*super().mouse(), (self.viewer.mouse_drag_callbacks, self._clicked)]

    def end(self) -> None:
        """Take away what was shown with the panel."""
        super().end()
        self.calibration_box.end()
        self.preview_box.close_preview()

    def preview(self, world: Any = None) -> None:
        """Preview the pair around a place.

        Parameters
        ----------
        world
            World coordinates, whose last two are (y, x); None takes the middle of what the camera shows.
        """
        pair, known = self._pair(), self.preflight
        if pair is None or known.calibrated is None or not known.can_run:
            return
        matrix = fused_matrix(known.alignment)
        world = camera_of(self.viewer).center if world is None else world
        place = np.linalg.inv(plane_matrix(pair[1]) @ matrix) @ [*world[-2:], 1.0]
        height, width = known.calibrated.stated.shape
        at = float(np.clip(place[0], 0, height - 1)), float(np.clip(place[1], 0, width - 1))
        self.preview_box.begin(Place(known.calibrated, *pair, matrix, at, self.options.device))

    def _show_offers(self, *, idle: bool) -> None:
        self.preview_box.offer(can=idle and self.preflight.can_run and self.preflight.calibrated is not None)

        pair, known = self._pair(), self.preflight
        shown = pair is not None and known.calibration is not None and known.believable
        self.calibration_box.take(known.calibrated if shown else None, None if pair is None else pair[0])

        self._offer_guide()

    def _offer_guide(self) -> None:
        layers = self.viewer.layers
        low = self.cube_combo.layer(layers)
        if low is None:
            # without a guide no cube is chosen by itself
            cubes = [layer for layer in layers if is_cube(layer)]
            low = cubes[0] if len(cubes) == 1 else None
        self.guide_offer.look(low, self.guide_combo.layer(layers))

    def _take_pair(self, low: Any, guide: Any) -> None:
        self.cube_combo.choose(low)
        self.guide_combo.choose(guide)

    def _take_theme(self, event: Any = None) -> None:
        self.calibration_box.set_theme(self.viewer.theme)

    def _clicked(self, viewer: Any, event: Any) -> None:
        if event.type == "mouse_press" and "Control" in event.modifiers and self.preview_box.can:
            self.preview(event.position)
