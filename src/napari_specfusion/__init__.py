"""Fuse a hyperspectral cube with a sharper image of the same scene.

The names below are the public API. Each loads its module on first use, so importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_specfusion.alignment import Alignment, align
    from napari_specfusion.calibration import CalibratedScene, Calibration, calibrate
    from napari_specfusion.colour import component_colours, composite, index_map, mnf, pca, true_colour
    from napari_specfusion.data import Cube, CubeLike, Finding, Scene
    from napari_specfusion.errors import SpecFusionError
    from napari_specfusion.fusion import choose, evaluate_reduced, expected_error, fuse, judge, list_methods, preview
    from napari_specfusion.io import as_cube, list_arrays, list_guides, open_cube, open_scene
    from napari_specfusion.methods import Projected
    from napari_specfusion.networks import create_model, list_networks
    from napari_specfusion.quality import Judgement, Quality, evaluate, judgement_maps, quality_maps
    from napari_specfusion.radiometry import check_references, find_references, reflectance
    from napari_specfusion.samples import sample_scene
    from napari_specfusion.sensor import Psf
    from napari_specfusion.simulation import simulate
    from napari_specfusion.spectra import (
        Match,
        SpectralLibrary,
        Spectrum,
        angle_map,
        derivative,
        difference,
        normalise,
        polygon_mask,
        rank_spectra,
        read_library,
        region_spectra,
        remove_baseline,
        remove_continuum,
        resample,
        save_spectra,
        smooth,
    )
    from napari_specfusion.tiling.contract import ModelLike
    from napari_specfusion.training import AnySensorOptions, TrainingOptions, fit, train, train_any_sensor
    from napari_specfusion.weights import list_weights, load_weights
    from napari_specfusion.widgets._console import open_in, show_in, show_rgb
    from napari_specfusion.widgets._pictures import (
        show_angle_map,
        show_component_colours,
        show_components,
        show_composite,
        show_index,
        show_true_colour,
    )

__all__ = [
    "Alignment",
    "AnySensorOptions",
    "CalibratedScene",
    "Calibration",
    "Cube",
    "CubeLike",
    "Finding",
    "Judgement",
    "Match",
    "ModelLike",
    "Projected",
    "Psf",
    "Quality",
    "Scene",
    "SpecFusionError",
    "SpectralLibrary",
    "Spectrum",
    "TrainingOptions",
    "align",
    "angle_map",
    "as_cube",
    "calibrate",
    "check_references",
    "choose",
    "component_colours",
    "composite",
    "create_model",
    "derivative",
    "difference",
    "evaluate",
    "evaluate_reduced",
    "expected_error",
    "find_references",
    "fit",
    "fuse",
    "index_map",
    "judge",
    "judgement_maps",
    "list_arrays",
    "list_guides",
    "list_methods",
    "list_networks",
    "list_weights",
    "load_weights",
    "mnf",
    "normalise",
    "open_cube",
    "open_in",
    "open_scene",
    "pca",
    "polygon_mask",
    "preview",
    "quality_maps",
    "rank_spectra",
    "read_library",
    "reflectance",
    "region_spectra",
    "remove_baseline",
    "remove_continuum",
    "resample",
    "sample_scene",
    "save_spectra",
    "show_angle_map",
    "show_component_colours",
    "show_components",
    "show_composite",
    "show_in",
    "show_index",
    "show_rgb",
    "show_true_colour",
    "simulate",
    "smooth",
    "train",
    "train_any_sensor",
    "true_colour",
]

_HOME = {
    "Alignment": "alignment",
    "AnySensorOptions": "training",
    "CalibratedScene": "calibration",
    "Calibration": "calibration",
    "Cube": "data",
    "CubeLike": "data",
    "Finding": "data",
    "Judgement": "quality",
    "Match": "spectra",
    "ModelLike": "tiling.contract",
    "Projected": "methods",
    "Psf": "sensor",
    "Quality": "quality",
    "Scene": "data",
    "SpecFusionError": "errors",
    "SpectralLibrary": "spectra",
    "Spectrum": "spectra",
    "TrainingOptions": "training",
    "align": "alignment",
    "angle_map": "spectra",
    "as_cube": "io",
    "calibrate": "calibration",
    "check_references": "radiometry",
    "choose": "fusion",
    "component_colours": "colour",
    "composite": "colour",
    "create_model": "networks",
    "derivative": "spectra",
    "difference": "spectra",
    "evaluate": "quality",
    "evaluate_reduced": "fusion",
    "expected_error": "fusion",
    "find_references": "radiometry",
    "fit": "training",
    "fuse": "fusion",
    "index_map": "colour",
    "judge": "fusion",
    "judgement_maps": "quality",
    "list_arrays": "io",
    "list_guides": "io",
    "list_methods": "fusion",
    "list_networks": "networks",
    "list_weights": "weights",
    "load_weights": "weights",
    "mnf": "colour",
    "normalise": "spectra",
    "open_cube": "io",
    "open_in": "widgets._console",
    "open_scene": "io",
    "pca": "colour",
    "polygon_mask": "spectra",
    "preview": "fusion",
    "quality_maps": "quality",
    "rank_spectra": "spectra",
    "read_library": "spectra",
    "reflectance": "radiometry",
    "region_spectra": "spectra",
    "remove_baseline": "spectra",
    "remove_continuum": "spectra",
    "resample": "spectra",
    "sample_scene": "samples",
    "save_spectra": "spectra",
    "show_angle_map": "widgets._pictures",
    "show_component_colours": "widgets._pictures",
    "show_components": "widgets._pictures",
    "show_composite": "widgets._pictures",
    "show_in": "widgets._console",
    "show_index": "widgets._pictures",
    "show_rgb": "widgets._console",
    "show_true_colour": "widgets._pictures",
    "simulate": "simulation",
    "smooth": "spectra",
    "train": "training",
    "train_any_sensor": "training",
    "true_colour": "colour",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
