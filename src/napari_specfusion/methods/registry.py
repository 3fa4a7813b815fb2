"""The methods that need no weights, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from napari_specfusion.methods.classical import Bicubic, Glp, Gsa
from napari_specfusion.methods.subspace import Subspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_specfusion.tiling.contract import Method

    class TrainingFree(Method, Protocol):
        """A method of the registry, which says what it is."""

        @property
        def title(self) -> str:
            """What it is called in full."""

        @property
        def summary(self) -> str:
            """What it does, in a sentence."""

        @property
        def reference(self) -> str:
            """The paper that describes it."""


__all__ = ["DEFAULT_METHOD", "METHODS"]

METHODS: Mapping[str, TrainingFree] = MappingProxyType(
    {"bicubic": Bicubic(), "gsa": Gsa(), "glp": Glp(), "subspace": Subspace()}
)
"""Methods that need no weights, simplest first."""

DEFAULT_METHOD = "subspace"
"""What does best on the whole where nothing is known about a scene."""
