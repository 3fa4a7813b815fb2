"""The model card: the description of a weight file as plain data."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

__all__ = ["BASES", "Kind", "ModelCard", "Units", "card_from_metadata", "card_to_metadata"]

BASES = ("bicubic", "subspace", "detail")
"""Methods whose result a trained network may correct."""

Kind = Literal["network", "trained", "fitted", "any sensor"]
Units = Literal["training", "pair"]

# The key of the header that holds the card.
KEY = "specfusion.card"
# Earlier releases wrote a different card for each kind of file, under its own key.
OLD_KEYS: Mapping[str, Kind] = {
    "specfusion": "network",
    "specfusion.trained": "trained",
    "specfusion.fitted": "fitted",
}


@dataclass(frozen=True)
class ModelCard:
    """The content and the origin of a weight file. Fields that do not apply are empty.

    Attributes
    ----------
    kind
        ``"network"`` for a bare network, ``"trained"`` for a file of `train`, ``"fitted"`` for one of `fit`, and
        ``"any sensor"`` for one of `train_any_sensor`.
    network
        Name of the network; one of `list_networks`.
    bands, guide_bands
        Number of bands of the cube and of the guide.
    directions
        Number of spectral directions that the network uses in place of the bands; 0 if it uses the bands.
    ratio
        HR pixels per LR pixel.
    ratios
        Lowest and highest ratio of a network that was trained for several.
    units
        ``"training"`` for a network whose inputs and output are in units measured on its training scenes, ``"pair"``
        for one in units that each pair gives, which serves several ratios.
    sizes
        Sizes of the network, such as its width.
    window
        Side in HR pixels of the windows for a network with global operations; None for a local one.
    base
        Method whose result the network corrects: ``"detail"``, ``"subspace"`` or ``"bicubic"``.
    wavelengths
        Band centres in nm.
    response
        Spectral response of the guide ``(guide bands, bands)``, as rows.
    value_range
        Lowest and highest value that the network was trained on.
    protocols
        How the training pairs were simulated.
    data
        Names of the training scenes.
    licence
        Licence of the weights.
    steps
        Optimiser steps taken.
    scores
        Scores on held-out data: PSNR in dB, SAM in degrees, and those of the base.
    strength
        Share of the network's correction that is added.
    partner
        Name of the weights in the file beside this one whose correction of the same base is added too, by the same
        share; two networks err in different places.
    message
        The result of the fit in one sentence.
    """

    kind: Kind = "network"
    network: str = ""
    bands: int = 0
    guide_bands: int = 0
    directions: int = 0
    ratio: int | None = None
    ratios: tuple[float, float] | None = None
    units: Units = "training"
    sizes: Mapping[str, int] = field(default_factory=dict)
    window: int | None = None
    base: str = ""
    wavelengths: tuple[float, ...] = ()
    response: tuple[tuple[float, ...], ...] = ()
    value_range: tuple[float, float] | None = None
    protocols: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    licence: str = ""
    steps: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    strength: float = 1.0
    partner: str = ""
    message: str = ""


def card_to_metadata(card: ModelCard) -> dict[str, str]:
    """Return the header of a safetensors file; fields that are empty are left out."""
    empty = ModelCard()
    values = {f.name: getattr(card, f.name) for f in fields(card)}
    kept = {name: value for name, value in values.items() if name == "kind" or value != getattr(empty, name)}
    return {KEY: json.dumps({name: dict(v) if isinstance(v, Mapping) else v for name, v in kept.items()})}


def card_from_metadata(metadata: Mapping[str, str]) -> ModelCard:
    """Read the header of a safetensors file of this release or of an earlier one.

    A file without a card is a bare network without a description.

    Raises
    ------
    ValueError
        If a value is of the wrong type or contradicts another.
    """
    key = next((key for key in (KEY, *OLD_KEYS) if key in metadata), None)
    if key is None:
        return ModelCard()
    try:
        stored = json.loads(metadata[key])
    except RecursionError as error:
        raise ValueError("the card is nested too deeply") from error
    if not isinstance(stored, dict):
        raise ValueError(f"the card is a {type(stored).__name__}, not a dictionary")
    return _card(stored if key == KEY else _from_old(stored, OLD_KEYS[key]))


def _from_old(stored: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Translate a card of an earlier release."""
    if kind == "network":
        # their other entries are free text
        same = {name: stored[name] for name in ("bands", "guide_bands", "ratio", "sizes") if name in stored}
        return {**same, "kind": kind, "network": stored.get("model", "")}
    # they counted the spectral directions as bands; the number of bands follows from the tensors
    card = {**stored, "kind": kind, "network": stored.get("model", ""), "directions": stored.get("bands", 0)}
    card.pop("bands", None)
    if kind == "trained":
        return {**card, "value_range": (0.0, 1.0)}
    scores = {"psnr": stored.get("score"), "base_psnr": stored.get("base_score")}
    return {**card, "base": "subspace", "scores": scores}


