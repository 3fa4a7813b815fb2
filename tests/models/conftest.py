"""Running a prepared method as the engine does, in its simplest form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_specfusion.tiles import TileGrid, padded_shape

if TYPE_CHECKING:
    from napari_specfusion.models.base import Predictor
    from napari_specfusion.scene import Scene


def run_predictor(
    predictor: Predictor, scene: Scene, core: int | None = None, dtype: torch.dtype = torch.float64
) -> NDArray[np.float64]:
    """Return the fused image ``(bands, *scene.shape)``; padding repeats the last pixel, missing values are 0."""
    shape = padded_shape(scene.shape, scene.factor, predictor.footprint.multiple)
    low = tuple(int(n / scene.factor) for n in shape)
    guide, hsi = (padded(np.nan_to_num(c.read()), size) for c, size in ((scene.guide, shape), (scene.hsi, low)))
    fused = np.empty((predictor.bands, *shape))
    for tile in TileGrid(shape, scene.factor, predictor.footprint, core):
        sharp, coarse = guide[:, *tile.read.slices], hsi[:, *tile.read.divide(scene.factor).slices]
        values = predictor.predict(torch.tensor(sharp, dtype=dtype), torch.tensor(coarse, dtype=dtype), tile, shape)
        assert values.shape == (predictor.bands, *tile.read.shape)
        fused[:, *tile.core.slices] = values[:, *tile.crop.slices].numpy()
    return fused[:, : scene.shape[0], : scene.shape[1]]


def padded(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    image = image[:, : shape[0], : shape[1]]
    return np.pad(image, ((0, 0), *((0, n - m) for n, m in zip(shape, image.shape[1:], strict=True))), mode="edge")


@pytest.fixture(scope="session")
def predict() -> Callable[..., NDArray[np.float64]]:
    """Return `run_predictor`."""
    return run_predictor
