"""The exceptions of this package: one base class and its children."""

from __future__ import annotations

__all__ = [
    "AlignmentError",
    "AmbiguousArrayError",
    "CalibrationError",
    "Cancelled",
    "CheckpointError",
    "CubeError",
    "FusionError",
    "ModelError",
    "OutputError",
    "ReadError",
    "SceneError",
    "SpecFusionError",
    "SpectrumError",
    "needs_extra",
]

# Optional packages, and the extra that installs each.
EXTRAS = {
    "distributed": "cluster",
    "h5py": "hdf",
    "matplotlib": "plot",
    "napari": "all",
    "pyproj": "geo",
    "rasterio": "geo",
    "xarray": "xarray",
}


class SpecFusionError(Exception):
    """Base class of all errors here; each message names a value, the rule it breaks and the remedy."""


class ReadError(SpecFusionError):
    """A file cannot be read as a cube."""


class AmbiguousArrayError(ReadError):
    """Several arrays of a file could be the cube, and none was named."""


class CubeError(SpecFusionError):
    """An array or its spectral description is not valid for a cube."""


class SceneError(SpecFusionError):
    """Two images cannot be fused as a pair."""


class SpectrumError(SpecFusionError):
    """A spectrum or a spectral library is not valid, or does not fit the cube."""


class AlignmentError(SpecFusionError):
    """Two images cannot be brought onto one grid, or the result cannot be trusted."""


class CalibrationError(SpecFusionError):
    """PSF, shift or SRF cannot be estimated from the pair, or reflectance from the references."""


class ModelError(SpecFusionError):
    """A model does not exist, or does not fit the scene."""


class CheckpointError(SpecFusionError):
    """A weight file is damaged, unsafe or belongs to another model."""


class FusionError(SpecFusionError):
    """A fusion run could not finish."""


class OutputError(SpecFusionError):
    """A result cannot be written."""


class Cancelled(FusionError):
    """A run was stopped on request; what it wrote so far can be resumed."""


def needs_extra(package: str) -> str:
    """Return the message for a missing package of `EXTRAS`: ``needs the package h5py: pip install ...``."""
    # double quotes: cmd.exe passes single quotes on to pip
    return f'needs the package {package}: pip install "napari-specfusion[{EXTRAS[package]}]"'
