"""Pairs that say where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from napari_specfusion.alignment import align
from napari_specfusion.alignment.georeference import grid_matrix, placed_by_tags
from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import AlignmentError

UTM = "EPSG:32617"
LOW = (4.0, 0.0, 500_000.0, 0.0, -4.0, 4_100_000.0)
SHARP = (1.0, 0.0, 500_000.0, 0.0, -1.0, 4_100_000.0)


def tagged(cube, affine, crs=UTM):
    return cube.replace(affine=affine, crs=crs, pixel_size=(abs(affine[4]), affine[0]))


def test_the_grid_counts_from_pixel_centres():
    matrix = grid_matrix(LOW)
    np.testing.assert_allclose(matrix @ [0, 0, 1], [4_100_000 - 2, 500_000 + 2, 1])


def test_a_small_cube_in_a_large_guide_is_cropped_without_resampling(make_pair):
    pair = make_pair()
    low = tagged(pair.hsi, LOW).crop(slice(11, 38), slice(20, 30))
    scene = align(low, tagged(pair.guide, SHARP))
    found = scene.alignment
    assert (found.placement, found.verdict, scene.factor) == ("cropped", "good", 4)
    assert scene.hsi.shape[1:] == (27, 10)
    np.testing.assert_array_equal(scene.guide.read(), pair.guide.read(slice(44, 152), slice(80, 120)))
    assert scene.guide.affine == pytest.approx((1.0, 0.0, 500_080.0, 0.0, -1.0, 4_099_956.0))


def test_rows_that_run_upwards_and_pixels_that_are_not_square(make_pair):
    pair = make_pair()
    upwards = Cube.from_array(pair.guide.read()[:, ::-1, ::2].copy())
    guide = upwards.replace(affine=(2.0, 0.0, 500_000.0, 0.0, 1.0, 4_100_000.0 - 192), crs=UTM)
    scene = align(tagged(pair.hsi, LOW), guide)
    assert scene.alignment.verdict == "good"
    assert scene.guide.affine == pytest.approx(SHARP, abs=0.6)
    # along y, the guide keeps what it has
    inner = (slice(None), slice(20, 170), slice(20, 170))
    seen, true = scene.guide.read()[inner], pair.guide.read()[inner]
    assert np.corrcoef(seen.ravel(), true.ravel())[0, 1] > 0.9


def test_another_reference_system(make_pair):
    pyproj = pytest.importorskip("pyproj")
    pair = make_pair()
    low = tagged(pair.hsi, LOW)
    # the same pixels, in degrees: a grid that is turned and sheared against the cube's
    to_degrees = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    corners = [to_degrees.transform(500_000 + x, 4_100_000 - y) for y, x in ((0, 0), (192, 0), (0, 192))]
    (x0, y0), (x1, y1), (x2, y2) = corners
    affine = ((x2 - x0) / 192, (x1 - x0) / 192, x0, (y2 - y0) / 192, (y1 - y0) / 192, y0)
    placed = placed_by_tags(low, pair.guide.replace(affine=affine, crs="EPSG:4326"))
    y, x = placed.transform.to_guide([0.0, 47.0], [0.0, 47.0])
    np.testing.assert_allclose(y, [1.5, 189.5], atol=0.02)
    np.testing.assert_allclose(x, [1.5, 189.5], atol=0.02)
    scene = align(low, pair.guide.replace(affine=affine, crs="EPSG:4326"))
    assert scene.alignment.verdict == "good"
    assert scene.factor == 4


def test_a_missing_system_is_told(make_pair):
    pair = make_pair()
    scene = align(tagged(pair.hsi, LOW).replace(crs=None), tagged(pair.guide, SHARP))
    assert any("names no reference system" in finding.message for finding in scene.alignment.findings())


def test_tags_that_place_them_apart(make_pair):
    pair = make_pair()
    elsewhere = (1.0, 0.0, 700_000.0, 0.0, -1.0, 4_100_000.0)
    with pytest.raises(AlignmentError, match="no common ground"):
        align(tagged(pair.hsi, LOW), tagged(pair.guide, elsewhere))
    scene = align(tagged(pair.hsi, LOW), tagged(pair.guide, elsewhere), start="images")
    assert scene.alignment.verdict == "good"


def test_tags_that_the_images_contradict(make_pair):
    pair = make_pair()
    # 60 guide pixels off, within the part that is searched
    wrong = (1.0, 0.0, 500_060.0, 0.0, -1.0, 4_100_000.0)
    scene = align(tagged(pair.hsi, LOW), tagged(pair.guide, wrong))
    assert scene.alignment.verdict == "doubtful"
    assert any("tags place" in finding.message for finding in scene.alignment.findings())
    by_tags = align(tagged(pair.hsi, LOW), tagged(pair.guide, wrong), start="tags").alignment
    assert by_tags.shift[1] == pytest.approx(-60, abs=0.5)
    by_images = align(tagged(pair.hsi, LOW), tagged(pair.guide, wrong), start="images").alignment
    assert by_images.verdict == "good"


def test_an_unknown_system(make_pair):
    pytest.importorskip("pyproj")
    pair = make_pair()
    with pytest.raises(AlignmentError, match="EPSG:99999"):
        align(tagged(pair.hsi, LOW), tagged(pair.guide, SHARP, "EPSG:99999"))


def test_real_plot_under_a_larger_picture(data_dir):
    from napari_specfusion.io import open_cube

    low = open_cube(data_dir / "pairs" / "neon" / "MLBS_39_hsi.tif")
    sharp = open_cube(data_dir / "pairs" / "neon" / "MLBS_39_rgb.tif")
    scene = align(low.crop(slice(2, 19), slice(5, 13)), sharp)
    assert scene.alignment.verdict == "good"
    assert scene.alignment.placement == "cropped"
    np.testing.assert_array_equal(scene.guide.read(), sharp.read(slice(20, 190), slice(50, 130)))