def _card(stored: Mapping[str, Any]) -> ModelCard:
    """Check the types of a card from a file. Unknown names, which a later release may add, are ignored."""
    card = ModelCard(**{f.name: CHECKS[f.name](f.name, stored[f.name]) for f in fields(ModelCard) if f.name in stored})
    if card.kind != "network" and card.base not in BASES:
        raise ValueError(f"base is {reprlib.repr(card.base)}, not one of {', '.join(BASES)}")
    if card.kind == "any sensor" and card.ratios is None:
        raise ValueError("the ratios of a network for any sensor are missing")
    if card.partner and card.kind != "trained":
        raise ValueError("a partner belongs to a trained network")
    if card.units == "pair" and (card.kind != "trained" or card.ratios is None):
        raise ValueError("units of the pair belong to a trained network with a range of ratios")
    bands = card.bands or len(card.wavelengths) or len(card.response[0] if card.response else ())
    if {len(row) for row in card.response} - {bands} or len(card.wavelengths) not in (0, bands):
        raise ValueError("bands, wavelengths and response differ in their number of bands")
    return card


def _one_of(words: Sequence[str]) -> Callable[[str, Any], Any]:
    def checked(name: str, value: Any) -> Any:
        if value not in words:
            raise ValueError(f"{name} is {reprlib.repr(value)}, not one of {', '.join(words)}")
        return value

    return checked


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {reprlib.repr(value)}, not a text")
    return value


def _file_name(name: str, value: Any) -> str:
    text = _text(name, value)
    if any(sign in text for sign in "/\\:\0") or text.startswith("."):
        raise ValueError(f"{name} is {reprlib.repr(text)}, which is no plain name")
    return text


def _count(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {reprlib.repr(value)}, not a whole number")
    return value


def _optional_count(name: str, value: Any) -> int | None:
    return None if value is None else _count(name, value)


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{name} is {reprlib.repr(value)}, not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is too large") from error


def _finite(name: str, value: Any) -> float:
    number = _number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} holds {number}, which is not finite")
    return number


def _range(name: str, value: Any) -> tuple[float, float]:
    low, high = _each(_finite)(name, value)
    return low, high


def _each(check: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    def checked(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} is {reprlib.repr(value)}, not a list")
        return tuple(check(name, item) for item in value)

    return checked


def _values(check: Callable[[str, Any], Any]) -> Callable[[str, Any], dict[str, Any]]:
    def checked(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{name} is {reprlib.repr(value)}, not a dictionary")
        return {key: check(key, item) for key, item in value.items()}

    return checked


CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "kind": _one_of(get_args(Kind)),
    "network": _text,
    "bands": _count,
    "guide_bands": _count,
    "directions": _count,
    "ratio": _optional_count,
    "ratios": _range,
    "units": _one_of(get_args(Units)),
    "sizes": _values(_count),
    "window": _optional_count,
    "base": _text,
    "wavelengths": _each(_finite),
    "response": _each(_each(_finite)),
    "value_range": _range,
    "protocols": _each(_text),
    "data": _each(_text),
    "licence": _text,
    "steps": _count,
    "scores": _values(_number),
    "strength": _finite,
    "partner": _file_name,
    "message": _text,
}
