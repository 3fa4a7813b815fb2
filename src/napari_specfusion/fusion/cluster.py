"""Fusing the tiles of a scene on a cluster of dask.distributed.

::

    this process                        scheduler                  each worker
    ------------                        ---------                  -----------
    prepares the method, once
    the job  -------------------------- direct ------------------> unpacked once, on its device
    tile numbers  --------------------> tile numbers  -----------> reads its part of the files, predicts,
                                                                   writes its part of the store
    small pyramid levels, flags  <----- "tile 7 is written"  <----

No pixel passes the scheduler: inputs and result lie on a disk that all workers share.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion import memory
from napari_specfusion.data.computed import persisted
from napari_specfusion.errors import Cancelled, FusionError, OutputError, needs_extra
from napari_specfusion.fusion.cluster_job import Job, end_job, fuse_tile, packed
from napari_specfusion.fusion.run import FusionProgress, Report
from napari_specfusion.fusion.shared_store import SharedLevels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client, Future

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.fusion.store import ResultStore
    from napari_specfusion.progress import ShouldStop
    from napari_specfusion.tiling.contract import Predictor
    from napari_specfusion.tiling.tile_reader import TileReader
    from napari_specfusion.tiling.tiles import Box, TileGrid

__all__ = ["Cluster", "connect"]

# how often the scheduler runs a tile again that failed: as often as the engine does on one machine
RETRIES = 1
# how often lost tiles are handed out again
ROUNDS = 3
# s between two looks at what has arrived
PAUSE = 0.05
# part of the time that may go into the shared levels while tiles arrive
SHARE = 0.1


def connect(address: str) -> Client:
    """Return a client of the scheduler at `address`, such as ``tcp://10.0.0.1:8786``; other computations stay local.

    Raises
    ------
    FusionError
        If dask.distributed is not installed, or there is no scheduler.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise FusionError(f"A scheduler {needs_extra('distributed')}.") from error
    try:
        return Client(address, set_as_default=False)
    except Exception as error:  # the client raises anything for a wrong address
        reason = str(error) or repr(error)
        raise FusionError(
            f"There is no scheduler at {address!r} ({reason}); give the address that it printed when it started, such "
            "as tcp://10.0.0.1:8786."
        ) from error


@dataclass(frozen=True)
class Cluster:
    """Where a fusion runs that is not run here.

    Attributes
    ----------
    client
        Of the cluster.
    device, precision
        Where and how its workers compute. Where workers state a resource ``GPU``, a tile takes one, unless the device
        is the CPU.
    """

    client: Client
    device: str
    precision: str

    @classmethod
    def of(cls, client: Any, device: str, precision: str, out: Any) -> Cluster:
        """Check, before any work, that there are a client and a place for the result.

        Raises
        ------
        FusionError
            If not.
        """
        if not hasattr(client, "scatter") or getattr(client, "asynchronous", False):
            raise FusionError(f"client is {client!r}; give a distributed.Client that is not asynchronous.")
        if out is None:
            raise FusionError(
                "On a cluster, the workers write the result; give out='result.zarr' on a disk that all of them share."
            )
        return cls(client, device, precision)

    def check(self, calibrated: CalibratedScene) -> None:
        """Check that workers can read the two images themselves.

        Raises
        ------
        FusionError
            If an image is in memory and not small, or cannot be sent at all.
        """
        import cloudpickle

        for cube in (calibrated.stated.hsi, calibrated.stated.guide):
            save = f"save it on a disk that all workers share, and fuse the file: {cube.name}.save('file.zarr')"
            if persisted(cube.data):
                raise FusionError(f"{cube.name} is computed on a cluster; {save}.")
            try:
                cloudpickle.dump(cube, _Limited(memory.CARRIED))
            except _TooLarge:
                raise FusionError(
                    f"{cube.name} is in memory, and more than the {memory.CARRIED >> 20} MB that are sent to workers; "
                    f"{save}."
                ) from None
            except Exception as error:  # anything can be part of a lazy array
                raise FusionError(f"{cube.name} cannot be sent to workers ({error}); {save}.") from error

    def run(
        self,
        work: tuple[Predictor, TileReader, TileGrid],
        result: ResultStore,
        progress: Callable[[FusionProgress], None] | None,
        should_stop: ShouldStop | None,
        message: str = "",
    ) -> list[tuple[Box, Exception]]:
        """Fuse every tile that is not done, reporting `message` first.

        Parameters
        ----------
        work
            The predictor, on the CPU, the reader of files that the workers see, and the tiles.
        result
            A store on a disk that the workers see.
        progress
            Called with the progress of the run.
        should_stop
            Called several times a second; true stops the run.
        message
            Further information for the first event.

        Returns
        -------
        list
            The tiles that failed twice, with the error.

        Raises
        ------
        Cancelled
            If `should_stop` returned true.
        OutputError
            If a worker cannot see or write the result.
        """
        _, reader, grid = work
        finisher = _Finisher(result, Report(result, progress, message))
        todo = np.flatnonzero(~result.done).tolist()
        failures: list[tuple[Box, Exception]] = []
        if not todo:
            return failures

        def check() -> None:
            if should_stop is not None and should_stop():
                finisher.finish(at_once=True)
                raise Cancelled(
                    f"The fusion was stopped with {int(result.done.sum())} of {len(result.done)} tiles done; the same "
                    "call continues it."
                )

        while not (workers := self.client.scheduler_info(n_workers=-1)["workers"]):
            finisher.say("Waiting for the first worker of the cluster.")
            check()
            time.sleep(PAUSE)
        gpus = self.device != "cpu" and any(worker["resources"].get("GPU") for worker in workers.values())
        job = Job(uuid.uuid4().hex, str(result.path.absolute()), packed(*work), self.device, self.precision)
        run = _Run(self.client, job, {"GPU": 1.0} if gpus else None)
        try:
            run.submit(todo)
            while run.pending:
                check()
                for index, answer in run.arrived():
                    core = grid[index].core.clip(reader.scene.shape)
                    if isinstance(answer, OutputError):
                        raise answer
                    if isinstance(answer, Exception):
                        failures.append((core, answer))
                    else:
                        finisher.add(index, core, *answer)
                finisher.finish(at_once=not run.pending)
        except BaseException:
            # a full disk keeps what was written
            with suppress(OutputError):
                finisher.finish(at_once=True)
            raise
        finally:
            run.end()
        return failures


