"""Fusing a scene tile by tile, in memory bounded by the tile.

Everything that needs the whole scene is computed before the first tile, in ``Method.prepare``. With the halo of the
method's footprint, the result of the tiles equals that of the whole image up to rounding.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from napari_specfusion import memory
from napari_specfusion.arguments import callback, choice, flag, short
from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.data.run_record import RunRecord
from napari_specfusion.data.scene import Scene
from napari_specfusion.device import computing, pick_device
from napari_specfusion.errors import FusionError, ModelError, OutputError, SceneError
from napari_specfusion.files import as_path
from napari_specfusion.fusion.cluster import Cluster
from napari_specfusion.fusion.destination import destination
from napari_specfusion.fusion.encoding import Encoding
from napari_specfusion.fusion.inputs import check_finished_tiles, describe_inputs, what_changed
from napari_specfusion.fusion.recipe import Recipe
from napari_specfusion.fusion.recipe_record import recipe_metadata, recipe_of_call
from napari_specfusion.fusion.result import MemoryStore, Result
from napari_specfusion.fusion.resume_key import job_key
from napari_specfusion.fusion.run import FusionProgress, run_tiles
from napari_specfusion.fusion.store import ResultStore
from napari_specfusion.heap import large_blocks_reused, share_one_heap
from napari_specfusion.progress import Progress, Watch
from napari_specfusion.tiling.tile_reader import TileReader
from napari_specfusion.tiling.tile_runner import TilePredictor, tile_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction
    from pathlib import Path

    import torch
    from distributed import Client

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.cube_like import CubeLike
    from napari_specfusion.fusion.destination import Destination
    from napari_specfusion.tiling.contract import Method, ModelLike
    from napari_specfusion.tiling.tiles import Box

__all__ = ["FusionProgress", "fuse"]

Precision = Literal["float32", "float64", "tf32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float64", "tf32", "bfloat16", "float16")
REDUCED: tuple[Precision, ...] = ("tf32", "bfloat16", "float16")


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
    scale: float | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    client: Client | None = None,
    recipe: Recipe | None = None,
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
        ``"float32"``, ``"float64"``, or, for networks, ``"bfloat16"``, ``"float16"`` or ``"tf32"``: float32 whose
        products are rounded to 10 bits on NVIDIA GPUs, and float32 itself elsewhere. ``"float32"`` never rounds them.
    scale
        Keep the result as 16-bit integers, which take half the room: a value is the integer times `scale`, 65535 means
        no data, and values below 0 or above 65534 times `scale` become these. None keeps floating-point numbers.
    out
        A ``.zarr`` folder to write; None keeps the result in memory. An unfinished result of the same job and the same
        images is continued. One process at a time writes it.
    overwrite
        Replace an existing result at `out`. The older one stays until the new one is complete.
    client
        A ``distributed.Client``: the tiles are fused by the workers of its cluster, which read the two files and write
        `out` themselves, on disks that they share. The method is prepared here, on the CPU; `device` is then that of
        the workers. None fuses in this process.
    recipe
        What the run is begun with, to be kept in the result's metadata; it changes nothing else. None keeps what this
        call was given, where `hsi` and `guide` are files and `model` is a name.
    progress
        Called with a `FusionProgress` from this thread: while the pair is calibrated and the method prepared, then with
        the empty result, then after each tile.
    should_stop
        Called about once a second or more often, also within a tile; true stops the run.

    Returns
    -------
    Cube
        ``(bands, y, x)``: the cube's bands on the guide's pixels, float32 (or float64), unclipped, unless there is a
        `scale`. NaN where the guide has no data, and in the bands and the cells of HR pixels where the cube has none.

    Raises
    ------
    SpecFusionError
        CubeError, SceneError or ModelError if the inputs do not fit, AlignmentError if the two images cannot be aligned
        or the alignment cannot be trusted, OutputError if the result cannot be written,
        FusionError if tiles failed, Cancelled if the run was stopped.
    """
    from napari_specfusion.fusion.auto import Choice
    from napari_specfusion.fusion.resolve import AUTO, as_method

    choice("The precision", precision, PRECISIONS, FusionError)
    if tile is not None and not (isinstance(tile, str) and tile == "auto"):
        if isinstance(tile, bool) or not isinstance(tile, int) or tile < 1:
            raise FusionError(
                f"The tile is {short(tile)}; give a number of pixels, 'auto', or None for the whole image."
            )
    flag("align", align, FusionError)
    flag("overwrite", overwrite, OutputError)
    callback("progress", progress, FusionError)
    callback("should_stop", should_stop, FusionError)
    if out is not None:
        out = as_path(out, OutputError)
    if recipe is not None and not isinstance(recipe, Recipe):
        raise FusionError(f"The recipe is {short(recipe)}; give a Recipe, or leave it out.")
    asked_model, asked_device = model, device
    if not isinstance(model, Choice) and not (isinstance(model, str) and model == AUTO):
        # what is wrong with a model is told before the long steps
        model = as_method(model)
    there = None if client is None else Cluster.of(client, device, precision, out)
    device = pick_device(device if there is None else "cpu", precision)
    settings = _Settings(tile, device, precision, Encoding(scale))
    started = time.perf_counter()

    def preparing(step: Progress) -> None:
        if progress is not None:
            progress(FusionProgress(0, 0, None, time.perf_counter() - started, None, None, step=step))

    share_one_heap()
    watch = Watch(preparing, should_stop)
    pair = _as_pair(hsi, guide, ratio, wavelengths)
    with ExitStack() as stack:
        place: Destination | None = None
        if out is not None:
            place = stack.enter_context(destination(out, _cubes(pair), overwrite=overwrite, watch=watch))
        calibrated = _as_scene(pair, ratio, watch if align else None)
        if there is not None:
            there.check(calibrated)
        if recipe is None:
            # from what was checked by now
            scene = calibrated.stated
            recipe = recipe_of_call(
                hsi,
                guide,
                asked_model,
                names=(scene.hsi.name, scene.guide.name),
                ratio=ratio,
                align=align,
                wavelengths=wavelengths,
                tile=tile,
                device=asked_device,
                precision=precision,
                scale=scale,
                out=out,
                overwrite=overwrite,
            )
        stack.enter_context(calibrated.watched(watch))
        stack.enter_context(computing(device, precision))
        return _fuse(calibrated, model, settings, place, there, recipe, progress, watch)


