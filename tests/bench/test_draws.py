"""Random pairs: the guide lies to the cube as the transform says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_specfusion.alignment.transform import frame_matrix
from napari_specfusion.bench.draws import KINDS, NOISE, draw, make_pair
from napari_specfusion.errors import SceneError
from napari_specfusion.samples.scene import sample_reference

SIDE = 96, 96


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_the_same_each_time_and_differ(kind: str) -> None:
    one, same, next_one = (draw(kind, 4, n, seed=3, count=5, side=SIDE) for n in (1, 1, 2))
    np.testing.assert_array_equal(one.transform.matrix, same.transform.matrix)
    assert (one.cube, one.guide, one.noise) == (same.cube, same.guide, None)
    assert next_one.noise == NOISE
    if kind in ("none", "unrelated"):
        np.testing.assert_allclose(one.transform.matrix, frame_matrix(4), atol=1e-12)
    else:
        assert np.abs(one.transform.matrix - next_one.transform.matrix).max() > 1e-6
    assert (one.cube == one.guide) == (kind != "unrelated")


def test_unrelated_pairs_need_two_cubes() -> None:
    with pytest.raises(SceneError, match="two sharp cubes"):
        draw("unrelated", 4, 0, seed=1, count=1, side=SIDE)


@pytest.mark.parametrize("kind", ["affine", "projective", "local", "none"])
def test_the_guide_shows_the_cube_where_the_transform_says(kind: str) -> None:
    cube = sample_reference(96)
    drawn = draw(kind, 4, 0, seed=2, count=1, side=SIDE)
    assert drawn.noise is None
    pair = make_pair(drawn, [cube], "rgb")
    still = make_pair(draw("none", 4, 0, seed=2, count=1, side=SIDE), [cube], "rgb").guide.read()
    assert pair.hsi.shape == (31, 24, 24)
    assert pair.guide.shape == (3, 96, 96) == still.shape
    y, x = np.mgrid[4:20, 4:20].astype(float)
    down, right = drawn.transform.to_guide(y, x)
    inside = (down > 6) & (down < 89) & (right > 6) & (right < 89)
    seen = at(pair.guide.read(), down[inside], right[inside])
    here = at(still, 4 * y[inside] + 1.5, 4 * x[inside] + 1.5)
    assert np.count_nonzero(inside) > 50
    assert np.corrcoef(seen, here)[0, 1] > 0.95


def at(guide: NDArray[Any], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a band of a guide, a little blurred, at places between its pixels."""
    plane = gaussian_filter(np.nan_to_num(guide[1].astype(np.float64)), 1.0)
    return np.asarray(map_coordinates(plane, np.stack([y, x]), order=1))
