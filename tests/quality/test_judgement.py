from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.calibration import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled, SceneError
from napari_specfusion.quality.hypercomplex import hypercomplex_sum
from napari_specfusion.quality.judgement import JUDGEMENTS, REDUCED, Judgement, format_judgements, judge_pair
from napari_specfusion.quality.metrics import evaluate
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf

BANDS, GUIDES, RATIO, SIDE = 5, 2, 4, 24
MATRIX = np.array([[0.5, 0.3, 0.2, 0, 0], [0, 0, 0.2, 0.3, 0.5]])


def repeated(values: NDArray[Any], ratio: int = RATIO) -> NDArray[Any]:
    return values.repeat(ratio, axis=1).repeat(ratio, axis=2)


def box_pair(seed: int = 0, side: int = SIDE) -> tuple[Scene, NDArray[np.float64]]:
    """Return a pair of square pixels whose guide is as coarse as its cube, and its fusion: the cube's pixels repeated.

    Each cube pixel is the mean of its cell, so that all consistency is exact.
    """
    rng = np.random.default_rng(seed)
    cube = 0.2 + 0.6 * rng.random((BANDS, side, side))
    result = repeated(cube)
    guide = np.tensordot(MATRIX, result, axes=1)
    known = {"psf": Psf.box(float(RATIO)), "shift": (0.0, 0.0), "srf": Srf(MATRIX)}
    return Scene(Cube.from_array(cube), Cube.from_array(guide), RATIO, **known), result


def values(judgement: Judgement) -> NDArray[np.float64]:
    return np.array([getattr(judgement, measure.key) for measure in JUDGEMENTS])


# --- by hand -------------------------------------------------------------------------------


def test_a_result_that_agrees_with_both_images_is_perfect() -> None:
    scene, result = box_pair()
    judgement = judge_pair(scene, result)
    assert judgement.hqnr == pytest.approx(1, abs=1e-6) and judgement.qnr == pytest.approx(1, abs=1e-6)
    assert [row.name for row in judgement.table()] == [m.label for m in JUDGEMENTS]
    others = [getattr(judgement, m.key) for m in JUDGEMENTS if m.better == "lower"]
    np.testing.assert_allclose(others, 0, atol=1e-4)
    assert judgement.guide_floor == pytest.approx(0, abs=1e-4)
    assert judgement.coverage == 1
    assert all(np.isfinite(v).all() and v.shape == (BANDS,) for v in judgement.bands.values())


def test_consistency_is_a_share_of_the_contrast() -> None:
    scene, result = box_pair()
    cube = scene.hsi.read()
    wrong = result.copy()
    wrong[0] += 0.1
    judgement = judge_pair(scene, wrong)
    variance = cube.reshape(BANDS, -1).var(axis=1)
    assert judgement.cube_residual == pytest.approx(100 * math.sqrt(0.01 / variance.sum()), rel=1e-6)
    expected = [100 * math.sqrt(0.01 / variance[0]), *[0] * (BANDS - 1)]
    np.testing.assert_allclose(judgement.bands["cube_residual"], expected, rtol=1e-6, atol=1e-5)
    # half of band 0 is in the first band of the guide, nothing of it in the second
    contrast = scene.guide.read().reshape(GUIDES, -1).var(axis=1).sum()
    assert judgement.guide_residual == pytest.approx(100 * math.sqrt(0.05**2 / contrast), rel=1e-4)
    shifted = cube + np.array([0.1, 0, 0, 0, 0])[:, None, None]
    assert judgement.d_lambda_k == pytest.approx(1 - hypercomplex_sum(cube, shifted, 8).mean, rel=1e-6)
    cosine = np.sum(cube * shifted, axis=0) / np.linalg.norm(cube, axis=0) / np.linalg.norm(shifted, axis=0)
    assert judgement.cube_angle == pytest.approx(np.degrees(np.arccos(cosine)).mean(), rel=1e-6)
    assert judgement.hqnr == pytest.approx((1 - judgement.d_lambda_k) * (1 - judgement.d_s))
    assert judgement.qnr == pytest.approx((1 - judgement.d_lambda) * (1 - judgement.d_s))


def test_negative_values_and_overshoot_are_counted() -> None:
    scene, result = box_pair()
    low, high = (limit(axis=(1, 2)) for limit in (result.min, result.max))
    result[0, 0, :10] = -0.5
    result[1, 0, :20] = high[1] + 0.2 * (high[1] - low[1])
    judgement = judge_pair(scene, result)
    count = result.size
    assert judgement.negative == pytest.approx(100 * 10 / count)
    assert judgement.cube_negative == 0
    assert judgement.outside == pytest.approx(100 * 30 / count)
    under = (low[0] + 0.5) / (high[0] - low[0])
    assert judgement.excess == pytest.approx(100 * (10 * under + 20 * 0.2) / 30)
    assert judgement.bands["excess"][:3].tolist() == pytest.approx([100 * under, 20, 0])
    assert judgement.bands["negative"][0] == pytest.approx(100 * 10 / result[0].size)


