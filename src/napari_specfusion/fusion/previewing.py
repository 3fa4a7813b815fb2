"""One tile of a fusion by many methods, with what can be said about each without a reference."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.arguments import callback, flag, numbers, short, whole
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.cube import Cube
from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.device import computing, pick_device
from napari_specfusion.errors import Cancelled, ModelError, SceneError, SpecFusionError
from napari_specfusion.fusion.resolve import as_method
from napari_specfusion.fusion.trial import score_trial, trial_pair
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.progress import Watch
from napari_specfusion.quality.judgement import JUDGEMENTS, REDUCED, judge_pair
from napari_specfusion.quality.table import Measure
from napari_specfusion.tiling.tile_reader import TileReader
from napari_specfusion.tiling.tile_runner import TilePredictor, tile_grid
from napari_specfusion.tiling.tiles import Box, Tile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_specfusion.data.scene import Scene
    from napari_specfusion.progress import Progress, ShouldStop
    from napari_specfusion.quality.judgement import Judgement
    from napari_specfusion.quality.metrics import Quality
    from napari_specfusion.tiling.contract import Method, ModelLike

__all__ = ["PREVIEW_MEASURES", "Preview", "preview"]

# side of the tile in HR pixels
SIZE = 256
# Side of the cube in the trial of each method: half of that of `choose`, a quarter of the work.
TRIAL_SIDE = 128
STOPPED = "The preview was stopped."

_SHOWN = {measure.key: measure for measure in (*JUDGEMENTS, *REDUCED)}
PREVIEW_MEASURES: tuple[Measure, ...] = (
    *(_SHOWN[key] for key in ("cube_residual", "guide_residual", "reduced_psnr")),
    Measure("seconds", "Time", "s", "lower", 1, "To prepare the method for the whole pair and to fuse the tile."),
)
"""What a `Preview` is compared by."""


@dataclass(frozen=True, eq=False)
class Preview:
    """A tile fused by one method.

    Attributes
    ----------
    method
        Name of the method.
    cube
        The tile ``(bands, y, x)``; None if the method failed.
    rows, columns
        First row and the row after the last one, in pixels of the fused image; columns likewise.
    judgement
        What cube and guide say about the tile, as `judge` does for a whole image; None where that is not known.
    reduced
        Quality of the method on the pair one scale down; None if not tried.
    seconds
        Time to prepare the method for the whole pair and to fuse the tile.
    error
        Why the method failed, in words; empty if it did not.
    note
        Why a score is missing, in words.
    """

    method: str
    cube: Cube | None = field(repr=False)
    rows: tuple[int, int]
    columns: tuple[int, int]
    judgement: Judgement | None = field(default=None, repr=False)
    reduced: Quality | None = field(default=None, repr=False)
    seconds: float = math.nan
    error: str = ""
    note: str = field(default="", repr=False)

    @property
    def cube_residual(self) -> float:
        """What of the cube's contrast in the tile the blurred result misses, in %; NaN if not known."""
        return math.nan if self.judgement is None else self.judgement.cube_residual

    @property
    def guide_residual(self) -> float:
        """What of the guide's contrast in the tile the result misses, in %; NaN if not known."""
        return math.nan if self.judgement is None else self.judgement.guide_residual

    @property
    def reduced_psnr(self) -> float:
        """PSNR one scale down in dB; NaN if not tried."""
        return math.nan if self.reduced is None else self.reduced.psnr


