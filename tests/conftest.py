"""What every test gets: the sample data where it is, no network, no Qt widget left behind; small networks."""

from __future__ import annotations

import gc
import importlib.util
import os
import socket
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from napari_specfusion.data.scene import Scene
    from napari_specfusion.tiling.contract import Predictor

# Read when torch and the array libraries load: tests of small arrays gain nothing from many threads.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))

ROOT = Path(__file__).parent.parent
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", ""}


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real scenes: $SPECFUSION_DATA, or shared/data beside the repository."""
    path = Path(os.environ.get("SPECFUSION_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real scenes in {path}; SPECFUSION_DATA names another folder")
    return path


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects to another machine."""

    def guard(connect: Any) -> Any:
        def guarded(self: socket.socket, address: Any) -> Any:
            # A datagram socket sends nothing on connect; dask asks it for the machine's own address.
            remote = self.family in (socket.AF_INET, socket.AF_INET6) and self.type & socket.SOCK_STREAM
            if remote and address[0] not in LOCAL_HOSTS:
                self.close()
                pytest.fail(f"a test tried to connect to {address}")
            return connect(self, address)

        return guarded

    monkeypatch.setattr(socket.socket, "connect", guard(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guard(socket.socket.connect_ex))


@pytest.fixture(autouse=True)
def no_widget_left() -> Iterator[None]:
    """Fail a test after which a top-level Qt widget of its own still lives."""
    before = {id(widget) for widget in top_level_widgets()}
    yield
    if any(id(widget) not in before for widget in top_level_widgets()):
        gc.collect()
    left = [widget for widget in top_level_widgets() if id(widget) not in before]
    names = [f"{type(widget).__name__} {widget.objectName()!r}" for widget in left]
    for widget in left:
        widget.close()
        widget.deleteLater()
    top_level_widgets()
    assert not names, f"the test leaves widgets behind: {', '.join(names)}; close them, or hand them to qtbot.addWidget"


def top_level_widgets() -> list[Any]:
    """Return the Qt widgets without a parent, after the deletions that wait; none while Qt is not loaded."""
    if "qtpy" not in sys.modules:
        return []
    from qtpy.QtCore import QCoreApplication, QEvent
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:
        return []
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return QApplication.topLevelWidgets()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a CUDA device where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("cuda")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


# --- devices ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def simulated() -> Any:
    """Return the module of the simulated device; torch knows one accelerator, so not where there is a real one."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch has one accelerator, and here it is real")
    spec = importlib.util.spec_from_file_location("simulated", Path(__file__).with_name("simulated.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- methods and networks ------------------------------------------------------

GOLDEN = ROOT.parent / "shared" / "reference" / "golden"
SMALL = {"width": 8, "heads": 2, "tokens": 2, "basis": 3, "slices": 4, "features": 8, "blocks": 1}


def run_predictor(
    predictor: Predictor, scene: Scene, core: int | None = None, dtype: Any = None
) -> NDArray[np.float64]:
    """Return the fused image ``(bands, *scene.shape)``; padding repeats the last pixel, missing values are 0."""
    import torch

    from napari_specfusion.tiling.tiles import TileGrid, padded_shape

    shape = padded_shape(scene.shape, scene.factor, predictor.footprint.multiple)
    low = tuple(int(n / scene.factor) for n in shape)
    guide, hsi = (padded(np.nan_to_num(c.read()), size) for c, size in ((scene.guide, shape), (scene.hsi, low)))
    dtype = torch.float64 if dtype is None else dtype
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
    from napari_specfusion.networks.registry import NETWORKS

    return lambda name: {key: value for key, value in SMALL.items() if key in NETWORKS[name].sizes}


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, torch.Tensor]]:
    """Return a function: name -> guide, hsi and fused of a golden file, ``(1, bands, y, x)`` each."""

    import torch

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

    import torch

    def state(module: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
        made = {key: made_up_weight(key, value, seed) for key, value in module.state_dict().items()}
        for part in ("sub_mean", "add_mean"):
            made[f"spatial_encoder.{part}.weight"] = torch.eye(3)[..., None, None]
            made[f"spatial_encoder.{part}.bias"] = torch.zeros(3)
        return made

    return state


def made_up_weight(key: str, initial: torch.Tensor, seed: int) -> torch.Tensor:
    import torch

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
