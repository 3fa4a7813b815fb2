"""Crops to train on: they show what the inputs of a whole scene would show."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_specfusion.fusion.engine import fuse
from napari_specfusion.networks.residual import Residual
from napari_specfusion.samples.scene import sample_scene
from napari_specfusion.simulation.pair import PROTOCOLS, simulate
from napari_specfusion.training.bases import Bases
from napari_specfusion.training.pairs import Example, Examples, Making

if TYPE_CHECKING:
    from napari_specfusion.data.cube import Cube


@pytest.fixture(scope="module")
def reference() -> Cube:
    cube = sample_scene(128, 4).reference
    assert cube is not None
    return cube


def test_the_base_is_what_fuse_gives_blind(reference: Cube) -> None:
    example = Example.of(reference, Making(4, "lso"), Bases("subspace"))
    pair = simulate(reference, 4).replace(psf=None, shift=None, srf=None, reference=None)
    np.testing.assert_allclose(example.base.numpy(), fuse(pair, model="subspace", tile=None).read(), atol=1e-6)


@pytest.mark.parametrize("base", ["subspace", "bicubic"])
def test_a_crop_is_cut_from_everything_at_one_place_and_turned_alike(reference: Cube, base: str) -> None:
    examples = Examples.of([reference], 4, base=base, protocols=("lso",))
    response = np.linalg.lstsq(
        examples.pairs[0].truth.flatten(1).numpy().T, examples.pairs[0].guide.flatten(1).numpy().T, rcond=None
    )[0].T
    batch = examples.batch(np.random.default_rng(0), 24, 32)
    assert [tuple(image.shape) for image in batch] == [(24, 3, 32, 32), (24, 31, 32, 32), (24, 31, 32, 32)]
    seen = torch.einsum("gb,nbyx->ngyx", torch.as_tensor(response, dtype=torch.float32), batch.truth)
    torch.testing.assert_close(seen, batch.guide, atol=1e-3, rtol=0)
    error, of_others = ((batch.base - truth).abs().mean() for truth in (batch.truth, batch.truth.roll(1, 0)))
    assert error < 0.7 * of_others


def test_turned_crops_sample_like_the_sensor(reference: Cube) -> None:
    """The bicubic base of LSO's protocol lags by a pixel and a half; a crop that is turned afterwards would lead."""
    examples = Examples.of([reference], 4, base="bicubic", protocols=("lso",))
    batch = examples.batch(np.random.default_rng(1), 64, 32)

    def best_lag(axis: int) -> int:
        errors = {
            lag: float((batch.base.roll(-lag, axis) - batch.truth)[..., 8:-8, 8:-8].square().mean())
            for lag in range(-3, 4)
        }
        return min(errors, key=lambda lag: errors[lag])

    assert best_lag(2) in (1, 2)
    assert best_lag(3) in (1, 2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bicubic_crops_equal_those_of_the_whole_image(reference: Cube, protocol: str) -> None:
    whole = Example.of(reference, Making(4, protocol), Bases("bicubic"))
    examples = Examples([whole], 4, "bicubic")
    batch = examples.batch(np.random.default_rng(2), 600, 32)
    truth, base = whole.truth.numpy(), whole.base.numpy()
    matched = 0
    for crop, small in zip(batch.truth.numpy(), batch.base.numpy(), strict=True):
        places = np.argwhere(np.abs(truth[0, :97, :97] - crop[0, 0, 0]) < 1e-9)
        for y, x in places:
            if y % 4 == 0 and x % 4 == 0 and np.array_equal(truth[:, y : y + 32, x : x + 32], crop):
                np.testing.assert_allclose(small, base[:, y : y + 32, x : x + 32], atol=1e-5)
                matched += 1
    if not matched:
        pytest.fail("no crop lay unturned on a whole cell; draw more")


def test_a_quarter_of_the_crops_comes_from_one_scale_down(reference: Cube) -> None:
    examples = Examples.of([reference], 4, protocols=("lso",), both_scales=True)
    (whole,), (small,) = examples.pairs, examples.small
    assert small.truth.shape == (31, 32, 32)
    assert small.guide.shape == (3, 32, 32)
    pair = simulate(reference, 4)
    np.testing.assert_allclose(small.truth.numpy(), pair.hsi.read(), atol=1e-6)
    batch = examples.batch(np.random.default_rng(3), 400, 8)
    levels = {name: set(image.flatten().tolist()) for name, image in (("whole", whole.truth), ("small", small.truth))}
    found = [next(name for name, seen in levels.items() if float(crop[0, 0, 0]) in seen) for crop in batch.truth]
    assert 0.15 < found.count("small") / len(found) < 0.35


def test_noise_is_added_in_pairs_of_their_own(reference: Cube) -> None:
    examples = Examples.of([reference], 4, base="bicubic", protocols=("lso",), noise=(30.0, 35.0))
    clean, noisy = examples.pairs
    torch.testing.assert_close(clean.truth, noisy.truth)
    for what, decibel in (("guide", 35), ("base", 30)):
        image, other = getattr(clean, what), getattr(noisy, what)
        level = float((other - image).square().mean() / image.square().mean())
        # enlarging averages the noise of the cube
        assert 10 ** (-decibel / 10) / 3 < level < 1.1 * 10 ** (-decibel / 10)


def test_brightness_changes_from_crop_to_crop(reference: Cube) -> None:
    plain = Examples.of([reference], 4, base="subspace", protocols=("lso",))
    brighter = Examples.of([reference], 4, base="subspace", protocols=("lso",), gain=1.5)
    one, other = (examples.batch(np.random.default_rng(4), 20, 16) for examples in (plain, brighter))
    gains = [float(b.mean() / a.mean()) for a, b in zip(one.truth, other.truth, strict=True)]
    assert 1 / 1.5 <= min(gains) < 0.9
    assert 1.1 < max(gains) <= 1.5
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a * torch.tensor(gains)[:, None, None, None], b)


