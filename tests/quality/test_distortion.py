from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import (
    quality_with_no_reference,
    spatial_distortion_index,
    spectral_distortion_index,
)

from napari_specfusion.quality.distortion import (
    GuideMatch,
    IndexSums,
    WindowMoments,
    d_lambda,
    d_s,
    guide_index,
    pair_index,
)
from napari_specfusion.quality.formulas import gaussian_taps

BANDS, SIDE = 4, 11
SAME = GuideMatch(np.ones((BANDS, 1)), np.zeros((BANDS, 1)))


def images(seed: int = 0) -> tuple[NDArray[np.float64], ...]:
    """Return a result, a cube, a guide and a degraded guide, all as large as one window of torchmetrics."""
    rng = np.random.default_rng(seed)
    cube = 0.2 + rng.random((BANDS, SIDE, SIDE))
    result = cube + 0.2 * rng.standard_normal(cube.shape)
    guide = cube.mean(axis=0, keepdims=True) + 0.1 * rng.standard_normal((1, SIDE, SIDE))
    return result, cube, guide, guide + 0.05 * rng.standard_normal(guide.shape)


def weighted(image: NDArray[np.float64], guide: NDArray[np.float64]) -> WindowMoments:
    """Return the moments of a window with the Gaussian weights of torchmetrics."""
    weights = np.outer(gaussian_taps(), gaussian_taps()).ravel()
    values = np.concatenate([image, guide]).reshape(-1, SIDE * SIDE)
    mean = values @ weights
    off = values - mean[:, None]
    return WindowMoments(mean, (off * weights) @ off.T, len(image))


def batch(image: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(image.copy())[None]


@pytest.mark.parametrize("seed", range(3))
def test_distortions_are_those_of_torchmetrics_in_one_window(seed: int) -> None:
    # beyond one window the two differ: torchmetrics slides its window of 11 pixels over both resolutions, here windows
    # that cover the same ground lie side by side
    result, cube, guide, coarse = images(seed)
    sums = IndexSums.of(weighted(cube, coarse), weighted(result, guide), SAME)
    repeated = (batch(np.repeat(image, BANDS, axis=0)) for image in (guide, coarse))
    sharp, low = repeated
    expected = float(spectral_distortion_index(batch(cube), batch(result)))
    assert d_lambda(sums) == pytest.approx(expected, rel=1e-6)
    spatial = float(spatial_distortion_index(batch(result), batch(cube), sharp, low))
    assert d_s(sums).mean() == pytest.approx(spatial, rel=1e-6)
    whole = float(quality_with_no_reference(batch(result), batch(cube), sharp, low))
    assert (1 - d_lambda(sums)) * (1 - d_s(sums).mean()) == pytest.approx(whole, rel=1e-6)


def test_index_by_hand() -> None:
    # means 2 and 3, variances 1 and 4, covariance 2: fully correlated
    image = np.array([[1.0, 3.0], [1.0, 5.0]])
    moments = WindowMoments.of(image, np.array([[1.0, 5.0]]))
    expected = 2 * 2 / (1 + 4) * 2 * 2 * 3 / (4 + 9)
    np.testing.assert_allclose(pair_index(moments), [[1, expected], [expected, 1]])
    match = GuideMatch(np.ones((2, 1)), np.zeros((2, 1)))
    np.testing.assert_allclose(guide_index(moments, match), [[expected], [1]])
    # mean and spread of the guide are brought to those of the band: nothing is left to differ
    matched = GuideMatch.of(np.array([2.0, 3.0]), np.array([1.0, 2.0]), np.array([3.0]), np.array([2.0]))
    np.testing.assert_allclose(guide_index(moments, matched), 1)


def test_flat_bands_go_together_by_their_levels() -> None:
    moments = WindowMoments.of(np.array([[2.0, 2.0], [1.0, 1.0], [0.0, 0.0]]), np.zeros((1, 2)))
    np.testing.assert_allclose(pair_index(moments), [[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1]])


def test_sums_add_up_over_windows() -> None:
    one, two = images(1), images(2)
    parts = [IndexSums.of(weighted(c, p), weighted(r, g), SAME) for r, c, g, p in (one, two)]
    total = IndexSums.none(BANDS, 1) + parts[0] + parts[1]
    assert total.windows == 2
    mean = np.abs((parts[0].result_pairs - parts[0].cube_pairs + parts[1].result_pairs - parts[1].cube_pairs) / 2)
    assert d_lambda(total) == pytest.approx(mean.sum() / (BANDS * (BANDS - 1)))


def test_without_windows_nothing_is_known() -> None:
    empty = IndexSums.none(2, 1)
    assert np.isnan(d_lambda(empty)) and np.isnan(d_s(empty)).all()


def test_one_band_has_no_spectral_distortion() -> None:
    result, cube, guide, coarse = (image[:1] for image in images())
    match = GuideMatch(np.ones((1, 1)), np.zeros((1, 1)))
    assert d_lambda(IndexSums.of(weighted(cube, coarse), weighted(result, guide), match)) == pytest.approx(0, abs=1e-12)
