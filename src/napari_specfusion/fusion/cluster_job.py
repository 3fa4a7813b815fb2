"""What a worker of a cluster does: one task fuses one tile and writes it.

A job is prepared once and sent to every worker once. A task is the number of a tile, its result a checksum and a
message. Inputs are read, and results written, by the worker itself.
"""

from __future__ import annotations

import asyncio
import io
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.device import computing, pick_device
from napari_specfusion.errors import Cancelled
from napari_specfusion.fusion.shared_store import TileWriter
from napari_specfusion.tiling.tile_runner import TilePredictor

if TYPE_CHECKING:
    from napari_specfusion.tiling.contract import Predictor
    from napari_specfusion.tiling.tile_reader import TileReader
    from napari_specfusion.tiling.tiles import TileGrid

__all__ = ["Job", "end_job", "fuse_tile", "packed"]


@dataclass(frozen=True)
class Job:
    """A prepared fusion on its way to the workers.

    Attributes
    ----------
    key
        Identifies it.
    path
        The store that the tiles are written to.
    content
        The predictor, the reader and the grid, see `packed`.
    device, precision
        Where and how the workers compute; ``"auto"`` is the fastest device of each.
    """

    key: str
    path: str
    content: bytes
    device: str
    precision: str


def packed(predictor: Predictor, reader: TileReader, grid: TileGrid) -> bytes:
    """Return what a worker needs to fuse tiles, so that it can put the tensors on its own device."""
    import cloudpickle
    import torch

    file = io.BytesIO()
    torch.save((predictor, reader, grid), file, pickle_module=cloudpickle)
    return file.getvalue()


def fuse_tile(index: int, *, job: Job) -> tuple[int, str]:
    """Fuse and write one tile; return the checksum of what was read, from 1 on, and a message, mostly empty."""
    worker = _ready(job)
    with _Running(job.key):
        return worker.fuse(index)


async def end_job(key: str) -> None:
    """Let the tiles of a job that are being fused here come to an end, start no others, and forget the job."""
    _ended.add(key)
    while _running.get(key):
        await asyncio.sleep(0.02)
    _workers.pop(key, None)


class _Worker:
    """A job, ready to fuse in this process."""

    def __init__(self, job: Job) -> None:
        import torch

        device = self._device = torch.device(pick_device(job.device, job.precision))
        self._precision = job.precision
        # sent by the client of this cluster, which may run any code here
        content: Any = torch.load(io.BytesIO(job.content), map_location=device, weights_only=False)
        predictor, self._reader, self._grid = content
        self._predict = TilePredictor(predictor, self._grid, device)
        self._writer = TileWriter(job.path)
        # threads of one worker share its model and its device; they read and write while another one computes
        self._computing = threading.Lock()
        self._threads = _threads_of_this_worker()

    def fuse(self, index: int) -> tuple[int, str]:
        tile = self._grid[index]
        window = self._reader.read(tile)
        with self._computing:
            _compute_with(self._threads)
            with computing(self._device, self._precision):
                values = self._predict(tile, window)
            message = self._predict.take_message()
        if window.missing is not None:
            values[window.missing] = np.nan
        core = tile.core.clip(self._reader.scene.shape)
        height, width = core.shape
        self._writer.write(core, values[:, :height, :width])
        return window.checksum or 1, message


def _threads_of_this_worker() -> int:
    """Return how many threads dask gave to this process, 0 if the process is not a worker's own."""
    from distributed import get_worker

    worker = get_worker()
    return 0 if worker.nanny is None else int(worker.state.nthreads)


def _compute_with(threads: int) -> None:
    """Let this thread use the cores of its worker; dask limits what computes inside a process to one."""
    import torch

    if threads > torch.get_num_threads():
        torch.set_num_threads(threads)


# the jobs of this process, by their keys
_workers: dict[str, _Worker] = {}
_running: dict[str, int] = {}
_ended: set[str] = set()
_lock = threading.Lock()


def _ready(job: Job) -> _Worker:
    """Return the job, unpacked when the first of its tiles comes to this process."""
    with _lock:
        if job.key not in _workers:
            _workers[job.key] = _Worker(job)
        return _workers[job.key]


class _Running:
    """Counts the tiles that are being fused."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        with _lock:
            if self._key in _ended:
                raise Cancelled("The fusion was stopped.")
            _running[self._key] = _running.get(self._key, 0) + 1

    def __exit__(self, *_: object) -> None:
        with _lock:
            _running[self._key] -= 1
