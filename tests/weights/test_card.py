"""Model cards: they come back as they were, from this release and from earlier ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from napari_specfusion.weights.card import CHECKS, KEY, ModelCard, card_from_metadata, card_to_metadata

WHOLE = ModelCard(
    kind="trained",
    network="lso-s",
    bands=2,
    guide_bands=1,
    directions=2,
    ratio=8,
    sizes={"width": 8},
    window=96,
    base="subspace",
    wavelengths=(400.0, 500.5),
    response=((0.25, 0.75),),
    value_range=(0.0, 1.0),
    protocols=("lso",),
    data=("one", "two"),
    licence="CC0-1.0",
    steps=7,
    scores={"psnr": 50.5},
    strength=0.5,
    partner="other",
    message="gained",
)


@pytest.mark.parametrize("card", [ModelCard(), WHOLE])
def test_a_card_comes_back_as_it_was(card: ModelCard) -> None:
    assert card_from_metadata(card_to_metadata(card)) == card


def test_empty_fields_are_not_written() -> None:
    assert json.loads(card_to_metadata(ModelCard(network="lso"))[KEY]) == {"kind": "network", "network": "lso"}


def test_a_file_without_a_card_is_a_bare_network() -> None:
    assert card_from_metadata({"format": "pt"}) == ModelCard()


def test_fields_of_a_later_release_are_passed_over() -> None:
    assert card_from_metadata({KEY: json.dumps({"kind": "network", "colour": "red"})}) == ModelCard()


def test_the_three_dialects_of_the_last_release() -> None:
    module = {"model": "lso-s", "bands": 6, "guide_bands": 3, "ratio": 4, "sizes": {"width": 32}}
    bare = {"specfusion": json.dumps({**module, "protocol": "lso", "wavelengths": [400.0]})}
    assert card_from_metadata(bare) == ModelCard(network="lso-s", bands=6, guide_bands=3, ratio=4, sizes={"width": 32})
    trained = {"base": "bicubic", "protocols": ["lso"], "data": ["one"], "steps": 3, "scores": {"psnr": 40.0}}
    card = card_from_metadata({"specfusion.trained": json.dumps({**module, **trained})})
    assert (card.kind, card.network, card.directions, card.bands) == ("trained", "lso-s", 6, 0)
    assert (card.base, card.data, card.steps, card.scores) == ("bicubic", ("one",), 3, {"psnr": 40.0})
    fitted = {"strength": 0.5, "base_score": 30.0, "score": 31.0, "message": "gained"}
    card = card_from_metadata({"specfusion.fitted": json.dumps({**module, **fitted})})
    assert (card.kind, card.base, card.strength, card.message) == ("fitted", "subspace", 0.5, "gained")
    assert card.scores == {"psnr": 31.0, "base_psnr": 30.0}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "other"}, "kind is 'other'"),
        ({"kind": []}, "kind is"),
        ({"network": 3}, "network is 3, not a text"),
        ({"bands": -1}, "bands is -1"),
        ({"ratio": "four"}, "ratio is 'four'"),
        ({"ratio": True}, "ratio is True"),
        ({"sizes": 3}, "sizes is 3"),
        ({"sizes": {"patch": "4"}}, "patch is '4'"),
        ({"base": "nonsense"}, "base is 'nonsense'"),
        ({"wavelengths": [400.0, float("nan")]}, "not finite"),
        ({"wavelengths": [400.0]}, "number of bands"),
        ({"response": [[1.0]]}, "number of bands"),
        ({"value_range": [1.0]}, "values"),
        ({"scores": 3}, "scores is 3"),
        ({"scores": {"psnr": 10**400}}, "too large"),
        ({"steps": "many"}, "steps is 'many'"),
        ({"strength": float("inf")}, "not finite"),
        ({"message": None}, "message is None"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(wrong: dict[str, Any], words: str) -> None:
    told = json.loads(card_to_metadata(WHOLE)[KEY])
    with pytest.raises(ValueError, match=words):
        card_from_metadata({KEY: json.dumps({**told, **wrong})})


@pytest.mark.parametrize("text", ["", "nothing", "3", "[" * 100_000, '{"a":'])
def test_a_card_that_is_not_a_dictionary_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        card_from_metadata({KEY: text})


def test_every_field_is_checked() -> None:
    assert set(CHECKS) == set(ModelCard.__dataclass_fields__)
