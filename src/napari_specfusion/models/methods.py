"""The methods a user picks by name, and what else can stand for one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import ModelError
from napari_specfusion.models.classical import Bicubic, Glp, Gsa
from napari_specfusion.models.subspace import Subspace

if TYPE_CHECKING:
    from napari_specfusion.models.base import Method

__all__ = ["AUTO", "METHODS", "as_method"]

METHODS: Mapping[str, Method] = MappingProxyType(
    {"bicubic": Bicubic(), "gsa": Gsa(), "glp": Glp(), "subspace": Subspace()}
)
"""Methods that need no weights, simplest first."""

AUTO = "auto"
"""Stands for the method that does best on the scene one scale down; only `fuse` knows the scene."""


def as_method(model: Any) -> Method:
    """Return the method that `model` stands for: a name, a network with weights, or a method already.

    Raises
    ------
    ModelError
        If there is no such method, or a network is named that comes without weights.
    """
    if isinstance(model, str):
        if model in METHODS:
            return METHODS[model]
        if model == AUTO:
            raise ModelError(f"{AUTO!r} needs a scene: call fuse(..., model={AUTO!r}), or take choose(scene).method.")
        from napari_specfusion.models.registry import NETWORKS
        from napari_specfusion.models.weights import list_weights, shipped_weights

        shipped = list_weights()
        if model in shipped:
            return shipped_weights(model)
        if model in NETWORKS:
            raise ModelError(
                f"The network {model!r} needs weights: give load_weights(...) or what fit(scene, {model!r}) returned."
            )
        raise ModelError(f"There is no method {model!r}; choose one of {', '.join((*METHODS, *shipped, AUTO))}.")
    if hasattr(model, "prepare"):
        return model  # type: ignore[no-any-return]
    if callable(model) and hasattr(model, "footprint"):
        from napari_specfusion.models.network import NetworkMethod

        return NetworkMethod(model)
    raise ModelError(f"{type(model).__name__} is no model; give a name, load_weights(...) or what fit(...) returned.")