def test_a_result_that_ignores_the_guide_has_spatial_distortion() -> None:
    scene, result = box_pair()
    rng = np.random.default_rng(1)
    # detail that sums to nothing in each cell: the cube agrees, the guide does not
    detail = rng.standard_normal((1, SIDE * RATIO, SIDE * RATIO))
    detail -= repeated(detail.reshape(1, SIDE, RATIO, SIDE, RATIO).mean(axis=(2, 4)))
    judgement = judge_pair(scene, result + 0.1 * detail)
    assert judgement.d_lambda_k == pytest.approx(0, abs=1e-6)
    assert judgement.cube_residual == pytest.approx(0, abs=1e-4)
    assert judgement.d_s > 0.03 and judgement.guide_residual > 30


# --- properties ----------------------------------------------------------------------------


def noisy(seed: int = 0) -> tuple[Scene, NDArray[np.float64]]:
    scene, result = box_pair(seed)
    return scene, result + 0.05 * np.random.default_rng(seed).standard_normal(result.shape)


def test_units_of_the_guide_do_not_count() -> None:
    scene, result = noisy()
    expected = judge_pair(scene, result)
    guide = Cube.from_array(255 * scene.guide.read() + 7)
    other = judge_pair(scene.replace(guide=guide, srf=Srf(255 * MATRIX, np.full(GUIDES, 7.0))), result)
    np.testing.assert_allclose(values(other), values(expected), rtol=1e-4, atol=1e-5)


def test_units_of_the_cube_do_not_count() -> None:
    scene, result = noisy()
    expected = judge_pair(scene, result)
    cube = Cube.from_array(1e4 * scene.hsi.read())
    other = judge_pair(scene.replace(hsi=cube, srf=Srf(1e-4 * MATRIX)), 1e4 * result)
    np.testing.assert_allclose(values(other), values(expected), rtol=1e-4, atol=1e-5)


def test_a_level_that_is_taken_out_to_compute_is_put_back() -> None:
    scene, result = noisy()
    level = 1000.0
    cube = Cube.from_array(scene.hsi.read() + level)
    srf = Srf(MATRIX, -level * MATRIX.sum(axis=1))
    calibrated = CalibratedScene(scene.replace(hsi=cube, srf=srf))
    assert calibrated.cleaning is not None and calibrated.cleaning[0].moves
    expected, other = judge_pair(scene, result), judge_pair(calibrated, result + level)
    for key in ("cube_residual", "guide_residual", "outside", "excess"):
        assert getattr(other, key) == pytest.approx(getattr(expected, key), rel=1e-2)


