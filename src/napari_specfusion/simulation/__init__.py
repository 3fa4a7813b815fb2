"""Simulated pairs: from a sharp cube, or from a pair at reduced resolution."""

from __future__ import annotations

from napari_specfusion.simulation.pair import PROTOCOLS, Protocol, simulate
from napari_specfusion.simulation.reduced import reduced
from napari_specfusion.simulation.sharp_cubes import open_sharp_cubes

__all__ = ["PROTOCOLS", "Protocol", "open_sharp_cubes", "reduced", "simulate"]
