"""Methods with a window, made local: blending, tiles, seams, what is computed how often, what is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import FusionError
from napari_specfusion.fusion.engine import fuse
from napari_specfusion.networks.method import NetworkMethod
from napari_specfusion.networks.registry import create_model
from napari_specfusion.tiling.tiles import Box, Footprint, Tile, TileGrid
from napari_specfusion.tiling.windows import WindowedPredictor, Windows


@dataclass
class Global:
    """A method that looks at all it is given: the enlarged cube, plus the guide's mean over the window."""

    window: int = 64
    halo: int = 0
    name: str = "global"
    level: Any = None
    calls: list[Box] = field(default_factory=list)

    def prepare(self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None) -> Global:
        del device, dtype
        self.bands, self.ratio = calibrated.stated.hsi.bands, calibrated.stated.factor
        return self

    @property
    def footprint(self) -> Footprint:
        return Footprint(self.halo, stride=4, multiple=4, window=self.window)

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        assert guide.shape[1:] == tile.read.shape
        assert hsi.shape[1:] == tile.read.divide(self.ratio).shape
        assert tile.read == tile.core.grow(self.halo).clip(shape)
        self.calls.append(tile.core)
        if self.level is not None:
            return torch.full((self.bands, *tile.read.shape), float(self.level(tile.core)), dtype=guide.dtype)
        low = tile.read.divide(self.ratio)
        rows, columns = (
            torch.arange(a, b) * self.ratio.denominator // self.ratio.numerator - start
            for a, b, start in ((tile.read.y0, tile.read.y1, low.y0), (tile.read.x0, tile.read.x1, low.x0))
        )
        return hsi[:, rows[:, None], columns] + guide.mean()


def pair(rows: int, columns: int, ratio: Fraction = Fraction(4), bands: int = 2) -> Scene:
    rng = np.random.default_rng(0)
    guide = rng.random((3, int(rows * ratio), int(columns * ratio)), dtype=np.float32)
    return Scene(Cube.from_array(rng.random((bands, rows, columns), dtype=np.float32)), Cube.from_array(guide), ratio)


def values(cube: Cube) -> np.ndarray:
    return np.asarray(cube.data)


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    window=st.integers(1, 80),
    overlap=st.none() | st.integers(0, 80),
    ratio=st.sampled_from([Fraction(2), Fraction(3), Fraction(5, 2)]),
    stride=st.sampled_from([1, 4, 6]),
)
def test_weights_add_up_to_one(
    size: tuple[int, int], window: int, overlap: int | None, ratio: Fraction, stride: int
) -> None:
    shape = (size[0] * ratio.numerator, size[1] * ratio.numerator)
    windows = Windows.of(shape, ratio, Footprint(0, stride=stride, window=window), overlap)
    for length, spans, weights in zip(shape, windows.spans, windows.weights, strict=True):
        total, covered = np.zeros(length), 0
        for (start, stop), weight in zip(spans, weights, strict=True):
            assert start % stride == start % ratio.numerator == 0
            assert start <= covered < stop <= length
            assert stop - start == windows.side or (stop == length and stop - start < windows.side + windows.step)
            assert (weight > 0).all()
            total[start:stop] += weight
            covered = stop
        assert covered == length
        np.testing.assert_allclose(total, 1, atol=1e-12)


def test_default_overlap_and_sides() -> None:
    windows = Windows.of((1200, 2000), Fraction(4), Footprint(0, 4, 4, window=512))
    assert (windows.side, windows.overlap, windows.stride) == (512, 64, 448)
    assert windows.spans[0] == ((0, 512), (448, 960), (688, 1200))
    assert Windows.of((4096, 4096), Fraction(4), Footprint(0, window=1024)).overlap == 128
    assert Windows.of((4096, 4096), Fraction(3), Footprint(0, 4, 4, window=512)).side == 504
    assert Windows.of((4096, 4096), Fraction(4), Footprint(0, window=64)).overlap == 32
    with pytest.raises(FusionError, match="between 0 and 32"):
        Windows((100, 100), 64, 40)
    with pytest.raises(FusionError, match="multiples of 12"):
        Windows((100, 100), 64, 12, step=12)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    window=st.integers(8, 90),
    tile=st.integers(1, 130),
    halo=st.sampled_from([0, 8]),
    ratio=st.sampled_from([Fraction(4), Fraction(2), Fraction(5, 2)]),
)
def test_tiled_equals_whole(size: tuple[int, int], window: int, tile: int, halo: int, ratio: Fraction) -> None:
    # the halo of the tests' method is a multiple of the step, so that it knows what it is to be given
    method, scene = Global(window, halo * ratio.numerator), pair(*size, ratio)
    tiled = fuse(scene, model=method, tile=tile, device="cpu", precision="float64")
    once = fuse(scene, model=method, tile=10_000, device="cpu", precision="float64")
    np.testing.assert_allclose(values(tiled), values(once), atol=1e-10, rtol=0)
    assert set(method.calls) == set(method.calls[-len(set(method.calls)) :])


def test_a_network_in_windows_is_the_same_in_tiles() -> None:
    torch.manual_seed(0)
    sizes = {"width": 8, "heads": 2, "slices": 4, "features": 8, "blocks": 1, "window": 64}
    method, scene = NetworkMethod(create_model("specsolver", 2, 3, 4, **sizes)), pair(37, 29)
    auto, tiled, once, whole = (
        values(fuse(scene, model=method, tile=tile, device="cpu", precision="float64"))
        for tile in ("auto", 48, 10_000, None)
    )
    for other in (tiled, once):
        np.testing.assert_allclose(auto, other, atol=1e-10, rtol=0)
    assert np.abs(auto - whole).max() > 1e-4


