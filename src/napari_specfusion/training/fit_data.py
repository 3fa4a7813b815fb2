"""Training data of a network fitted on one scene: the scene at reduced resolution, and full-resolution windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.errors import ModelError, SceneError
from napari_specfusion.methods.registry import DEFAULT_METHOD, METHODS
from napari_specfusion.networks.residual import Residual
from napari_specfusion.simulation.reduced import reduced
from napari_specfusion.tiling.tile_runner import predict_whole
from napari_specfusion.tiling.tiles import Box, Tile, padded_shape

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from napari_specfusion.calibration.calibrated import CalibratedScene


__all__ = ["FitData", "Windows"]

# Chosen on CAVE training scenes.
DIRECTIONS = 8
PATCH = 32
BATCH = 8
HELD_OUT = 0.25
WINDOWS = 24


@dataclass(frozen=True, eq=False)
class FitData:
    """The scene at reduced resolution: guide ``(G, h, w)``, the base's coefficients and the true ones ``(p, h, w)``.

    The columns from `held` on are held out of the training.
    """

    basis: NDArray[np.float64]
    guide: torch.Tensor
    base: torch.Tensor
    truth: torch.Tensor
    usable: NDArray[np.bool_]
    held: int
    peak: float
    ratio: int

    @classmethod
    def of(cls, calibrated: CalibratedScene) -> FitData:
        """Degrade the scene once more.

        Raises
        ------
        SceneError
            If the cube is too small.
        """
        import torch

        scene = calibrated.scene
        if scene.factor.denominator != 1:
            raise ModelError(f"A network can be fitted at whole ratios only, not at {float(scene.factor):g}.")
        ratio = int(scene.factor)
        small = reduced(calibrated)
        assert small.reference is not None and small.psf is not None and small.shift is not None
        height, width = small.reference.shape[1:]
        held = int(width * (1 - HELD_OUT)) // ratio * ratio
        if min(height, held) < _patch(ratio):
            raise SceneError(
                f"A cube of {scene.hsi.shape[1]} x {scene.hsi.shape[2]} pixels is too small to degrade by "
                f"{ratio} once more and train on; use a method without weights."
            )
        basis = calibrated.moments.principal_directions()[1][:, : min(DIRECTIONS, scene.hsi.bands)]
        truth, guide = small.reference.read(), small.guide.read()
        present = np.isfinite(truth)
        live = present.any(axis=(1, 2))
        finite = present[live].all(axis=0) & np.isfinite(guide).all(axis=0)
        truth, guide = np.nan_to_num(truth), np.nan_to_num(guide)
        base = torch.as_tensor(predict_whole(METHODS[DEFAULT_METHOD].prepare(calibrated.with_scene(small)), small))
        project = torch.as_tensor(np.ascontiguousarray(basis.T), dtype=torch.float32)
        return cls(
            basis,
            torch.as_tensor(guide),
            torch.tensordot(project, base, 1),
            torch.tensordot(project, torch.as_tensor(truth), 1),
            np.asarray(finite),
            held,
            float(np.abs(truth).max()),
            ratio,
        )

    def residual(self, module: torch.nn.Module) -> Residual:
        """Return `module` with the numbers of this scene."""
        learned = self.base[..., : self.held]
        error = (self.truth - self.base)[..., : self.held]

        def numbers(values: torch.Tensor) -> NDArray[np.float64]:
            return np.asarray(values.double().numpy())

        tiny = 1e-12
        return Residual(
            module,
            self.basis,
            numbers(learned.mean((1, 2))),
            numbers(learned.std((1, 2)).clamp_min(tiny)),
            numbers(self.guide.mean((1, 2))),
            numbers(self.guide.std((1, 2)).clamp_min(tiny)),
            numbers((1.5 * error.abs().mean((1, 2))).clamp_min(tiny)),
        )

    def loss(self, residual: Residual, rng: np.random.Generator) -> torch.Tensor:
        """Return the L1 error on random crops, rotated and mirrored, in units of the residual's size."""
        import torch

        step, side = self.ratio, _patch(self.ratio)
        height, width = self.guide.shape[1], self.held
        rows = rng.integers(0, (height - side) // step + 1, BATCH) * step
        columns = rng.integers(0, (width - side) // step + 1, BATCH) * step

        def crops(image: torch.Tensor) -> torch.Tensor:
            return torch.stack([image[:, y : y + side, x : x + side] for y, x in zip(rows, columns, strict=True)])

        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        device = next(residual.module.parameters()).device
        usable = torch.as_tensor(self.usable)[None]
        guide, base, truth, counts = (
            (turned.flip(3) if mirror else turned).to(device)
            for turned in (
                torch.rot90(crops(image), turns, (2, 3)) for image in (self.guide, self.base, self.truth, usable)
            )
        )
        error = (base + residual.of(guide, base) - truth).abs() * counts
        return error.mean() / float(residual.size.mean())

    def score(self, residual: Residual, strength: float) -> float:
        """Return the PSNR in dB of the held-out columns, over the coefficients, against the cube's largest value."""
        import torch

        device = next(residual.module.parameters()).device
        with torch.inference_mode():
            result = self.base
            if strength:
                added = residual.of(self.guide[None].to(device), self.base[None].to(device))[0].cpu()
                result = self.base + strength * added
        # the first columns depend on pixels that the network was trained on
        start = min(self.held + 4, self.base.shape[2] - 1)
        error = (result - self.truth)[..., start:].square().sum(0)[torch.as_tensor(self.usable[:, start:])]
        if not error.numel():
            return -math.inf
        return -10 * math.log10(max(float(error.mean()), 1e-30) / len(self.basis) / self.peak**2)


def _patch(ratio: int) -> int:
    """Return the side of a crop: whole cube pixels."""
    return math.ceil(PATCH / ratio) * ratio


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of the full-resolution scene, in coefficients, with the matrices that map back to both images."""

    guide: torch.Tensor
    base: torch.Tensor
    coarse: torch.Tensor
    seen: torch.Tensor
    response: torch.Tensor
    down: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def of(cls, calibrated: CalibratedScene, residual: Residual, rng: np.random.Generator) -> Windows:
        """Predict the base in random windows."""
        import torch

        scene, sampling = calibrated.scene, calibrated.sampling
        ratio = int(scene.factor)
        predictor = METHODS[DEFAULT_METHOD].prepare(calibrated)
        shape = padded_shape(scene.shape, scene.factor)
        # whole cells inside the image, with the reach of the PSF around them
        border = math.ceil((sampling.psf.radius + max(map(abs, sampling.shift))) / ratio) + 1
        cells = max(2, math.ceil(PATCH / ratio))
        side = cells + 2 * border
        margin = math.ceil(predictor.footprint.halo / ratio)
        response, offset = calibrated.moments.guide_from_cube(residual.basis)
        project = torch.as_tensor(np.ascontiguousarray(residual.basis.T), dtype=torch.float32)
        rows, columns = (n // ratio for n in shape)
        guides: list[torch.Tensor] = []
        bases: list[torch.Tensor] = []
        coarses: list[torch.Tensor] = []
        for _ in range(10 * WINDOWS):
            if len(guides) == WINDOWS or min(rows, columns) < side:
                break
            y, x = int(rng.integers(0, rows - side + 1)), int(rng.integers(0, columns - side + 1))
            core = Box(y * ratio, (y + side) * ratio, x * ratio, (x + side) * ratio)
            read = core.grow(margin * ratio).clip(shape)
            tile = Tile(0, read, core)
            guide = scene.guide.read(*read.slices).astype(np.float32)
            hsi = scene.hsi.read(*read.divide(scene.factor).slices).astype(np.float32)
            if guide.shape[1:] != read.shape or not (np.isfinite(guide).all() and np.isfinite(hsi).all()):
                continue
            with torch.inference_mode():
                base = predictor.predict(torch.as_tensor(guide), torch.as_tensor(hsi), tile, shape)
            crop, low = tile.crop.slices, core.relative_to(read).divide(scene.factor).slices
            guides.append(torch.as_tensor(guide[:, crop[0], crop[1]]))
            bases.append(torch.tensordot(project, base[:, crop[0], crop[1]], 1))
            coarses.append(torch.tensordot(project, torch.as_tensor(hsi[:, low[0], low[1]]), 1))
        matrices = tuple(
            torch.as_tensor(sampling.blur_matrix(side, side * ratio, axis).toarray(), dtype=torch.float32)[
                border:-border
            ]
            for axis in (0, 1)
        )

        def stacked(images: list[torch.Tensor]) -> torch.Tensor:
            return torch.stack(images).clone() if images else torch.empty(0)

        guide_stack = stacked(guides)
        constant = torch.as_tensor(offset, dtype=torch.float32)[:, None, None]
        return cls(
            guide_stack,
            stacked(bases),
            stacked(coarses)[..., border:-border, border:-border] if guides else torch.empty(0),
            guide_stack - constant if guides else guide_stack,
            torch.as_tensor(response, dtype=torch.float32),
            (matrices[0], matrices[1]),
        )

    def loss(self, residual: Residual, rng: np.random.Generator) -> torch.Tensor:
        """Return the L1 difference of the result from both images in some windows, in units of the residual's size."""
        import torch

        device = next(residual.module.parameters()).device
        if not len(self.guide):
            return torch.zeros((), device=device)
        chosen = rng.choice(len(self.guide), min(2, len(self.guide)), replace=False)
        guide, base, coarse, seen = (t[chosen].to(device) for t in (self.guide, self.base, self.coarse, self.seen))
        result = base + residual.of(guide, base)
        down_y, down_x, response = (t.to(device) for t in (*self.down, self.response))
        to_cube = (down_y @ result @ down_x.T - coarse).abs().mean()
        to_guide = (torch.einsum("gp,npyx->ngyx", response, result) - seen).abs().mean()
        unit = float(residual.size.mean())
        gain = float(self.response.norm(dim=1).mean())
        return (to_cube + to_guide / max(gain, 1e-12)) / unit
