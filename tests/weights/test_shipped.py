"""The weights that come with the package."""

from __future__ import annotations

import pytest

from napari_specfusion.errors import ModelError
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.shipped import list_weights, shipped_card, shipped_weights, weights_for


@pytest.mark.parametrize("name", list_weights())
def test_every_file_opens_and_tells_its_story(name: str) -> None:
    weights = shipped_weights(name)
    told = weights.card
    assert weights.name == name
    assert told.steps > 0
    assert told.data
    if isinstance(weights, AnySensor):
        assert told.kind == "any sensor"
        assert told.scores["gain"] > 0
        module = weights.module
    else:
        assert told.kind == "trained"
        assert told.scores["psnr"] > told.scores["base_psnr"]
        assert (told.units == "pair") == (told.ratio is None)
        assert told.wavelengths
        assert len(told.response) == len(weights.residual.guide_centre)
        module = weights.residual.module
        assert (weights.partner is None) == (not told.partner)
    assert sum(p.numel() for p in module.parameters()) * 4 < 10e6


@pytest.mark.parametrize("name", list_weights())
def test_no_scene_of_the_test_set_was_trained_on(name: str) -> None:
    tested = (
        "superballs thread_spools oil_painting paints photo_and_face pompoms real_and_fake_apples "
        "real_and_fake_peppers sponges stuffed_toys jelly_beans watercolors"
    ).split()
    assert not set(shipped_weights(name).card.data) & set(tested)


def test_weights_are_offered_where_bands_wavelengths_and_ratio_fit() -> None:
    scene = sample_scene(64, 4)
    fitting = weights_for(scene)
    universal = [n for n in list_weights() if isinstance(shipped_weights(n), AnySensor)]
    ratios = {name: shipped_weights(name).ratios for name in list_weights()}
    assert [w.name for w in fitting] == [name for name, (low, high) in ratios.items() if low <= 4 <= high]
    assert scene.hsi.wavelengths is not None
    for other in (
        scene.replace(hsi=scene.hsi.replace(wavelengths=None)),
        scene.replace(hsi=scene.hsi.replace(wavelengths=scene.hsi.wavelengths * 2)),
    ):
        assert [w.name for w in weights_for(other)] == universal
    three = [w.name for w in weights_for(sample_scene(60, 3))]
    assert three == [name for name, (low, high) in ratios.items() if low <= 3 <= high]


@pytest.mark.parametrize("name", list_weights())
def test_a_name_stands_for_its_weights(name: str) -> None:
    assert as_method(name) is shipped_weights(name)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no weights 'nothing'"):
        shipped_weights("nothing")


@pytest.mark.parametrize("name", list_weights())
def test_the_card_can_be_read_alone(name: str) -> None:
    card = shipped_card(name)
    whole = shipped_weights(name).card
    assert card.bands == whole.bands
    for name in ("kind", "network", "ratio", "wavelengths", "response", "data", "scores"):
        assert getattr(card, name) == getattr(whole, name)
