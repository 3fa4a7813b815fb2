"""The expansion of a displaced image."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from napari_specfusion.sensor.expansion import PARAMETERS, Expansion, factors, seen_differences, slopes
from napari_specfusion.sensor.sampling import Psf, Sampling


def displaced(image, parameters, step=1):
    expansion = Expansion.of(image.shape[1:], step)
    padded = np.pad(image, ((0, 0), (step, step), (step, step)), mode="edge")
    y, x = (expansion.coordinate(np.arange(n, dtype=float), axis) for axis, n in enumerate(image.shape[1:]))
    terms = expansion.terms(expansion.differences(padded), y[:, None], x)
    return np.tensordot(factors(np.array([parameters]))[0], np.stack(terms), axes=1)


@pytest.mark.parametrize("step", [1, 2])
def test_whole_steps_are_exact(step):
    image = np.random.default_rng(0).random((2, 12, 14))
    for axis, move in ((1, (step, 0, 0, 0)), (2, (0, step, 0, 0))):
        np.testing.assert_allclose(
            displaced(image, move, step)[:, 3:-3, 3:-3], np.roll(image, -step, axis)[:, 3:-3, 3:-3], atol=1e-12
        )


def test_quadratic_images_are_exact():
    y, x = np.mgrid[:20, :30].astype(float)

    def image(y, x):
        return (1 + 0.3 * y - 0.2 * x + 0.05 * y * y + 0.02 * x * x - 0.04 * x * y)[None]

    dy, dx, e = 0.3, -0.6, 0.8
    moved = image(y + dy + e * (y - 9.5) / 15, x + dx + e * (x - 14.5) / 15)
    np.testing.assert_allclose(displaced(image(y, x), (dy, dx, e, 0.0))[:, 1:-1, 1:-1], moved[:, 1:-1, 1:-1], atol=1e-9)


def test_slopes_are_the_derivatives_of_the_factors():
    at = np.random.default_rng(0).normal(size=(3, PARAMETERS))
    for number in range(PARAMETERS):
        step = np.zeros(PARAMETERS)
        step[number] = 1e-5
        numeric = (factors(at + step) - factors(at - step)) / 2e-5
        np.testing.assert_allclose(slopes(at)[..., number], numeric, atol=1e-8)


def test_low_resolution_differences_are_those_of_the_image():
    image = np.random.default_rng(0).random((2, 24, 32), dtype=np.float32)
    expansion, sampling = Expansion.of((24, 32), 1), Sampling(Fraction(4), Psf(2.0), (0.3, -0.5))
    rows, columns = (expansion.seen_matrices(sampling, n // 4, n, axis) for axis, n in enumerate((24, 32)))
    sharp = expansion.differences(np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge"))
    expected = np.stack([sampling.degrade(plane, (6, 8)) for plane in sharp])
    np.testing.assert_allclose(seen_differences(rows, columns, image), expected, atol=1e-5)
