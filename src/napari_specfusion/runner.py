"""Running a predictor on one tile: to the device and back, in pieces where the memory does not hold a whole one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import FusionError
from napari_specfusion.tiles import Box, Tile, TileGrid

if TYPE_CHECKING:
    import torch

    from napari_specfusion.feed import Window
    from napari_specfusion.models.base import Predictor

__all__ = ["TilePredictor"]


class TilePredictor:
    """Runs a predictor on tiles, in smaller pieces where the memory does not hold a whole one."""

    def __init__(self, predictor: Predictor, grid: TileGrid, device: torch.device) -> None:
        self.grid = grid
        self._predictor, self._device = predictor, device
        self._side = max(grid.core_shape)
        self._message = ""

    def __call__(self, tile: Tile, window: Window) -> NDArray[Any]:
        """Return the tile's core ``(bands, height, width)``."""
        import torch

        while True:
            try:
                return self._assemble(tile, window)
            except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
                    raise
                side = math.ceil(self._side / 2 / self.grid.step) * self.grid.step
                if side >= self._side:
                    raise FusionError(
                        f"Even a tile of {self._side} pixels does not fit into the memory of {self._device}; "
                        "choose a smaller model, or device='cpu'."
                    ) from error
            # outside the handler, where the failed attempt's tensors are gone
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            self._message = f"Memory ran out: tiles of {self._side} pixels are now computed in pieces of {side}."
            self._side = side

    def take_message(self) -> str:
        """Return what happened since the last call."""
        message, self._message = self._message, ""
        return message

    def _assemble(self, tile: Tile, window: Window) -> NDArray[Any]:
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
                values = self._predict(Tile(tile.index, read, piece), guide, hsi)
                whole[:, *piece.relative_to(core).slices] = values
        return whole

    def _predict(self, tile: Tile, guide: NDArray[Any], hsi: NDArray[Any]) -> NDArray[Any]:
        import torch

        with torch.inference_mode():
            sharp, coarse = (torch.from_numpy(np.ascontiguousarray(a)).to(self._device) for a in (guide, hsi))
            fused = self._predictor.predict(sharp, coarse, tile, self.grid.shape)
            expected = (self._predictor.bands, *tile.read.shape)
            if fused.shape != expected:
                raise FusionError(f"The method returned {tuple(fused.shape)} for a tile of {expected}; it has a bug.")
            # a copy of the core alone, so that the halo's memory is free while the tile waits to be written
            core = fused[:, *tile.crop.slices].to("cpu", sharp.dtype, copy=True)
            return np.asarray(core.contiguous().numpy())


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.cuda.OutOfMemoryError) or "allocate memory" in str(error)