# --- parts of a run -------------------------------------------------------------


@dataclass(frozen=True)
class _Settings:
    """How to compute, and how to keep the result."""

    tile: int | Literal["auto"] | None
    device: str
    precision: Precision
    encoding: Encoding

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that is computed, outside of networks."""
        return np.dtype(np.float64 if self.precision == "float64" else np.float32)

    @property
    def prepared(self) -> torch.dtype:
        """Type that a method is prepared for."""
        import torch

        found: torch.dtype = getattr(torch, "float32" if self.precision == "tf32" else self.precision)
        return found

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes another job of the same inputs and method."""
        tile: int | str | None
        scale, tile = self.encoding.scale, self.tile
        if tile == "auto" and self.device.startswith("cuda"):
            # other tiles than elsewhere
            tile = "auto, cuda"
        return (self.precision, tile) if scale is None else (self.precision, tile, scale)


def _fuse(
    calibrated: CalibratedScene,
    model: ModelLike,
    settings: _Settings,
    place: Destination | None,
    there: Cluster | None,
    recipe: Recipe | None,
    progress: Callable[[FusionProgress], None] | None,
    watch: Watch,
) -> Cube:
    import torch

    precision, device, encoding, values = settings.precision, settings.device, settings.encoding, settings.dtype
    method, reason = _choose(calibrated, model, device, watch)
    if precision in REDUCED and not getattr(method, "mixed_precision", False):
        raise ModelError(f"Precision {precision} is for networks; leave it at float32 for {method.name}.")
    scene = calibrated.stated
    shape = (scene.hsi.bands, *scene.shape)
    key, inputs, begun = "", {}, None
    if place is not None:
        key, inputs = job_key(scene, method, settings.key), describe_inputs(calibrated)
        begun = place.begun(key, inputs)
        place.check_room(math.prod(shape) * encoding.dtype(values).itemsize, begun)
    calibrated.check_range(values)
    encoding.check(calibrated.highest)
    predictor = calibrated.restoring(method.prepare(calibrated, device=device, dtype=settings.prepared))
    fields, told = _fields(calibrated, method, reason, recipe), " ".join(filter(None, (*calibrated.remarks, reason)))
    if predictor.bands != scene.hsi.bands:
        raise ModelError(f"{method.name} returns {predictor.bands} bands, the cube has {scene.hsi.bands}.")
    # small images are known by their content
    by_tile = place is not None and not all(image["content"] for image in inputs.values())
    reader = TileReader(calibrated.scene, values, means=calibrated.band_means(), checksums=by_tile, watch=watch)
    grid = tile_grid(scene, predictor.footprint, settings.tile, device)
    result: Result
    if place is None:
        result = MemoryStore(shape, len(grid), fields, values, encoding)
    elif begun is not None:
        store = result = ResultStore.resume(
            begun, key=key, core=grid.core_shape, tiles=len(grid), place=place.path, claim=place.claim
        )
        if by_tile:
            check_finished_tiles(store.path, store.recorded, reader, grid, watch)
    else:
        result = ResultStore.create(
            place.new if place.replaces else place.path,
            shape,
            core=grid.core_shape,
            tiles=len(grid),
            fields=fields,
            key=key,
            inputs=inputs,
            dtype=values,
            encoding=encoding,
            place=place.path,
            claim=place.claim,
        )
    predict = TilePredictor(predictor, grid, torch.device(device))
    large = math.prod(grid.core_shape) * shape[0] * values.itemsize > memory.UNMAPPED_BLOCK
    try:
        with large_blocks_reused() if large else nullcontext():
            if there is not None and isinstance(result, ResultStore):
                work = predictor, reader.on(calibrated.from_files), grid
                failures = there.run(work, result, progress, watch.should_stop, told)
            else:
                failures = run_tiles(predict, reader, result, scene.shape, progress, watch.should_stop, told)
    except OutputError:
        if not result.done.any():
            result.discard()
        raise
    if failures:
        if not result.done.any():
            result.discard()
        raise _failed(failures, len(grid), kept=place is not None and bool(result.done.any())) from failures[0][1]
    changed = what_changed(inputs, describe_inputs(calibrated)) if by_tile else ""
    if changed:
        raise SceneError(
            f"The pair changed while it was being fused: {changed}. The result mixes both states; fuse again with "
            "overwrite=True."
        )
    result.finish()
    return result.cube()


