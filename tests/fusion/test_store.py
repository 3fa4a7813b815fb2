"""The result store: layout, pyramid, resuming, and the checks before anything is written."""

from __future__ import annotations

import errno
import json
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_specfusion.data.cube import Cube
from napari_specfusion.errors import OutputError
from napari_specfusion.fusion.result import MemoryStore
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.io import open_cube
from napari_specfusion.io.formats.zarr.pyramid import halve, layout, level_count
from napari_specfusion.tiling.tiles import Box, Footprint, TileGrid

if TYPE_CHECKING:
    from pathlib import Path

FIELDS: dict[str, Any] = {
    "wavelengths": np.array([400.0, 500.0, 600.0]),
    "spectral_unit": "nm",
    "fwhm": np.array([10.0, np.nan, 12.0]),
    "good_bands": np.array([True, False, True]),
    "name": "pair (glp)",
    "affine": (2.0, 0.0, 100.0, 0.0, -2.0, 50.0),
    "crs": "EPSG:32631",
    "pixel_size": (2.0, 2.0),
}


def image(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def filled(path: Path, values: np.ndarray, core: int, order: slice = slice(None), **fields: Any) -> ResultStore:
    """Write `values` tile by tile."""
    grid = TileGrid(values.shape[1:], Fraction(1), Footprint(0), core)  # type: ignore[arg-type]
    store = ResultStore.create(
        path, values.shape, core=grid.core_shape, tiles=len(grid), fields={"name": "x"} | fields, dtype=values.dtype
    )
    for tile in list(grid)[order]:
        store.write(tile.index, tile.core, values[:, *tile.core.slices])
    return store


def reduced(values: np.ndarray) -> np.ndarray:
    """Halve by the definition: the mean of what is valid under each coarse pixel."""
    bands, height, width = values.shape
    out = np.full((bands, -(-height // 2), -(-width // 2)), np.nan, values.dtype)
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            block = values[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(bands, -1)
            count = np.isfinite(block).sum(axis=1)
            out[:, y, x] = np.where(count > 0, np.nansum(block, axis=1) / np.maximum(count, 1), np.nan)
    return out


@pytest.mark.parametrize("shape", [(2, 6, 8), (1, 7, 5), (3, 1, 1)])
def test_halving_averages_the_valid_pixels(shape: tuple[int, int, int]) -> None:
    values = image(shape)
    np.testing.assert_allclose(halve(values), reduced(values), rtol=1e-6)
    values[:, ::2, ::3] = np.nan
    values[0] = np.nan
    np.testing.assert_allclose(halve(values), reduced(values), rtol=1e-6)


# odd sizes, tiles that are no power of two, prime, larger than the image, and small
@pytest.mark.parametrize(
    ("shape", "core"), [((3, 96, 130), 64), ((17, 75, 61), 33), ((2, 70, 70), 35), ((3, 50, 40), 999), ((1, 41, 43), 7)]
)
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["forward", "backward"])
def test_what_is_written_is_read_at_every_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], core: int, order: slice
) -> None:
    monkeypatch.setattr("napari_specfusion.io.formats.zarr.pyramid.COARSEST_SIDE", 16)
    monkeypatch.setattr("napari_specfusion.io.formats.zarr.pyramid.SMALLEST_SHARD", 8)
    values = image(shape)
    values[:, 10:14, 20:31] = np.nan
    store = filled(tmp_path / "r.zarr", values, core, order)
    assert store.done.all()
    expected = values
    levels = store.levels()
    assert len(levels) == level_count(shape) > 2
    for level in levels:
        np.testing.assert_allclose(level.compute(), expected, rtol=1e-5)
        expected = reduced(expected)


@pytest.mark.parametrize("core", [32, 48, 520, 512, 700, 514, 80])
@pytest.mark.parametrize("bands", [1, 31, 33, 200])
def test_no_shard_has_two_writers(core: int, bands: int) -> None:
    shape = (bands, 2000, 3001)
    for level in range(level_count(shape)):
        sizes = layout(shape, (core, core), level)
        if "shards" not in sizes:
            assert level > 0
            continue
        assert sizes["shards"][0] >= bands
        for axis in (1, 2):
            assert (core // 2**level) % sizes["shards"][axis] == 0
        assert all(shard % chunk == 0 for shard, chunk in zip(sizes["shards"], sizes["chunks"], strict=True))
        assert max(sizes["chunks"][1:]) <= 514
        assert sizes["chunks"][0] <= 16


def test_a_whole_image_is_cut_into_usable_shards() -> None:
    sizes = layout((31, 4099, 300), (4100, 300), 0)
    assert sizes["chunks"] == (16, 256, 256)
    assert sizes["shards"] == (32, 1024, 512)


def test_metadata_describe_the_cube_in_valid_json(tmp_path: Path) -> None:
    values = image((3, 40, 50))
    store = filled(tmp_path / "r.zarr", values, 32, **FIELDS)
    text = (tmp_path / "r.zarr" / "zarr.json").read_text(encoding="utf-8")
    attributes = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["attributes"]
    ome = attributes["ome"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["c", "y", "x"]
    assert ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 2.0, 2.0]
    assert attributes["specfusion"]["fwhm"] == [10.0, "nan", 12.0]
    assert attributes["specfusion"]["nodata"] is None
    for cube in (store.cube(), ResultStore.open(tmp_path / "r.zarr").cube(), open_cube(tmp_path / "r.zarr")):
        assert isinstance(cube, Cube)
        for key, value in FIELDS.items():
            np.testing.assert_array_equal(np.asarray(getattr(cube, key)), np.asarray(value), err_msg=key)
        np.testing.assert_array_equal(cube.data, values)
        np.testing.assert_array_equal(cube.spectrum(3, 4), values[:, 3, 4])


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_the_cube_grows(tmp_path: Path, kind: str) -> None:
    values = image((3, 40, 40))
    store: MemoryStore | ResultStore
    if kind == "memory":
        store = MemoryStore(values.shape, 2, {"name": "m"})
    else:
        store = ResultStore.create(tmp_path / "r.zarr", values.shape, core=(32, 40), tiles=2, fields={"name": "m"})
    cube, levels = store.cube(), store.levels()
    assert np.isnan(cube.data.compute()).all()
    store.write(0, Box(0, 32, 0, 40), values[:, :32])
    for look in (np.asarray(cube.data), cube.read(), np.asarray(levels[0])):
        np.testing.assert_array_equal(look[:, :32], values[:, :32])
        assert np.isnan(look[:, 32:]).all()
    assert store.done.tolist() == [True, False]


def test_one_band_reads_only_its_own_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "r.zarr", image((3, 256, 256)), 64)
    read: list[Any] = []
    original = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: read.append(key) or original(self, key))
    np.asarray(store.levels()[0][1, 10:20, 10:20])
    assert read[-1] == (1, slice(10, 20, None), slice(10, 20, None))


def test_resuming_asks_for_the_same_job(tmp_path: Path) -> None:
    path = tmp_path / "r.zarr"
    store = ResultStore.create(path, (3, 40, 40), core=(32, 32), tiles=4, fields={"name": "m"}, key="a")
    store.write(0, Box(0, 32, 0, 32), image((3, 32, 32)))
    again = ResultStore.resume(path, key="a", core=(32, 32), tiles=4)
    assert again.done.tolist() == [True, False, False, False]
    for other in ({"key": "b"}, {"core": (16, 32)}, {"tiles": 5}):
        with pytest.raises(OutputError, match="overwrite=True"):
            ResultStore.resume(path, **({"key": "a", "core": (32, 32), "tiles": 4} | other))


def test_a_store_is_made_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = zarr.Group.create_array

    def interrupt(self: Any, name: str, **options: Any) -> Any:
        assert not (tmp_path / "r.zarr").exists()
        if name == "done":
            raise KeyboardInterrupt
        return original(self, name, **options)

    monkeypatch.setattr(zarr.Group, "create_array", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ResultStore.create(tmp_path / "r.zarr", (3, 40, 40), core=(32, 40), tiles=2, fields={"name": "m"})
    assert not list(tmp_path.iterdir())


def test_a_result_takes_the_place_of_an_older_one_when_it_is_complete(tmp_path: Path) -> None:
    place, new, values = tmp_path / "r.zarr", tmp_path / ".r.zarr.new", image((3, 40, 40))
    filled(place, values + 1, 40)
    store = ResultStore.create(new, values.shape, core=(40, 40), tiles=1, fields={"name": "m"}, place=place)
    cube, levels = store.cube(), store.levels()
    store.write(0, Box(0, 40, 0, 40), values)
    np.testing.assert_array_equal(open_cube(place).read(), values + 1)
    store.finish()
    # what the viewer shows while it grows goes on showing it
    for look in (
        open_cube(place).read(),
        cube.read(),
        np.asarray(cube.data),
        np.asarray(levels[0]),
        store.cube().read(),
    ):
        np.testing.assert_array_equal(look, values)
    assert [path.name for path in tmp_path.iterdir()] == ["r.zarr"]
    assert cube.metadata["store"] == str(place)


@pytest.mark.parametrize(("number", "match"), [(errno.ENOSPC, "make room"), (errno.EIO, "permissions")])
def test_a_disk_that_refuses_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, match: str
) -> None:
    store = ResultStore.create(tmp_path / "r.zarr", (3, 40, 40), core=(40, 40), tiles=1, fields={"name": "m"})

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zarr.Array, "__setitem__", refuse)
    with pytest.raises(OutputError, match=match):
        store.write(0, Box(0, 40, 0, 40), image((3, 40, 40)))
    assert not store.done.any()


def test_what_is_no_result_cannot_be_opened(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "foreign.zarr")
    for name in ("foreign.zarr", "missing.zarr"):
        with pytest.raises(OutputError, match="not a result of this package"):
            ResultStore.open(tmp_path / name)
