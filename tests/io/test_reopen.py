from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_specfusion.data.layers import METADATA_KEY
from napari_specfusion.io.reopen import cube_of_file, plain_file, what_is_told

if TYPE_CHECKING:
    from pathlib import Path

NODATA = (42113, "s", 0, "-32768", True)


def layer_of(path: object, data: Any, **fields: Any) -> Any:
    return SimpleNamespace(name="x", data=data, metadata={}, source=SimpleNamespace(path=path), **fields)


@pytest.fixture
def with_nodata(tmp_path: Path) -> Path:
    """Write a TIFF of five bands that declares a no-data value."""
    values = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    tifffile.imwrite(tmp_path / "scene.tif", values, photometric="minisblack", extratags=[NODATA])
    return tmp_path / "scene.tif"


def test_a_file_that_says_more_than_its_layer_is_opened(with_nodata: Path) -> None:
    layer = layer_of(str(with_nodata), tifffile.imread(with_nodata))
    cube = cube_of_file(layer)
    assert cube is not None and cube.shape == (5, 6, 7) and cube.nodata == -32768
    assert what_is_told(cube, layer) == ("the no-data value -32768",)


def test_a_file_that_says_nothing_more_is_left_alone(tmp_path: Path) -> None:
    values = np.zeros((5, 60, 70), np.uint8)
    tifffile.imwrite(tmp_path / "plain.tif", values, photometric="minisblack")
    assert plain_file(layer_of(str(tmp_path / "plain.tif"), values)) == tmp_path / "plain.tif"
    assert cube_of_file(layer_of(str(tmp_path / "plain.tif"), values)) is None


def test_a_cube_whose_bands_lie_last_is_told_apart(tmp_path: Path) -> None:
    values = np.zeros((6, 7, 40), np.int16)
    tifffile.imwrite(tmp_path / "last.tif", values, photometric="minisblack", planarconfig="contig")
    layer = layer_of(str(tmp_path / "last.tif"), values)
    cube = cube_of_file(layer)
    assert cube is not None and cube.shape == (40, 6, 7)
    assert what_is_told(cube, layer) == ("which axis holds the bands",)


def test_other_layers_have_no_file(with_nodata: Path, tmp_path: Path) -> None:
    values = np.zeros((5, 6, 7))
    known = layer_of(str(with_nodata), values)
    known.metadata = {METADATA_KEY: {}}
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    for layer in (
        known,
        layer_of(None, values),
        layer_of(str(tmp_path / "gone.tif"), values),
        layer_of("https://example.org/a.tif", values),
        SimpleNamespace(name="x", data=values, metadata={}),
        layer_of(str(tmp_path / "broken.tif"), values),
    ):
        assert cube_of_file(layer) is None