def _as_pair(
    hsi: CubeLike | Scene | CalibratedScene, guide: CubeLike | None, ratio: Any, wavelengths: Any
) -> Scene | CalibratedScene | tuple[Cube, Cube]:
    """Return the two images as cubes, or as the scene that was given."""
    from napari_specfusion.io import as_cube

    if isinstance(hsi, Scene | CalibratedScene):
        if any(given is not None for given in (guide, ratio, wavelengths)):
            raise SceneError(
                "A scene has its own guide, ratio and wavelengths; leave the arguments out, or change the scene."
            )
        return hsi
    if guide is None:
        raise SceneError("There is no guide; give the sharp image as the second argument, or a Scene as the first.")
    return as_cube(hsi, wavelengths=wavelengths), as_cube(guide)


def _cubes(pair: Scene | CalibratedScene | tuple[Cube, Cube]) -> tuple[Cube, Cube]:
    if isinstance(pair, tuple):
        return pair
    scene = pair.stated if isinstance(pair, CalibratedScene) else pair
    return scene.hsi, scene.guide


def _as_scene(pair: Scene | CalibratedScene | tuple[Cube, Cube], ratio: Any, watch: Watch | None) -> CalibratedScene:
    """Return the pair as a scene, aligned if there is a `watch` to report that to."""
    from napari_specfusion.alignment.scene import check_trust, make_scene

    if isinstance(pair, tuple):
        if watch is None:
            return CalibratedScene(Scene(*pair, ratio))
        pair = make_scene(*pair, ratio, progress=watch.progress, should_stop=watch.should_stop)
    if watch is not None:
        check_trust(pair.stated if isinstance(pair, CalibratedScene) else pair)
    return CalibratedScene.of(pair)


def _choose(calibrated: CalibratedScene, model: ModelLike, device: str, watch: Watch) -> tuple[Method, str]:
    """Return the method, and why it was chosen if it was chosen here."""
    from napari_specfusion.fusion.auto import Choice, choose
    from napari_specfusion.fusion.resolve import AUTO, as_method

    if isinstance(model, str) and model == AUTO:
        model = choose(calibrated, device=device, progress=watch.progress, should_stop=watch.should_stop)
    return (model.method, model.reason) if isinstance(model, Choice) else (as_method(model), "")


def _fields(calibrated: CalibratedScene, method: Method, reason: str, recipe: Recipe | None) -> dict[str, Any]:
    """Return the fields of the result, all but the data."""
    scene, notes = calibrated.stated, {"choice": reason, "values": " ".join(calibrated.remarks)}
    fields = {name: getattr(scene.hsi, name) for name in ("wavelengths", "spectral_unit", "fwhm", "good_bands")}
    fields |= {name: getattr(scene.guide, name) for name in ("pixel_size", "affine", "crs")}
    known = {} if recipe is None else recipe_metadata(recipe)
    known |= {key: text for key, text in notes.items() if text}
    return fields | {
        "name": f"{scene.hsi.name} ({method.name})",
        "metadata": RunRecord.of(scene, method.name).as_metadata() | known,
    }


def _failed(failures: Sequence[tuple[Box, Exception]], total: int, *, kept: bool) -> FusionError:
    boxes = "; ".join(f"rows {b.y0}-{b.y1 - 1}, columns {b.x0}-{b.x1 - 1}" for b, _ in failures[:3])
    if len(failures) > 3:
        boxes += "; ..."
    error = failures[0][1]
    return FusionError(
        f"{len(failures)} of {total} tiles failed ({boxes}): {str(error) or repr(error)}"
        + (" The others are written; the same call tries these again." if kept else "")
    )
