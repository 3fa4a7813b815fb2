"""The methods that need no weights, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_specfusion.methods.classical import Bicubic, Glp, Gsa
from napari_specfusion.methods.subspace import Subspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.tiling.contract import Method

__all__ = ["METHODS"]

METHODS: Mapping[str, Method] = MappingProxyType(
    {"bicubic": Bicubic(), "gsa": Gsa(), "glp": Glp(), "subspace": Subspace()}
)
"""Methods that need no weights, simplest first."""
