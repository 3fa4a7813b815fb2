"""What `fuse(model=...)` accepts: the list of it, and the method that each stands for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from napari_specfusion.errors import ModelError
from napari_specfusion.fusion.auto import Choice
from napari_specfusion.listing import Listing
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.networks.registry import NETWORKS
from napari_specfusion.weights.shipped import list_weights, shipped_card, shipped_weights

if TYPE_CHECKING:
    from napari_specfusion.tiling.contract import Method, ModelLike
    from napari_specfusion.weights.card import ModelCard

__all__ = ["AUTO", "MethodInfo", "as_method", "list_methods"]

AUTO = "auto"
"""Stands for the method that does best on the scene one scale down; only `fuse` knows the scene."""


@dataclass(frozen=True)
class MethodInfo:
    """One line of `list_methods`.

    Attributes
    ----------
    name
        What `fuse` knows it by.
    title
        What it is, in a few words.
    needs
        What the pair must have beyond what every method needs.
    reference
        The paper that describes it.
    summary
        What it does, in a sentence.
    """

    name: str
    title: str
    needs: str
    reference: str = ""
    summary: str = field(default="", repr=False)


def list_methods() -> Listing[MethodInfo]:
    """Return all that ``fuse(model=...)`` accepts by name; prints as a table.

    These are ``"auto"``, the methods that need no training, and the networks whose weights come with the package.
    `fuse` also takes what `load_weights`, `train` or `fit` return.
    """
    auto = MethodInfo(
        AUTO,
        "Automatic choice",
        "nothing",
        summary="Tries the methods, and the trained networks that fit, on the pair itself one scale down.",
    )
    free = [MethodInfo(name, m.title, "nothing", m.reference, m.summary) for name, m in METHODS.items()]
    return Listing([auto, *free, *(_info(name, shipped_card(name)) for name in list_weights())])


def _info(name: str, card: ModelCard) -> MethodInfo:
    """Return the line of trained weights."""
    spec = NETWORKS[card.network]
    bands = f"{card.bands} bands"
    if card.wavelengths:
        bands += f", {min(card.wavelengths):g}-{max(card.wavelengths):g} nm"
    return MethodInfo(
        name,
        f"{spec.title}, trained",
        f"{bands}; ratio {card.ratio}",
        spec.reference,
        "A trained network. It also takes the guide of another camera, which is adapted.",
    )


def as_method(model: ModelLike) -> Method:
    """Return the method that `model` stands for: a name, a network with weights, what `choose` returned, a method.

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
        raise ModelError(f"There is no method {model!r}; choose one of {', '.join((AUTO, *METHODS, *shipped))}.")
    if isinstance(model, Choice):
        return model.method
    given: Any = model
    if hasattr(given, "prepare"):
        return cast("Method", given)
    if callable(given) and hasattr(given, "footprint"):
        return NetworkMethod(given)
    raise ModelError(
        f"The model is of type {type(model).__name__}; give a name of list_methods(), or what load_weights or fit "
        "returned."
    )
