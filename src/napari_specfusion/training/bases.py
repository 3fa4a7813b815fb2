"""The bases of a training: another method's results on the training pairs, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.io.atomic import replacing
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.tiling.tile_runner import predict_whole

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from napari_specfusion.data.scene import Scene

__all__ = ["Bases"]


@dataclass(frozen=True)
class Bases:
    """Results of a method on small scenes.

    Attributes
    ----------
    method
        The method's name.
    folder
        Where to keep the results, so that a training that is resumed need not compute them again; None keeps nothing.
    """

    method: str
    folder: Path | None = None

    def of(self, scene: Scene) -> torch.Tensor:
        """Return the result ``(B, H, W)`` for a scene."""
        import torch

        file = None if self.folder is None else self.folder / f"{self._key(scene)}.npy"
        if file is not None and file.exists():
            return torch.as_tensor(np.load(file, allow_pickle=False))
        calibrated = CalibratedScene(scene)
        found = predict_whole(calibrated.restoring(METHODS[self.method].prepare(calibrated)), calibrated.scene)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as part:
                np.save(part, found, allow_pickle=False)
        return torch.as_tensor(found)

    def _key(self, scene: Scene) -> str:
        """Return a name for the method, the images and what is stated about them."""
        digest = hashlib.sha256(repr((self.method, scene.factor, scene.psf, scene.shift)).encode())
        for cube in (scene.hsi, scene.guide):
            digest.update(np.ascontiguousarray(cube.read()).tobytes())
        return digest.hexdigest()[:32]
