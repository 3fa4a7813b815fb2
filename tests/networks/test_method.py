"""Networks as methods: what they accept, the range of values, the coordinates, reduced precision."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.scene import Scene
from napari_specfusion.errors import ModelError
from napari_specfusion.networks.method import NetworkMethod, value_scales
from napari_specfusion.tiling.tiles import Box, Footprint, Tile


class Recorder(nn.Module):
    """Enlarges the cube by repetition and remembers what it was given."""

    def __init__(self, bands: int = 4, ratio: int = 2, uses_grid: bool = True) -> None:
        super().__init__()
        self.bands, self.guide_bands, self.ratio, self.uses_grid = bands, 3, ratio, uses_grid
        self.gain = nn.Parameter(torch.ones(()))
        self.mix = nn.Conv2d(bands, bands, 1)
        nn.init.dirac_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]
        self.seen: dict[str, Any] = {}

    def footprint(self) -> Footprint:
        return Footprint(2, uses_grid=self.uses_grid)

    def forward(self, guide: torch.Tensor, hsi: torch.Tensor, **options: Any) -> torch.Tensor:
        self.seen.update(guide=guide, hsi=hsi, **options)
        big = hsi.repeat_interleave(self.ratio, -1).repeat_interleave(self.ratio, -2)
        return self.mix(big) * self.gain  # type: ignore[no-any-return]


def scene(cube_level: float = 1.0, guide_level: float = 1.0, bands: int = 4) -> Scene:
    rng = np.random.default_rng(0)
    hsi = rng.random((bands, 8, 8), dtype=np.float32) * np.float32(cube_level)
    guide = rng.random((3, 16, 16), dtype=np.float32) * np.float32(guide_level)
    return Scene(Cube.from_array(hsi), Cube.from_array(guide), 2)


def whole(pair: Scene) -> tuple[torch.Tensor, torch.Tensor, Tile, tuple[int, int]]:
    box = Box(0, 16, 0, 16)
    return torch.from_numpy(pair.guide.read()), torch.from_numpy(pair.hsi.read()), Tile(0, box, box), (16, 16)


def test_a_network_is_copied_and_left_alone() -> None:
    module = Recorder().train()
    predictor = NetworkMethod(module, "mine").prepare(CalibratedScene(scene()), dtype=torch.float64)
    assert predictor.module is not module
    assert next(predictor.module.parameters()).dtype == torch.float64
    assert next(module.parameters()).dtype == torch.float32
    assert module.training
    assert not predictor.module.training
    assert NetworkMethod(module).name == "recorder"


@pytest.mark.parametrize(
    ("module", "match"),
    [(Recorder(bands=5), "cube has 4 bands, recorder was made for 5"), (Recorder(ratio=4), "ratio is 2, .* for 4")],
)
def test_a_scene_that_does_not_fit_is_named(module: Recorder, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        NetworkMethod(module).prepare(CalibratedScene(scene()))


def test_another_guide_is_named() -> None:
    module = Recorder()
    module.guide_bands = 1
    with pytest.raises(ModelError, match=r"guide has 3 bands.*weights for this sensor"):
        NetworkMethod(module).prepare(CalibratedScene(scene()))


@pytest.mark.parametrize("level", [0.05, 0.5, 1.0, 1.4])
def test_values_of_about_one_pass_untouched(level: float) -> None:
    pair = scene(level, level)
    predictor = NetworkMethod(Recorder()).prepare(CalibratedScene(pair))
    guide, hsi, tile, shape = whole(pair)
    fused = predictor.predict(guide, hsi, tile, shape)
    seen: Any = predictor.module.seen
    assert torch.equal(seen["guide"][0], guide)
    assert torch.equal(seen["hsi"][0], hsi)
    assert torch.equal(fused[:, ::2, ::2], hsi)


@pytest.mark.parametrize("levels", [(10000, 10000), (1, 255), (4000, 1), (0.001, 0.002), (0.5, 1e-3)])
def test_other_values_are_brought_to_about_one_and_back(levels: tuple[float, float]) -> None:
    pair = scene(*levels)
    predictor = NetworkMethod(Recorder()).prepare(CalibratedScene(pair))
    guide, hsi, tile, shape = whole(pair)
    fused = predictor.predict(guide, hsi, tile, shape)
    seen: Any = predictor.module.seen
    assert 0.9 < float(seen["guide"].max()) < 1.1
    assert 0.9 < float(seen["hsi"].max()) < 1.1
    torch.testing.assert_close(fused[:, ::2, ::2], hsi)


def test_a_few_bright_pixels_do_not_count_and_missing_ones_neither() -> None:
    values = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
    values[0, 3, 3] = 1e6
    values[1, 5] = np.nan
    pair = Scene(Cube.from_array(values), Cube.from_array(np.ones((3, 128, 128), np.float32)), 2)
    assert value_scales(pair) == (1.0, 1.0)


def test_a_black_image_is_not_divided_by_zero() -> None:
    pair = Scene(Cube.from_array(np.zeros((4, 8, 8))), Cube.from_array(np.ones((3, 16, 16))), 2)
    assert value_scales(pair) == (1.0, 1.0)


def test_coordinates_are_cut_out_of_the_whole_images() -> None:
    pair = scene()
    predictor = NetworkMethod(Recorder()).prepare(CalibratedScene(pair))
    box = Box(4, 12, 2, 16)
    guide, hsi = pair.guide.read()[:, *box.slices], pair.hsi.read()[:, *box.divide(Fraction(2)).slices]
    predictor.predict(torch.from_numpy(guide), torch.from_numpy(hsi), Tile(0, box, box), (20, 30))
    rows, columns = predictor.module.seen["grid"]  # type: ignore[index]
    assert torch.equal(rows, torch.linspace(0, 1, 20)[4:12])
    assert torch.equal(columns, torch.linspace(0, 1, 30)[2:16])


def test_a_network_without_coordinates_gets_none() -> None:
    pair = scene()
    predictor = NetworkMethod(Recorder(uses_grid=False)).prepare(CalibratedScene(pair))
    predictor.predict(*whole(pair))
    assert "grid" not in predictor.module.seen  # type: ignore[operator]


def test_reduced_precision_keeps_the_weights_and_the_result_in_float32() -> None:
    pair = scene()
    predictor = NetworkMethod(Recorder()).prepare(CalibratedScene(pair), dtype=torch.bfloat16)
    guide, hsi, tile, shape = whole(pair)
    fused = predictor.predict(guide, hsi, tile, shape)
    assert fused.dtype == torch.float32
    assert next(predictor.module.parameters()).dtype == torch.float32
    error = float((fused[:, ::2, ::2] - hsi).abs().max())
    assert 1e-5 < error < 1e-2
