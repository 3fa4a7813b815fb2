"""The run over the tiles of a fusion: read ahead, predict, write behind, and report.

::

    reader threads          the calling thread              writer thread
    --------------          ------------------              -------------
    TileReader.read(tile) --> Predictor.predict       -->   Result.write(tile)
    two tiles ahead           the only one that touches     one tile waiting: a slow disk
                              the device; on CUDA one       holds the others back
                              tile more is on its way

Tiles are independent, and each writes its own core once. Between two tiles, the calling thread also reports progress
and checks whether to stop; so do, within a tile, the layers of a network and other long loops.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import Cancelled
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.heap import give_back
from napari_specfusion.progress import stoppable

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.fusion.result import Result
    from napari_specfusion.progress import Progress
    from napari_specfusion.tiling.tile_reader import TileReader, Window
    from napari_specfusion.tiling.tile_runner import TilePredictor
    from napari_specfusion.tiling.tiles import Box, Tile
    from napari_specfusion.tiling.transfers import Pending

__all__ = ["READ_AHEAD", "FusionProgress", "Report", "run_tiles"]

READ_AHEAD = 2
# seconds between two times that freed memory is given back; the system clears it before it is used again
GIVE_BACK = 4.0


@dataclass(frozen=True)
class FusionProgress:
    """Progress of a fusion.

    Attributes
    ----------
    done, total
        Number of tiles written, and of all tiles.
    box
        The tile that was written last; None before the first.
    seconds
        Time since the first event.
    remaining
        Estimated seconds to go; None before the first tile.
    cube
        The result, the same object in every event; it fills while the fusion runs and is NaN where still empty. None
        while the pair is being calibrated and the method prepared.
    message
        Further information: in the first event the automatic choice of the method, if there was one; later, for
        example, that memory ran out and tiles were made smaller.
    step
        Progress of the steps before the first tile; None once tiles are being fused.
    """

    done: int
    total: int
    box: Box | None
    seconds: float
    remaining: float | None
    cube: Cube | None
    message: str = ""
    step: Progress | None = None


def run_tiles(
    predict: TilePredictor,
    reader: TileReader,
    result: Result,
    shape: tuple[int, int],
    progress: Callable[[FusionProgress], None] | None,
    should_stop: Callable[[], bool] | None,
    message: str = "",
) -> list[tuple[Box, Exception]]:
    """Fuse every tile that is not done, reporting `message` first; return those that failed twice, with the error.

    Raises
    ------
    Cancelled
        If `should_stop` returned true.
    OutputError
        If a tile cannot be written.
    """

    def check() -> None:
        if should_stop is not None and should_stop():
            raise Cancelled

    todo = [t for t in predict.grid if not result.done[t.index]]
    report = Report(result, progress, message)
    failures: list[tuple[Box, Exception]] = []
    # tiles that were begun, in order: the device computes one while another one comes back
    begun: deque[_Begun] = deque()

    def begin(tile: Tile, read: Future[Window]) -> None:
        window = None
        try:
            window = read.result()
            values = predict.begin(tile, window)
        except Cancelled:
            raise
        except Exception:
            try:
                window = reader.read(tile) if window is None else window
                values = predict.begin(tile, window)
            except Cancelled:
                raise
            except Exception as error:
                failures.append((tile.core.clip(shape), error))
                return
        begun.append(_Begun(tile, window, values))

    def end() -> None:
        one = begun.popleft()
        core = one.tile.core.clip(shape)
        try:
            values = one.values.result()
        except Exception:
            try:
                values = predict(one.tile, one.window)
            except Cancelled:
                raise
            except Exception as error:
                failures.append((core, error))
                return
        if one.window.missing is not None:
            values[one.window.missing] = np.nan
        height, width = core.shape
        writer.put(one.tile.index, core, values[:, :height, :width], one.window.checksum or 1)
        del one, values
        report.tiles(writer.written, predict.take_message())

    with (
        ThreadPoolExecutor(READ_AHEAD, "specfusion-read") as readers,
        _Writer(result) as writer,
        stoppable(check),
    ):
        kept_since = time.perf_counter()
        reads: deque[Future[Window]] = deque(readers.submit(reader.read, t) for t in todo[: READ_AHEAD + 1])
        try:
            for position, tile in enumerate(todo):
                check()
                try:
                    begin(tile, reads.popleft())
                finally:
                    if position + READ_AHEAD + 1 < len(todo):
                        reads.append(readers.submit(reader.read, todo[position + READ_AHEAD + 1]))
                if len(begun) > predict.ahead:
                    end()
                if time.perf_counter() - kept_since > GIVE_BACK:
                    give_back()
                    kept_since = time.perf_counter()
            while begun:
                end()
            writer.finish()
            report.tiles(writer.written)
        except Cancelled:
            writer.finish()
            report.tiles(writer.written)
            raise Cancelled(
                f"The fusion was stopped with {int(result.done.sum())} of {len(result.done)} tiles done"
                + ("; the same call continues it." if isinstance(result, ResultStore) else ".")
            ) from None
        finally:
            for waiting in reads:
                waiting.cancel()
            predict.close()
    return failures


@dataclass(frozen=True, eq=False)
class _Begun:
    """A tile whose values may still be on their way."""

    tile: Tile
    window: Window
    values: Pending


class _Writer:
    """A thread that writes tiles; one more tile may wait, then `put` blocks."""

    def __init__(self, result: Result) -> None:
        self.written: deque[Box] = deque()
        self._result = result
        self._queue: queue.Queue[tuple[int, Box, NDArray[Any], int] | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="specfusion-write", daemon=True)

    def __enter__(self) -> _Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def put(self, index: int, box: Box, values: NDArray[Any], checksum: int) -> None:
        """Pass on a tile; raise the error of an earlier one."""
        self._raise()
        self._queue.put((index, box, values, checksum))

    def finish(self) -> None:
        """Wait for the last tile; raise its error."""
        self._close()
        self._raise()

    def _close(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            # after an error the queue is still emptied, so that `put` never blocks forever
            if self._error is None:
                try:
                    self._result.write(*item)
                    self.written.append(item[1])
                except BaseException as error:
                    self._error = error
            del item


class Report:
    """Reports the progress of the run to the caller."""

    def __init__(self, result: Result, progress: Callable[[FusionProgress], None] | None, message: str = "") -> None:
        self._progress = progress
        self._cube = result.cube()
        self._total = len(result.done)
        self._before = self._done = int(result.done.sum())
        self._start = time.perf_counter()
        self._tell(None, message)

    def tiles(self, written: deque[Box], message: str = "") -> None:
        """Report the tiles in `written`, and empty it."""
        while written:
            self._done += 1
            self._tell(written.popleft(), message)
            message = ""
        if message:
            self._tell(None, message)

    def _tell(self, box: Box | None, message: str) -> None:
        if self._progress is None:
            return
        seconds = time.perf_counter() - self._start
        fresh = self._done - self._before
        remaining = seconds / fresh * (self._total - self._done) if fresh else None
        self._progress(FusionProgress(self._done, self._total, box, seconds, remaining, self._cube, message))
