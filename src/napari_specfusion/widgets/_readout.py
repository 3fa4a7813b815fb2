"""Which band is on screen: its words, and the way from slider to band and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_specfusion.widgets._probe import band_positions

if TYPE_CHECKING:
    import napari

    from napari_specfusion.data.cube import Cube

__all__ = ["band_shown", "describe_band", "step_to_band"]


def band_shown(viewer: napari.viewer.Viewer, layer: Any) -> int | None:
    """Return which band of a cube layer the slider shows; None where it stands beside the cube."""
    if viewer.dims.ndim < 3:
        return None
    point = tuple(viewer.dims.point)[-layer.ndim :]
    band = round(float(layer.world_to_data(point)[0]))
    return band if 0 <= band < layer.data.shape[0] else None


def step_to_band(viewer: napari.viewer.Viewer, layer: Any, band: int) -> None:
    """Move the slider to a band of a cube layer."""
    axis = viewer.dims.ndim - layer.ndim
    viewer.dims.set_point(axis, float(layer.data_to_world((band, 0, 0))[0]))


def describe_band(cube: Cube, band: int) -> str:
    """Return a band in words: its wavelength where it is known, and its number."""
    positions, unit = band_positions(cube)
    number = f"band {band + 1} of {cube.bands}"
    bad = "" if cube.good[band] else ", marked bad"
    return f"{number}{bad}" if unit == "band" else f"{positions[band]:.1f} {unit}, {number}{bad}"
