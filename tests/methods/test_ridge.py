"""Ridge regression from two halves of a pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.methods.features import Draws, Features
from napari_specfusion.methods.ridge import Halves, Ridge
from napari_specfusion.samples.scene import sample_scene


@pytest.fixture(scope="module")
def features():
    scene = sample_scene(48, 4)
    return Features.of(CalibratedScene(scene).moments, scene.guide.shape[1:], Draws(4, 4, 1))


def sums(features, count, target, seed=0):
    """Return the sums over random features and what `target` makes of them."""
    rng = np.random.default_rng(seed)
    halves = Halves.empty(features.count, 2)
    for half in (0, 1):
        given = torch.as_tensor(rng.standard_normal((features.count, count // 2)))
        halves.add(half, given, torch.as_tensor(target(given.numpy(), rng)))
    return halves


def test_a_relation_is_found_and_noise_is_not(features):
    halves = sums(
        features, 100_000, lambda given, rng: np.stack([given[0] - 2 * given[4], rng.normal(size=given.shape[1])])
    )
    found = Ridge.of(features, halves)
    expected = np.zeros(features.count)
    expected[[0, 4]] = 1, -2
    np.testing.assert_allclose(found.weights[:, 0], expected, atol=0.05)
    assert not found.weights[:, 1].any()
    assert found.left[0] < 0.01 * halves.square.sum(axis=0)[0]
    assert found.left[1] == pytest.approx(halves.square.sum(axis=0)[1])


def test_little_evidence_changes_little(features):
    sizes = []
    for count in (64, 512, 4096, 65_536):
        found = Ridge.of(features, sums(features, count, lambda given, rng: given[[4, 4]]))
        sizes.append(float(found.weights[4, 0]))
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.1
    assert sizes[-1] > 0.9


def test_scale_does_not_matter(features):
    one, large = (
        Ridge.of(features, sums(features, 20_000, lambda given, rng, s=scale: s * given[[4, 9]])) for scale in (1, 1e6)
    )
    np.testing.assert_allclose(large.weights / 1e6, one.weights, atol=1e-9)


def test_one_half_alone_proves_nothing(features):
    halves = Halves.empty(features.count, 2)
    given = torch.as_tensor(np.random.default_rng(0).standard_normal((features.count, 300)))
    halves.add(0, given, given[:2])
    assert not Ridge.of(features, halves).weights.any()
