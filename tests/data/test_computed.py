"""Lazy arrays are computed in this process, also after a fork."""

from __future__ import annotations

import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest

from napari_specfusion.data.computed import computed, load_scheduler
from napari_specfusion.data.cube import Cube
from napari_specfusion.io.open import open_cube

if TYPE_CHECKING:
    from pathlib import Path


def test_another_scheduler_is_left_alone() -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("this scheduler must not be asked")

    array = da.arange(6, chunks=2) * 2
    with dask.config.set(scheduler="distributed"):
        np.testing.assert_array_equal(computed(array), np.arange(6) * 2)
    with dask.config.set(scheduler=refuse), pytest.raises(AssertionError, match="must not be asked"):
        computed(array)


def _total(path: Path, lazily: bool, answer: Any) -> None:
    cube = open_cube(path)
    answer.put(float(np.asarray(cube.data).sum() if lazily else cube.read().sum()))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("lazily", [False, True])
def test_a_zarr_is_read_after_a_fork(tmp_path: Path, lazily: bool) -> None:
    values = np.arange(4 * 40 * 50, dtype=np.float32).reshape(4, 40, 50)
    Cube.from_array(values).save(tmp_path / "cube.zarr")
    cube = open_cube(tmp_path / "cube.zarr")
    # the threads that do this are gone in the child
    np.testing.assert_array_equal(np.asarray(cube.data), cube.read())
    fork = multiprocessing.get_context("fork")
    answer = fork.Queue()
    child = fork.Process(target=_total, args=(tmp_path / "cube.zarr", lazily, answer), daemon=True)
    child.start()
    try:
        assert answer.get(timeout=60) == float(values.sum())
    finally:
        child.kill()
        child.join()


def test_a_scheduler_that_is_not_installed_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    load_scheduler()
