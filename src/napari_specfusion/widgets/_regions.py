"""Regions: shapes that were drawn and labels that were painted over the cubes; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import SpectrumError
from napari_specfusion.spectra import polygon_mask, region_spectra
from napari_specfusion.widgets._layers import plane_matrix
from napari_specfusion.widgets._pins import PIN_COLOURS, as_hex, as_rgb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.progress import Progress, ShouldStop
    from napari_specfusion.spectra import Spectrum

__all__ = ["LabelsRegion", "Region", "Regions", "ShapeRegion"]

# in the metadata of the layer that the button adds: its shapes get colours of their own
KEY = "specfusion_regions"
# the first pins and the first regions differ
COLOURS = PIN_COLOURS[::-1]
ELLIPSE_CORNERS = 64
# widths of a line along a side of the pictures
LINES = 250
# shapes and labels beyond are left out of the plot
MOST_SHAPES = 24
_SHAPE_EVENTS = ("data", "edge_color", "face_color")
_LABEL_EVENTS = ("data", "paint", "labels_update", "colormap", "selected_label")
_PLACE_EVENTS = ("scale", "translate", "rotate", "shear", "affine")


@dataclass(frozen=True)
class ShapeRegion:
    """One shape.

    Attributes
    ----------
    name
        What it is called.
    colours
        Its colour.
    key
        The same for the same outline.
    corners
        Corners (y, x) in the world ``(n, 2)``.
    is_line
        Whether it is a line, which goes through pixels instead of around them.
    """

    name: str
    colours: Callable[[int], str]
    key: tuple[Any, ...]
    corners: NDArray[np.float64]
    is_line: bool

    def spectra(self, cube: Cube, matrix: NDArray[np.float64], **watch: Any) -> tuple[Spectrum, ...]:
        """Return its mean spectrum in a cube whose pixels lie in the world by `matrix`; none beside the cube."""
        to_pixels = np.linalg.inv(matrix)
        corners = self.corners @ to_pixels[:2, :2].T + to_pixels[:2, 2]
        height, width = cube.shape[1:]
        mask = line_mask(corners, height, width) if self.is_line else polygon_mask(corners, height, width)
        return region_spectra(cube, mask, **watch) if mask.any() else ()

    def title(self, spectrum: Spectrum) -> str:
        """Return what its spectrum is called."""
        return self.name


@dataclass(frozen=True)
class LabelsRegion:
    """All labels of a layer.

    Attributes
    ----------
    name
        What the layer is called.
    colours
        From a label to its colour.
    key
        Another one when something was painted.
    data
        The labels ``(y, x)``, or a stack ``(bands, y, x)`` of which each band may have been painted on.
    matrix
        From pixels (y, x, 1) to the world ``(3, 3)``.
    """

    name: str
    colours: Callable[[int], str]
    key: tuple[Any, ...]
    data: Any
    matrix: NDArray[np.float64]

    def spectra(
        self,
        cube: Cube,
        matrix: NDArray[np.float64],
        *,
        progress: Callable[[Progress], None] | None = None,
        should_stop: ShouldStop | None = None,
    ) -> tuple[Spectrum, ...]:
        """Return the mean spectrum of each label in a cube whose pixels lie in the world by `matrix`."""
        painted = _flat(self.data, should_stop)
        labels = labels_on(painted, np.linalg.inv(self.matrix) @ matrix, *cube.shape[1:])
        if not labels.any():
            return ()
        return region_spectra(cube, labels, progress=progress, should_stop=should_stop)[:MOST_SHAPES]

    def title(self, spectrum: Spectrum) -> str:
        """Return what the spectrum of a label is called."""
        return f"{self.name} {spectrum.metadata['label']}"


Region = ShapeRegion | LabelsRegion


class Regions:
    """The regions of a viewer; its Shapes and Labels layers hold them, this only reads and listens."""

    def __init__(self, viewer: napari.viewer.Viewer, changed: Callable[..., None]) -> None:
        self._viewer = viewer
        self._changed = changed
        self._layers: list[Any] = []
        # how often each layer of labels was painted on
        self._painted: dict[Any, int] = {}
        # shapes that have their colours
        self._coloured = 0

    def follow(self) -> None:
        """Find the layers, and hear of their changes."""
        found = [layer for layer in self._viewer.layers if _kind(layer)]
        if found != self._layers:
            self.let_go()
            self._layers = found
            for emitter, callback in self._links():
                emitter.connect(callback)
            # who was not listened to may have been painted on
            self._painted = {layer: self._painted.get(layer, 0) + 1 for layer in found if _kind(layer) == "labels"}

    def let_go(self) -> None:
        """Hear of changes no longer."""
        for emitter, callback in self._links():
            emitter.disconnect(callback)
        self._layers = []

    def _links(self) -> Iterator[tuple[Any, Callable[..., None]]]:
        for layer in self._layers:
            for name in (*(_SHAPE_EVENTS if _kind(layer) == "shapes" else _LABEL_EVENTS), *_PLACE_EVENTS):
                if (emitter := getattr(layer.events, name, None)) is not None:
                    yield emitter, self._heard

    def _heard(self, event: Any = None) -> None:
        layer = getattr(event, "source", None)
        if layer in self._painted and event.type in ("data", "paint", "labels_update"):
            self._painted[layer] += 1
        self._changed()

    def _line_width(self) -> float:
        """Return a width that is thin beside the pictures, whatever their size; shapes have theirs in the world."""
        extent = np.asarray(self._viewer.layers.extent.world)[:, -2:]
        return float(np.max(extent[1] - extent[0])) / LINES if len(self._viewer.layers) else 1.0

    def colour_new(self) -> None:
        """Give each shape that was drawn since the last call a colour of its own."""
        for layer in self._layers:
            if KEY not in layer.metadata or len(layer.data) <= self._coloured:
                continue
            colours = np.array(layer.edge_color, np.float64)
            for number in range(self._coloured, len(colours)):
                taken = [as_hex(colour) for colour in colours[:number]]
                colours[number, :3] = as_rgb(min(COLOURS, key=taken.count))
            # known before the layer tells that it changed
            self._coloured = len(colours)
            layer.edge_color = colours
        self._coloured = sum(len(layer.data) for layer in self._layers if KEY in layer.metadata)

    def regions(self) -> list[Region]:
        """Return the regions of visible layers, the last ones drawn last."""
        found: list[Region] = []
        for layer in self._layers:
            if layer.visible and _kind(layer) == "shapes":
                found += _shapes(layer)
            elif layer.visible:
                key = (id(layer), self._painted.get(layer, 0), plane_matrix(layer).tobytes())
                found.append(LabelsRegion(str(layer.name), _label_colour(layer), key, layer.data, plane_matrix(layer)))
        return found[:MOST_SHAPES]

    def draw(self) -> None:
        """Let the user draw a region by hand, in a layer that is added for this if need be."""
        layer = next((layer for layer in self._layers if KEY in layer.metadata), None)
        if layer is None:
            layer = self._viewer.add_shapes(
                ndim=2,
                name="Regions",
                metadata={KEY: True},
                edge_color=COLOURS[0],
                face_color="transparent",
                edge_width=self._line_width(),
            )
            self.follow()
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = "add_polygon_lasso"


def _kind(layer: Any) -> str:
    # here, so that the names of the public face can be had without napari
    from napari.layers import Labels, Shapes

    return "shapes" if isinstance(layer, Shapes) else "labels" if isinstance(layer, Labels) else ""


def _label_colour(layer: Any) -> Callable[[int], str]:
    return lambda label: as_hex(layer.get_color(label))


def _shapes(layer: Any) -> Iterator[ShapeRegion]:
    matrix = plane_matrix(layer)
    for number, (corners, kind) in enumerate(zip(layer.data, layer.shape_type, strict=True)):
        flat = np.asarray(corners, np.float64)[:, -2:]
        if kind == "ellipse":
            flat = _around(flat)
        is_line = kind in ("line", "path") or len(flat) < 3
        world = flat @ matrix[:2, :2].T + matrix[:2, 2]
        edge, face = layer.edge_color[number], layer.face_color[number]
        colour = as_hex(edge if edge[3] > 0 else face)
        name = f"{layer.name} {number + 1}"
        yield ShapeRegion(name, lambda _, colour=colour: colour, (world.tobytes(), is_line), world, is_line)  # type: ignore[misc]


def _around(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return corners along the ellipse in a box of four corners."""
    turn = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
    across, down = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    return np.asarray((box[0] + box[2]) / 2 + np.cos(turn) * across + np.sin(turn) * down)


