"""Fusing a scene tile by tile, in memory bounded by the tile.

::

    reader threads          the calling thread              writer thread
    --------------          ------------------              -------------
    TileReader.read(tile) --> Predictor.predict       -->   Result.write(tile)
    two tiles ahead           the only one that touches     one tile waiting: a slow disk
                              the device                    holds the others back

Everything that needs the whole scene is computed before, in ``Method.prepare``; tiles are independent, and each writes
its own core once. With the halo of the method's footprint, the result equals that of the whole image up to rounding.
Between two tiles, the calling thread also reports progress and checks whether to stop.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.scene import Scene
from napari_specfusion.device import pick_device
from napari_specfusion.errors import Cancelled, FusionError, ModelError, OutputError, SceneError
from napari_specfusion.fusion.result import MemoryStore, Result, ResultStore, check_output
from napari_specfusion.fusion.resume_key import job_key
from napari_specfusion.progress import Progress, Watch
from napari_specfusion.tiling.tile_reader import TileReader, Window
from napari_specfusion.tiling.tile_runner import TilePredictor, tile_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.tiling.contract import ModelLike
    from napari_specfusion.tiling.tiles import Box

__all__ = ["FusionProgress", "fuse"]

Precision = Literal["float32", "float64", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float64", "bfloat16", "float16")
READ_AHEAD = 2


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


def fuse(
    hsi: CubeLike | Scene | CalibratedScene,
    guide: CubeLike | None = None,
    *,
    model: ModelLike = "auto",
    ratio: Fraction | int | float | None = None,
    align: bool = True,
    wavelengths: ArrayLike | None = None,
    tile: int | Literal["auto"] | None = "auto",
    device: str = "auto",
    precision: Precision = "float32",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[FusionProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Cube:
    """Fuse a low-resolution cube with a sharper guide.

    Parameters
    ----------
    hsi
        The cube ``(bands, y, x)``: a `Cube`, a napari layer, a file, an array or an xarray DataArray. Or a `Scene`, or
        a `CalibratedScene`, and no guide.
    guide
        The sharp image ``(guide bands, y, x)``, likewise.
    model
        The name of a method, a network, a result of `fit` or `choose`, or ``"auto"``, which tries the methods and the
        shipped weights that fit on the scene at reduced resolution (see `choose`).
    ratio
        HR pixels per LR pixel; None derives it from the two images.
    align
        Whether to bring the guide onto the cube's grid first, if it lies otherwise (see `align`), and to refuse an
        alignment that cannot be trusted. False trusts equal corners. The two images of a scene lie on one grid already.
    wavelengths
        Band centres of `hsi` in nm ``(bands,)``, if it has none.
    tile
        Side of a tile in HR pixels, rounded up to the method's step; ``"auto"``; None for the whole image at once.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"`` for the fastest available.
    precision
        ``"float32"``, ``"float64"``, or, for networks, ``"bfloat16"`` or ``"float16"``.
    out
        A ``.zarr`` folder to write; None keeps the result in memory. An unfinished result of the same job is continued.
    overwrite
        Replace an existing result at `out` and start again.
    progress
        Called with a `FusionProgress` from this thread: while the pair is calibrated and the method prepared, then with
        the empty result, then after each tile.
    should_stop
        Called at least once a second until the first tile, then before every tile; true stops the run.

    Returns
    -------
    Cube
        ``(bands, y, x)``: the cube's bands on the guide's pixels, float32 (or float64), unclipped. NaN where the guide
        has no data, and in the bands and the cells of HR pixels where the cube has none.

    Raises
    ------
    SpecFusionError
        CubeError, SceneError or ModelError if the inputs do not fit, AlignmentError if the two images cannot be aligned
        or the alignment cannot be trusted, OutputError if the result cannot be written,
        FusionError if tiles failed, Cancelled if the run was stopped.
    """
    from napari_specfusion.fusion.auto import Choice, choose
    from napari_specfusion.fusion.resolve import AUTO, as_method

    if precision not in PRECISIONS:
        raise FusionError(f"The precision is {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if tile is not None and tile != "auto" and (isinstance(tile, bool) or not isinstance(tile, int) or tile < 1):
        raise FusionError(f"The tile is {tile!r}; give a number of pixels, 'auto', or None for the whole image.")
    started = time.perf_counter()

    def preparing(step: Progress) -> None:
        if progress is not None:
            progress(FusionProgress(0, 0, None, time.perf_counter() - started, None, None, step=step))

    automatic = isinstance(model, str) and model == AUTO
    half = precision in ("bfloat16", "float16")
    if not automatic and not isinstance(model, Choice):
        method = as_method(model)
    device = pick_device(device, precision)
    calibrated = _as_scene(hsi, guide, ratio, wavelengths, Watch(preparing, should_stop) if align else None)
    scene = calibrated.stated
    if automatic:
        model = choose(calibrated, device=device, progress=preparing, should_stop=should_stop)
    reason = ""
    if isinstance(model, Choice):
        method, reason = model.method, model.reason
    if half and not getattr(method, "mixed_precision", False):
        raise ModelError(f"Precision {precision} is for networks; leave it at float32 for {method.name}.")
    shape = (scene.hsi.bands, *scene.shape)
    values = np.dtype(np.float64 if precision == "float64" else np.float32)
    key, resumed = "", False
    if out is not None:
        key = job_key(scene, method, (precision, tile))
        resumed = check_output(out, math.prod(shape) * values.itemsize, key=key, overwrite=overwrite)

    import torch

    with calibrated.watched(Watch(preparing, should_stop)):
        predictor = method.prepare(calibrated, device=device, dtype=getattr(torch, precision))
        reader = TileReader(calibrated.scene, values, means=calibrated.band_means())
    if predictor.bands != scene.hsi.bands:
        raise ModelError(f"{method.name} returns {predictor.bands} bands, the cube has {scene.hsi.bands}.")
    grid = tile_grid(scene, predictor.footprint, tile)
    fields = {name: getattr(scene.hsi, name) for name in ("wavelengths", "spectral_unit", "fwhm", "good_bands")}
    fields |= {name: getattr(scene.guide, name) for name in ("pixel_size", "affine", "crs")}
    fields["name"] = f"{scene.hsi.name} ({method.name})"
    fields["metadata"] = {"method": method.name} | ({"choice": reason} if reason else {})
    result: Result
    if out is None:
        result = MemoryStore(shape, len(grid), fields, values)
    elif resumed:
        result = ResultStore.resume(out, key=key, core=grid.core_shape, tiles=len(grid))
    else:
        result = ResultStore.create(
            out, shape, core=grid.core_shape, tiles=len(grid), fields=fields, key=key, dtype=values
        )
    predict = TilePredictor(predictor, grid, torch.device(device))
    try:
        failures = _run(predict, reader, result, scene.shape, progress, should_stop, reason)
    except OutputError:
        if not resumed:
            result.discard()
        raise
    if failures:
        if not result.done.any():
            result.discard()
        raise _failed(failures, len(grid), kept=out is not None and bool(result.done.any())) from failures[0][1]
    return result.cube()


# --- the run ------------------------------------------------------------------


def _run(
    predict: TilePredictor,
    reader: TileReader,
    result: Result,
    shape: tuple[int, int],
    progress: Callable[[FusionProgress], None] | None,
    should_stop: Callable[[], bool] | None,
    message: str = "",
) -> list[tuple[Box, Exception]]:
    """Fuse every tile that is not done, reporting `message` first; return those that failed twice, with the error."""
    todo = [t for t in predict.grid if not result.done[t.index]]
    report = _Report(result, progress, message)
    failures: list[tuple[Box, Exception]] = []
    with ThreadPoolExecutor(READ_AHEAD, "specfusion-read") as readers, _Writer(result) as writer:
        reads: deque[Future[Window]] = deque(readers.submit(reader.read, t) for t in todo[: READ_AHEAD + 1])
        try:
            for position, tile in enumerate(todo):
                if should_stop is not None and should_stop():
                    writer.finish()
                    report.tiles(writer.written)
                    raise Cancelled(
                        f"The fusion was stopped with {int(result.done.sum())} of {len(result.done)} tiles done"
                        + ("; the same call continues it." if isinstance(result, ResultStore) else ".")
                    )
                read, window = reads.popleft(), None
                core = tile.core.clip(shape)
                try:
                    window = read.result()
                    values = predict(tile, window)
                except Exception:
                    try:
                        window = reader.read(tile) if window is None else window
                        values = predict(tile, window)
                    except Exception as error:
                        failures.append((core, error))
                        continue
                finally:
                    if position + READ_AHEAD + 1 < len(todo):
                        reads.append(readers.submit(reader.read, todo[position + READ_AHEAD + 1]))
                if window.missing is not None:
                    values[window.missing] = np.nan
                height, width = core.shape
                writer.put(tile.index, core, values[:, :height, :width])
                del window, values
                report.tiles(writer.written, predict.take_message())
            writer.finish()
            report.tiles(writer.written)
        finally:
            for waiting in reads:
                waiting.cancel()
    return failures


class _Writer:
    """A thread that writes tiles; one more tile may wait, then `put` blocks."""

    def __init__(self, result: Result) -> None:
        self.written: deque[Box] = deque()
        self._result = result
        self._queue: queue.Queue[tuple[int, Box, NDArray[Any]] | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="specfusion-write", daemon=True)

    def __enter__(self) -> _Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def put(self, index: int, box: Box, values: NDArray[Any]) -> None:
        """Pass on a tile; raise the error of an earlier one."""
        self._raise()
        self._queue.put((index, box, values))

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


class _Report:
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


# --- parts of a run -------------------------------------------------------------


def _as_scene(
    hsi: CubeLike | Scene | CalibratedScene, guide: CubeLike | None, ratio: Any, wavelengths: Any, watch: Watch | None
) -> CalibratedScene:
    """Return the pair as a scene, aligned if there is a `watch` to report that to."""
    from napari_specfusion.alignment.scene import check_trust, make_scene
    from napari_specfusion.io import as_cube

    if isinstance(hsi, Scene | CalibratedScene):
        if any(given is not None for given in (guide, ratio, wavelengths)):
            raise SceneError(
                "A scene has its own guide, ratio and wavelengths; leave the arguments out, or change the scene."
            )
        if watch is not None:
            check_trust(hsi if isinstance(hsi, Scene) else hsi.stated)
        return CalibratedScene.of(hsi)
    if guide is None:
        raise SceneError("There is no guide; give the sharp image as the second argument, or a Scene as the first.")
    low, sharp = as_cube(hsi, wavelengths=wavelengths), as_cube(guide)
    if watch is None:
        return CalibratedScene(Scene(low, sharp, ratio))
    scene = make_scene(low, sharp, ratio, progress=watch.progress, should_stop=watch.should_stop)
    check_trust(scene)
    return CalibratedScene(scene)


def _failed(failures: Sequence[tuple[Box, Exception]], total: int, *, kept: bool) -> FusionError:
    boxes = "; ".join(f"rows {b.y0}-{b.y1 - 1}, columns {b.x0}-{b.x1 - 1}" for b, _ in failures[:3])
    if len(failures) > 3:
        boxes += "; ..."
    error = failures[0][1]
    return FusionError(
        f"{len(failures)} of {total} tiles failed ({boxes}): {str(error) or repr(error)}"
        + (" The others are written; the same call tries these again." if kept else "")
    )
