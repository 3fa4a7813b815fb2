"""One slider for the bands of all cubes: by wavelength, past bad bands, with a field to jump to a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from napari_specfusion.data.band_axis import band_near, next_good
from napari_specfusion.data.cube import Cube
from napari_specfusion.widgets._layers import is_cube
from napari_specfusion.widgets._probe import BAND, band_positions

if TYPE_CHECKING:
    import napari

__all__ = ["WavelengthBar", "bring_to", "link_bands"]

SUFFIXES = {"nm": " nm", "cm-1": " cm\u207b\u00b9", BAND: ""}


class WavelengthBar(QWidget):
    """A slider over the good bands of a cube, and a field with the wavelength.

    Attributes
    ----------
    chosen
        The band that the user went to.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._cube: Cube | None = None
        self._good = np.empty(0, np.int64)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("The band on screen. Bad bands are left out. All cubes follow by wavelength.")
        self.field = _Field(self.step)
        self.field.setKeyboardTracking(False)
        self.field.setToolTip("Go to a wavelength: the nearest good band is shown.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.field)
        self.slider.valueChanged.connect(lambda at: self.chosen.emit(int(self._good[at])))
        self.field.valueChanged.connect(self._typed)
        self.setEnabled(False)

    def show_band(self, cube: Cube | None, band: int | None) -> None:
        """Show a band of a cube, without a signal; None shows nothing."""
        self.setEnabled(cube is not None and band is not None)
        if cube is None or band is None:
            return
        blocked = self.slider.blockSignals(True), self.field.blockSignals(True)
        if cube is not self._cube:
            self._take(cube)
        positions, unit = band_positions(cube)
        self.slider.setValue(int(np.argmin(np.abs(self._good - band))))
        # bands are counted from 1
        self.field.setValue(float(positions[band]) + (unit == BAND))
        self.slider.blockSignals(blocked[0])
        self.field.blockSignals(blocked[1])

    def step(self, steps: int) -> None:
        """Go so many good bands on."""
        self.slider.setValue(self.slider.value() + steps)

    def _take(self, cube: Cube) -> None:
        self._cube = cube
        self._good = np.flatnonzero(cube.good) if cube.good.any() else np.arange(cube.bands)
        positions, unit = band_positions(cube)
        self.slider.setRange(0, len(self._good) - 1)
        self.field.setDecimals(0 if unit == BAND else 1)
        self.field.setRange(float(positions.min()) + (unit == BAND), float(positions.max()) + (unit == BAND))
        self.field.setSuffix(SUFFIXES[unit])

    def _typed(self, value: float) -> None:
        if self._cube is None:
            return
        positions, unit = band_positions(self._cube)
        there = positions[self._good] + (unit == BAND)
        at = int(np.argmin(np.abs(there - value)))
        # the field shows the band that was found
        self.show_band(self._cube, int(self._good[at]))
        self.chosen.emit(int(self._good[at]))


class _Field(QDoubleSpinBox):
    """A field whose arrows go from band to band."""

    def __init__(self, step: Any) -> None:
        super().__init__()
        self._step = step

    def stepBy(self, steps: int) -> None:
        """Go so many bands on."""
        self._step(steps)


def link_bands(viewer: napari.viewer.Viewer, lead: Any, band: int) -> None:
    """Let the other cubes of a window show the band nearest in wavelength to one of the layer `lead`.

    Cubes of another spectral unit, of unknown wavelengths, or that do not cover this one stay as they are.
    """
    cube = Cube.from_layer(lead)
    if cube.wavelengths is None:
        return
    point = float(lead.data_to_world((band, 0, 0))[0])
    for layer in viewer.layers:
        if layer == lead or not is_cube(layer):
            continue
        other = Cube.from_layer(layer)
        near = band_near(other, float(cube.wavelengths[band])) if other.spectral_unit == cube.spectral_unit else None
        if near is None:
            continue
        _show_at(layer, near, point)


def bring_to(viewer: napari.viewer.Viewer, layer: Any, wavelength: float | None) -> int | None:
    """Let a cube's layer show the band at a wavelength, or else its middle one, where the slider is; return that."""
    if viewer.dims.ndim < 3:
        return None
    cube = Cube.from_layer(layer)
    near = None if wavelength is None else band_near(cube, wavelength)
    band = next_good(cube, cube.bands // 2, forward=True) if near is None else near
    _show_at(layer, band, float(viewer.dims.point[-layer.ndim]))
    return band


def _show_at(layer: Any, band: int, point: float) -> None:
    start = point - band * float(layer.scale[0])
    if not np.isclose(layer.translate[0], start):
        layer.translate = (start, *layer.translate[1:])
