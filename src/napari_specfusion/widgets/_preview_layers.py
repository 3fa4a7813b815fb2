"""The tiles of a preview as layers over the guide: one at a time, or side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.widgets._layers import VIEW_KEY, layer_data, place_by
from napari_specfusion.widgets._placing import grid_matrix
from napari_specfusion.widgets._swipe import SideBySide

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_specfusion.fusion.previewing import Preview

__all__ = ["PreviewLayers", "camera_of"]

# of the names in the grid, in points
NAME_SIZE = 8
LOOK = ("contrast_limits", "gamma", "colormap")


def camera_of(viewer: napari.viewer.Viewer) -> Any:
    """Return the camera of a window; napari before 0.9 has it on the viewer itself."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


class PreviewLayers:
    """The layers of one preview; they look as the cube does.

    Parameters
    ----------
    viewer
        Where they are shown.
    low, guide
        The layers of the pair.
    matrix
        ``(3, 3)``: from pixels of the fused image to pixels of the guide's layer.
    """

    def __init__(self, viewer: napari.viewer.Viewer, low: Any, guide: Any, matrix: NDArray[np.float64]) -> None:
        self._viewer, self._low, self._guide, self._matrix = viewer, low, guide, matrix
        self._layers: dict[str, Any] = {}
        self._grid: SideBySide | None = None
        self._camera: tuple[Any, float] | None = None
        self._shown = ""
        for name in LOOK:
            getattr(low.events, name).connect(self._take_look)

    @property
    def names(self) -> tuple[str, ...]:
        """The methods whose tiles are still there."""
        return tuple(name for name, layer in self._layers.items() if layer in self._viewer.layers)

    @property
    def beside(self) -> bool:
        """Whether they are shown side by side."""
        return self._grid is not None

    def add(self, tile: Preview) -> None:
        """Add a tile, unless it is there; it is hidden until `show`, but for a grid."""
        if tile.cube is None or tile.method in self._layers:
            return
        active = self._viewer.layers.selection.active
        data, keywords, _ = layer_data(tile.cube, tuple(self._low.contrast_limits))
        keywords |= {name: getattr(self._low, name) for name in LOOK}
        keywords |= {"name": f"preview: {tile.method}", "visible": self.beside}
        # no image to work with: it is part of one, and goes
        keywords["metadata"] = {**keywords["metadata"], VIEW_KEY: True}
        layer = self._layers[tile.method] = self._viewer.add_image(data, **keywords)
        place_by(layer, self._guide, self._matrix @ grid_matrix((1.0, 1.0), (tile.rows[0], tile.columns[0])))
        layer.name_overlay.font_size = NAME_SIZE
        layer.name_overlay.visible = self.beside
        self._viewer.layers.selection.active = active

    def show(self, method: str) -> None:
        """Show the tile of one method alone, unless all are seen side by side."""
        self._shown = method
        if not self.beside:
            for name in self.names:
                self._layers[name].visible = name == method

    def show_beside(self, on: bool) -> None:
        """Show all tiles side by side and nothing else, or one over the guide again."""
        tiles = [self._layers[name] for name in self.names]
        if on and self._grid is None and len(tiles) > 1:
            camera = camera_of(self._viewer)
            self._camera = tuple(camera.center), float(camera.zoom)
            self._grid = SideBySide(self._viewer, tiles[0], tiles[-1], tuple(tiles[1:-1]))
            self._viewer.reset_view(layers=[layer for layer in self._viewer.layers if layer in tiles])
        elif not on and self._grid is not None:
            self._grid.end()
            self._grid = None
            if self._camera is not None:
                camera = camera_of(self._viewer)
                camera.center, camera.zoom = self._camera
            self.show(self._shown)
        for layer in tiles:
            layer.name_overlay.visible = self.beside

    def drop(self) -> None:
        """Take the layers away."""
        self.show_beside(False)
        for name in LOOK:
            getattr(self._low.events, name).disconnect(self._take_look)
        for name in self.names:
            self._viewer.layers.remove(self._layers[name])
        self._layers.clear()

    def _take_look(self, event: Any = None) -> None:
        for name in self.names:
            for key in LOOK:
                setattr(self._layers[name], key, getattr(self._low, key))