def line_mask(corners: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Return which pixels of an image a line through points (y, x) goes through, to half a pixel."""
    mask = np.zeros((height, width), bool)
    longest = 2 * (height + width)
    for start, end in pairwise(corners):
        steps = int(min(2 * np.abs(end - start).max(), longest)) + 2
        along = np.rint(start + np.linspace(0, 1, steps)[:, None] * (end - start)).astype(np.int64)
        inside = np.all((along >= 0) & (along < (height, width)), axis=1)
        mask[tuple(along[inside].T)] = True
    return mask


def _flat(data: Any, should_stop: ShouldStop | None) -> NDArray[np.integer]:
    """Return labels ``(y, x)`` of a stack: what was painted on any band; the larger of two counts."""
    found = np.asarray(data) if data.ndim == 2 else np.zeros(data.shape[-2:], data.dtype)
    if data.ndim > 2:
        for index in np.ndindex(*data.shape[:-2]):
            if should_stop is not None and should_stop():
                break
            np.maximum(found, np.asarray(data[index]), out=found)
    if found.dtype.kind not in "biu":
        raise SpectrumError(f"The labels are {found.dtype}, not whole numbers; choose another layer.")
    return found


def labels_on(labels: NDArray[np.integer], matrix: NDArray[np.float64], height: int, width: int) -> NDArray[np.integer]:
    """Return labels on the pixels of a cube, each the nearest one; 0 where there is none.

    Parameters
    ----------
    labels
        Labels ``(y, x)``.
    matrix
        From pixels (y, x, 1) of the cube to those of the labels ``(3, 3)``.
    height, width
        Size of the cube.
    """
    if labels.shape == (height, width) and np.allclose(matrix, np.eye(3), atol=1e-6):
        return labels
    found = np.zeros((height, width), labels.dtype)
    columns = np.arange(width)
    for row in range(height):
        y, x = (np.rint(matrix[axis, 0] * row + matrix[axis, 1] * columns + matrix[axis, 2]) for axis in (0, 1))
        inside = (y >= 0) & (y < labels.shape[0]) & (x >= 0) & (x < labels.shape[1])
        found[row, inside] = labels[y[inside].astype(np.intp), x[inside].astype(np.intp)]
    return found
