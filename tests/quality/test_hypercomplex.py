from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import universal_image_quality_index

from napari_specfusion.quality.hypercomplex import (
    HypercomplexSum,
    hypercomplex_quality,
    hypercomplex_sum,
    product_signs,
    windows_of,
)


def spectra(bands: int, pixels: int = 1024, noise: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of spectra whose bands have mean 1 and spread 1 in the first, so that nothing is rescaled."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((bands, pixels))
    truth = (truth - truth.mean(axis=1, keepdims=True)) / truth.std(axis=1, keepdims=True) + 1
    return truth, truth + noise * rng.standard_normal(truth.shape) + 0.1


def multiply(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the product of two numbers, by the doubling of Cayley and Dickson."""
    if len(x) == 1:
        return x * y
    half = len(x) // 2
    (a, b), (c, d) = (x[:half], x[half:]), (y[:half], y[half:])
    return np.concatenate([multiply(a, c) - multiply(turned(d), b), multiply(d, a) + multiply(b, turned(c))])


def turned(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x[:1], -x[1:]])


def by_definition(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return Q2n from products of single pixels."""
    z, v = truth.T, guess.T
    covariance = np.mean([multiply(a, turned(b)) for a, b in zip(z, v, strict=True)], axis=0)
    covariance -= multiply(z.mean(axis=0), turned(v.mean(axis=0)))
    means = [np.linalg.norm(one.mean(axis=0)) for one in (z, v)]
    spread = sum(np.mean(np.sum(one**2, axis=1)) - mean**2 for one, mean in zip((z, v), means, strict=True))
    return float(2 * np.linalg.norm(covariance) / spread * 2 * means[0] * means[1] / (means[0] ** 2 + means[1] ** 2))


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_signs_are_those_of_cayley_and_dickson(size: int) -> None:
    units, signs = np.eye(size), product_signs(size)
    for i, one in enumerate(units):
        for j, other in enumerate(units):
            np.testing.assert_array_equal(multiply(one, other), signs[i, j] * units[i ^ j])


def test_signs_of_four_are_hamiltons() -> None:
    # i j = k, j k = i, k i = j, and every square is -1
    signs = product_signs(4)
    assert [signs[1, 2], signs[2, 3], signs[3, 1]] == [1, 1, 1]
    assert [signs[2, 1], signs[3, 2], signs[1, 3]] == [-1, -1, -1]
    assert np.diag(signs).tolist() == [1, -1, -1, -1]


def test_one_band_is_uiqi() -> None:
    truth, guess = (image.reshape(11, 11) for image in spectra(1, 121))
    from torch import from_numpy

    # a window as wide as the image, all of whose weights are equal
    theirs = universal_image_quality_index(
        *(from_numpy(image)[None, None] for image in (guess, truth)), sigma=(1e6, 1e6), reduction="none"
    )
    middle = float(theirs.reshape(-1)[theirs.numel() // 2])
    assert hypercomplex_quality(truth.reshape(1, -1), guess.reshape(1, -1)) == pytest.approx(middle, rel=1e-6)


def test_two_bands_are_complex_numbers() -> None:
    truth, guess = spectra(2)
    z, v = truth[0] + 1j * truth[1], guess[0] + 1j * guess[1]
    covariance = abs(np.mean(z * v.conj()) - z.mean() * v.mean().conjugate())
    a, b = abs(z.mean()), abs(v.mean())
    expected = 2 * covariance / (np.var(z) + np.var(v)) * 2 * a * b / (a**2 + b**2)
    assert hypercomplex_quality(truth, guess) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("bands", [1, 3, 4, 7, 16])
def test_more_bands_follow_the_definition(bands: int) -> None:
    truth, guess = spectra(bands, 50)
    size = 1 << (bands - 1).bit_length()
    full = [np.concatenate([image, np.zeros((size - bands, 50))]) for image in (truth, guess)]
    assert hypercomplex_quality(truth, guess) == pytest.approx(by_definition(*full), rel=1e-10)


@settings(max_examples=30, deadline=None)
@given(bands=st.integers(1, 9), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_identity_is_one_and_units_do_not_count(bands: int, scale: float, seed: int) -> None:
    truth, guess = spectra(bands, 64, seed=seed)
    units = scale * (1 + np.arange(bands))[:, None]
    assert hypercomplex_quality(truth, truth) == pytest.approx(1, abs=1e-12)
    expected = hypercomplex_quality(truth, guess)
    assert expected < 1
    assert hypercomplex_quality(units * truth + 3, units * guess + 3) == pytest.approx(expected, rel=1e-6)


def test_more_noise_is_worse() -> None:
    scores = [hypercomplex_quality(*spectra(5, noise=noise)) for noise in (0.05, 0.2, 0.8)]
    assert scores == sorted(scores, reverse=True)


def test_swapped_bands_are_noticed() -> None:
    truth, _ = spectra(4)
    assert hypercomplex_quality(truth, truth[::-1]) < 0.6


def test_flat_windows_score_by_their_level() -> None:
    flat = np.full((3, 40), 0.5)
    assert hypercomplex_quality(flat, flat) == 1
    # the reference has mean 1 in each band, the estimate 1 + 0.25
    assert hypercomplex_quality(flat, flat + 0.25) == pytest.approx(2 * 1.25 / (1 + 1.25**2))


def test_windows_cut_an_image_without_rest() -> None:
    seen = np.zeros((70, 33), int)
    for rows, columns in windows_of(70, 33, 32):
        seen[rows, columns] += 1
    assert (seen == 1).all()


def test_missing_pixels_and_bands_are_left_out() -> None:
    truth, guess = (image.reshape(3, 32, 64) for image in spectra(3, 2048))
    known = hypercomplex_sum(truth[:2, :, :32], guess[:2, :, :32])
    truth[:, :, 32:] = np.nan
    guess[2] = np.nan
    assert hypercomplex_sum(truth, guess) == known
    assert known.weight == 1024
    assert np.isnan(hypercomplex_sum(np.full((2, 8, 8), np.nan), np.ones((2, 8, 8))).mean)


def test_windows_count_by_their_pixels() -> None:
    truth, guess = (image.reshape(2, 32, 40) for image in spectra(2, 1280))
    parts = [
        hypercomplex_quality(*(v[:, :, part].reshape(2, -1) for v in (truth, guess)))
        for part in (slice(0, 32), slice(32, 40))
    ]
    total = hypercomplex_sum(truth, guess)
    assert total == pytest.approx(HypercomplexSum(1024 * parts[0] + 256 * parts[1], 1280))
