"""Running a predictor on tiles, in smaller pieces where memory is short."""

from __future__ import annotations

import dataclasses
import math
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion import memory
from napari_specfusion.errors import FusionError
from napari_specfusion.progress import look
from napari_specfusion.tiling.replay import Replays, replayed
from napari_specfusion.tiling.tile_reader import TileReader
from napari_specfusion.tiling.tiles import Box, Footprint, Tile, TileGrid, padded_shape
from napari_specfusion.tiling.transfers import Ready, transfers_to
from napari_specfusion.tiling.windows import WindowedPredictor, Windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from napari_specfusion.data.scene import Scene
    from napari_specfusion.tiling.contract import Predictor
    from napari_specfusion.tiling.tile_reader import Window
    from napari_specfusion.tiling.transfers import Pending

__all__ = ["TilePredictor", "predict_tiles", "predict_whole", "tile_grid"]

AUTO_SIDE = 512
# sides of automatic tiles below that
AUTO_STEP = 64


class TilePredictor:
    """Runs a predictor on tiles, in smaller pieces if a whole tile does not fit into memory.

    On a grid without a window, a predictor that has one processes the image window by window; see `tile_grid`.

    Attributes
    ----------
    grid
        The tiles.
    ahead
        Tiles that should be begun before the values of an earlier one are asked for, so that a device has work.
    """

    def __init__(self, predictor: Predictor, grid: TileGrid, device: torch.device) -> None:
        self.grid = grid
        self._windowed: WindowedPredictor | None = None
        if predictor.footprint.window is not None and grid.footprint.window is None:
            predictor = self._windowed = WindowedPredictor(predictor, grid.shape, grid.ratio)
        self._predictor, self._device = predictor, device
        self._transfers = transfers_to(device)
        self._replays = Replays() if device.type == "cuda" else None
        self.ahead = self._transfers.ahead
        self._side = max(grid.core_shape)
        self._message = ""

    def __call__(self, tile: Tile, window: Window) -> NDArray[Any]:
        """Return the tile's core ``(bands, height, width)``."""
        return self.begin(tile, window).result()

    def begin(self, tile: Tile, window: Window) -> Pending:
        """Begin a tile; its result is the core ``(bands, height, width)``."""
        import torch

        while True:
            try:
                values = self._assemble(tile, window)
                if tile.index == len(self.grid) - 1:
                    self._tell_seam()
                return values
            except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
                    raise
                side = math.ceil(self._side / 2 / self.grid.step) * self.grid.step
                if side >= self._side:
                    raise FusionError(
                        f"Even a tile of {self._side} pixels does not fit into the memory of {self._device}; "
                        "choose a smaller model, or device='cpu'."
                    ) from error
            # outside the handler, so that the failed attempt's tensors are freed
            if self._make_room():
                continue
            self._message = f"Memory ran out: tiles of {self._side} pixels are now computed in pieces of {side}."
            self._side = side

    def take_message(self) -> str:
        """Return the messages since the last call."""
        message, self._message = self._message, ""
        if self._replays is not None:
            message = f"{message} {self._replays.take_message()}".strip()
        return message

    def close(self) -> None:
        """Let go of the device: wait for what was begun, and free what was kept there."""
        # an error of the device itself has come with the values already
        with suppress(RuntimeError):
            self._transfers.wait()
        if self._replays is not None:
            self._replays.drop()

    def _make_room(self) -> bool:
        """Free what the device need not keep; return whether that may be enough."""
        import torch

        if self._device.type != "cuda":
            return False
        self._transfers.wait()
        # the graphs go first: without them the network is only a little slower
        told = "Memory ran out: the network runs without CUDA graphs now."
        dropped = self._replays is not None and len(self._replays) > 0 and self._replays.drop(told)
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
        return dropped

    def _tell_seam(self) -> None:
        if self._windowed is None or self._windowed.seam is None:
            return
        windows = self._windowed.windows
        message = (
            f"The image was fused in windows of {windows.side} pixels; where they overlap, their results differ by "
            f"{self._windowed.seam:.2g} of the range (RMS)."
        )
        self._message = f"{self._message} {message}".strip()

    def _assemble(self, tile: Tile, window: Window) -> Pending:
        core, side = tile.core, self._side
        if max(core.shape) <= side:
            return self._predict(tile, window.guide, window.hsi)
        whole: NDArray[Any] = np.empty((self._predictor.bands, *core.shape), window.hsi.dtype)
        for y in range(core.y0, core.y1, side):
            for x in range(core.x0, core.x1, side):
                piece = Box(y, min(y + side, core.y1), x, min(x + side, core.x1))
                read = piece.grow(self.grid.margin).clip(self.grid.shape)
                fine = read.relative_to(tile.read)
                guide, hsi = window.guide[:, *fine.slices], window.hsi[:, *fine.divide(self.grid.ratio).slices]
                values = self._predict(Tile(tile.index, read, piece), guide, hsi).result()
                whole[:, *piece.relative_to(core).slices] = values
        return Ready(whole)

    def _predict(self, tile: Tile, guide: NDArray[Any], hsi: NDArray[Any]) -> Pending:
        import torch

        with torch.inference_mode(), _layers_look(), replayed(self._replays):
            sharp, coarse = (self._transfers.upload(array) for array in (guide, hsi))
            fused = self._predictor.predict(sharp, coarse, tile, self.grid.shape)
            expected = (self._predictor.bands, *tile.read.shape)
            if fused.shape != expected:
                raise FusionError(f"The method returned {tuple(fused.shape)} for a tile of {expected}; it has a bug.")
            # the core alone, so that the halo's memory is freed while the tile waits to be written
            return self._transfers.download(fused[:, *tile.crop.slices], sharp.dtype)