class _Run:
    """The tasks of one job."""

    def __init__(self, client: Client, job: Job, needs: dict[str, float] | None) -> None:
        from distributed import as_completed

        self.pending: dict[Any, tuple[int, Future[tuple[int, str]]]] = {}
        self._client, self._job, self._needs = client, job, needs
        self._completed = as_completed([], loop=client.loop)
        self._rounds = 0
        self._sent: Future[Job] | None = None

    def submit(self, tiles: list[int]) -> None:
        """Hand out tiles, and the job first, to one worker, from which the others get it.

        Dask's own way to send it to all waits for ever for a worker that dies meanwhile.
        """
        self._rounds += 1
        self._sent = self._hand_over()
        futures = self._client.map(
            fuse_tile,
            tiles,
            job=self._sent,
            key=[(f"fuse_tile-{self._job.key}-{self._rounds}", index) for index in tiles],
            pure=False,
            retries=RETRIES,
            resources=self._needs,
        )
        self.pending |= {future.key: (index, future) for index, future in zip(tiles, futures, strict=True)}
        self._completed.update(futures)

    def _hand_over(self) -> Future[Job]:
        """Send the job to a worker that lives."""
        for attempt in itertools.count(1):
            try:
                sent: Future[Job] = self._client.scatter(self._job, direct=True, hash=False)
                break
            except (OSError, TimeoutError) as error:
                if attempt == ROUNDS:
                    raise FusionError(
                        f"No worker takes the job ({error}); look at their logs, and that this process reaches them."
                    ) from error
                time.sleep(PAUSE)
        return sent

    def arrived(self) -> Iterator[tuple[int, tuple[int, str] | Exception]]:
        """Yield the tiles that came to an end since the last call, with what the worker answers, or the error."""
        batch = self._completed.next_batch(block=False)
        if not batch:
            time.sleep(PAUSE)
        finished = [future for future in batch if future.status == "finished"]
        answers = dict(zip(finished, self._client.gather(finished), strict=True))
        lost = []
        for future in batch:
            index, _ = self.pending.pop(future.key)
            if future in answers:
                yield index, answers[future]
            elif future.status == "error":
                yield index, _explained(future.exception())
            elif self._rounds < ROUNDS:
                lost.append(index)
            else:
                yield index, FusionError("Its workers were lost again and again; look at their logs.")
        if lost:
            self.submit(lost)

    def end(self) -> None:
        """Stop what still runs, wait until no worker writes any more, and free what the workers keep."""
        if self.pending:
            self._client.cancel([future for _, future in self.pending.values()])
        self._client.run(end_job, self._job.key, on_error="ignore")
        self.pending.clear()
        self._sent = None


class _Finisher:
    """Finishes tiles in groups, so that large results do not wait for their small levels."""

    def __init__(self, result: ResultStore, report: Report) -> None:
        self._result, self._report = result, report
        self._shared = SharedLevels(result.path, len(result.done))
        self._tiles: dict[int, tuple[Box, int]] = {}
        self._said: list[str] = []
        self._next = 0.0

    def add(self, index: int, box: Box, checksum: int, message: str) -> None:
        """Take a tile that a worker wrote."""
        self._tiles[index] = box, checksum
        if message:
            self.say(message)

    def say(self, message: str) -> None:
        """Report a message, but once."""
        if message not in self._said:
            self._said.append(message)
            self._report.tiles(deque(), message)

    def finish(self, *, at_once: bool) -> None:
        """Finish the tiles that were added, if it is time to."""
        start = time.perf_counter()
        if not self._tiles or (start < self._next and not at_once):
            return
        tiles, self._tiles = self._tiles, {}
        self._result.check()
        self._shared.finish([box for box, _ in tiles.values()])
        self._result.record({index: checksum for index, (_, checksum) in tiles.items()})
        end = time.perf_counter()
        self._next = end + (end - start) * (1 / SHARE - 1)
        self._report.tiles(deque(box for box, _ in tiles.values()))


def _explained(error: BaseException | None) -> Exception:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return FusionError(
            "Several workers died while they fused it, probably for want of memory; give workers more, or smaller "
            "tiles (tile=)."
        )
    return error if isinstance(error, Exception) else FusionError(repr(error))


class _TooLarge(Exception):
    pass


class _Limited:
    """A file that takes only so many bytes, and keeps none."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._left -= size
        if self._left < 0:
            raise _TooLarge
        return size
