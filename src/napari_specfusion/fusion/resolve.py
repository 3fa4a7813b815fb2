"""The models that `fuse(model=...)` accepts: their list, and the method behind each."""

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
"""Name of the automatic choice, which needs the scene and is resolved by `fuse`."""


@dataclass(frozen=True)
class MethodInfo:
    """One line of `list_methods`.

    Attributes
    ----------
    name
        The name that `fuse` accepts.
    title
        Title in a few words.
    needs
        Requirements on the pair beyond those of every method.
    reference
        The paper that describes it.
    summary
        Summary in one sentence.
    """

    name: str
    title: str
    needs: str
    reference: str = ""
    summary: str = field(default="", repr=False)


def list_methods() -> Listing[MethodInfo]:
    """Return every name that ``fuse(model=...)`` accepts; prints as a table.

    These are ``"auto"``, the methods that need no training, and the networks whose weights come with the package.
    `fuse` also takes the results of `load_weights`, `train` and `fit`.
    """
    auto = MethodInfo(
        AUTO,
        "Automatic choice",
        "nothing",
        summary="Tries the methods, and the trained networks that fit, on the pair itself at reduced resolution.",
    )
    free = [MethodInfo(name, m.title, "nothing", m.reference, m.summary) for name, m in METHODS.items()]
    return Listing([auto, *free, *(_info(name, shipped_card(name)) for name in list_weights())])


def _info(name: str, card: ModelCard) -> MethodInfo:
    """Return the line of trained weights."""
    spec = NETWORKS[card.network]
    low, high = card.ratios or (card.ratio, card.ratio)
    ratio = f"x{low:g}" if low == high else f"x{low:g}-{high:g}"
    if card.kind == "any sensor":
        return MethodInfo(
            name,
            "LSO for any sensor, trained",
            ratio,
            spec.reference,
            "A trained network for any sensor. It corrects one spectral plane at a time.",
        )
    bands = f"{card.bands} bands"
    if card.wavelengths:
        bands += f", {min(card.wavelengths):g}-{max(card.wavelengths):g} nm"
    # the partner is the network after which such weights are named
    title = NETWORKS[shipped_card(card.partner).network].title if card.partner else spec.title
    short = title.removesuffix(", for CPUs")
    return MethodInfo(
        name,
        f"{short}, with a second" if card.partner else f"{short}, trained",
        f"{bands}; {ratio}",
        spec.reference,
        "A trained network. It also accepts the guide of another camera and adapts it.",
    )


def as_method(model: ModelLike) -> Method:
    """Return the method for `model`: a name, a network with weights, a result of `choose`, or a method.

    Raises
    ------
    ModelError
        If the name is unknown, or names a network without weights.
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
                f"The network {model!r} needs weights: give the result of load_weights(...) or fit(scene, {model!r})."
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
        f"The model is of type {type(model).__name__}; give a name of list_methods(), or a result of "
        "load_weights or fit."
    )
