"""A network fitted on one scene: it predicts, in the spectral subspace, what the `subspace` result still lacks."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_specfusion.errors import CheckpointError, ModelError, OutputError
from napari_specfusion.models.subspace import Subspace
from napari_specfusion.tiles import Footprint, Tile

if TYPE_CHECKING:
    import torch

    from napari_specfusion.models.linear import LinearPredictor
    from napari_specfusion.scene import Scene

__all__ = ["Fitted", "FittedPredictor", "Residual", "load_fitted"]

_ARRAYS = ("basis", "centre", "spread", "guide_centre", "guide_spread", "size")
_KEY = "specfusion.fitted"


@dataclass(frozen=True, eq=False)
class Residual:
    """A network in the subspace and the numbers that bring images into its range.

    Attributes
    ----------
    module
        Takes ``(N, G, H, W)``, ``(N, p, h, w)`` and ``base=(N, p, H, W)``; what it adds to the base is the residual.
    basis
        Spectral directions ``(B, p)``.
    centre, spread
        Of the base's coefficients ``(p,)``.
    guide_centre, guide_spread
        Of the guide's bands ``(G,)``.
    size
        Size of the residual in each coefficient ``(p,)``: the network's output is in these units, since one that has to
        produce values of a hundredth is not moved by an optimiser's steps.
    """

    module: torch.nn.Module
    basis: NDArray[np.float64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    guide_centre: NDArray[np.float64]
    guide_spread: NDArray[np.float64]
    size: NDArray[np.float64]

    def of(self, guide: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Return the residual ``(N, p, H, W)`` to coefficients `base`, of its shape, under `guide` ``(N, G, H, W)``."""
        import torch

        def column(values: NDArray[np.float64]) -> torch.Tensor:
            return torch.as_tensor(values, dtype=base.dtype, device=base.device)[:, None, None]

        module: Any = self.module
        start = (base - column(self.centre)) / column(self.spread)
        seen = (guide - column(self.guide_centre)) / column(self.guide_spread)
        height, width = base.shape[-2:]
        low = start[..., :: module.ratio, :: module.ratio]
        # the same coordinates everywhere: what is learned on the small image holds at any place of the large one
        grid = (torch.full((height,), 0.5).to(base), torch.full((width,), 0.5).to(base))
        moved: torch.Tensor = module(seen, low, grid=grid, base=start)
        return column(self.size) * (moved - start)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What `fit` returns: a method for the scene it was fitted on, and for others by the same sensors.

    Attributes
    ----------
    residual
        The network and its numbers; None where it was not worth keeping.
    strength
        Share of the residual that is added.
    base_score, score
        PSNR in dB of base and result on the part of the low-resolution scene that was held out.
    message
        What came of it, in words.
    """

    residual: Residual | None
    strength: float
    base_score: float
    score: float
    message: str
    model: str = "lso-s"

    @property
    def name(self) -> str:
        """The method's name."""
        return f"{self.model} fitted"

    @property
    def kept(self) -> bool:
        """Whether the network is used; if not, the result is the base's."""
        return self.residual is not None

    def prepare(
        self, scene: Scene, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> LinearPredictor | FittedPredictor:
        """Prepare the base for `scene` and put the network on top.

        Raises
        ------
        ModelError
            If the scene has other bands than the one it was fitted on.
        """
        base = Subspace().prepare(scene, device=device, dtype=dtype)
        if self.residual is None:
            return base
        import copy
        import dataclasses

        bands, guides = len(self.residual.basis), len(self.residual.guide_centre)
        if (bands, guides) != (scene.hsi.bands, scene.guide.bands):
            raise ModelError(
                f"The network was fitted on {bands} bands and a guide of {guides}, the scene has {scene.hsi.bands} and "
                f"{scene.guide.bands}; fit it on this scene."
            )
        module = copy.deepcopy(self.residual.module).requires_grad_(False).eval()
        module.to(device=device, dtype=dtype)
        return FittedPredictor(base, dataclasses.replace(self.residual, module=module), self.strength)

    def save(self, path: str | Path) -> None:
        """Write the fitted network to a ``.safetensors`` file; `load_fitted` reads it.

        Raises
        ------
        ModelError
            If there is no network, since it was not kept.
        OutputError
            If the file cannot be written.
        """
        if self.residual is None:
            raise ModelError(f"There is no network to save: {self.message}")
        import torch
        from safetensors.torch import save_file

        module: Any = self.residual.module
        tensors = {f"module.{key}": value.contiguous() for key, value in module.state_dict().items()}
        tensors |= {key: torch.as_tensor(np.ascontiguousarray(getattr(self.residual, key))) for key in _ARRAYS}
        description = {
            "model": self.model,
            "bands": module.bands,
            "guide_bands": module.guide_bands,
            "ratio": module.ratio,
            "sizes": module.sizes,
            "strength": self.strength,
            "base_score": self.base_score,
            "score": self.score,
            "message": self.message,
        }
        target = Path(path)
        partial = target.with_name(target.name + ".partial")
        try:
            save_file(tensors, partial, metadata={_KEY: json.dumps(description)})
            os.replace(partial, target)
        except Exception as error:  # safetensors raises its own and OSError
            partial.unlink(missing_ok=True)
            raise OutputError(f"{target} cannot be written ({error}); choose another place.") from error


def load_fitted(path: str | Path) -> Fitted:
    """Read what `Fitted.save` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or holds something else.
    """
    from safetensors import safe_open

    from napari_specfusion.models.registry import create_model

    file = Path(path)
    try:
        with safe_open(file, "pt") as stored:
            description = json.loads((stored.metadata() or {})[_KEY])
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}
        module = create_model(
            description["model"],
            description["bands"],
            description["guide_bands"],
            description["ratio"],
            **description["sizes"],
        )
        prefix = "module."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        residual = Residual(module, **{key: tensors[key].numpy() for key in _ARRAYS})
        scores = {key: float(description[key]) for key in ("strength", "base_score", "score")}
    except Exception as error:
        raise CheckpointError(
            f"{file.name} holds no network fitted on a scene ({error}); give a file that Fitted.save wrote."
        ) from error
    return Fitted(residual, message=str(description["message"]), model=str(description["model"]), **scores)


@dataclass(frozen=True, eq=False)
class FittedPredictor:
    """The base and the network on top, ready for one scene."""

    base: LinearPredictor
    residual: Residual
    strength: float

    @property
    def bands(self) -> int:
        """Number of bands it returns."""
        return self.base.bands

    @property
    def footprint(self) -> Footprint:
        """The network needs the base right as far as it reaches."""
        module: Any = self.residual.module
        own = module.footprint()
        return Footprint(
            halo=own.halo + self.base.footprint.halo,
            stride=math.lcm(own.stride, self.base.footprint.stride),
            multiple=math.lcm(own.multiple, self.base.footprint.multiple),
        )

    def predict(self, guide: torch.Tensor, hsi: torch.Tensor, tile: Tile, shape: tuple[int, int]) -> torch.Tensor:
        """Fuse one tile; see `Predictor.predict`."""
        import torch

        fused = self.base.predict(guide, hsi, tile, shape)
        basis = torch.as_tensor(np.ascontiguousarray(self.residual.basis), dtype=fused.dtype, device=fused.device)
        coefficients = torch.einsum("bp,byx->pyx", basis, fused)
        residual = self.residual.of(guide[None], coefficients[None])[0]
        return fused + self.strength * torch.einsum("bp,pyx->byx", basis, residual)
