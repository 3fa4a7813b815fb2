"""What `fuse(model=...)` takes, turned into a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import ModelError
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.networks.registry import NETWORKS
from napari_specfusion.weights.shipped import list_weights, shipped_weights

if TYPE_CHECKING:
    from napari_specfusion.tiling.contract import Method

__all__ = ["AUTO", "as_method"]

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
        return NetworkMethod(model)
    raise ModelError(f"{type(model).__name__} is no model; give a name, load_weights(...) or what fit(...) returned.")
