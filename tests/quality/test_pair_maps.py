from __future__ import annotations

import math
from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled
from napari_specfusion.quality.judgement import judge_pair
from napari_specfusion.quality.pair_maps import judgement_maps
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


def noisy(seed: int = 0) -> tuple[Scene, NDArray[np.float64]]:
    scene, result = box_pair(seed)
    return scene, result + 0.05 * np.random.default_rng(seed).standard_normal(result.shape)


def test_maps_are_lazy_and_agree_with_the_overall_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, result = noisy()
    judgement = judge_pair(scene, result)
    monkeypatch.setattr(memory, "QUALITY_BLOCK", 8 * BANDS * 60**2)
    maps = judgement_maps(scene, result)
    assert {key: (m.shape, m.dtype) for key, m in maps.items()} == {
        "cube": ((SIDE, SIDE), np.float32),
        "guide": ((SIDE * RATIO, SIDE * RATIO), np.float32),
        "outside": ((SIDE * RATIO, SIDE * RATIO), np.float32),
    }
    assert all(isinstance(m, da.Array) and len(m.chunks[0]) > 1 for m in maps.values())
    cube, guide, outside = (np.asarray(m, np.float64) for m in maps.values())
    error = 100 * math.sqrt(BANDS * np.mean(cube**2) / scene.hsi.read().reshape(BANDS, -1).var(axis=1).sum())
    assert judgement.cube_residual == pytest.approx(error, rel=1e-4)
    # the two bands of this guide have nearly the same contrast
    assert judgement.guide_residual == pytest.approx(100 * math.sqrt(np.mean(guide**2)), rel=2e-2)
    assert judgement.outside * judgement.excess / 100 == pytest.approx(outside.mean(), rel=1e-4)


def test_maps_show_where_the_result_is_wrong_and_what_is_missing() -> None:
    scene, result = box_pair()
    result[:, 40:44, 60:64] += 2
    result[:, 8:12, 4:8] = np.nan
    maps = {key: m.compute() for key, m in judgement_maps(scene, result).items()}
    assert np.unravel_index(np.nanargmax(maps["cube"]), (SIDE, SIDE)) == (10, 15)
    for key in ("guide", "outside"):
        assert (maps[key][40:44, 60:64] > 1).all()
        assert np.isnan(maps[key][8:12, 4:8]).all() and np.isfinite(maps[key]).sum() == maps[key].size - 16
    assert np.argwhere(np.isnan(maps["cube"])).tolist() == [[2, 1]]


def test_maps_stop_while_they_are_computed() -> None:
    scene, result = box_pair()
    stopped = False
    maps = judgement_maps(scene, result, should_stop=lambda: stopped)
    stopped = True
    with pytest.raises(Cancelled):
        maps["cube"].compute()
