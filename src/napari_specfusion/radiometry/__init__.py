"""Convert raw camera counts to reflectance."""

from __future__ import annotations

from napari_specfusion.radiometry.convert import check_references, reflectance
from napari_specfusion.radiometry.files import References, find_references

__all__ = ["References", "check_references", "find_references", "reflectance"]
