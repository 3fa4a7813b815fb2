"""Fuse a hyperspectral cube with a sharper image of the same scene.

The names below are the whole public face; each loads its module when it is first used, so that importing the package
costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_specfusion.calibration import Calibration, calibrate
    from napari_specfusion.choice import choose
    from napari_specfusion.cube import Cube
    from napari_specfusion.degrade import Psf, simulate
    from napari_specfusion.engine import fuse
    from napari_specfusion.errors import SpecFusionError
    from napari_specfusion.fitting import fit
    from napari_specfusion.io import as_cube, list_arrays, open_cube, open_scene
    from napari_specfusion.metrics import Quality, evaluate
    from napari_specfusion.models import create_model, list_models, list_weights, load_checkpoint, load_weights
    from napari_specfusion.references import check_references, find_references, reflectance
    from napari_specfusion.sample_data import sample_scene
    from napari_specfusion.scene import Finding, Scene
    from napari_specfusion.training import TrainingOptions, train
    from napari_specfusion.widgets._console import open_in, show_in, show_rgb

__all__ = [
    "Calibration",
    "Cube",
    "Finding",
    "Psf",
    "Quality",
    "Scene",
    "SpecFusionError",
    "TrainingOptions",
    "as_cube",
    "calibrate",
    "check_references",
    "choose",
    "create_model",
    "evaluate",
    "find_references",
    "fit",
    "fuse",
    "list_arrays",
    "list_models",
    "list_weights",
    "load_checkpoint",
    "load_weights",
    "open_cube",
    "open_in",
    "open_scene",
    "reflectance",
    "sample_scene",
    "show_in",
    "show_rgb",
    "simulate",
    "train",
]

_HOME = {
    "Calibration": "calibration",
    "Cube": "cube",
    "Finding": "scene",
    "Psf": "degrade",
    "Quality": "metrics",
    "Scene": "scene",
    "SpecFusionError": "errors",
    "TrainingOptions": "training",
    "as_cube": "io",
    "calibrate": "calibration",
    "check_references": "references",
    "choose": "choice",
    "create_model": "models",
    "evaluate": "metrics",
    "find_references": "references",
    "fit": "fitting",
    "fuse": "engine",
    "list_arrays": "io",
    "list_models": "models",
    "list_weights": "models",
    "load_checkpoint": "models",
    "load_weights": "models",
    "open_cube": "io",
    "open_in": "widgets._console",
    "open_scene": "io",
    "reflectance": "references",
    "sample_scene": "sample_data",
    "show_in": "widgets._console",
    "show_rgb": "widgets._console",
    "simulate": "degrade",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