def preview(
    scene: Scene | CalibratedScene,
    *,
    at: tuple[float, float] | None = None,
    size: int = SIZE,
    methods: Iterable[ModelLike] | None = None,
    trial: bool = True,
    device: str = "auto",
    found: Callable[[Preview], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> tuple[Preview, ...]:
    """Fuse one tile of a pair with several methods, to look at them before the whole image is fused.

    Each method is prepared with the whole pair, so that the tile equals that part of the whole result up to rounding.

    Parameters
    ----------
    scene
        The pair; it is calibrated once.
    at
        Pixel (y, x) of the fused image in the middle of the tile; None takes the middle of the image. Near an edge the
        tile is moved inside.
    size
        Side of the tile in HR pixels, rounded up to whole LR pixels; a smaller image is fused whole.
    methods
        What to try, each as `fuse` takes it but for ``"auto"``. None takes every method without weights and all shipped
        weights that fit the pair.
    trial
        Whether to score each method on the pair one scale down as well, on at most 128 x 128 LR pixels.
    device
        Where to compute.
    found
        Called with each `Preview` as soon as it is there.
    progress
        Called with a `Progress` while the pair is calibrated and before each method.
    should_stop
        Called about once a second or more often; true stops.

    Returns
    -------
    tuple of Preview
        One for each method, in their order. A method that fails has an `error` and no cube.

    Raises
    ------
    SceneError
        If `at` lies outside the fused image.
    ModelError
        If there is no such method, or none at all.
    CalibrationError
        If the pair cannot be calibrated.
    Cancelled
        If `should_stop` returned true.
    """
    flag("trial", trial, SceneError)
    callback("found", found)
    size = whole("size", size, 1, error=SceneError)
    given = None if methods is None else _checked(methods)
    device = pick_device(device)
    calibrated, watch = CalibratedScene.of(scene), Watch(progress, should_stop, STOPPED)
    box = _tile(calibrated.stated, at, size)
    results: list[Preview] = []
    with calibrated.watched(watch), computing(device, "float32"):
        tile = _TileOf(calibrated, box, device)
        reduced, note = _trial(calibrated) if trial else (None, "")
        chosen = _fitting(calibrated.stated) if given is None else given
        for number, method in enumerate(chosen):
            watch.tell(number, len(chosen), f"Previewing {method.name}")
            # the steps within a method have numbers of their own
            with calibrated.watched(Watch(None, should_stop, STOPPED)):
                results.append(tile.preview(method, reduced, note))
            if found is not None:
                found(results[-1])
    return tuple(results)


def _checked(methods: Any) -> tuple[Method, ...]:
    if isinstance(methods, str) or not isinstance(methods, Iterable):
        raise ModelError(f"methods is {short(methods)}; give a list, such as ['detail', 'gsa'], or None for all.")
    try:
        listed = tuple(methods)
    except Exception:  # an array without axes, or of unknown length
        listed = ()
    found = tuple(as_method(one) for one in listed)
    if not found:
        raise ModelError("There are no methods to preview; give some, or None for all.")
    return found


def _fitting(scene: Scene) -> tuple[Method, ...]:
    from napari_specfusion.weights.shipped import weights_for

    return (*METHODS.values(), *weights_for(scene))


def _tile(scene: Scene, at: Any, size: int) -> Box:
    """Return the tile around a pixel, on whole LR pixels except at the lower and the right edge of the image."""
    middle = (np.array(scene.shape) - 1) / 2 if at is None else numbers("at", at, (2,), SceneError)
    step = scene.factor.numerator
    edges = []
    for name, place, count in zip("yx", middle, scene.shape, strict=True):
        if not -0.5 <= place <= count - 0.5:
            raise SceneError(f"at is {place:g} along {name}; the fused image has pixels 0 to {count - 1}.")
        side = min(-(-size // step) * step, count)
        start = round((place + 0.5 - side / 2) / step) * step
        last = max(0, math.ceil((count - side) / step) * step)
        start = min(max(start, 0), last)
        edges += [start, min(start + side, count)]
    return Box(*edges)


def _trial(calibrated: CalibratedScene) -> tuple[CalibratedScene | None, str]:
    try:
        pair = trial_pair(calibrated, TRIAL_SIDE)
        pair.watch = Watch(None, calibrated.watch.should_stop, STOPPED)
        return pair, ""
    except SceneError as error:
        return None, str(error)


class _TileOf:
    """One tile of a pair: fuses it, and judges what comes out."""

    def __init__(self, calibrated: CalibratedScene, box: Box, device: str) -> None:
        self.calibrated, self.box, self.device = calibrated, box, device
        # PSF, shift and response of the whole pair: a tile alone knows less about them
        known, calibration = calibrated.sampling, calibrated.calibration
        scene, ratio = calibrated.given, calibrated.stated.factor
        low = Box(*(math.ceil(edge / ratio) for edge in (box.y0, box.y1, box.x0, box.x1)))
        self.pair = CalibratedScene(
            scene.replace(
                hsi=scene.hsi.crop(*low.slices),
                guide=scene.guide.crop(*box.slices),
                psf=known.psf,
                shift=known.shift,
                srf=calibration.srf,
                reference=None,
                alignment=None,
            )
        )
        self._reader: TileReader | None = None

    def preview(self, method: Method, trial: CalibratedScene | None, note: str) -> Preview:
        """Fuse the tile by a method, and judge it."""
        rows, columns = (self.box.y0, self.box.y1), (self.box.x0, self.box.x1)
        started = time.perf_counter()
        try:
            cube = self._cube(method)
        except Cancelled:
            raise
        except Exception as error:  # networks of others raise anything; the next method is to be seen all the same
            return Preview(method.name, None, rows, columns, error=_words(error))
        seconds = time.perf_counter() - started
        judgement, reduced = None, None
        try:
            judgement = judge_pair(self.pair, cube, should_stop=self.calibrated.watch.should_stop)
        except Cancelled:
            raise
        except SpecFusionError as error:
            note = f"{error} {note}".strip()
        if trial is not None:
            try:
                reduced = score_trial(method, trial, self.device)
            except Cancelled:
                raise
            except Exception as error:  # likewise
                note = f"No trial one scale down: {_words(error)} {note}".strip()
        return Preview(method.name, cube, rows, columns, judgement, reduced, seconds, "", note)

    def _cube(self, method: Method) -> Cube:
        scene = self.calibrated.stated
        values = self._values(method)
        guide = self.pair.stated.guide
        fields = {name: getattr(scene.hsi, name) for name in ("wavelengths", "spectral_unit", "fwhm", "good_bands")}
        fields |= {name: getattr(guide, name) for name in ("pixel_size", "affine", "crs")}
        record = RunRecord.of(scene, method.name).as_metadata()
        return Cube.from_array(values, name=f"{scene.hsi.name} ({method.name})", metadata=record, **fields)

    def _values(self, method: Method) -> NDArray[np.float32]:
        """Return the tile ``(bands, y, x)``; NaN where something is missing."""
        import torch

        calibrated, box = self.calibrated, self.box
        predictor = calibrated.restoring(method.prepare(calibrated, device=self.device))
        if predictor.bands != calibrated.stated.hsi.bands:
            raise ModelError(
                f"{method.name} returns {predictor.bands} bands, the cube has {calibrated.stated.hsi.bands}."
            )
        if self._reader is None:
            # after the first method, whose pass over the cube may have found the means
            self._reader = TileReader(calibrated.scene, means=calibrated.band_means(), watch=calibrated.watch)
        grid = tile_grid(calibrated.stated, predictor.footprint, max(box.shape), self.device)
        tile = grid[0]
        if grid.footprint.window is None:
            # only as much as is seen, from corners that this method can take
            step = grid.step
            core = Box(
                box.y0 // step * step,
                math.ceil(box.y1 / step) * step,
                box.x0 // step * step,
                math.ceil(box.x1 / step) * step,
            ).clip(grid.shape)
            tile = Tile(0, core.grow(grid.margin).clip(grid.shape), core)
        predict = TilePredictor(predictor, grid, torch.device(self.device))
        try:
            window = self._reader.read(tile)
            values = predict(tile, window)
        finally:
            predict.close()
        if window.missing is not None:
            values[window.missing] = np.nan
        return np.ascontiguousarray(values[:, *box.relative_to(tile.core).slices], np.float32)


def _words(error: Exception) -> str:
    return str(error) or repr(error)
