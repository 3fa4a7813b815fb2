"""The layer of a result: in its place at once, and as coarse as the window needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_specfusion import memory
from napari_specfusion.data.cube import Cube
from napari_specfusion.fusion import fuse
from napari_specfusion.fusion.recipe import Recipe
from napari_specfusion.io.formats.zarr import pyramid
from napari_specfusion.widgets._fused_layer import FusedLayer
from napari_specfusion.widgets._layers import plane_matrix
from napari_specfusion.widgets._origins import origin_of
from napari_specfusion.widgets._probe import spot_at

if TYPE_CHECKING:
    from pathlib import Path

    from napari_specfusion.data.scene import Scene

MATRIX = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -5.0], [0.0, 0.0, 1.0]])


@pytest.fixture(params=[1, memory.SHOWN_WHOLE], ids=["large", "small"])
def fused(scene: Scene, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cube:
    monkeypatch.setattr(memory, "SHOWN_WHOLE", request.param)
    monkeypatch.setattr(pyramid, "COARSEST_SIDE", 24)
    return fuse(scene, model="bicubic", tile=32, out=tmp_path / "fused.zarr", device="cpu")


def test_a_result_on_disk_is_shown_and_used(pair_in: Any, fused: Cube, tmp_path: Path) -> None:
    recipe = Recipe("a", "b", out=tmp_path / "fused.zarr")
    shown = FusedLayer(pair_in, pair_in.layers["low-res cube"], pair_in.layers["guide"], MATRIX, "fused", recipe)
    shown.show(fused)
    layer = pair_in.layers["fused"]
    assert layer.multiscale == (memory.SHOWN_WHOLE == 1)
    np.testing.assert_allclose(plane_matrix(layer), plane_matrix(pair_in.layers["guide"]) @ MATRIX)
    shown.redraw()
    shown.finish(fused)
    assert layer.name == "fused bicubic" and origin_of(layer).path == tmp_path / "fused.zarr"
    # whoever works with the layer has all of it
    np.testing.assert_array_equal(Cube.from_layer(layer).read(), fused.read())
    assert Cube.from_layer(layer).shape == fused.shape
    pair_in.dims.set_current_step(0, 7)
    if layer.multiscale:
        whole, half = layer.data[0], layer.data[1]
        assert half.shape[1:] == (48, 48)
        expected = np.asarray(whole).reshape(31, 48, 2, 48, 2).mean(axis=(2, 4))
        np.testing.assert_allclose(np.asarray(half), expected, rtol=1e-5, atol=1e-6)
    assert spot_at(layer, tuple(plane_matrix(layer) @ (20.0, 20.0, 1.0))[:2]).pixel == (20, 20)


def test_a_layer_is_read_once_until_it_lies_in_its_place(
    pair_in: Any, fused: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.layers import Image

    slices: list[str] = []
    real = Image.set_view_slice
    monkeypatch.setattr(Image, "set_view_slice", lambda self: slices.append(self.name) or real(self))
    shown = FusedLayer(pair_in, pair_in.layers["low-res cube"], pair_in.layers["guide"], MATRIX, "fused")
    shown.show(fused)
    # as often as napari itself reads a new layer: of one with coarser copies it first takes the coarsest
    assert slices.count("fused") <= 1 + pair_in.layers["fused"].multiscale
