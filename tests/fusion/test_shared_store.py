"""A store that several processes write: the same as one that a single process wrote."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.shared_store import SharedLevels, TileWriter
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io.formats.zarr import pyramid
from napari_specfusion.tiling.tiles import Footprint, TileGrid

if TYPE_CHECKING:
    from pathlib import Path


def store(path: Path, shape: tuple[int, int, int], core: int | None) -> tuple[ResultStore, TileGrid]:
    grid = TileGrid(shape[1:], Fraction(1), Footprint(0), core)
    return ResultStore.create(path, shape, core=grid.core_shape, tiles=len(grid), fields={"name": "x"}), grid


# tiles whose halves are whole down to some level, and some that share chunks from the first halved level on
@pytest.mark.parametrize(("core", "own"), [(96, 2), (64, 2), (40, 1), (33, 1), (None, 4)])
@pytest.mark.parametrize("together", [1, 5])
def test_every_level_equals_that_of_one_writer(
    tmp_path: Path, core: int | None, own: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "COARSEST_SIDE", 32)
    monkeypatch.setattr(pyramid, "CHUNK_SIDE", 48)
    shape = (17, 157, 181)
    rng = np.random.default_rng(0)
    values = rng.random(shape, dtype=np.float32)
    values[:, rng.random(shape[1:]) < 0.1] = np.nan
    values[:, 20:70, 30:90] = np.nan
    alone, grid = store(tmp_path / "alone.zarr", shape, core)
    for tile in grid:
        alone.write(tile.index, tile.core, values[:, *tile.core.slices])
    several, _ = store(tmp_path / "several.zarr", shape, core)
    writers = [TileWriter(several.path) for _ in range(2)]
    shared = SharedLevels(several.path, len(grid))
    order = rng.permutation(len(grid)).tolist()
    for start in range(0, len(order), together):
        group = order[start : start + together]
        boxes = [grid[index].core for index in group]
        for index, box in zip(group, boxes, strict=True):
            writers[index % 2].write(box, values[:, *box.slices])
        shared.finish(boxes)
        several.record(dict.fromkeys(group, 1))
    first, second = zarr.open_group(tmp_path / "alone.zarr"), zarr.open_group(tmp_path / "several.zarr")
    assert sum(first[str(level)].shards is not None for level in range(4)) == own
    for name in ("0", "1", "2", "3", "done"):
        np.testing.assert_array_equal(first[name][:], second[name][:])
    assert several.done.all()


def test_a_tile_that_another_process_wrote_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "COARSEST_SIDE", 32)
    several, grid = store(tmp_path / "x.zarr", (3, 128, 128), 64)
    TileWriter(several.path).write(grid[1].core, np.ones((3, 64, 64), np.float32))
    assert not ResultStore.open(several.path).done.any()
    SharedLevels(several.path, len(grid)).finish([grid[1].core])
    several.record({1: 99})
    assert several.recorded.tolist() == ResultStore.open(several.path).recorded.tolist() == [0, 99, 0, 0]
    assert np.isfinite(zarr.open_group(several.path)["2"][:]).sum() == 3 * 16 * 16


def test_tiles_that_share_chunks_are_refused(tmp_path: Path) -> None:
    several, grid = store(tmp_path / "x.zarr", (3, 100, 100), 16)
    with pytest.raises(OutputError, match="tile=32"):
        SharedLevels(several.path, len(grid))


def test_a_store_that_a_worker_cannot_see_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="all workers share"):
        TileWriter(tmp_path / "missing.zarr")
