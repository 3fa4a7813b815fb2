"""Pairs: the ratio, the extents, and what a look from outside finds."""

from __future__ import annotations

from fractions import Fraction

import dask.array as da
import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene, as_ratio
from napari_specfusion.errors import SceneError
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.sensor.srf import Srf


def cube(bands, height, width, **fields):
    rng = np.random.default_rng(bands)
    return Cube.from_array(rng.random((bands, height, width), dtype=np.float32), **fields)


def pair(low=(10, 12), high=(40, 48), bands=5, guides=3):
    return cube(bands, *low), cube(guides, *high)


def topics(scene, level=None):
    return {finding.topic for finding in scene.check() if level in (None, finding.level)}


# --- ratio ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "ratio"),
    [
        ((10, 12), (40, 48), 4),
        ((10, 12), (25, 30), Fraction(5, 2)),
        ((12, 9), (40, 30), Fraction(10, 3)),
        ((27, 10), (270, 100), 10),
        ((10, 12), (42, 47), 4),
        ((10, 10), (41, 41), 4),
        ((10, 12), (39, 49), 4),
        ((1, 40), (8, 320), 8),
        ((16, 16), (77, 77), 5),
        ((160, 160), (770, 770), Fraction(77, 16)),
    ],
)
def test_the_sizes_imply_the_ratio(low, high, ratio):
    scene = Scene(*pair(low, high))
    assert scene.factor == ratio
    assert scene.shape == tuple(min(h, int(n * ratio)) for n, h in zip(low, high, strict=True))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ((40, 48), (10, 12), "swapped"),
        ((10, 12), (10, 48), "larger"),
        ((10, 12), (40, 60), "ratio of 4 along y and 5 along x"),
        ((10, 10), (45, 44), "crop both"),
    ],
)
def test_sizes_that_imply_none(low, high, words):
    with pytest.raises(SceneError, match=words):
        Scene(*pair(low, high))


@pytest.mark.parametrize(
    ("value", "ratio"),
    [
        (4, 4),
        (2.5, Fraction(5, 2)),
        (3.3333333, Fraction(10, 3)),
        (Fraction(5, 3), Fraction(5, 3)),
        (np.int64(4), 4),
        (np.float32(2.5), Fraction(5, 2)),
    ],
)
def test_a_given_ratio_is_exact(value, ratio):
    assert as_ratio(value) == ratio


@pytest.mark.parametrize("value", [1, 0.25, -4, 65, float("nan"), float("inf"), "4", None, 4j, np.complex64(4)])
def test_what_is_no_ratio(value):
    with pytest.raises(SceneError, match="ratio"):
        as_ratio(value)


@pytest.mark.parametrize(("high", "fits"), [((40, 48), True), ((43, 45), True), ((44, 48), False), ((36, 48), False)])
def test_extents_may_differ_by_less_than_one_low_resolution_pixel(high, fits):
    hsi, guide = pair(high=high)
    if fits:
        assert Scene(hsi, guide, ratio=4).shape == (min(40, high[0]), min(48, high[1]))
    else:
        with pytest.raises(SceneError, match="covers"):
            Scene(hsi, guide, ratio=4)


def test_a_guide_smaller_than_the_cube_is_refused_whatever_the_ratio():
    with pytest.raises(SceneError, match="larger than the cube"):
        Scene(*pair((10, 12), (9, 48)), ratio=4)


# --- what is known ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("centre", "shift", "expected"),
    [
        ("cell", None, None),
        ("cell", (0.5, -1), (0.5, -1.0)),
        ("cell", np.array([0.5, -1]), (0.5, -1.0)),
        ("corner", None, (-1.5, -1.5)),
        ("corner", (0.5, 0.0), (-1.0, -1.5)),
    ],
)
def test_shifts_count_from_the_cell(centre, shift, expected):
    scene = Scene(*pair(), centre=centre, shift=shift)
    assert scene.shift == expected
    assert scene.centre == "cell"
    assert scene.replace(psf=Psf(2.0)).shift == expected, "a copy does not shift again"


@pytest.mark.parametrize("shift", [(np.nan, 0.0), (1.0,), (1.0, 2.0, 3.0), 2.0, "xy", (None, 1.0)])
@pytest.mark.parametrize("centre", ["cell", "corner"])
def test_what_is_no_shift(shift, centre):
    with pytest.raises(SceneError, match="shift"):
        Scene(*pair(), shift=shift, centre=centre)


def test_other_things_that_do_not_fit():
    with pytest.raises(SceneError, match="one of cell, corner"):
        Scene(*pair(), centre="middle")
    with pytest.raises(SceneError, match="needs 3 x 5"):
        Scene(*pair(), srf=Srf(np.ones((3, 6))))


# --- check ----------------------------------------------------------------------------------


def test_a_sound_pair_has_nothing_to_warn_of():
    hsi = cube(5, 10, 12, wavelengths=[450, 500, 550, 600, 650])
    guide = cube(3, 40, 48, wavelengths=[460, 550, 620])
    scene = Scene(hsi, guide)
    assert topics(scene) == {"size"}
    assert "40 x 48" in scene.check()[0].message


def test_what_a_check_finds():
    hsi, guide = pair()
    empty = Cube.from_array(np.full((3, 40, 48), np.nan))
    flat = Cube.from_array(np.ones((5, 10, 12)))
    holes = hsi.read()
    holes[:, :3] = np.nan
    sunk = guide.read()
    sunk[0, 0, 0] = -9999
    far = cube(5, 10, 12, wavelengths=[450, 500, 550, 600, 650]), cube(3, 40, 48, wavelengths=[900, 1000, 1100])
    assert topics(Scene(hsi, guide)) == {"size", "wavelengths"}
    assert topics(Scene(hsi, cube(3, 42, 47)), "warning") == {"extent"}
    assert topics(Scene(cube(3, 10, 12), guide), "warning") == {"bands"}
    assert topics(Scene(hsi, empty), "error") == {"no-data"}
    assert topics(Scene(flat, guide), "error") == {"values"}
    assert topics(Scene(Cube.from_array(holes), guide), "warning") == {"no-data"}
    assert topics(Scene(hsi, Cube.from_array(sunk)), "warning") == {"no-data"}
    assert topics(Scene(hsi, Cube.from_array(np.where(sunk < 0, -5, sunk))), "warning") == {"values"}
    assert topics(Scene(*far), "warning") == {"spectral overlap"}


def test_errors_come_first_and_large_results_are_named():
    hsi = Cube.from_array(da.ones((200, 1000, 1000), chunks=(1, 1000, 1000)))
    guide = Cube.from_array(da.ones((1, 4000, 4000), chunks=(1, 1000, 1000)))
    scene = Scene(hsi, guide)
    levels = [finding.level for finding in scene.check()]
    assert levels == sorted(levels, key=["error", "warning", "info"].index)
    assert "memory" in topics(scene, "warning")
