from __future__ import annotations

import math
import tracemalloc

import dask.array as da
import numpy as np
import pytest
import torch
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import (
    error_relative_global_dimensionless_synthesis,
    peak_signal_noise_ratio,
    spectral_angle_mapper,
    structural_similarity_index_measure,
    universal_image_quality_index,
)
from torchmetrics.functional.image.scc import _scc_per_channel_compute

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import Cancelled, SceneError
from napari_specfusion.quality.metrics import MEASURES, evaluate, format_table, quality_maps

LAPLACIAN = torch.tensor([[[[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]]], dtype=torch.float64)


def pair(shape=(6, 40, 53), seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    reference = 0.1 + 0.8 * rng.random(shape)
    return reference, np.clip(reference + noise * rng.standard_normal(shape), 0, 1)


def batch(array):
    return torch.from_numpy(array)[None]


def numbers(quality):
    return np.array([row.value for row in quality.table()])


# --- against other implementations ---------------------------------------------


def test_psnr_is_torchmetrics_band_by_band():
    reference, estimate = pair()
    theirs = [
        float(peak_signal_noise_ratio(batch(e[None]), batch(r[None]), data_range=1.0))
        for r, e in zip(reference, estimate, strict=True)
    ]
    quality = evaluate(reference, estimate, 4)
    np.testing.assert_allclose(quality.bands["psnr"], theirs, rtol=1e-6)
    assert quality.psnr == pytest.approx(np.mean(theirs), rel=1e-6)


def test_sam_is_torchmetrics_in_degrees():
    reference, estimate = pair()
    theirs = math.degrees(float(spectral_angle_mapper(batch(estimate), batch(reference))))
    assert evaluate(reference, estimate, 4).sam == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_ergas_is_torchmetrics(ratio):
    reference, estimate = pair()
    theirs = error_relative_global_dimensionless_synthesis(batch(estimate), batch(reference), ratio=ratio)
    quality = evaluate(reference, estimate, ratio)
    assert quality.ergas == pytest.approx(float(theirs), rel=1e-9)
    assert quality.ergas == pytest.approx(math.sqrt(np.mean(quality.bands["ergas"] ** 2)), rel=1e-12)


def test_rmse_is_the_root_of_the_mean_squared_error():
    reference, estimate = pair()
    quality = evaluate(reference, estimate, 4)
    assert quality.rmse == pytest.approx(math.sqrt(np.mean((reference - estimate) ** 2)), rel=1e-12)
    np.testing.assert_allclose(quality.bands["rmse"], np.sqrt(np.mean((reference - estimate) ** 2, axis=(1, 2))))


def test_ssim_is_torchmetrics_where_the_window_fits():
    # torchmetrics averages over windows that hang over the edge, too; its full map allows to leave them out.
    reference, estimate = pair()
    _, full = structural_similarity_index_measure(
        batch(estimate), batch(reference), data_range=1.0, return_full_image=True
    )
    theirs = full[0, :, 5:-5, 5:-5].mean(dim=(1, 2)).numpy()
    np.testing.assert_allclose(evaluate(reference, estimate, 4).bands["ssim"], theirs, rtol=1e-6)


def test_ssim_is_scikit_image():
    reference, estimate = pair()
    settings_of_2004 = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    theirs = [structural_similarity(r, e, **settings_of_2004) for r, e in zip(reference, estimate, strict=True)]
    np.testing.assert_allclose(evaluate(reference, estimate, 4).bands["ssim"], theirs, rtol=1e-9)


def test_uiqi_is_torchmetrics():
    reference, estimate = pair()
    theirs = universal_image_quality_index(batch(estimate), batch(reference), reduction="none")
    quality = evaluate(reference, estimate, 4)
    np.testing.assert_allclose(quality.bands["uiqi"], theirs[0].mean(dim=(1, 2)).numpy(), rtol=1e-9)


def test_flat_bands_score_by_their_luminance_in_uiqi():
    # torchmetrics gives 0 here, even to identical images.
    flat = np.full((2, 20, 20), 0.5)
    assert evaluate(flat, flat, 4).uiqi == 1
    assert evaluate(flat, 0.5 * flat, 4).uiqi == pytest.approx(2 * 0.5 / (1 + 0.25))


def test_scc_is_the_correlation_under_the_laplacian():
    reference, estimate = pair()
    laplacian = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    theirs = [
        np.corrcoef(*(convolve2d(image, laplacian, "valid").ravel() for image in both))[0, 1]
        for both in zip(reference, estimate, strict=True)
    ]
    quality = evaluate(reference, estimate, 4)
    np.testing.assert_allclose(quality.bands["scc"], theirs, rtol=1e-9)
    assert quality.scc == pytest.approx(np.mean(theirs), rel=1e-9)


def test_scc_is_that_of_torchmetrics_in_one_window():
    # torchmetrics averages over windows of 8 pixels, padded with zeros; one of its windows holds an image that is
    # as large as it. Beyond the edge it mirrors the image, which a flat frame keeps out of the detail that is compared.
    frame = ((0, 0), (4, 4), (4, 4))
    reference, estimate = (np.pad(image, frame, constant_values=0.5) for image in pair((3, 24, 24)))
    maps = [
        _scc_per_channel_compute(batch(e[None]), batch(r[None]), LAPLACIAN, 32)[0, 0, 16, 16]
        for r, e in zip(reference, estimate, strict=True)
    ]
    ours = evaluate(*(image for image in (reference, estimate)), 4, clip=False)
    # the frame itself is flat: its pixels add nothing but their number, and the mean is all but 0
    np.testing.assert_allclose(ours.bands["scc"], maps, rtol=1e-6)


# --- properties -----------------------------------------------------------------


def test_an_identical_estimate_is_perfect():
    reference, _ = pair()
    np.testing.assert_allclose(numbers(evaluate(reference, reference, 4)), [math.inf, 0, 0, 0, 1, 1, 1, 1], rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    bands=st.integers(1, 4),
    height=st.integers(11, 80),
    width=st.integers(11, 80),
    block=st.integers(3, 70),
    gaps=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_blocks_make_no_difference(bands, height, width, block, gaps, seed):
    reference, estimate = pair((bands, height, width), seed)
    rng = np.random.default_rng(seed)
    for _ in range(gaps):
        estimate[:, rng.integers(height), rng.integers(width)] = np.nan
    whole = evaluate(reference, estimate, 4, block=max(height, width))
    parts = evaluate(reference, estimate, 4, block=block)
    np.testing.assert_allclose(numbers(parts), numbers(whole), rtol=1e-10)
    for key, values in whole.bands.items():
        np.testing.assert_allclose(parts.bands[key], values, rtol=1e-10)
    assert parts.coverage == whole.coverage


def test_cubes_dask_arrays_and_arrays_score_alike():
    reference, estimate = pair()
    expected = numbers(evaluate(reference, estimate, 4))
    lazy = da.from_array(estimate, chunks=(2, 17, 20))
    np.testing.assert_array_equal(numbers(evaluate(da.from_array(reference, chunks=10), lazy, 4)), expected)
    turned = xarray.DataArray(reference.transpose(2, 0, 1), dims=("x", "band", "y"))
    np.testing.assert_array_equal(numbers(evaluate(turned, estimate, 4)), expected)
    stored = Cube.from_array(np.round(reference * 60000).astype(np.uint16), scale=1 / 60000)
    np.testing.assert_allclose(numbers(evaluate(stored, Cube.from_array(lazy), 4)), expected, rtol=1e-3)


def test_values_missing_in_either_image_are_left_out():
    reference, estimate = pair((4, 30, 30))
    expected = evaluate(reference[:, :, :18], estimate[:, :, :18], 4)
    reference[:, :, 18:25] = np.nan
    estimate[:, :, 25:] = np.nan
    quality = evaluate(reference, estimate, 4)
    np.testing.assert_allclose(numbers(quality), numbers(expected), rtol=1e-12)
    assert quality.coverage == pytest.approx(18 / 30)


def test_no_data_of_a_cube_is_missing():
    stored = np.full((2, 15, 15), 0.5, np.float32)
    stored[:, :2] = -9999
    quality = evaluate(Cube.from_array(stored, nodata=-9999), np.full((2, 15, 15), 0.25), 4)
    assert quality.rmse == 0.25
    assert quality.coverage == pytest.approx(13 / 15)


def test_bad_bands_are_left_out():
    reference, estimate = pair((4, 20, 20))
    estimate[2] = 0
    cube = Cube.from_array(reference, good_bands=[True, True, False, True], wavelengths=[400, 500, 600, 700])
    quality = evaluate(cube, estimate, 4)
    keep = [0, 1, 3]
    np.testing.assert_allclose(numbers(quality), numbers(evaluate(reference[keep], estimate[keep], 4)), rtol=1e-12)
    assert np.flatnonzero(np.isnan(quality.bands["psnr"])).tolist() == [2]
    np.testing.assert_array_equal(quality.wavelengths, [400, 500, 600, 700])


def test_dark_pixels_have_no_angle():
    reference, estimate = pair((3, 12, 12))
    estimate[:, 0, 0] = 0
    angles = np.asarray(quality_maps(reference, estimate)["sam"])
    assert np.isnan(angles[0, 0])
    assert evaluate(reference, estimate, 4).sam == pytest.approx(np.nanmean(angles), rel=1e-5)


def test_images_smaller_than_the_window_have_no_similarity():
    reference, estimate = pair((3, 9, 30))
    quality = evaluate(reference, estimate, 4)
    assert np.isnan(quality.ssim)
    assert np.isnan(quality.uiqi)
    assert np.isfinite(quality.psnr)


def test_the_estimate_is_clipped_first():
    reference = np.full((2, 12, 12), 0.9)
    estimate = np.full((2, 12, 12), 1.4)
    assert evaluate(reference, estimate, 4).rmse == pytest.approx(0.1)
    assert evaluate(reference, estimate, 4, clip=False).rmse == pytest.approx(0.5)


def test_the_data_range_follows_the_reference():
    reference, estimate = pair()
    scaled = evaluate(1e4 * reference, 1e4 * estimate, 4, data_range=1e4)
    np.testing.assert_allclose(
        np.delete(numbers(scaled), 3), np.delete(numbers(evaluate(reference, estimate, 4)), 3), rtol=1e-9
    )
    assert evaluate(1e4 * reference, 1e4 * estimate, 4).data_range == 1e4 * reference.max()
    assert evaluate(1.4 * reference, estimate, 4).data_range == 1


def test_a_border_is_left_out():
    reference, estimate = pair()
    inner = (slice(None), slice(3, -3), slice(3, -3))
    np.testing.assert_array_equal(
        numbers(evaluate(reference, estimate, 4, border=3)), numbers(evaluate(reference[inner], estimate[inner], 4))
    )


# --- maps and tables --------------------------------------------------------------


def test_maps_are_lazy_and_agree_with_the_overall_measures():
    reference, estimate = pair()
    estimate[:, 3, 4] = np.nan
    maps = quality_maps(reference, estimate, block=16)
    assert all(isinstance(m, da.Array) and m.shape == (40, 53) and m.dtype == np.float32 for m in maps.values())
    sam, rmse, error = da.compute(*maps.values())
    quality = evaluate(reference, estimate, 4)
    assert np.nanmean(sam) == pytest.approx(quality.sam, rel=1e-5)
    assert math.sqrt(np.nanmean(rmse.astype(float) ** 2)) == pytest.approx(quality.rmse, rel=1e-5)
    assert np.nanmean(error) == pytest.approx(np.nanmean(estimate - reference), abs=1e-7)
    assert np.isnan([sam[3, 4], rmse[3, 4], error[3, 4]]).all()
    np.testing.assert_array_equal(np.isnan(sam).sum(), 1)


def test_a_table_names_every_measure_and_marks_the_best():
    reference, estimate = pair()
    good, bad = evaluate(reference, estimate, 4), evaluate(reference, 0.5 * estimate, 4)
    assert [row[0] for row in good.table()] == [m.label for m in MEASURES]
    lines = format_table({"good": good, "bad": bad}).splitlines()
    assert lines[0].split() == "method PSNR [dB] SAM [deg] ERGAS RMSE SSIM UIQI Q2n SCC".split()
    assert lines[2].count("*") >= 5
    assert f"{bad.psnr:.2f}" in lines[3]
    assert "*" not in format_table({"alone": good})


def test_an_unknown_measure_is_a_dash():
    reference, estimate = pair((3, 9, 30))
    assert format_table({"small": evaluate(reference, estimate, 4)}).splitlines()[-1].split()[5:7] == ["-", "-"]


# --- bad input ------------------------------------------------------------------


def test_shapes_that_differ_are_named():
    with pytest.raises(SceneError, match=r"\(3, 20, 20\).*\(3, 10, 10\)"):
        evaluate(np.zeros((3, 20, 20)), np.zeros((3, 10, 10)), 4)
    with pytest.raises(SceneError, match="bands, y, x"):
        evaluate(np.zeros((3, 20, 20)), np.zeros((20, 20)), 4)


def test_a_plane_is_an_image_of_one_band():
    (reference, estimate), lazy = pair((1, 20, 20)), da.from_array
    expected = numbers(evaluate(reference, estimate, 4))
    np.testing.assert_array_equal(numbers(evaluate(reference[0], lazy(estimate[0]), 4)), expected)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"ratio": 0}, "low resolution is 0"),
        ({"data_range": -1.0}, "largest possible value, is -1"),
        ({"border": 6}, "border of 6"),
        ({"block": 0}, "block size is 0"),
    ],
)
def test_parameters_out_of_range_are_named(keywords, words):
    image = np.ones((2, 12, 12))
    with pytest.raises(SceneError, match=words):
        evaluate(image, image, **({"ratio": 4} | keywords))