def test_blending_is_the_weighted_mean_of_the_windows() -> None:
    scene, method = pair(40, 30), Global(64)
    fused = values(fuse(scene, model=method, device="cpu", precision="float64"))
    windows = Windows.of((160, 120), Fraction(4), method.footprint)
    guide, hsi, expected = scene.guide.read(), scene.hsi.read(), np.zeros((2, 160, 120))
    for index in windows.touching(Box(0, 160, 0, 120)):
        box = windows.box(index)
        weight = np.outer(windows.weights[0][index[0]], windows.weights[1][index[1]])
        (y, x), (v, u) = box.slices, box.divide(Fraction(4)).slices
        values_here = hsi[:, v, u].repeat(4, 1).repeat(4, 2) + guide[:, y, x].astype(np.float64).mean()
        expected[:, y, x] += weight * values_here
    np.testing.assert_allclose(fused, expected, atol=1e-7)


@pytest.mark.parametrize("size", [(16, 16), (16, 9)])
@pytest.mark.parametrize("tile", ["auto", 16, None])
def test_an_image_no_larger_than_the_window_is_done_at_once(size: tuple[int, int], tile: Any) -> None:
    method = Global(64)
    fuse(pair(*size), model=method, tile=tile, device="cpu")
    assert method.calls == [Box(0, size[0] * 4, 0, size[1] * 4)]


def test_none_takes_a_larger_image_at_once() -> None:
    method = Global(64)
    fuse(pair(40, 50), model=method, tile=None, device="cpu")
    assert method.calls == [Box(0, 160, 0, 200)]


def test_each_window_is_computed_once_and_forgotten() -> None:
    method, scene = Global(64), pair(104, 128)
    method.prepare(CalibratedScene(scene))
    predictor = WindowedPredictor(method, scene.shape, scene.factor)
    grid = TileGrid(scene.shape, scene.factor, predictor.footprint, predictor.windows.stride)
    guide, hsi = torch.from_numpy(scene.guide.read()), torch.from_numpy(scene.hsi.read())
    kept = 0
    for tile in grid:
        (y, x), (v, u) = tile.read.slices, tile.read.divide(Fraction(4)).slices
        predictor.predict(guide[:, y, x], hsi[:, v, u], tile, scene.shape)
        kept = max(kept, predictor.kept_bytes)
    assert max(Counter(method.calls).values()) == 1
    assert len(method.calls) == len(predictor.windows.spans[0]) * len(predictor.windows.spans[1])
    assert predictor.kept_bytes == 0
    whole = 2 * 4 * 64 * 64
    # of a row of windows only what reaches into the next, and a few whole ones
    assert kept <= whole / 2 * len(predictor.windows.spans[1]) + 4 * whole


@pytest.mark.parametrize("tile", ["auto", 24, 100])
def test_the_engine_computes_each_window_once(tile: Any) -> None:
    method = Global(64)
    fuse(pair(60, 70), model=method, tile=tile, device="cpu")
    assert max(Counter(method.calls).values()) == 1


def test_too_little_memory_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = pair(60, 70)
    easy = values(fuse(scene, model=Global(64), tile=24, device="cpu"))
    for name in ("memory.WINDOW_CACHE", "tiling.windows.KEPT_WINDOWS"):
        monkeypatch.setattr(f"napari_specfusion.{name}", 1)
    method = Global(64)
    np.testing.assert_allclose(values(fuse(scene, model=method, tile=24, device="cpu")), easy, atol=1e-6)
    assert max(Counter(method.calls).values()) > 1


def seam_told(level: Any, tile: Any = "auto") -> tuple[float | None, list[str]]:
    method, scene, told = Global(64, level=level), pair(16, 24), []
    fuse(scene, model=method, tile=tile, device="cpu", progress=lambda event: told.append(event.message))
    predictor = WindowedPredictor(method, scene.shape, scene.factor)
    box = Box(0, *scene.shape[:1], 0, *scene.shape[1:])
    predictor.predict(
        torch.from_numpy(scene.guide.read()), torch.from_numpy(scene.hsi.read()), Tile(0, box, box), scene.shape
    )
    return predictor.seam, [message for message in told if message]


@pytest.mark.parametrize("tile", ["auto", 12, 1000])
def test_the_seam_between_two_windows_is_measured_and_told(tile: Any) -> None:
    # two windows of 64 pixels in 96 meet in 32; one holds 0, the other 3, and so does the result far from the seam
    seam, told = seam_told(lambda box: 3 if box.x0 else 0, tile)
    assert seam == pytest.approx(1, abs=0.01)
    assert len(told) == 1
    assert "windows of 64 pixels" in told[0]
    assert "by 1 of the range" in told[0]


def test_windows_that_agree_have_no_seam() -> None:
    method, scene = Global(64), pair(40, 40)
    scene = scene.replace(guide=Cube.from_array(np.ones((3, 160, 160), np.float32)))
    told: list[str] = []
    fuse(scene, model=method, device="cpu", progress=lambda event: told.append(event.message))
    assert "differ by 0 of the range" in "".join(told)
    assert seam_told(lambda box: 1) == (None, [])
