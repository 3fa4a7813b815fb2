"""Two images of one place, brought onto one grid."""

from napari_specfusion.alignment.alignment import Alignment
from napari_specfusion.alignment.engine import align

__all__ = ["Alignment", "align"]