def test_images_without_a_common_value_are_refused():
    image = np.ones((2, 12, 12))
    with pytest.raises(SceneError, match="no valid value in common"):
        evaluate(image, np.full_like(image, np.nan), 4)


def test_a_lazy_cube_is_never_held_whole():
    def values(block_info):
        (first, last), *_ = block_info[None]["array-location"]
        return np.full((last - first, 128, 128), 0.5)

    shape = (4, 1024, 1024)
    cube = da.map_blocks(
        values, chunks=((4,), (128,) * 8, (128,) * 8), dtype=np.float64, meta=np.empty((0, 0, 0)), name="lazy"
    )
    tracemalloc.start()
    try:
        evaluate(cube, cube, 4, data_range=1.0, block=128)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * 8 * math.prod(shape)


def test_a_comparison_tells_its_progress_and_stops() -> None:
    reference, estimate = np.random.default_rng(0).random((2, 3, 300, 300))
    told = []
    evaluate(reference, estimate, 4, block=128, progress=told.append)
    assert {step.message for step in told} == {"Looking for the largest value", "Comparing the two images"}
    assert [step.done for step in told if "Comparing" in step.message] == list(range(9))
    seen = []
    with pytest.raises(Cancelled):
        evaluate(reference, estimate, 4, block=128, progress=seen.append, should_stop=lambda: len(seen) >= 2)
    assert len(seen) == 2


def test_maps_stop_while_they_are_computed() -> None:
    reference, estimate = np.random.default_rng(0).random((2, 3, 300, 300))
    stopped = False
    maps = quality_maps(reference, estimate, block=128, should_stop=lambda: stopped)
    assert maps["sam"].compute().shape == (300, 300)
    stopped = True
    with pytest.raises(Cancelled):
        maps["sam"].compute()
