"""Pairs and crops that a network for any sensor is trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_specfusion.networks.planes import CHANNELS
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.training.bases import Bases
from napari_specfusion.training.plane_pairs import PlaneExample, draw_pairs


@pytest.fixture(scope="module")
def example() -> PlaneExample:
    return PlaneExample.of(sample_scene(96, 4), "sample", Bases("subspace"))


def test_the_error_is_what_the_base_lacks(example: PlaneExample) -> None:
    reference = sample_scene(96, 4).reference
    assert reference is not None
    truth = torch.as_tensor(reference.read().astype(np.float32))
    wanted = torch.einsum("bp,byx->pyx", truth.new_tensor(example.view.analysis), truth)
    torch.testing.assert_close(example.planes + example.error, wanted, atol=1e-3, rtol=1e-4)
    inside = float(example.error.double().square().sum(0).mean())
    assert 0.3 * example.power < inside <= 1.001 * example.power


@pytest.mark.parametrize("seed", range(6))
def test_crops_are_finite_and_weigh_like_the_error(example: PlaneExample, seed: int) -> None:
    inputs, error, weight = example.crop(np.random.default_rng(seed), 32)
    planes = len(example.view.unit)
    assert inputs.shape == (planes, CHANNELS, 32, 32)
    assert error.shape == (planes, 32, 32)
    assert bool(inputs.isfinite().all() & error.isfinite().all() & weight.isfinite().all())


def test_a_crop_of_the_whole_holds_the_whole_error(example: PlaneExample) -> None:
    for seed in range(8):
        _, error, weight = example.crop(np.random.default_rng(seed), 96)
        # mixed planes hold other shares; unmixed ones all of it
        share = float((error * weight).double().square().mean())
        inside = float(example.error.double().square().sum(0).mean()) / example.power
        if share == pytest.approx(inside, rel=1e-3):
            return
    raise AssertionError("no crop holds the planes as they are")


def test_pairs_are_drawn_the_same_again() -> None:
    sharp = sample_scene(96, 4).reference
    assert sharp is not None
    one, other = (list(draw_pairs([sharp], (2, 4), ("rgb", "pan"), 4, 0)) for _ in range(2))
    assert len(one) == 4
    assert len({(float(scene.factor), scene.guide.bands) for scene, _ in one}) > 1
    for (a, _), (b, _) in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.hsi.read(), b.hsi.read())


def test_cubes_that_are_too_small_give_no_pair() -> None:
    sharp = sample_scene(32, 4).reference
    assert sharp is not None
    assert list(draw_pairs([sharp], (8,), ("rgb",), 2, 0)) == []
