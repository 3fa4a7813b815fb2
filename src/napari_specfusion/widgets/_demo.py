"""The demo in a napari window: the widgets, driven through the sample pair as a user would."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    # first: Qt brings an older C++ library, with which torch does not load
    import torch  # noqa: F401

import napari
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_specfusion.widgets._commands import sample_pair
from napari_specfusion.widgets._panel import apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Story", "run_demo", "show_demo"]

PLUGIN = "napari-specfusion"
METHOD = "auto"
GLANCE = 100
WINDOW = (1600, 950)
DOCK_WIDTH = 460
# reference, guide; low-res, fused; two maps
GRID = (3, 2)
# row and column, as fractions of the image: a flower's petal
PETAL = (0.30, 0.50)


def show_demo(size: int = 256) -> None:
    """Open napari, run the demo in it, and return when the window is closed.

    Raises
    ------
    SceneError
        If `size` makes no scene.
    """
    layers = sample_pair(size)
    viewer = napari.Viewer(title="Spectral fusion", show_welcome_screen=False)
    viewer.window.resize(*WINDOW)
    run_demo(viewer, layers)
    napari.run()


def run_demo(viewer: napari.viewer.Viewer, layers: list[Any]) -> Story:
    """Add the sample pair's layers, dock the widgets, and tell the rest as time goes on.

    Parameters
    ----------
    viewer
        Where.
    layers
        What `sample_pair` returned.
    """
    for data, keywords, _ in layers:
        viewer.add_image(data, **keywords)
    fuse = _dock(viewer, "Fuse")
    quality = _dock(viewer, "Quality", tabify=True)
    with apart():
        # both the plot and the panels are to be seen
        spectra = _dock(viewer, "Spectra")
    _show(fuse)
    story = Story(_story(viewer, fuse, spectra, quality), fuse)
    story.start()
    return story


class Story(QObject):
    """Goes through steps; each yields the condition that the next one waits for, while the window lives on.

    Attributes
    ----------
    ended
        Emitted after the last step.
    """

    ended = Signal()

    def __init__(self, steps: Iterator[Callable[[], bool]], parent: QObject) -> None:
        super().__init__(parent)
        self._steps = steps
        self._ready: Callable[[], bool] = lambda: True
        self._timer = QTimer(self)
        self._timer.setInterval(GLANCE)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin."""
        self._timer.start()

    def _look(self) -> None:
        if not self._ready():
            return
        try:
            self._ready = next(self._steps)
        except StopIteration:
            self._timer.stop()
            self.ended.emit()


def _story(viewer: napari.viewer.Viewer, fuse: Any, spectra: Any, quality: Any) -> Iterator[Callable[[], bool]]:
    low = fuse.cube_combo.layer(viewer.layers)
    yield lambda: fuse.preflight.done or low not in viewer.layers
    fuse.method_combo.setCurrentIndex(fuse.method_combo.findData(METHOD))
    fuse.start()
    yield fuse.progress.isHidden
    # named after the method that was chosen
    fused = next((layer for layer in viewer.layers if layer.name.startswith("fused")), None)
    if fused is None or "reference" not in viewer.layers:
        # stopped, or somebody tidied up meanwhile: the window is theirs
        return
    reference = viewer.layers["reference"]
    viewer.layers.selection.active = fused
    viewer.dims.set_current_step(0, fused.data.shape[0] // 2)
    height, width = fused.data.shape[-2:]
    spectra.point_at((PETAL[0] * height, PETAL[1] * width))
    quality.reference_combo.setCurrentText(reference.name)
    quality.estimate_combo.setCurrentText(fused.name)
    for act in (quality.compare, lambda: quality.add_map("sam"), lambda: quality.add_map("rmse")):
        act()
        yield lambda: quality.compare_button.isEnabled() or fused not in viewer.layers
    if fused not in viewer.layers:
        return
    _show(quality)
    viewer.layers.selection.active = fused
    # everything side by side, one picture per layer
    reference.visible = True
    for layer in viewer.layers:
        # a new map hides the one before
        layer.visible |= layer.name.endswith(f" of {fused.name}")
    viewer.canvas.grid.shape = GRID
    viewer.canvas.grid.enabled = True
    viewer.reset_view()
    viewer.status = "Done. Move over the images, or drag the line in the plot. The grid button shows them as one stack."


def _show(widget: QWidget) -> None:
    """Bring a docked widget to the front, and leave most of the window to the pictures."""
    dock, window = widget.parentWidget(), widget.window()
    if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow):
        dock.raise_()
        window.resizeDocks([dock], [DOCK_WIDTH], Qt.Orientation.Horizontal)


def _dock(viewer: napari.viewer.Viewer, name: str, *, tabify: bool = False) -> QWidget:
    widget: QWidget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=tabify)[1]
    return widget
