"""Two images of one place become one scene, and only those."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_specfusion.alignment import Alignment, align
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import AlignmentError, Cancelled

RATIO = 4
# turn, scale, shift, and whether mirrored
TRANSFORMS = {
    "half a degree": (0.5, 1.0, (0, 0)),
    "small": (2.0, 1.02, (3, -2)),
    "shift": (0.0, 1.0, (24.4, -31.7)),
    "turned": (-67.0, 0.95, (9, 5)),
    "upside down": (179.0, 1.05, (-7, 12)),
    "mirrored": (25.0, 1.0, (4, -6), "mirrored"),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_is_found(name, make_pair, corner_error):
    pair = make_pair(TRANSFORMS[name])
    scene = align(pair.hsi, pair.guide)
    found = scene.alignment
    assert found.verdict == "good"
    assert corner_error(found.matrix, pair.matrix, pair.hsi.shape[1:]) < 0.3
    assert found.after < 0.1 < found.before
    assert scene.factor == RATIO
    # the cube's frame: the guide shows what the cube shows
    top, bottom, left, right = found.window
    assert scene.hsi.shape[1:] == (bottom - top, right - left)
    assert scene.guide.shape[1:] == tuple(RATIO * n for n in scene.hsi.shape[1:])


def test_noise_does_not_hide_it(make_pair, corner_error):
    pair = make_pair(TRANSFORMS["turned"], noise=(35, 40))
    found = align(pair.hsi, pair.guide).alignment
    assert found.verdict == "good"
    assert corner_error(found.matrix, pair.matrix, pair.hsi.shape[1:]) < 0.5


def test_a_projective_transform_is_found(make_pair, corner_error, similarity):
    matrix = similarity(4.0, 1.0, (2, 3), 192)
    matrix[2, :2] = 2e-4, -1.5e-4
    pair = make_pair(matrix)
    found = align(pair.hsi, pair.guide).alignment
    assert found.model == "projective"
    assert corner_error(found.matrix, pair.matrix, pair.hsi.shape[1:]) < 0.5


def test_a_pair_on_one_grid_stays_as_it_is(make_pair):
    pair = make_pair()
    scene = align(pair.hsi, pair.guide)
    assert scene.alignment.placement == "as is"
    assert scene.guide is pair.guide
    assert scene.hsi is pair.hsi
    assert scene.alignment.verdict == "good"


def test_a_shift_by_many_pixels_is_cropped_not_resampled(make_pair):
    pair = make_pair()
    cropped = pair.guide.crop(slice(20, 180), slice(13, 192))
    scene = align(pair.hsi, cropped, ratio=RATIO)
    assert scene.alignment.placement == "cropped"
    top, bottom, left, right = scene.alignment.window
    # whole pixels of the guide, unchanged
    np.testing.assert_array_equal(
        scene.guide.read(), pair.guide.read(slice(top * 4, bottom * 4), slice(left * 4, right * 4))
    )


def test_right_angles_copy_pixels(make_pair):
    pair = make_pair()
    turned = Cube.from_array(np.rot90(pair.guide.read(), axes=(1, 2)).copy())
    scene = align(pair.hsi, turned)
    assert abs(scene.alignment.rotation) == pytest.approx(90, abs=1e-9)
    np.testing.assert_allclose(scene.guide.read(), pair.guide.read(), atol=1e-5)


def test_a_guide_that_shows_more(make_pair, corner_error, similarity):
    pair = make_pair(similarity(3.0, 1.0, (0, 0), 192))
    part = pair.hsi.crop(slice(10, 38), slice(14, 44))
    found = align(part, pair.guide, ratio=RATIO).alignment
    assert found.verdict == "good"
    move = np.array([[1, 0, 10], [0, 1, 14], [0, 0, 1.0]])
    assert corner_error(found.matrix, pair.matrix @ move, part.shape[1:]) < 0.5


def test_a_cube_that_shows_more(make_pair, similarity):
    pair = make_pair(similarity(5.0, 1.0, (0, 0), 192))
    part = pair.guide.crop(slice(40, 160), slice(30, 150))
    scene = align(pair.hsi, part, ratio=RATIO)
    assert scene.alignment.verdict == "good"
    assert scene.hsi.shape[1] < pair.hsi.shape[1]
    assert any(finding.topic == "common ground" for finding in scene.alignment.findings())


def test_pixels_that_are_not_square(make_pair, corner_error):
    pair = make_pair()
    squeezed = Cube.from_array(pair.guide.read()[:, :, ::2].copy())
    found = align(pair.hsi, squeezed).alignment
    assert found.verdict == "good"
    true = np.diag([1.0, 0.5, 1.0]) @ pair.matrix
    assert corner_error(found.matrix, true, pair.hsi.shape[1:]) < 0.5


def test_a_smooth_field_is_found(make_pair):
    def field(y, x):
        return 5 * np.sin(2 * math.pi * x / 190), 5 * np.cos(2 * math.pi * y / 230)

    pair = make_pair(extra=field)
    found = align(pair.hsi, pair.guide).alignment
    assert found.local == ("smooth",)
    y, x = np.meshgrid(np.arange(4.0, 44), np.arange(4.0, 44), indexing="ij")
    there = np.stack(found.to_guide(y, x))
    # the guide shows at p what the scene has at p - field(p)
    scene_y, scene_x = (4 * c + 1.5 for c in (y, x))
    moved = np.stack([there[0] - field(*there)[0] - scene_y, there[1] - field(*there)[1] - scene_x])
    assert np.median(np.hypot(*moved)) < 0.6
    back = np.stack(found.to_cube(*there))
    np.testing.assert_allclose(back, np.stack([y, x]), atol=1e-3)


def test_shifts_of_lines_are_found(make_pair):
    rng = np.random.default_rng(3)
    pair = make_pair()
    jitter = rng.normal(0, 0.5, pair.hsi.shape[1])
    lines = np.arange(pair.hsi.shape[2])
    values = np.stack(
        [[np.interp(lines + jitter[row], lines, line) for row, line in enumerate(band)] for band in pair.hsi.read()]
    )
    found = align(Cube.from_array(values.astype(np.float32)), pair.guide).alignment
    assert "lines" in found.local
    seen = found.transform.lines[3:-3, 1] / RATIO
    assert np.corrcoef(seen, jitter[3:-3])[0, 1] > 0.9


# --- pairs that do not belong together ------------------------------------------


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_other_places_stay_unrelated(seed, make_pair):
    pair = make_pair()
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((3, 192, 192))
    # patches of a few sizes with sharp edges, as pictures have them
    smooth = sum(size * gaussian_filter(noise, (0, size, size)) for size in (2, 5, 12))
    other = np.round(2 * smooth / smooth.std()) + 0.2 * gaussian_filter(noise, (0, 1, 1))
    scene = align(pair.hsi, Cube.from_array(other.astype(np.float32)))
    assert scene.alignment.verdict == "unrelated"
    assert not scene.alignment.trusted


@pytest.mark.slow
def test_noise_is_unrelated_to_anything(make_pair):
    pair = make_pair()
    noise = np.random.default_rng(0).random((3, 192, 192), np.float32)
    found = align(pair.hsi, Cube.from_array(noise)).alignment
    assert found.verdict == "unrelated"
    assert found.findings()[0].level == "error"


# --- where to begin --------------------------------------------------------------


def test_point_pairs_begin_the_search(make_pair, corner_error):
    pair = make_pair(TRANSFORMS["turned"])
    low = np.array([(5.0, 5.0), (8.0, 40.0), (42.0, 20.0)])
    sharp = (pair.matrix @ np.column_stack([low, np.ones(3)]).T)[:2].T + 3.0
    found = align(pair.hsi, pair.guide, start=np.stack([low, sharp], axis=1)).alignment
    assert found.verdict == "good"
    assert corner_error(found.matrix, pair.matrix, pair.hsi.shape[1:]) < 0.3


def test_an_earlier_alignment_begins_the_search(make_pair, corner_error):
    pair = make_pair(TRANSFORMS["turned"])
    first = align(pair.hsi, pair.guide).alignment
    again = align(pair.hsi, pair.guide, start=first).alignment
    assert corner_error(again.matrix, first.matrix, pair.hsi.shape[1:]) < 0.1
    by_matrix = align(pair.hsi, pair.guide, start=first.matrix).alignment
    assert corner_error(by_matrix.matrix, first.matrix, pair.hsi.shape[1:]) < 0.1


@pytest.mark.parametrize("model", ["similarity", "affine", "projective"])
def test_a_model_can_be_asked_for(model, make_pair, corner_error):
    pair = make_pair(TRANSFORMS["small"])
    found = align(pair.hsi, pair.guide, model=model).alignment
    assert found.model == model
    assert set(found.certainty) >= {"shift_y", "shift_x", "rotation", "scale"}
    assert corner_error(found.matrix, pair.matrix, pair.hsi.shape[1:]) < 0.3


# --- bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda pair: {"guide": Cube.from_array(np.ones((3, 192, 192), np.float32))}, "constant"),
        (lambda pair: {"hsi": Cube.from_array(np.ones((8, 48, 48), np.float32))}, "constant"),
        (lambda pair: {"hsi": Cube.from_array(np.full((8, 48, 48), np.nan, np.float32))}, "pixels"),
        (lambda pair: {"guide": Cube.from_array(np.full((3, 192, 192), np.nan, np.float32))}, "valid pixel"),
        (lambda pair: {"model": "magic"}, "no model"),
        (lambda pair: {"start": "somewhere"}, "start"),
        (lambda pair: {"start": "tags"}, "affine"),
        (lambda pair: {"start": [[(0, 0), (0, 0)]]}, "at least 3"),
        (lambda pair: {"start": [[(i, i), (i, i)] for i in range(4)]}, "on a line"),
        (lambda pair: {"start": np.zeros((3, 3))}, "invertible"),
        (lambda pair: {"guide": pair.hsi.select([0, 1, 2]), "hsi": pair.guide}, "sharper"),
        (lambda pair: {"guide": pair.guide.read()[:, :2, :2], "ratio": 64}, "smaller than a pixel of the cube"),
    ],
)
def test_bad_input_is_named(change, words, make_pair):
    pair = make_pair()
    given = {"hsi": pair.hsi, "guide": pair.guide, **change(pair)}
    with pytest.raises(AlignmentError, match=words):
        align(given.pop("hsi"), given.pop("guide"), **given)


def test_holes_on_either_side(make_pair, corner_error):
    pair = make_pair(TRANSFORMS["small"])
    low, sharp = pair.hsi.read(), pair.guide.read()
    low[:, 10:16, 20:30] = np.nan
    sharp[:, 100:130, 30:70] = np.nan
    scene = align(Cube.from_array(low), Cube.from_array(sharp))
    assert scene.alignment.verdict == "good"
    assert corner_error(scene.alignment.matrix, pair.matrix, pair.hsi.shape[1:]) < 0.3
    assert np.isnan(scene.guide.read()).any()


def test_it_stops_when_asked(make_pair):
    pair = make_pair(TRANSFORMS["turned"])
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        return asked > 5

    with pytest.raises(Cancelled):
        align(pair.hsi, pair.guide, should_stop=stop)


def test_large_pairs_are_looked_at_in_windows(make_pair, monkeypatch, corner_error):
    import napari_specfusion.alignment.engine as engine
    import napari_specfusion.alignment.views as views

    monkeypatch.setattr(engine, "LARGE", 40)
    monkeypatch.setattr(engine, "SIDE", 16)
    monkeypatch.setattr(views, "WHOLE", 24)
    for name in ("small", "turned"):
        pair = make_pair(TRANSFORMS[name])
        found = align(pair.hsi, pair.guide).alignment
        assert found.verdict == "good"
        assert corner_error(found.matrix, pair.matrix, pair.hsi.shape[1:]) < 0.5


def test_the_result_is_an_alignment(make_pair):
    scene = align(make_pair(TRANSFORMS["small"]).hsi, make_pair(TRANSFORMS["small"]).guide)
    assert isinstance(scene.alignment, Alignment)
    assert "resampled" in repr(scene.alignment)


def test_a_no_data_value_that_nobody_declared_does_not_spread(make_pair, corner_error):
    pair = make_pair(TRANSFORMS["turned"])
    images = [cube.read().copy() for cube in (pair.hsi, pair.guide)]
    middle = [n // 2 for n in images[1].shape[1:]]
    images[0][1, 9, 9] = images[1][0, middle[0], middle[1]] = -9999
    odd, declared = (align(*(Cube.from_array(image, nodata=nodata) for image in images)) for nodata in (None, -9999))
    np.testing.assert_allclose(odd.alignment.matrix, declared.alignment.matrix)
    seen = odd.guide.read()
    np.testing.assert_array_equal(seen, declared.guide.read())
    assert np.nanmin(seen) > -10
    assert any("guide" in f.message and "-9999" in f.message for f in odd.alignment.findings())
