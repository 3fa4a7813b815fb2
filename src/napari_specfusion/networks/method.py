"""A torch network as a method: checks of the scene, the range of values, and the pixel coordinates."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.data.computed import computed
from napari_specfusion.device import place_network
from napari_specfusion.errors import ModelError
from napari_specfusion.tiling.replay import run_network

if TYPE_CHECKING:
    import torch

    from napari_specfusion.calibration.calibrated import CalibratedScene
    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.tiling.tiles import Footprint, Tile

__all__ = ["NetworkMethod", "NetworkPredictor", "value_scales"]

BRIGHTEST = 1.5
DARKEST = 0.02
QUANTILE = 0.999


class NetworkMethod:
    """A network that fuses, as a `Method`.

    Parameters
    ----------
    module
        A torch module: called with ``(N, G, H, W)`` and ``(N, B, h, w)``, and, if its footprint uses a grid, with
        ``grid=(rows, columns)``, it returns ``(N, B, H, W)``. It has the attributes ``bands``, ``guide_bands``,
        ``ratio`` and ``footprint()``. It is copied, never changed.
    name
        Name of the method; None takes the module's class name.
    """

    mixed_precision = True

    def __init__(self, module: torch.nn.Module, name: str | None = None) -> None:
        self.module = module
        self.name = name or type(module).__name__.lower()

    def prepare(
        self, calibrated: CalibratedScene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> NetworkPredictor:
        """Check the scene against the network, decide on the range of values and move a copy to `device`.

        Networks are trained on values of about 0 to 1, and scenes in that range are used unchanged. If the 99.9th
        percentile of the cube or of the guide is above 1.5 or below 0.02, each is divided by its own, and the result is
        multiplied by the cube's.

        Raises
        ------
        ModelError
            If bands or ratio differ from the network's.
        """
        import torch

        module: Any = self.module
        scene = calibrated.scene
        for what, has, wants in (
            ("cube", scene.hsi.bands, module.bands),
            ("guide", scene.guide.bands, module.guide_bands),
        ):
            if has != wants:
                raise ModelError(
                    f"The {what} has {has} bands, {self.name} was made for {wants}; choose weights for this sensor, "
                    "or fit the network to the scene."
                )
        if Fraction(module.ratio) != scene.factor:
            raise ModelError(
                f"The ratio is {float(scene.factor):g}, {self.name} was made for {float(module.ratio):g}; choose "
                "weights for this ratio, or fit the network to the scene."
            )
        half = dtype if dtype in (torch.bfloat16, torch.float16) else None
        copied = copy.deepcopy(self.module).requires_grad_(False).eval()
        place_network(copied, device, torch.float32 if half or dtype is None else dtype)
        return NetworkPredictor(copied, module.footprint(), *value_scales(scene), half=half)


@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A network prepared for one scene.

    Attributes
    ----------
    module
        The network, on its device.
    footprint
        Its requirements on tiles.
    cube_scale, guide_scale
        Divisors of the values.
    half
        Reduced precision to compute in where that is safe, or None.
    """

    module: torch.nn.Module
    footprint: Footprint
    cube_scale: float = 1.0
    guide_scale: float = 1.0
    half: torch.dtype | None = None

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return int(self.module.bands)  # type: ignore[arg-type]

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor`."""
        import torch

        keywords: dict[str, Any] = {}
        if self.footprint.uses_grid:
            # a slice of the whole image's coordinates: computed otherwise, they would round differently
            whole = (torch.linspace(0, 1, n, dtype=guide.dtype, device=guide.device) for n in shape)
            keywords["grid"] = tuple(line[part] for line, part in zip(whole, tile.read.slices, strict=True))
        if self.guide_scale != 1:
            guide = guide / self.guide_scale
        if self.cube_scale != 1:
            hsi = hsi / self.cube_scale
        with nullcontext() if self.half is None else torch.autocast(guide.device.type, self.half):
            fused = run_network(self.module, guide[None], hsi[None], **keywords)[0]
        fused = fused.to(guide.dtype)
        return fused * self.cube_scale if self.cube_scale != 1 else fused


def value_scales(scene: Scene) -> tuple[float, float]:
    """Return the divisors that bring the cube and the guide to about 0 to 1; (1, 1) if they already are."""
    levels = tuple(_bright_level(cube) for cube in (scene.hsi, scene.guide))
    if all(DARKEST <= level <= BRIGHTEST for level in levels):
        return 1.0, 1.0
    return tuple(level if level > 0 else 1.0 for level in levels)  # type: ignore[return-value]


def _bright_level(cube: Cube) -> float:
    """Return the 99.9th percentile of a sample of the good bands' magnitudes; 0 if no value is valid."""
    rows, columns = (slice(None, None, max(1, n // 128)) for n in cube.shape[1:])
    good = np.flatnonzero(cube.good) if cube.good.any() else np.arange(cube.bands)
    chosen = good[np.unique(np.linspace(0, len(good) - 1, 8).astype(int))]
    sample = np.abs(computed(cube.values[chosen][:, rows, columns]))
    sample = sample[np.isfinite(sample)]
    return float(np.quantile(sample, QUANTILE)) if sample.size else 0.0