@pytest.mark.parametrize("ratio", [4, 2.5])
def test_pieces_make_no_difference(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    fine = int(40 * ratio)
    cube, guide, result = rng.random((3, 40, 40)), rng.random((1, fine, fine)), rng.random((3, fine, fine))
    result[:, 7, 9] = np.nan
    known = {"psf": Psf(1.5), "shift": (0.3, -0.6), "srf": Srf(np.full((1, 3), 1 / 3))}
    scene = Scene(Cube.from_array(cube), Cube.from_array(guide), ratio, **known)
    whole = judge_pair(scene, result)
    monkeypatch.setattr(memory, "QUALITY_BLOCK", 8 * 3 * 60**2)
    told = []
    parts = judge_pair(scene, result, progress=told.append)
    assert max(step.total for step in told if step.message == "Judging") > 1
    np.testing.assert_allclose(values(parts), values(whole), rtol=1e-9)
    for key, band in whole.bands.items():
        np.testing.assert_allclose(parts.bands[key], band, rtol=1e-9)


def test_missing_pixels_are_left_out() -> None:
    scene, result = box_pair()
    cube, guide, broken = scene.hsi.read(), scene.guide.read(), result.copy()
    cube[2, 3, 4] = np.nan
    guide[:, 30:34, 40] = np.nan
    broken[:, 50, 60:70] = np.nan
    judgement = judge_pair(scene.replace(hsi=Cube.from_array(cube), guide=Cube.from_array(guide)), broken)
    assert judgement.coverage == pytest.approx(1 - 10 / (SIDE * RATIO) ** 2)
    assert judgement.hqnr > 0.98 and judgement.cube_residual < 1e-3 and judgement.guide_residual < 1e-3


def test_bad_and_empty_bands_are_left_out() -> None:
    scene, result = box_pair()
    cube = scene.hsi.read()
    cube[1] = np.nan
    result[3] = 99
    bad = Cube.from_array(cube, good_bands=[True, True, True, False, True])
    judgement = judge_pair(scene.replace(hsi=bad, srf=None), result)
    assert np.flatnonzero(np.isnan(judgement.bands["d_s"])).tolist() == [1, 3]
    assert judgement.outside == 0 and judgement.d_lambda_k == pytest.approx(0, abs=1e-6)


def test_images_without_a_window_have_no_distortion_but_consistency() -> None:
    scene, result = box_pair(side=5)
    judgement = judge_pair(scene, result)
    assert np.isnan([judgement.qnr, judgement.hqnr, judgement.d_lambda, judgement.d_s]).all()
    assert judgement.cube_residual == pytest.approx(0, abs=1e-4)


def test_the_order_of_methods_is_that_of_their_errors() -> None:
    from napari_specfusion.fusion.engine import fuse
    from napari_specfusion.samples.scene import sample_scene

    scene = sample_scene(128, 4)
    assert scene.reference is not None
    calibrated = CalibratedScene(scene)
    fused = {name: fuse(calibrated, model=name) for name in ("bicubic", "gsa", "subspace")}
    judged = {name: judge_pair(calibrated, cube) for name, cube in fused.items()}
    psnr = {name: evaluate(scene.reference, cube, 4).psnr for name, cube in fused.items()}
    assert sorted(judged, key=lambda name: judged[name].hqnr) == sorted(psnr, key=lambda name: psnr[name])
    # a reference that is known is as good as its methods, or better
    assert judge_pair(calibrated, scene.reference).hqnr > judged["gsa"].hqnr


# --- memory, progress, errors -----------------------------------------------------------------


def test_a_lazy_result_is_never_held_whole() -> None:
    scene, _ = box_pair(side=192)
    side = 192 * RATIO

    def block(block_info: Any) -> NDArray[np.float64]:
        (first, last), (y0, y1), (x0, x1) = block_info[None]["array-location"]
        return np.full((last - first, y1 - y0, x1 - x0), 0.5)

    chunks = ((BANDS,), (64,) * (side // 64), (64,) * (side // 64))
    result = da.map_blocks(block, chunks=chunks, dtype=np.float64, meta=np.empty((0, 0, 0)), name="lazy")
    calibrated = CalibratedScene(scene)
    assert calibrated.calibration
    before = memory.QUALITY_BLOCK
    memory.QUALITY_BLOCK = 1 << 20
    tracemalloc.start()
    try:
        judge_pair(calibrated, result)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        memory.QUALITY_BLOCK = before
    assert peak < 0.6 * result.nbytes


def test_a_judgement_tells_its_progress_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, result = noisy()
    monkeypatch.setattr(memory, "QUALITY_BLOCK", 8 * BANDS * 60**2)
    told: list[Any] = []
    judge_pair(scene, result, progress=told.append)
    assert {"Reading the pair", "Judging"} <= {step.message for step in told}
    told.clear()
    with pytest.raises(Cancelled, match="stopped"):
        judge_pair(
            scene, result, progress=told.append, should_stop=lambda: any(step.message == "Judging" for step in told)
        )
    assert [step.done for step in told if step.message == "Judging"] == [0]


def test_a_result_of_another_pair_is_refused() -> None:
    scene, result = box_pair()
    with pytest.raises(SceneError, match=r"\(5, 90, 96\).*\(5, 96, 96\)"):
        judge_pair(scene, result[:, :90])
    with pytest.raises(SceneError, match="no good band"):
        judge_pair(scene, Cube.from_array(result, good_bands=[False] * BANDS))


# --- tables ----------------------------------------------------------------------------------


def test_a_table_holds_what_was_tried_one_scale_down() -> None:
    scene, result = noisy()
    judgement = judge_pair(scene, result)
    assert math.isnan(judgement.reduced_psnr) and "Trial" not in format_judgements({"a": judgement})
    tried = replace(judgement, reduced=evaluate(result, result * 0.9, 4))
    text = format_judgements({"a": tried, "b": judgement})
    assert len(text.splitlines()) == 2 + len(JUDGEMENTS) + len(REDUCED)
    assert text.splitlines()[4].split() == ["Trial", "ERGAS", f"{tried.reduced_ergas:.2f}", "-"]
    assert len(tried.table()) == len(JUDGEMENTS) + len(REDUCED)
