"""Subspace least squares against its objective, solved the long way."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.methods import least_squares as module
from napari_specfusion.methods.classical import glp
from napari_specfusion.methods.least_squares import conjugate_gradients
from napari_specfusion.methods.subspace import Subspace
from napari_specfusion.sensor.sampling import Psf, Sampling


def tiny_scene(ratio=Fraction(2), low=(6, 7), bands=5, guides=2, shift=(0.3, -0.4), masked=False):
    rng = np.random.default_rng(3)
    sharp = tuple(int(n * ratio) for n in low)
    patterns = rng.random((4, *sharp))
    guide = np.einsum("gk,kyx->gyx", rng.random((guides, 4)), patterns)
    sampling = Sampling(ratio, Psf(1.1), shift)
    hsi = sampling.degrade(np.einsum("bk,kyx->byx", rng.random((bands, 4)), patterns), low)
    hsi += 0.02 * rng.standard_normal(hsi.shape)
    if masked:
        hsi[:, 2, 3] = np.nan
        guide[:, 5, 9] = np.nan
    return Scene(Cube.from_array(hsi), Cube.from_array(guide), ratio=ratio, psf=sampling.psf, shift=shift)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("ratio", "low"), [(Fraction(2), (6, 7)), (Fraction(5, 2), (8, 6))])
def test_the_result_minimises_the_documented_objective(predict, monkeypatch, ratio, low, masked):
    scene = tiny_scene(ratio, low, masked=masked)
    count = 3
    seen = {}
    solve = module.LowResolution.solve

    def spy(self, prior, iterations, tolerance):
        seen.update(system=self, prior=prior)
        return solve(self, prior, iterations, tolerance)

    monkeypatch.setattr(module.LowResolution, "solve", spy)
    predictor = Subspace(directions=count, iterations=500, tolerance=1e-7).prepare(CalibratedScene(scene))
    fused = predict(predictor, scene)

    # the objective, written down with dense matrices over all pixels of the sharp grid
    prior, system = seen["prior"], seen["system"]
    sampling = Sampling(ratio, scene.psf, scene.shift)
    (_, height, width), (_, high, wide) = scene.hsi.shape, scene.guide.shape
    down = np.kron(
        sampling.blur_matrix(height, high, 0).toarray(),
        sampling.blur_matrix(width, wide, 1).toarray(),
    )
    down = down[system.valid.ravel()]
    basis = predictor.basis
    assert basis.shape == (5, count)
    base = predict(glp(CalibratedScene(scene)), scene).reshape(5, -1)
    start = basis.T @ base
    cube = basis.T @ scene.hsi.read()[:, system.valid]
    view = prior.view
    guide = np.nan_to_num(scene.guide.read()).reshape(2, -1) / view.unit[:, None] - view.offset[:, None]

    # d/dZ: D^T (D Z - Y) + R^T (R Z - M) + mu (Z - G) = 0, with Z flattened direction by direction
    pixels = high * wide
    normal = np.kron(np.eye(count), down.T @ down) + np.kron(
        view.response.T @ view.response + prior.mu * np.eye(count), np.eye(pixels)
    )
    right = cube @ down + view.response.T @ guide + prior.mu * start
    solution = np.linalg.solve(normal, right.ravel()).reshape(count, pixels)

    rest = system.moments.principal_directions()[1][:, count:]
    outside = rest.T @ base
    coefficients = basis.T @ fused.reshape(5, -1)
    np.testing.assert_allclose(coefficients, solution, atol=3e-5)
    # what lies outside the subspace is GLP's, shrunk
    shrunk = rest.T @ fused.reshape(5, -1)
    gain = np.sum(shrunk * outside, axis=1) / np.sum(outside**2, axis=1)
    assert np.all((gain > -1e-9) & (gain < 1 + 1e-9))
    np.testing.assert_allclose(shrunk, gain[:, None] * outside, atol=1e-9)


def test_more_iterations_change_nothing(predict):
    scene = tiny_scene(low=(20, 20))
    usual, exact = (
        predict(s.prepare(CalibratedScene(scene)), scene)
        for s in (Subspace(), Subspace(iterations=500, tolerance=1e-7))
    )
    np.testing.assert_allclose(usual, exact, atol=1e-3)


def test_more_directions_than_bands(predict):
    scene = tiny_scene(low=(12, 12), bands=3)
    predictor = Subspace(directions=40).prepare(CalibratedScene(scene))
    assert predictor.basis.shape[1] <= 3
    assert np.isfinite(predict(predictor, scene)).all()


def test_bands_that_repeat_each_other(predict):
    scene = tiny_scene(low=(12, 12))
    double = scene.replace(hsi=Cube.from_array(np.repeat(scene.hsi.read(), 2, axis=0)))
    fused, expected = (predict(Subspace().prepare(CalibratedScene(s)), s) for s in (double, scene))
    np.testing.assert_allclose(fused[::2], fused[1::2], atol=1e-5)
    np.testing.assert_allclose(fused[::2], expected, atol=0.15)


def test_each_guide_band_counts_by_how_well_the_cube_explains_it():
    scene = tiny_scene(low=(24, 24))
    noise = 0.5 * np.random.default_rng(0).random((1, 48, 48))
    guide = np.concatenate([scene.guide.read(), noise])
    scene = scene.replace(guide=Cube.from_array(guide))
    calibrated = CalibratedScene(scene)
    moments, base = calibrated.moments, glp(calibrated)
    leading = moments.principal_directions()[1][:, :4]
    view = module._GuideView.of(moments, leading, 0.0)
    cube = module.coefficients(calibrated, leading)
    misfit = module.LowResolution.of(calibrated, base, cube, leading).misfit(view)
    assert misfit[2] > 20 * misfit[:2].max()
    weighed = view.weighed(np.array([4.0, 1.0, 0.25]))
    np.testing.assert_allclose(np.linalg.norm(weighed.response, axis=1), [2.0, 1.0, 0.5])
    cube = np.random.default_rng(1).random((4, 7)).astype(np.float32)
    seen = np.random.default_rng(2).random((3, 7)).astype(np.float32)
    np.testing.assert_allclose(
        weighed.error(seen, cube), view.error(seen, cube) * np.array([2.0, 1.0, 0.5])[:, None], rtol=1e-3, atol=1e-4
    )


def test_conjugate_gradients():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((12, 12))
    matrix = root @ root.T + np.eye(12)
    target = rng.standard_normal((3, 4)).astype(np.float32)

    def operator(plane):
        return (matrix @ plane.ravel()).reshape(3, 4).astype(np.float32)

    solution = conjugate_gradients(operator, target, 100, 1e-6)
    np.testing.assert_allclose(solution.ravel(), np.linalg.solve(matrix, target.ravel()), atol=1e-4)
    assert not conjugate_gradients(operator, np.zeros_like(target), 100, 1e-6).any()


def test_directions_without_power_have_no_gain() -> None:
    rng = np.random.default_rng(0)
    hsi = (1000 * rng.random((30, 16, 16))).astype(np.float32)
    hsi[24:] = hsi[23]
    guide = np.kron(hsi[:3], np.ones((4, 4), np.float32)) + rng.random((3, 64, 64)).astype(np.float32)
    scene = Scene(Cube.from_array(hsi), Cube.from_array(guide), 4, psf=Psf.box(4.0), shift=(0.0, 0.0))
    assert np.isfinite(Subspace().prepare(CalibratedScene(scene)).mixing).all()
