"""Pictures of a cube: true and false colour, indices from a formula, principal components, noise fractions."""

from __future__ import annotations

from napari_specfusion.colour.components import component_colours, mnf, pca
from napari_specfusion.colour.composites import COMBINATIONS, composite, true_colour
from napari_specfusion.colour.indices import INDICES, index_map

__all__ = ["COMBINATIONS", "INDICES", "component_colours", "composite", "index_map", "mnf", "pca", "true_colour"]
