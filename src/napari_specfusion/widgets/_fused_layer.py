"""The layer of a run's result: it appears with the first tile, fills, and goes if the run does not finish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.layers import layer_data
from napari_specfusion.fusion.recipe import Origin
from napari_specfusion.widgets._band_look import follow_bands
from napari_specfusion.widgets._layers import placement, plane_matrix
from napari_specfusion.widgets._origins import keep_origin, keep_recipe

if TYPE_CHECKING:
    import napari
    import numpy as np
    from numpy.typing import NDArray

    from napari_specfusion.fusion.recipe import Recipe

__all__ = ["FusedLayer"]


class FusedLayer:
    """The result of one run in a viewer.

    Parameters
    ----------
    viewer
        Where it is shown.
    low, guide
        The layers that are fused.
    matrix
        ``(3, 3)``: from pixels of the result to pixels of the guide's layer.
    name
        What it is called until the run is done.
    recipe
        What the run was begun with; None where a finished result is opened.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        low: Any,
        guide: Any,
        matrix: NDArray[np.float64],
        name: str,
        recipe: Recipe | None = None,
    ) -> None:
        self._viewer, self._low, self._guide, self._matrix, self._name = viewer, low, guide, matrix, name
        self._recipe = recipe
        self._layer: Any = None

    @property
    def there(self) -> bool:
        """Whether it is shown."""
        return self._layer is not None and self._layer in self._viewer.layers

    def show(self, cube: Cube) -> None:
        """Add the layer, unless it was added before."""
        if self._layer is None:
            self._add(cube)

    def redraw(self) -> None:
        """Show what came in since."""
        if self.there:
            self._layer.refresh()

    def finish(self, cube: Cube) -> None:
        """Take over the whole result."""
        if self.there:
            data, keywords, _ = layer_data(cube, tuple(self._layer.contrast_limits))
            self._layer.data = data
            self._layer.metadata = keywords["metadata"]
        else:
            self._add(cube)
        self._layer.name = f"fused {cube.metadata.get('method', self._name)}"
        if self._recipe is not None:
            keep_recipe(self._layer, self._recipe)
            if self._recipe.out is not None:
                keep_origin(self._layer, Origin(self._recipe.out))

    def drop(self) -> None:
        """Take the layer away."""
        if self.there:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    def _add(self, cube: Cube) -> None:
        data, keywords, _ = layer_data(cube, tuple(self._low.contrast_limits))
        keywords |= {"name": self._name, "colormap": self._low.colormap}
        # in its place from the start: each move would read the band again
        keywords |= placement(plane_matrix(self._guide) @ self._matrix, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        self._layer = self._viewer.add_image(data, **keywords)
        low = Cube.from_layer(self._low)
        # limits of a result that has only begun say nothing; those of the cube's bands suit
        follow_bands(self._viewer, self._layer, low if low.bands == cube.bands else cube, first=False)
