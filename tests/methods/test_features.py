"""Features of a guide: the same in a tile as in the image, whatever the units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.methods.features import Draws, Features
from napari_specfusion.samples.scene import sample_scene

DRAWS = Draws(colour=5, colour_and_place=7, place=3)


def features_of(scene, draws=DRAWS):
    return Features.of(CalibratedScene(scene).moments, scene.guide.shape[1:], draws)


def values(features, guide, rows, columns, size=4):
    """Return all features in a part of a guide given whole."""
    padded = torch.nn.functional.pad(torch.as_tensor(guide)[None], (1, 1, 1, 1), mode="replicate")[0]
    y, x = (torch.as_tensor(c) for c in features.coordinates(rows, columns))
    inputs = features.inputs(padded[:, rows.start : rows.stop + 2, columns.start : columns.stop + 2], y, x)
    found = torch.full((features.count, *inputs.shape[1:]), torch.nan, dtype=inputs.dtype)
    for part, block in features.blocks(inputs.flatten(1), size):
        found[part] = block.view(-1, *inputs.shape[1:])
    return found.numpy()


@pytest.fixture(scope="module")
def scene():
    return sample_scene(48, 4)


@pytest.mark.parametrize("guides", [1, 2, 3, 4, 6, 12])
def test_any_number_of_guide_bands(scene, guides):
    guide = scene.guide.read()
    rng = np.random.default_rng(0)
    more = scene.replace(guide=Cube.from_array(np.einsum("gk,kyx->gyx", rng.random((guides, 3)), guide)), srf=None)
    features = features_of(more)
    found = values(features, more.guide.read().astype(np.float64), slice(0, 48), slice(0, 48))
    assert features.count == len(found) == features.groups[-1].part.stop
    assert [g.part.start for g in features.groups[1:]] == [g.part.stop for g in features.groups[:-1]]
    assert np.isfinite(found).all()
    # cosines and sines of one frequency
    waves = found[features.groups[4].part]
    np.testing.assert_allclose(waves[::2] ** 2 + waves[1::2] ** 2, 1, atol=1e-12)


def test_a_tile_has_the_values_of_the_image(scene):
    features, guide = features_of(scene), scene.guide.read().astype(np.float64)
    whole = values(features, guide, slice(0, 48), slice(0, 48))
    part = values(features, guide, slice(7, 20), slice(30, 48), size=100)
    np.testing.assert_allclose(part, whole[:, 7:20, 30:48], atol=1e-12)


def test_units_do_not_matter(scene):
    guide = scene.guide.read().astype(np.float64)
    scaled = guide * np.array([255.0, 1e-3, 40.0])[:, None, None]
    one, other = (
        values(features_of(scene.replace(guide=Cube.from_array(image))), image, slice(0, 48), slice(0, 48))
        for image in (guide, scaled)
    )
    np.testing.assert_allclose(other, one, atol=1e-3)


def test_a_constant_band_is_no_feature(scene):
    guide = scene.guide.read().astype(np.float64)
    more = np.concatenate([guide, np.full_like(guide[:1], 0.7)])
    features = features_of(scene.replace(guide=Cube.from_array(more), srf=None))
    found = values(features, more, slice(0, 48), slice(0, 48))
    assert not found[[3, 7, 11]].any()
    assert np.isfinite(found).all()


def test_what_the_differences_stand_for(scene):
    features = features_of(scene)
    y, x = np.mgrid[0:48, 0:48].astype(float)
    slope = np.stack([y, x, y * 0]) * features.spread[:, None, None]
    found = values(features, slope, slice(0, 48), slice(0, 48))[:, 1:-1, 1:-1]
    groups = {group.name: found[group.part] for group in features.groups}
    np.testing.assert_allclose(groups["displaced"][[0, 4]], 1, atol=1e-12)
    np.testing.assert_allclose(groups["displaced"][[1, 2, 3, 5]], 0, atol=1e-12)
    np.testing.assert_allclose(groups["blurred"], 0, atol=1e-12)
    np.testing.assert_allclose(groups["magnified"][0], (y[1:-1, 1:-1] - 23.5) / 48, atol=1e-12)
    np.testing.assert_allclose(groups["magnified"][1], (x[1:-1, 1:-1] - 23.5) / 48, atol=1e-12)


def test_the_draws_are_the_same_every_time(scene):
    np.testing.assert_array_equal(features_of(scene).frequencies, features_of(scene).frequencies)
    assert len(features_of(scene, replace(DRAWS, place=0)).frequencies) == 12