def test_crops_in_units_of_the_pair_show_the_inputs_of_the_whole(reference: Cube) -> None:
    small = reference.crop(slice(0, 64), slice(0, 64))
    examples = Examples.of([small], (2, 4), base="subspace", protocols=("lso",), measure=True)
    assert len(examples.pairs) == 2
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((31, 4)))[0]
    numbers = {"centre": np.zeros(4), "spread": np.ones(4), "size": np.ones(4)}
    residual = Residual(None, basis, guide_centre=np.zeros(3), guide_spread=np.ones(3), **numbers)  # type: ignore[arg-type]
    ready = examples.in_units(residual)
    crops = ready.unit_batch(np.random.default_rng(1), 40, 16)
    turned = torch.as_tensor(basis, dtype=torch.float32)
    # the third kind of images are plain values of the planes
    torch.testing.assert_close(crops.images[:, 8:12], torch.einsum("bp,nbyx->npyx", turned, crops.base))
    matched = 0
    for pair in ready.pairs:
        assert pair.units is not None
        whole = pair.units.inputs(pair.guide, torch.einsum("bp,byx->pyx", turned, pair.base))
        for images, truth, unit in zip(crops.images, crops.truth, crops.unit, strict=True):
            for y, x in np.argwhere(np.abs(pair.truth[0, :49, :49].numpy() - float(truth[0, 0, 0])) < 1e-9):
                area = (slice(y, y + 16), slice(x, x + 16))
                if torch.equal(pair.truth[:, *area], truth) and np.allclose(unit[:, 0, 0], pair.units.unit, rtol=1e-5):
                    torch.testing.assert_close(images, whole[:, *area], atol=1e-4, rtol=1e-4)
                    matched += 1
    assert matched


def test_gain_changes_plain_values_alone(reference: Cube) -> None:
    small = reference.crop(slice(0, 64), slice(0, 64))
    examples = Examples.of([small], 4, base="subspace", protocols=("lso",), measure=True)
    numbers = {"centre": np.zeros(4), "spread": np.ones(4), "size": np.ones(4)}
    residual = Residual(None, np.eye(31, 4), guide_centre=np.zeros(3), guide_spread=np.ones(3), **numbers)  # type: ignore[arg-type]
    ready = examples.in_units(residual)
    plain, brighter = (
        dataclasses.replace(ready, gain=gain).unit_batch(np.random.default_rng(1), 1, 64) for gain in (1.0, 2.0)
    )
    for one, other in ((plain.images[:, :8], brighter.images[:, :8]), (plain.truth, brighter.truth)):
        torch.testing.assert_close(one, other)
    factor = brighter.images[:, 8:12].norm() / plain.images[:, 8:12].norm()
    assert 0.5 <= float(factor) <= 2
    assert abs(float(factor) - 1) > 0.01
    torch.testing.assert_close(brighter.images[:, 8:12], factor * plain.images[:, 8:12])
