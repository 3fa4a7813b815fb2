"""The methods that need no weights, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from napari_specfusion.methods.classical import Bicubic, Glp, Gsa
from napari_specfusion.methods.detail import Detail
from napari_specfusion.methods.subspace import Subspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.tiling.contract import Method

    class TrainingFree(Method, Protocol):
        """A method of the registry, with its description."""

        @property
        def title(self) -> str:
            """The full name."""

        @property
        def summary(self) -> str:
            """The method in one sentence."""

        @property
        def reference(self) -> str:
            """The paper that describes the method."""


__all__ = ["DEFAULT_METHOD", "METHODS"]

METHODS: Mapping[str, TrainingFree] = MappingProxyType(
    {"bicubic": Bicubic(), "gsa": Gsa(), "glp": Glp(), "subspace": Subspace(), "detail": Detail()}
)
"""Methods that need no weights, simplest first."""

DEFAULT_METHOD = "detail"
"""The method with the best results overall when nothing is known about a scene."""
