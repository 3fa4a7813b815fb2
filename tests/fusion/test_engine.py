"""The engine: tiled equals whole, and what happens when something goes wrong on the way."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import Cancelled, FusionError, ModelError, OutputError, SceneError
from napari_specfusion.fusion import run
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.networks.lso import LSO
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.simulation.pair import simulate
from napari_specfusion.tiling.tile_reader import band_means
from napari_specfusion.tiling.tile_runner import TilePredictor
from napari_specfusion.tiling.tiles import Box, Footprint, Tile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_specfusion.calibration.calibrated import CalibratedScene

RATIOS = [Fraction(2), Fraction(3), Fraction(4), Fraction(5, 2)]
# how far a tiled result may lie from the whole one, relative to its range: (float64, float32)
ROUNDING = (1e-10, 1e-5)
LOOSER = {"subspace": (1e-4, 1e-4)}  # conjugate gradients see a little beyond their halo


@dataclass
class Blur:
    """A local method of known reach: a box blur of the enlarged cube, plus the guide's mean."""

    reach: int = 3
    halo: int = 3
    stride: int = 1
    multiple: int = 1
    name: str = "blur"
    hook: Callable[[Tile], None] | None = None
    calls: list[Tile] = field(default_factory=list)

    def prepare(self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Blur:
        del device, dtype
        self.bands, self.ratio = calibrated.stated.hsi.bands, calibrated.stated.factor
        return self

    @property
    def footprint(self) -> Footprint:
        return Footprint(self.halo, self.stride, self.multiple)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        self.calls.append(tile)
        if self.hook is not None:
            self.hook(tile)
        low = tile.read.divide(self.ratio)
        assert guide.shape[1:] == tile.read.shape
        assert hsi.shape[1:] == low.shape
        assert torch.isfinite(guide).all()
        assert torch.isfinite(hsi).all()
        index = [
            torch.arange(a, b) * self.ratio.denominator // self.ratio.numerator - start
            for a, b, start in ((tile.read.y0, tile.read.y1, low.y0), (tile.read.x0, tile.read.x1, low.x0))
        ]
        sharp = hsi[:, index[0][:, None], index[1]] + guide.mean(0)
        padded = functional.pad(sharp[None], [self.reach] * 4, mode="replicate")
        return functional.avg_pool2d(padded, 2 * self.reach + 1, stride=1)[0]


def network(seed: int = 0, bands: int = 4, ratio: int = 4) -> NetworkMethod:
    """Return a small LSO with weights large enough for every part of it to matter."""
    torch.manual_seed(seed)
    module = LSO(bands, 3, ratio, width=8, heads=2, tokens=2, basis=3, patch=2, features=8, blocks=1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2.0)
    return NetworkMethod(module)


def pair(ratio: Fraction, rows: int, columns: int, missing: tuple[int, int] = (0, 0), seed: int = 0) -> Scene:
    """Return an LR cube of rows x columns and a guide that falls `missing` pixels short of it."""
    rng = np.random.default_rng(seed)
    height, width = (int(ratio * n) - m for n, m in zip((rows, columns), missing, strict=True))
    return Scene(
        Cube.from_array(rng.random((4, rows, columns), dtype=np.float32), wavelengths=[400, 500, 600, 700], name="low"),
        Cube.from_array(rng.random((3, height, width), dtype=np.float32), pixel_size=(0.5, 0.5), crs="EPSG:32631"),
        ratio,
    )


def natural(ratio: int = 4, rows: int = 24, columns: int = 30) -> Scene:
    """Return a simulated pair whose PSF, shift and response are known."""
    rng = np.random.default_rng(1)
    coarse = rng.random((5, 6, 7))
    smooth = functional.interpolate(torch.from_numpy(coarse)[None], (ratio * rows, ratio * columns), mode="bicubic")
    spectra = rng.random((8, 5)) @ smooth[0].numpy().reshape(5, -1)
    values = spectra.reshape(8, ratio * rows, ratio * columns).astype(np.float32) / 5
    values += 0.02 * rng.random(values.shape, dtype=np.float32)
    cube = Cube.from_array(values, wavelengths=np.linspace(400, 700, 8))
    return simulate(cube, ratio, protocol=Psf(ratio / 2.5), noise=(40, 45))


def values(cube: Cube) -> np.ndarray:
    return np.asarray(cube.data)


def difference(first: Cube, second: Cube) -> float:
    """Return the largest difference relative to the range; NaN must agree."""
    a, b = values(first), values(second)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    return float(np.nanmax(np.abs(a - b)) / np.ptp(a[np.isfinite(a)]))


# --- tiled equals whole ---------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ratio=st.sampled_from(RATIOS),
    rows=st.integers(2, 17),
    columns=st.integers(2, 17),
    missing=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    tile=st.integers(1, 50),
    stride=st.sampled_from([1, 3, 8]),
    multiple=st.sampled_from([1, 4, 6]),
)
def test_tiled_equals_whole(
    ratio: Fraction,
    rows: int,
    columns: int,
    missing: tuple[int, int],
    tile: int,
    stride: int,
    multiple: int,
) -> None:
    scene = pair(ratio, rows, columns, missing)
    method = Blur(stride=stride, multiple=multiple)
    whole = fuse(scene, model=method, tile=None, device="cpu", precision="float64")
    tiled = fuse(scene, model=method, tile=tile, device="cpu", precision="float64")
    assert whole.shape == (4, *scene.shape)
    assert difference(whole, tiled) < ROUNDING[0]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ratio=st.sampled_from([2, 3, 4, 8]),
    rows=st.integers(9, 24),
    columns=st.integers(9, 24),
    short=st.integers(0, 1),
    tile=st.integers(8, 60),
    precision=st.sampled_from(["float64", "float32"]),
)
def test_tiled_network_equals_whole(ratio: int, rows: int, columns: int, short: int, tile: int, precision: Any) -> None:
    scene = pair(Fraction(ratio), rows, columns, (short, 0))
    method = network(ratio=ratio)
    whole = fuse(scene, model=method, tile=None, device="cpu", precision=precision)
    tiled = fuse(scene, model=method, tile=tile, device="cpu", precision=precision)
    assert whole.dtype == precision
    assert difference(whole, tiled) < ROUNDING[precision == "float32"]


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_tiled_training_free_methods_equal_whole(name: str, ratio: int, precision: Any) -> None:
    scene = natural(ratio, 21 * 6 // ratio, 17 * 6 // ratio)
    whole = fuse(scene, model=name, tile=None, device="cpu", precision=precision)
    tiled = fuse(scene, model=name, tile=40, device="cpu", precision=precision)
    assert np.isfinite(values(whole)).all()
    assert difference(whole, tiled) < LOOSER.get(name, ROUNDING)[precision == "float32"]


@dataclass
class Altered:
    """A network whose footprint lies, or that takes each tile for the whole image."""

    method: NetworkMethod
    changes: dict[str, int] = field(default_factory=dict)
    own_grid: bool = False
    name: str = "altered"

    def prepare(self, calibrated: CalibratedScene, **options: Any) -> Altered:
        self.predictor = self.method.prepare(calibrated, **options)
        self.footprint = replace(self.predictor.footprint, **self.changes)  # type: ignore[arg-type]
        self.bands = self.predictor.bands
        return self

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        if self.own_grid:
            shape = tile.read.shape
            tile = replace(tile, read=Box(0, shape[0], 0, shape[1]))
        return self.predictor.predict(guide, hsi, tile, shape)


@pytest.mark.parametrize(
    ("changes", "own_grid", "tile"),
    [({"halo": 8}, False, 32), ({"halo": 0}, False, 32), ({"stride": 4}, False, 36), ({}, True, 32)],
    ids=["halo too small", "no halo", "origin off the stride", "grid per tile"],
)
def test_each_condition_of_exact_tiling_is_needed(changes: dict[str, int], own_grid: bool, tile: int) -> None:
    scene = pair(Fraction(4), 30, 30)
    whole = fuse(scene, model=network(), tile=None, device="cpu", precision="float64")
    right = fuse(scene, model=Altered(network()), tile=tile, device="cpu", precision="float64")
    wrong = fuse(scene, model=Altered(network(), changes, own_grid), tile=tile, device="cpu", precision="float64")
    assert difference(whole, right) < ROUNDING[0]
    assert difference(whole, wrong) > 1e-4


def test_a_halo_of_32_is_too_small_for_the_released_depth() -> None:
    torch.manual_seed(0)
    module = LSO(4, 3, 4, width=8, heads=2, tokens=2, basis=3, patch=4, features=8, blocks=4)
    with torch.no_grad():
        for parameter in module.parameters():
            # torch's own start damps what comes from afar; this gain keeps the variance through ReLUs
            parameter.mul_(6**0.5 if parameter.ndim == 4 else 1.0)
    scene, method = pair(Fraction(4), 64, 64), NetworkMethod(module)
    whole = fuse(scene, model=method, tile=None, device="cpu", precision="float64")
    right = fuse(scene, model=method, tile=64, device="cpu", precision="float64")
    wrong = fuse(scene, model=Altered(method, {"halo": 32}), tile=64, device="cpu", precision="float64")
    assert difference(whole, right) < ROUNDING[0]
    assert difference(whole, wrong) > 1e-6


# --- what comes out -------------------------------------------------------------


def test_the_result_says_what_it_is() -> None:
    scene = pair(Fraction(4), 6, 5, (1, 2))
    fused = fuse(scene, model=Blur(), device="cpu")
    assert fused.shape == (4, 23, 18)
    assert fused.dtype == np.float32
    assert fused.name == "low (blur)"
    np.testing.assert_array_equal(fused.wavelengths, [400, 500, 600, 700])
    assert (fused.pixel_size, fused.crs) == ((0.5, 0.5), "EPSG:32631")
    np.testing.assert_array_equal(fused.spectrum(3, 4), values(fused)[:, 3, 4])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_networks_run_in_reduced_precision(precision: Any) -> None:
    scene = pair(Fraction(4), 12, 12)
    exact, fused = (fuse(scene, model=network(), device="cpu", precision=p) for p in ("float32", precision))
    assert fused.dtype == np.float32
    assert 0 < difference(exact, fused) < 0.02


def test_arrays_and_wavelengths_will_do() -> None:
    scene = pair(Fraction(4), 6, 5)
    fused = fuse(scene.hsi.read(), scene.guide.read(), model=Blur(), wavelengths=[1, 2, 3, 4], device="cpu")
    np.testing.assert_array_equal(fused.wavelengths, [1, 2, 3, 4])
    np.testing.assert_array_equal(values(fused), values(fuse(scene, model=Blur(), device="cpu")))


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_events_tell_the_progress_and_show_the_growing_cube(tmp_path: Path, kind: str) -> None:
    scene = pair(Fraction(4), 12, 12)
    events: list[FusionProgress] = []
    shares: list[float] = []
    threads: set[int] = set()

    def watch(event: FusionProgress) -> None:
        if event.step is not None:
            return
        events.append(event)
        threads.add(threading.get_ident())
        shares.append(float(np.isfinite(values(event.cube)).mean()))
        if event.box is not None:
            assert np.isfinite(values(event.cube)[:, *event.box.slices]).all()

    out = tmp_path / "r.zarr" if kind == "folder" else None
    fused = fuse(scene, model=Blur(), tile=16, device="cpu", progress=watch, out=out)
    assert [e.done for e in events] == list(range(10))
    assert {e.total for e in events} == {9}
    assert (events[0].box, events[0].remaining, shares[0]) == (None, None, 0.0)
    assert [e.box for e in events[1:3]] == [Box(0, 16, 0, 16), Box(0, 16, 16, 32)]
    assert 0 < shares[1] < 1
    assert shares[-1] == 1
    assert events[-1].remaining == 0
    assert threads == {threading.get_ident()}
    np.testing.assert_array_equal(values(fused), values(fuse(scene, model=Blur(), tile=16, device="cpu")))


# --- no data ----------------------------------------------------------------------


def holed() -> Scene:
    scene = pair(Fraction(4), 12, 12)
    hsi, guide = scene.hsi.read(), scene.guide.read()
    hsi[1, 5, 6] = np.nan
    hsi[2] = np.nan
    guide[0, 30:33, 7] = np.nan
    return Scene(Cube.from_array(hsi), Cube.from_array(guide), 4)


def test_missing_pixels_stay_missing_and_do_not_spread() -> None:
    scene, clean = holed(), pair(Fraction(4), 12, 12)
    fused, untouched = (fuse(s, model=Blur(), tile=None, device="cpu") for s in (scene, clean))
    empty = np.zeros((4, 48, 48), bool)
    empty[1, 20:24, 24:28] = True
    empty[2] = True
    empty[:, 30:33, 7] = True
    np.testing.assert_array_equal(np.isnan(values(fused)), empty)
    # the fill reaches as far as the method does, three pixels here
    near = functional.max_pool2d(torch.from_numpy(empty).float(), 7, stride=1, padding=3).numpy() > 0
    np.testing.assert_array_equal(values(fused)[~near], values(untouched)[~near])


@pytest.mark.parametrize("tile", [8, 12, 20])
def test_missing_pixels_are_the_same_in_tiles(tile: int) -> None:
    whole, tiled = (fuse(holed(), model=Blur(), tile=t, device="cpu", precision="float64") for t in (None, tile))
    assert difference(whole, tiled) < ROUNDING[0]


def test_a_declared_no_data_value_counts_too() -> None:
    scene = pair(Fraction(2), 5, 5)
    stored = (scene.hsi.read() * 100).astype(np.int16)
    stored[:, 2, 3] = -999
    fused = fuse(Scene(Cube.from_array(stored, nodata=-999), scene.guide, 2), model=Blur(), device="cpu")
    assert np.argwhere(np.isnan(values(fused)[0])).tolist() == [[4, 6], [4, 7], [5, 6], [5, 7]]


def test_means_leave_missing_values_out() -> None:
    data = np.random.default_rng(0).random((3, 40, 50), dtype=np.float32)
    data[0, :, 7] = np.nan
    data[1, 3, 3] = np.inf
    data[2] = np.nan
    cube = Cube.from_array(data)
    expected = [np.nanmean(data[0]), np.mean(data[1][np.isfinite(data[1])]), 0]
    np.testing.assert_allclose(band_means(cube), expected, rtol=1e-6)
    np.testing.assert_allclose(band_means(cube.replace(source=None)), expected, rtol=1e-6)


# --- stopping and going on ----------------------------------------------------------


def stop_after(tiles: int) -> dict[str, Any]:
    """Return what makes a run stop once `tiles` are written."""
    seen: list[int] = []
    return {"progress": lambda event: seen.append(event.done), "should_stop": lambda: bool(seen) and seen[-1] >= tiles}


def test_a_run_stops_within_one_tile() -> None:
    method = Blur()
    flag = threading.Event()
    method.hook = lambda tile: flag.set() if tile.index == 2 else None
    with pytest.raises(Cancelled, match="of 9 tiles done"):
        fuse(pair(Fraction(4), 12, 12), model=method, tile=16, device="cpu", should_stop=flag.is_set)
    assert len(method.calls) == 3
    assert not [t for t in threading.enumerate() if t.name.startswith("specfusion")]


@pytest.mark.parametrize("name", ["detail", "network"])
def test_a_run_stops_within_a_tile(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_specfusion.progress.LOOK_INTERVAL", 0.0)
    # nothing is computed ahead of the tiles
    monkeypatch.setattr(memory, "LEARNED", 0)
    scene = natural() if name == "detail" else pair(Fraction(4), 12, 13)
    model = METHODS["detail"] if name == "detail" else network()
    begun, looks = 0, 0
    predict = TilePredictor._predict

    def counted(self: TilePredictor, *arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        return predict(self, *arguments)

    def should_stop() -> bool:
        nonlocal looks
        looks += begun == 2
        return looks == 2

    monkeypatch.setattr(TilePredictor, "_predict", counted)
    with pytest.raises(Cancelled, match="the same call continues it"):
        fuse(scene, model=model, tile=16, device="cpu", out=tmp_path / "r.zarr", should_stop=should_stop)
    # the second tile was stopped at its second look, and not tried again
    assert (begun, looks) == (2, 2)
    fused = fuse(scene, model=model, tile=16, device="cpu", out=tmp_path / "r.zarr")
    np.testing.assert_array_equal(values(fused), values(fuse(scene, model=model, tile=16, device="cpu")))


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    scene, out = pair(Fraction(4), 12, 13), tmp_path / "r.zarr"
    job: dict[str, Any] = {"model": network(), "tile": 16, "device": "cpu"}
    with pytest.raises(Cancelled, match="the same call continues it"):
        fuse(scene, **job, out=out, **stop_after(2))
    before = int(ResultStore.open(out).done.sum())
    assert 2 <= before < 6

    with pytest.raises(OutputError, match="holds another job"):
        fuse(scene, **(job | {"model": network(seed=1)}), out=out)
    with pytest.raises(OutputError, match=r"the pixels of the cube differ.*overwrite=True"):
        fuse(pair(Fraction(4), 12, 13, seed=1), **job, out=out)

    events: list[FusionProgress] = []

    def watch(event: FusionProgress) -> None:
        if event.step is None:
            events.append(event)

    fused = fuse(scene, **job, out=out, progress=watch)
    assert events[0].done == before
    assert len(events) == 12 - before + 1
    np.testing.assert_array_equal(values(fused), values(fuse(scene, **job)))
    with pytest.raises(OutputError, match="finished"):
        fuse(scene, **job, out=out)
    fuse(scene, **job, out=out, overwrite=True, progress=watch)
    assert events[-13].done == 0


def test_an_interrupted_run_goes_on_too(tmp_path: Path) -> None:
    scene, out, method = pair(Fraction(4), 12, 12), tmp_path / "r.zarr", Blur()

    def interrupt(tile: Tile) -> None:
        if tile.index == 5:
            raise KeyboardInterrupt

    method.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        fuse(scene, model=method, tile=16, device="cpu", out=out)
    method = Blur()
    fuse(scene, model=method, tile=16, device="cpu", out=out)
    assert method.calls[0].index == 5


# --- trouble --------------------------------------------------------------------------


def test_a_failing_tile_is_tried_twice_and_reported_with_its_place(tmp_path: Path) -> None:
    method, out = Blur(), tmp_path / "r.zarr"

    def fail(tile: Tile) -> None:
        if tile.index == 4:
            raise ValueError("cosmic ray")

    method.hook = fail
    with pytest.raises(FusionError, match=r"1 of 9 tiles failed \(rows 16-31, columns 16-31\): cosmic ray"):
        fuse(pair(Fraction(4), 12, 12), model=method, tile=16, device="cpu", out=out)
    assert [t.index for t in method.calls].count(4) == 2
    assert ResultStore.open(out).done.tolist() == [True] * 4 + [False] + [True] * 4

    method = Blur()
    fused = fuse(pair(Fraction(4), 12, 12), model=method, tile=16, device="cpu", out=out)
    assert [t.index for t in method.calls] == [4]
    assert np.isfinite(values(fused)).all()


def test_freed_memory_is_given_back_between_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[None] = []
    monkeypatch.setattr(run, "give_back", lambda: given.append(None))
    rng = np.random.default_rng(0)
    scene = Scene(Cube.from_array(rng.random((4, 12, 12))), Cube.from_array(rng.random((2, 48, 48))), 4)
    fuse(scene, model=Blur(), tile=16, device="cpu")
    assert not given
    monkeypatch.setattr(run, "GIVE_BACK", 0.0)
    fuse(scene, model=Blur(), tile=16, device="cpu")
    assert len(given) == 9


def test_a_tile_that_fails_once_is_no_failure() -> None:
    method = Blur()
    failed: list[int] = []

    def fail(tile: Tile) -> None:
        if tile.index not in failed:
            failed.append(tile.index)
            raise ValueError("cosmic ray")

    method.hook = fail
    assert np.isfinite(values(fuse(pair(Fraction(4), 8, 8), model=method, tile=16, device="cpu"))).all()


def test_a_source_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    class Broken:
        def spectrum(self, y: int, x: int) -> np.ndarray:
            raise NotImplementedError

        def window(self, rows: slice, columns: slice) -> np.ndarray:
            if rows.stop <= 30:
                return np.ones((3, rows.stop - rows.start, columns.stop - columns.start), np.uint8)
            raise OSError("the file ends early")

    scene = pair(Fraction(4), 12, 12)
    guide = Cube.from_array(np.ones((3, 48, 48), np.uint8)).replace(source=Broken())
    with pytest.raises((FusionError, OSError), match="the file ends early"):
        fuse(Scene(scene.hsi, guide, 4), model=Blur(), tile=None, device="cpu", out=tmp_path / "r.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("writes_before", [0, 7])
def test_a_disk_that_fills_up_keeps_the_finished_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes_before: int
) -> None:
    original, writes = zarr.Array.__setitem__, []

    def refuse(self: Any, key: Any, value: Any) -> None:
        writes.append(key)
        if len(writes) > writes_before:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, key, value)

    scene, out = pair(Fraction(4), 12, 12), tmp_path / "r.zarr"
    job: dict[str, Any] = {"model": Blur(), "tile": 16, "device": "cpu", "out": out}
    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "__setitem__", refuse)
        with pytest.raises(OutputError, match=r"disk filled up.*make room"):
            fuse(scene, **job)
    assert [path.name for path in tmp_path.iterdir()] == (["r.zarr"] if writes_before else [])
    method = Blur()
    fused = fuse(scene, **job | {"model": method})
    assert len(method.calls) == (6 if writes_before else 9)
    np.testing.assert_array_equal(values(fused), values(fuse(scene, **job | {"out": None})))


def test_a_model_that_does_not_fit_leaves_nothing_and_replaces_nothing(tmp_path: Path) -> None:
    out = tmp_path / "r.zarr"
    for overwrite in (False, True):
        with pytest.raises(ModelError, match="bands"):
            fuse(pair(Fraction(4), 8, 8), model=network(bands=5), device="cpu", out=out, overwrite=overwrite)
        assert out.exists() is overwrite
        fuse(pair(Fraction(4), 8, 8), model=Blur(), device="cpu", out=out, overwrite=True)
    assert ResultStore.open(out).done.all()


@pytest.mark.parametrize("limit", [20, 33])
def test_a_tile_too_large_for_the_memory_is_computed_in_pieces(limit: int) -> None:
    scene, method, messages = pair(Fraction(4), 14, 13), Blur(), []

    def fail(tile: Tile) -> None:
        if max(tile.core.shape) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    whole = fuse(scene, model=Blur(), tile=None, device="cpu", precision="float64")
    method.hook = fail
    pieces = fuse(
        scene,
        model=method,
        tile=None,
        device="cpu",
        precision="float64",
        progress=lambda event: messages.append(event.message),
    )
    assert difference(whole, pieces) < ROUNDING[0]
    assert [m for m in messages if "Memory ran out" in m]


def test_a_memory_too_small_for_anything_is_an_error() -> None:
    method = Blur()

    def fail(_: Tile) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    method.hook = fail
    with pytest.raises(FusionError, match="Even a tile of 4 pixels"):
        fuse(pair(Fraction(4), 8, 8), model=method, tile=16, device="cpu")


def test_a_listener_that_raises_ends_the_run() -> None:
    def raise_(event: FusionProgress) -> None:
        if event.done:
            raise KeyError("listener")

    with pytest.raises(KeyError, match="listener"):
        fuse(pair(Fraction(4), 12, 12), model=Blur(), tile=16, device="cpu", progress=raise_)
    assert not [t for t in threading.enumerate() if t.name.startswith("specfusion")]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"tile": 0}, FusionError, "tile is 0"),
        ({"tile": "big"}, FusionError, "tile is 'big'"),
        ({"precision": "int8"}, FusionError, "precision is 'int8'"),
        ({"precision": "bfloat16"}, ModelError, "for networks"),
        ({"device": "abacus"}, FusionError, "'abacus' cannot be used"),
        ({"guide": np.ones((3, 9, 9))}, SceneError, "leave the arguments out"),
        ({"out": "result.tif"}, OutputError, ".zarr"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    method = Blur()
    with pytest.raises(error, match=match):
        fuse(pair(Fraction(4), 8, 8), **({"model": method, "device": "cpu"} | arguments))
    assert not method.calls


def test_a_cube_alone_is_no_pair() -> None:
    with pytest.raises(SceneError, match="no guide"):
        fuse(np.ones((4, 5, 5)), model=Blur())


@pytest.mark.parametrize("tile", ["auto", 16, None])
def test_a_method_that_looks_at_everything_is_not_tiled_within_its_window(tile: Any) -> None:
    @dataclass
    class Global(Blur):
        @property
        def footprint(self) -> Footprint:
            return Footprint(0, window=512)

    method = Global()
    fuse(pair(Fraction(4), 12, 12), model=method, tile=tile, device="cpu")
    assert [tile.core for tile in method.calls] == [Box(0, 48, 0, 48)]


# --- memory ---------------------------------------------------------------------------

LARGE = """
import sys, time
import dask.array as da
import numpy as np
from napari_specfusion import fuse
from napari_specfusion.bench.isolated import peak_memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.sensor.sampling import Psf
from napari_specfusion.data.scene import Scene
from napari_specfusion.sensor.srf import Srf

def pattern(bands, side, period):
    def block(block_info=None):
        (b0, b1), (y0, y1), (x0, x1) = block_info[None]["array-location"]
        b, y, x = np.ogrid[b0:b1, y0:y1, x0:x1]
        return (0.5 + 0.2 * np.sin(y / period + b / 5) + 0.2 * np.cos(x / period / 1.7)).astype(np.float32)
    chunks = ((bands,), (256,) * (side // 256), (256,) * (side // 256))
    return da.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))

hsi = Cube(pattern(31, 1024, 10), wavelengths=np.linspace(400, 700, 31))
guide = Cube(pattern(3, 4096, 40))
srf = np.repeat(np.eye(3), [10, 10, 11], axis=1) / 10
start = time.perf_counter()
scene = Scene(hsi, guide, 4, psf=Psf(2.0), shift=(0.0, 0.0), srf=Srf(srf))
fused = fuse(scene, model=sys.argv[2], device="cpu", out=sys.argv[1])
assert np.isfinite(fused.spectrum(4000, 4000)).all()
print(peak_memory(), time.perf_counter() - start)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a process is not known on Windows")
@pytest.mark.parametrize("name", sorted(METHODS))
def test_memory_is_bounded_by_the_tile(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", LARGE, str(tmp_path / "r.zarr"), name]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    gigabytes, seconds = map(float, run.stdout.split())
    print(f"{name}: {gigabytes:.2f} GB, {seconds:.0f} s")
    assert gigabytes < 2
