"""Cubes of files are pickled as paths, without their pixels."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.io.open import open_cube
from napari_specfusion.io.registry import READERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def values() -> NDArray[np.uint16]:
    return np.arange(11 * 60 * 90).reshape(11, 60, 90).astype(np.uint16)


@pytest.mark.parametrize("key", READERS)
def test_a_cube_of_a_file_is_pickled_as_its_path(
    key: str,
    values: NDArray[np.uint16],
    make_file: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path = make_file(key)
    monkeypatch.chdir(path.parent)
    cube = open_cube(path.name)
    # whatever was read and is kept must not come along
    pixels = cube.read()
    part = cube.crop(slice(5, 50), slice(3, 60))
    stored = pickle.dumps((cube, part))
    assert len(pickle.dumps(cube)) < 5_000
    # a cropped cube lists the chunks that it is made of; these of the Zarr hold 32 values each
    assert len(stored) < values.nbytes / 2
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    again, again_part = pickle.loads(stored)
    np.testing.assert_array_equal(again.read(), pixels)
    np.testing.assert_array_equal(np.asarray(again.values), pixels)
    np.testing.assert_array_equal(again_part.read(), pixels[:, 5:50, 3:60])
    assert again.describe().keys() == cube.describe().keys()
    assert again.metadata == cube.metadata


def test_a_cube_in_memory_and_a_scene_come_back() -> None:
    rng = np.random.default_rng(0)
    hsi = Cube.from_array(rng.random((4, 6, 8), np.float32), wavelengths=[700, 600, 500, 400], metadata={"a": [1]})
    scene = Scene(hsi, Cube.from_array(rng.random((3, 24, 32), np.float32)), shift=(0.5, 0.0))
    again = pickle.loads(pickle.dumps(scene))
    np.testing.assert_array_equal(again.hsi.read(), scene.hsi.read())
    np.testing.assert_array_equal(again.guide.read(), scene.guide.read())
    assert (again.factor, again.shift, again.hsi.metadata) == (scene.factor, scene.shift, scene.hsi.metadata)
    with pytest.raises(TypeError):
        again.hsi.metadata["b"] = 2
