"""The observation model against independent formulations."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion.errors import SceneError
from napari_specfusion.sensor.sampling import Psf, Sampling, apply_separable

RATIOS = [2, 3, 4, Fraction(5, 2), 8]


# --- the published protocols -----------------------------------------------------------


# --- PSF -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.8, 1.0, 2.0, 4.0])
def test_the_width_of_a_gaussian_is_its_sigma(sigma):
    assert Psf(sigma).width == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize("width", [3.0, 4.0, 8.0, 9.0])
def test_the_width_of_a_box(width):
    assert Psf.box(width).width == pytest.approx(width / math.sqrt(12), rel=0.03)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 10), st.floats(-3, 3), st.one_of(st.none(), st.floats(0.1, 12)))
def test_weights_are_weights(sigma, at, support):
    psf = Psf(sigma, support)
    reach = math.ceil(psf.radius) + 4
    weights = psf.weights(np.arange(-reach, reach + 1.0) - at)
    assert np.all(weights >= 0) and np.all(np.isfinite(weights))
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("arguments", [(0,), (-1,), (math.nan,), (math.inf,), (2, 0), (2, -3)])
def test_what_is_no_psf(arguments):
    with pytest.raises(SceneError, match="PSF"):
        Psf(*arguments)


# --- sampling --------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shift", [0.0, -1.5, 0.3])
@pytest.mark.parametrize("psf", [Psf(1.7), Psf.box(4), Psf(2.0, 4.0)])
def test_a_coarse_pixel_sees_where_it_lies(ratio, shift, psf):
    sampling = Sampling(Fraction(ratio), psf, (shift, shift))
    sharp, coarse = int(20 * ratio), 20
    centre = float(ratio) * np.arange(coarse) + (float(ratio) - 1) / 2 + shift
    np.testing.assert_allclose(sampling.centres(coarse, 0), centre)
    matrix = sampling.blur_matrix(coarse, sharp, 0)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    inner = slice(4, -4)
    # the centre of gravity is the centre, but for what a pixel more or less at the cut-off edge moves
    np.testing.assert_allclose((matrix @ np.arange(sharp))[inner], centre[inner], atol=0.08)
    wrapped = sampling.blur_matrix(coarse, sharp, 0, wrap=True)
    np.testing.assert_allclose(wrapped.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(wrapped.toarray()[inner], matrix.toarray()[inner], atol=1e-12)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shift", [0.0, -1.5, 0.7])
def test_cubic_interpolation_restores_lines(ratio, shift):
    sampling = Sampling(Fraction(ratio), Psf(2.0), (shift, shift))
    matrix = sampling.cubic_matrix(int(20 * ratio), 20, 1)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    restored = matrix @ sampling.centres(20, 1)
    inner = slice(int(3 * ratio), int(17 * ratio))
    np.testing.assert_allclose(restored[inner], np.arange(int(20 * ratio))[inner], atol=1e-9)


def test_where_an_axis_moves_the_other_does_not():
    sampling = Sampling(Fraction(4), Psf(2.0), (1.0, -0.5))
    assert sampling.centres(1, 0)[0] == 2.5
    assert sampling.centres(1, 1)[0] == 1.0


def test_a_pixel_far_outside_sees_the_nearest_one():
    matrix = Sampling(Fraction(4), Psf(0.5), (60.0, 0.0)).blur_matrix(4, 16, 0).toarray()
    np.testing.assert_array_equal(matrix[:, -1], 1)
    assert np.count_nonzero(matrix) == 4


def test_the_share_that_is_seen():
    seen = Sampling(Fraction(4), Psf(2.0), (-1.5, 0.0)).seen(8, 32, 0)
    assert seen[0] == pytest.approx(0.6, abs=0.02)
    np.testing.assert_allclose(seen[2:-2], 1)


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_matrices_and_their_transposes_are_adjoint(ratio):
    rng = np.random.default_rng(0)
    sampling = Sampling(Fraction(ratio), Psf(1.8), (0.4, -0.9))
    sharp, coarse = (int(10 * ratio), int(12 * ratio)), (10, 12)
    down_y, down_x = (sampling.blur_matrix(coarse[axis], sharp[axis], axis) for axis in (0, 1))
    image, small = rng.random((2, *sharp)), rng.random((2, *coarse))
    forward, back = apply_separable(down_y, down_x, image), apply_separable(down_y.T, down_x.T, small)
    assert np.vdot(forward, small) == pytest.approx(np.vdot(image, back))
    np.testing.assert_allclose(sampling.degrade(image, coarse), forward)
    dense = np.einsum("ij,bjk,lk->bil", down_y.toarray(), image, down_x.toarray())
    np.testing.assert_allclose(forward, dense)


def test_a_constant_stays_constant_up_to_the_border():
    for wrap in (False, True):
        sampling = Sampling(Fraction(4), Psf(2.0), (-1.5, 5.0))
        np.testing.assert_allclose(sampling.degrade(np.full((1, 32, 32), 0.3), (8, 8), wrap=wrap), 0.3)


def test_the_image_keeps_its_precision():
    sampling = Sampling(Fraction(2), Psf(1.0))
    for dtype in (np.float32, np.float64):
        assert sampling.degrade(np.ones((1, 8, 8), dtype), (4, 4)).dtype == dtype


@pytest.mark.parametrize("psf", [Psf(0.7), Psf(2.0), Psf.box(4.0), Psf.box(1.0), Psf(1.5, 4.0)])
def test_the_image_of_a_psf_has_its_sum_and_its_width(psf):
    image = psf.image()
    size = len(image)
    assert image.shape == (size, size) and size % 2 == 1
    assert image.sum() == pytest.approx(1) and image[size // 2, size // 2] == image.max()
    assert np.array_equal(image, image.T) and np.allclose(image, image[::-1])
    # nothing is cut off
    assert size >= 2 * psf.radius - 1
