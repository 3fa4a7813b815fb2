"""What a look at a cube's values finds, and what it must not take for an error."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest

from napari_specfusion import memory
from napari_specfusion.data import surveying
from napari_specfusion.data.clean import Cleaning
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.surveying import survey_values
from napari_specfusion.errors import Cancelled
from napari_specfusion.progress import Watch

BANDS, HEIGHT, WIDTH = 4, 48, 40


def values(dtype="f4", seed=0, low=0.0, high=1.0):
    rng = np.random.default_rng(seed)
    return (low + (high - low) * rng.random((BANDS, HEIGHT, WIDTH))).astype(dtype)


def look(array, *, whole=True, **fields):
    return survey_values(Cube.from_array(array, **fields), whole=whole)


def clean(survey):
    nothing = not (survey.constant.any() or survey.empty.any() or survey.saturated.any())
    return nothing and not survey.masks and not list(survey.remarks("cube"))


def told(survey):
    return [topic for _, topic, _ in survey.remarks("cube")]


@pytest.mark.parametrize(
    ("dtype", "low", "high", "marker"),
    [
        ("f4", 0, 1, -9999),
        ("f8", 0, 1, -32768),
        ("f4", 0, 1, -999),
        ("f4", -1, 1, 1e20),
        ("f4", 0, 1, np.finfo("f4").min),
        ("f8", 0, 1, np.finfo("f8").max),
        ("i2", 0, 10_000, -9999),
        ("i2", -200, 10_000, -32768),
        ("i4", 0, 30_000, -(2**31)),
        ("i1", -20, 100, -128),
    ],
)
@pytest.mark.parametrize("times", [1, 500])
def test_a_no_data_value_apart_from_all_others_is_found(dtype, low, high, marker, times):
    array = values(dtype, low=low, high=high)
    array[2].flat[7 : 7 + times] = marker
    survey = look(array)
    (found,) = survey.markers
    assert found.value == np.dtype(dtype).type(marker)
    assert found.bands.tolist() == [False, False, True, False]
    assert found.counts.tolist() == [0, 0, times, 0]
    assert survey.missing(array)[2].sum() == times
    assert survey.missing(array).sum() == times
    assert "band 3" in next(survey.remarks("cube"))[2]


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("f4", -9999, 10_000), ("i2", -9999, 20_000), ("i2", -32768, 32767), ("i4", -9999, 10_000), ("f8", -999, 500)],
)
def test_a_range_that_reaches_down_to_a_no_data_value_is_real(dtype, low, high):
    array = values(dtype, low=low, high=high)
    array[1, 3, 3:5] = low
    assert clean(look(array))


def test_a_bell_whose_lowest_value_is_a_no_data_value_is_real():
    array = np.round(np.random.default_rng(1).normal(-5000, 1000, (BANDS, HEIGHT, WIDTH)))
    array[0, 0, 0] = array[array > -9999].min() - 50
    array = array - array.min() - 9999
    assert array.min() == -9999
    assert clean(look(array))


def test_dark_scenes_and_bright_spots_are_real():
    rng = np.random.default_rng(2)
    dark = rng.exponential(1e-3, (BANDS, HEIGHT, WIDTH))
    dark[1, 5, 5] = 10
    assert clean(look(dark))
    # tails of a beam span hundreds of orders of magnitude, without a gap
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    beam = np.exp(-((y - 24.0) ** 2 + (x - 20.0) ** 2)) * np.arange(1, BANDS + 1)[:, None, None]
    assert not look(beam).masks


@pytest.mark.parametrize("value", [3e12, -3e12, 1e25])
def test_a_value_of_another_order_is_implausible(value):
    array = values()
    array[3, 9, 9] = value
    survey = look(array)
    assert survey.outliers.tolist() == [0, 0, 0, 1]
    assert np.argwhere(survey.missing(array)).tolist() == [[3, 9, 9]]
    assert told(survey) == ["values"]


def test_an_unknown_fill_value_over_a_third_of_a_band_is_implausible():
    array = values()
    array[0, :16] = 3e12
    survey = look(array)
    assert survey.outliers.tolist() == [16 * WIDTH, 0, 0, 0]
    assert survey.high[0] <= 1


def test_a_band_at_a_no_data_value_is_empty():
    array = values()
    array[1] = -9999
    survey = look(array)
    assert survey.empty.tolist() == [False, True, False, False]
    assert told(survey) == ["no-data", "empty"]
    assert np.isfinite(survey.low).tolist() == [True, False, True, True]


def test_constant_and_empty_bands():
    array = values()
    array[0], array[2] = 0.3, np.nan
    survey = look(array)
    assert survey.constant.tolist() == [True, False, False, False]
    assert survey.empty.tolist() == [False, False, True, False]
    assert survey.low[0] == survey.high[0] == np.float32(0.3)
    assert told(survey) == ["constant", "empty"]
    assert not survey.masks


@pytest.mark.parametrize(("dtype", "top"), [("u2", 4095), ("u2", 65535), ("u1", 255), ("f4", 1.0), ("i2", -32768)])
def test_saturation_is_told_and_left_as_it_is(dtype, top):
    low, high = (0, 0.95 * top) if top > 0 else (top, 20_000)
    array = values(dtype, low=low, high=high)
    array[2, :5] = top
    survey = look(array)
    assert np.flatnonzero(survey.saturated).tolist() == [2]
    assert survey.saturated[2] == pytest.approx(5 / HEIGHT, abs=0.02)
    assert survey.end[2] == top
    assert told(survey) == ["saturation"]
    assert not survey.masks


def test_few_levels_are_not_saturation():
    assert clean(look(values("u1", high=6)))


def test_what_is_declared_is_not_found_again():
    array = values("i2", high=10_000)
    array[:, :4] = -9999
    array[1] = 7
    survey = look(array, nodata=-9999)
    assert not survey.masks
    assert survey.constant.tolist() == [False, True, False, False]
    floats = values()
    floats[0, 0, :3] = np.nan, np.inf, -np.inf
    assert clean(look(floats))


def test_limits_are_physical_and_lazy_cubes_are_looked_at_too():
    array = values("u2", high=1000)
    cube = Cube(da.from_array(array, chunks=(1, 10, 10)), scale=-0.5, offset=np.arange(4.0))
    survey = survey_values(cube, whole=True)
    assert np.all(survey.low < survey.high)
    assert survey.high[3] == pytest.approx(3, abs=2)
    assert survey.low[3] == pytest.approx(3 - 500, abs=2)


def test_a_large_cube_is_sampled_and_what_the_sample_misses_is_left_out(monkeypatch):
    monkeypatch.setattr(surveying, "SAMPLE_PIXELS", 16 * WIDTH)
    array = values()
    cube = Cube.from_array(array)
    array[1, 20, 20], array[2, 21, 21], array[3, 0, 0] = -9999, 4e9, -9999
    survey = survey_values(cube, whole=False)
    assert survey.pixels == 16 * WIDTH
    assert np.argwhere(survey.missing(array)).tolist() == [[1, 20, 20], [2, 21, 21], [3, 0, 0]]
    # only what was seen is told
    assert told(survey) == ["no-data"]
    assert "1 value of the cube (band 4) is -9999 in a sample" in next(survey.remarks("cube"))[2]
    # bytes cannot hold anything odd: nothing need be compared later
    assert not survey_values(Cube.from_array(values("u2", high=900)), whole=False).masks


def test_it_looks_in_strips_and_can_be_stopped(monkeypatch):
    monkeypatch.setattr(memory, "STRIP", 1)
    array = values()
    array[0, 40, 3] = -9999
    checks = []
    survey = survey_values(Cube.from_array(array), whole=True, watch=Watch(should_stop=lambda: bool(checks.append(1))))
    # once over six strips, before the decision, and again because of what was odd
    assert len(checks) == 13
    assert survey.markers[0].counts.sum() == 1
    with pytest.raises(Cancelled):
        survey_values(Cube.from_array(array), whole=True, watch=Watch(should_stop=lambda: True))


def test_it_reads_in_this_process_whatever_the_default_scheduler_is() -> None:
    values = np.random.default_rng(0).random((3, 20, 30), dtype=np.float32)
    values[1, 4, 5] = -9999
    cube = Cube(da.from_array(values, chunks=(1, 10, 30)))
    # without a client it would fail, and inside a task of a worker it would wait for ever
    with dask.config.set(scheduler="distributed"):
        survey = survey_values(cube, whole=True)
        clean = Cleaning.of(survey).apply(cube).read()
    assert [marker.value for marker in survey.markers] == [-9999]
    assert np.argwhere(np.isnan(clean)).tolist() == [[1, 4, 5]]
