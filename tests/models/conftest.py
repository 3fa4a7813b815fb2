"""Running a prepared method as the engine does, in its simplest form."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_specfusion.models import NETWORKS
from napari_specfusion.tiles import TileGrid, padded_shape

if TYPE_CHECKING:
    from napari_specfusion.models.base import Predictor
    from napari_specfusion.scene import Scene

GOLDEN = Path(__file__).parents[3] / "shared" / "reference" / "golden"
SMALL = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "slices": 4, "features": 8, "blocks": 1}


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


@pytest.fixture(scope="session")
def small() -> Callable[[str], dict[str, int]]:
    """Return a function: the name of a network -> keywords that make a small one."""
    return lambda name: {key: value for key, value in SMALL.items() if key in NETWORKS[name].sizes}


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, torch.Tensor]]:
    """Return a function: name -> guide, hsi and fused of a golden file, ``(1, bands, y, x)`` each."""

    def read(name: str) -> dict[str, torch.Tensor]:
        file = GOLDEN / f"{name}.npz"
        if not file.exists():
            pytest.skip("the golden files are not here")
        with np.load(file) as stored:
            return {key: torch.as_tensor(stored[key])[None] for key in ("guide", "hsi", "fused")}

    return read


@pytest.fixture(scope="session")
def made_up() -> Callable[[torch.nn.Module, int], dict[str, torch.Tensor]]:
    """Return a function: network, seed -> the state dict of the golden files' recipe, the unused mean shifts too."""

    def state(module: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
        made = {key: made_up_weight(key, value, seed) for key, value in module.state_dict().items()}
        for part in ("sub_mean", "add_mean"):
            made[f"spatial_encoder.{part}.weight"] = torch.eye(3)[..., None, None]
            made[f"spatial_encoder.{part}.bias"] = torch.zeros(3)
        return made

    return state


def made_up_weight(key: str, initial: torch.Tensor, seed: int) -> torch.Tensor:
    if key.endswith("modes_list"):
        return initial
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    values = rng.standard_normal(tuple(initial.shape))
    if key.endswith(("latent", "temperature")):
        # the recipe's text does not say so, but the files were made with the generator's second draw here
        values = rng.standard_normal(values.shape)
        values = 0.5 * values if key.endswith("latent") else 0.5 + 0.1 * values
    elif values.ndim >= 2:
        values /= np.sqrt(np.prod(values.shape[1:]))
    else:
        values = 0.1 * values + (".ln_" in key and key.endswith("weight"))
    return torch.as_tensor(values.astype(np.float32))