@contextmanager
def _layers_look() -> Iterator[None]:
    """Look before every layer of a network whether to stop; a large tile takes seconds."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    # the hook is called for the networks of all threads, but finds nothing to look at in the others
    hook = register_module_forward_pre_hook(lambda module, inputs: look())
    try:
        yield
    finally:
        hook.remove()


def tile_grid(scene: Scene, footprint: Footprint, tile: int | str | None, device: str = "cpu") -> TileGrid:
    """Return the tiles of the padded image.

    Parameters
    ----------
    scene
        The pair.
    footprint
        The method's requirements. If it has a window and the image is larger, the tiles are chosen so that
        `TilePredictor` can fuse window by window, and the footprint of the grid has no window.
    tile
        Side in HR pixels, rounded up to the grid's step; ``"auto"`` to choose; None for the whole image at once,
        even where it is larger than the window.
    device
        Where the tiles are computed: automatic ones are larger on CUDA, whose devices compute halos in vain otherwise.
    """
    shape = padded_shape(scene.shape, scene.factor, footprint.multiple)
    # corners on multiples of the padding's step as well, so that no tile lies entirely in the padding
    footprint = dataclasses.replace(footprint, stride=math.lcm(footprint.stride, footprint.multiple))
    if footprint.window is not None:
        if tile is None or max(shape) <= footprint.window:
            return TileGrid(shape, scene.factor, footprint)
        windows = Windows.of(shape, scene.factor, footprint)
        side = tile if isinstance(tile, int) else windows.stride
        return TileGrid(shape, scene.factor, windows.footprint, side)
    if isinstance(tile, str):
        side, most = (2 * AUTO_SIDE, memory.DEVICE_TILE) if device.startswith("cuda") else (AUTO_SIDE, memory.TILE)
        fitting = math.isqrt(most // (4 * scene.hsi.bands))
        side = min(side, max(AUTO_STEP, fitting // AUTO_STEP * AUTO_STEP))
        grid = TileGrid(shape, scene.factor, footprint, side)
        # an image no larger than a tile with its halo is fused in one piece
        return grid if math.prod(shape) > (side + 2 * grid.margin) ** 2 else TileGrid(shape, scene.factor, footprint)
    return TileGrid(shape, scene.factor, footprint, tile)


def predict_tiles(
    predictor: Predictor, reader: TileReader, grid: TileGrid, *, device: str = "cpu"
) -> Iterator[tuple[Tile, Window, NDArray[Any]]]:
    """Yield the tiles of a scene in order, with their input and the core ``(bands, height, width)``.

    For extra passes over a scene; the engine has its own loop, which reads ahead and reports progress.
    """
    import torch

    predict = TilePredictor(predictor, grid, torch.device(device))
    try:
        for tile in grid:
            window = reader.read(tile)
            yield tile, window, predict(tile, window)
    finally:
        predict.close()


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    # the processor's memory, page-locked memory, and the libraries of CUDA
    return any(words in str(error) for words in ("allocate memory", "out of memory", "ALLOC_FAILED"))


def predict_whole(predictor: Predictor, scene: Scene) -> NDArray[Any]:
    """Return the result ``(B, H, W)`` for a small scene in one piece, on the CPU; missing values are filled."""
    (_, _, values), *_ = predict_tiles(predictor, TileReader(scene), tile_grid(scene, predictor.footprint, None))
    height, width = scene.shape
    return values[:, :height, :width].copy()
