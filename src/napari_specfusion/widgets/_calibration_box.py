"""The calibration of a pair in pictures: PSF, response of the guide, width band by band, and the map of the misfit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_specfusion.calibration import misfit_map
from napari_specfusion.widgets._findings import StatusLine
from napari_specfusion.widgets._forms import words
from napari_specfusion.widgets._map_layer import MapKind, add_map_layer
from napari_specfusion.widgets._plot import CUBE_COLOURS, LINE_STYLES, Line, SpectrumPlot
from napari_specfusion.widgets._psf_picture import PsfPicture
from napari_specfusion.widgets._worker import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_specfusion.calibration import CalibratedScene, Calibration
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.widgets._panel import Panel

__all__ = ["CalibrationBox", "response_lines", "width_lines"]

MISFIT = MapKind(
    "Residual", "residual", "magma", "What calibration leaves of the guide, in units of its standard deviation."
)
MAPPING = "Mapping the residual ..."
# of a guide of three bands, by their wavelengths
RGB = ("#4c9be8", "#45b37d", "#e05252")


class CalibrationBox(QCollapsible):
    """Pictures of a calibration, made when they are first looked at."""

    def __init__(self, panel: Panel) -> None:
        super().__init__("Show calibration", expandedIcon="\u25be", collapsedIcon="\u25b8")
        self._panel = panel
        self._known: CalibratedScene | None = None
        self._low: Any = None
        self._job: Job | None = None
        self._drawn = False
        self._map: Any = None
        self.psf = PsfPicture()
        self.caption = words()
        self.response = SpectrumPlot(marker=False, height=175)
        self.widths = SpectrumPlot(marker=False, height=150)
        self.map_button = QPushButton("Show residual map")
        self.map_button.setToolTip(MISFIT.tip)
        self.status = StatusLine()
        self._lay_out()
        self.toggled.connect(self._show)
        self.map_button.clicked.connect(lambda _=False: self.add_map())
        self.hide()

    def _lay_out(self) -> None:
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.psf)
        row.addWidget(self.caption, 1)
        column.addLayout(row)
        for widget in (self.response, self.widths, self.map_button, self.status):
            column.addWidget(widget)
        self.addWidget(body)

    def take(self, known: CalibratedScene | None, low: Any) -> None:
        """Take another calibration and the layer of its cube; None hides the box."""
        if known is self._known:
            return
        if self._job is not None:
            self._job.stop()
            self._job = None
        self._known, self._low, self._drawn = known, low, False
        self.status.setText("")
        self.map_button.setEnabled(True)
        self.setVisible(known is not None)
        if known is None:
            self.collapse(animate=False)
            self.end()
        self._show()

    def set_theme(self, theme: str) -> None:
        """Take over the colours of a napari theme."""
        for plot in (self.response, self.widths):
            plot.set_theme(theme)

    def end(self) -> None:
        """Take the map away."""
        layer, self._map = self._map, None
        if layer is not None and layer in self._panel.viewer.layers:
            self._panel.viewer.layers.remove(layer)

    def add_map(self) -> None:
        """Add the map of what calibration leaves over the cube; it is computed in the background."""
        known, low = self._known, self._low
        if known is None or self._job is not None:
            return
        self.end()

        # it reports to nobody, so that it can go on beside a run of the same pair
        self._job = Job("Mapping the residual", lambda report, should_stop: misfit_map(known))
        self._job.succeeded.connect(lambda values: self._mapped(known, low, values))
        self._job.failed.connect(self.status.fail)
        self._job.ended.connect(self._ended)
        self.status.setText(MAPPING)
        self.map_button.setEnabled(False)
        self._panel.start_job(self._job)

    def _mapped(self, known: CalibratedScene, low: Any, values: NDArray[np.float32]) -> None:
        if known is not self._known or low not in self._panel.viewer.layers:
            return
        found = known.stated.alignment
        top, left = (0, 0) if found is None else (found.window[0], found.window[2])
        self._map = add_map_layer(self._panel.viewer, MISFIT, values, low, (1, (top, left)))
        self.status.setText(f"In all, {np.sqrt(np.nanmean(values**2)):.1%} of the guide's contrast is left.")

    def _ended(self) -> None:
        if self.sender() is self._job:
            self._job = None
            self.map_button.setEnabled(True)
            if self.status.text() == MAPPING:
                self.status.setText("")

    def _show(self) -> None:
        """Draw what is known, if it is looked at."""
        known = self._known
        if known is None or self._drawn or not self.isExpanded():
            return
        self._drawn = True
        scene, calibration = known.stated, known.calibration
        self.set_theme(self._panel.viewer.theme)
        self.psf.show_weights(calibration.psf.image(), float(scene.factor))
        self.caption.setText(
            f"PSF on the guide's pixels: {calibration.psf.width:.2f} px wide (standard deviation). Dashed: one "
            f"pixel of the cube, {float(scene.factor):g} px."
        )
        unit = scene.hsi.spectral_unit if scene.hsi.wavelengths is not None else "band"
        self.response.set_axes(unit, "Response")
        self.response.draw(response_lines(scene, calibration))
        lines = width_lines(scene, calibration)
        self.widths.setVisible(bool(lines))
        self.widths.set_axes(unit, "PSF width [px]")
        self.widths.draw(lines)


def response_lines(scene: Scene, calibration: Calibration) -> list[Line]:
    """Return the response of each guide band at the cube's bands, each scaled to a peak of 1."""
    matrix, guide = calibration.srf.matrix, scene.guide
    x = _positions(scene)
    names = calibration.srf.names or tuple(map(str, guide.band_names))
    if len(names) != len(matrix):
        known = guide.wavelengths
        names = tuple(f"band {n + 1}" if known is None else f"{known[n]:g}" for n in range(len(matrix)))
    peaks = np.abs(matrix).max(axis=1)
    colours = [CUBE_COLOURS[n % len(CUBE_COLOURS)] for n in range(len(matrix))]
    if len(matrix) == 3:
        centres = (np.abs(matrix) @ x) / np.maximum(np.abs(matrix).sum(axis=1), 1e-30)
        for rank, index in enumerate(np.argsort(centres)):
            colours[index] = RGB[rank]
    lines = []
    for n, (row, peak) in enumerate(zip(matrix, peaks, strict=True)):
        style = LINE_STYLES[n // len(CUBE_COLOURS) % len(LINE_STYLES)]
        values = row / peak if peak > 0 else row
        lines.append(Line(str(n), x, values, colours[n], style, 1.5, note=names[n]))
    return lines


def width_lines(scene: Scene, calibration: Calibration) -> list[Line]:
    """Return the width of each band's PSF where it is known, with its standard error; nothing where none is."""
    bands = calibration.bands
    if bands is None or not bands:
        return []
    width = np.where(bands.significant, calibration.psf.width + bands.width, np.nan)
    return [Line("width", _positions(scene), width, CUBE_COLOURS[0], spread=bands.width_error)]


def _positions(scene: Scene) -> NDArray[Any]:
    found = scene.hsi.wavelengths
    return np.arange(scene.hsi.bands, dtype=np.float64) if found is None else found
