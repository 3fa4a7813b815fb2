"""Spectra: of regions, in views, from libraries, and where a cube looks like one of them."""

from __future__ import annotations

from napari_specfusion.spectra.library import SpectralLibrary, read_library, save_spectra
from napari_specfusion.spectra.match import Match, angle_map, rank_spectra
from napari_specfusion.spectra.regions import polygon_mask, region_spectra
from napari_specfusion.spectra.resampling import difference, resample
from napari_specfusion.spectra.spectrum import Spectrum
from napari_specfusion.spectra.views import derivative, normalise, remove_baseline, remove_continuum, smooth

__all__ = [
    "Match",
    "SpectralLibrary",
    "Spectrum",
    "angle_map",
    "derivative",
    "difference",
    "normalise",
    "polygon_mask",
    "rank_spectra",
    "read_library",
    "region_spectra",
    "remove_baseline",
    "remove_continuum",
    "resample",
    "save_spectra",
    "smooth",
]
