"""The training loop in memory: steps, validation, and the state to resume from."""

from __future__ import annotations

import copy
import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.errors import ModelError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual, correction, start_at_zero
from napari_specfusion.quality.formulas import psnr, spectral_angle
from napari_specfusion.training.loop import average, load_state, state_of
from napari_specfusion.training.options import TrainingOptions, TrainingProgress
from napari_specfusion.training.pairs import SMALL_SHARE, Batch, Example, Examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from napari_specfusion.weights.trained import Trained

__all__ = ["Best", "Trainer"]

AVERAGE = 0.999
# error, in units of the base's, above which the loss "huber" counts in proportion
BEND = 2.0
ANGLE_WEIGHT = 0.1
# crops that determine the network's spectral directions and ranges
NUMBERS_CROPS = 256
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Best:
    """The moving average of the weights with the best validation score.

    `score` decides which is best: `psnr` on the validation scenes, mixed with `small_psnr`, the one on the scenes at
    reduced resolution, if there are any.
    """

    step: int
    score: float
    psnr: float
    sam: float
    small_psnr: float
    weights: dict[str, torch.Tensor]


class Trainer:
    """A training run in memory: network, optimiser, moving average of the weights, log."""

    def __init__(
        self,
        options: TrainingOptions,
        train_set: Examples,
        val_set: Examples,
        device: str,
        mixed_precision: bool | None,
        compile_network: bool,
        start: Trained | None,
    ) -> None:
        import torch

        self.options, self.train_set, self.val_set, self.device = options, train_set, val_set, device
        torch.manual_seed(options.seed)
        rng = np.random.default_rng([options.seed, 2**32 - 1])
        self.residual, self.unit, self.power = _numbers(train_set.batch(rng, NUMBERS_CROPS, options.patch), options)
        if start is not None:
            numbers = start.residual
            if (start.card.units == "pair") != bool(options.ratios):
                raise ModelError(
                    f"{start.name} works in units of the {start.card.units}; start a training "
                    f"{'with one ratio' if options.ratios else 'with several ratios'} from it, or from random weights."
                )
            if (len(numbers.basis), len(numbers.guide_centre)) != (len(self.unit), len(train_set.pairs[0].guide)):
                raise ModelError(
                    f"{start.name} was trained for {len(numbers.basis)} bands and {len(numbers.guide_centre)} guide "
                    f"bands, the scenes have {len(self.unit)} and {len(train_set.pairs[0].guide)}; start from random "
                    "weights."
                )
            # the weights belong to these numbers; `unit`, the base's error, belongs to the ratio and stays
            self.residual = Residual(self.residual.module, **numbers.numbers)
        if options.ratios:
            self.residual = replace(self.residual, size=np.ones_like(self.residual.size))
            self.train_set, self.val_set = (found.in_units(self.residual) for found in (train_set, val_set))
        self.network = self.new_network().to(device)
        start_at_zero(self.network)
        if start is not None:
            try:
                self.network.load_state_dict(start.residual.module.state_dict())
            except RuntimeError as error:
                raise ModelError(
                    f"{start.name} is not a {options.model} of the same size; start from random weights."
                ) from error
        self.averaged = copy.deepcopy(self.network)
        self.called: Any = torch.compile(self.network) if compile_network else self.network
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=options.rate, weight_decay=1e-4)
        half = mixed_precision if mixed_precision is not None else device.startswith("cuda")
        self.half = torch.bfloat16 if half else None
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        self.best: Best | None = None
        self._losses: list[torch.Tensor] = []
        self.base_psnr, self.base_sam = _mean_score([(pair.base, pair.truth) for pair in val_set.pairs])
        self.small_base_psnr = _mean_score([(pair.base, pair.truth) for pair in val_set.small])[0]

    def new_network(self) -> torch.nn.Module:
        """Return a new network of the kind being trained."""
        from napari_specfusion.networks.pair_units import PAIR_RATIO, images_beside

        directions, guides = len(self.residual.size), len(self.residual.guide_centre)
        if self.options.ratios:
            return create_model(self.options.model, directions, images_beside(directions, guides), PAIR_RATIO)
        return create_model(self.options.model, directions, guides, self.options.ratio)

    @property
    def size(self) -> int:
        """Bytes of a state."""
        return 5 * sum(p.numel() * p.element_size() for p in self.network.parameters())

    def take_step(self) -> None:
        """Take one step."""
        import torch

        start = time.perf_counter()
        options = self.options
        rng = np.random.default_rng([options.seed, self.step])
        for group in self.optimiser.param_groups:
            group["lr"] = options.rate_at(self.step)
        unit: torch.Tensor
        power: torch.Tensor | float
        if options.ratios:
            crops = self.train_set.unit_batch(rng, options.batch, options.patch)
            count = crops.unit.shape[1]
            with self._precision():
                found = correction(self.called, crops.images[:, count:], crops.images[:, :count])
            basis = crops.base.new_tensor(self.residual.basis)
            fused = crops.base + torch.einsum("bp,npyx->nbyx", basis, found.float() * crops.unit)
            base, truth, unit, power = crops.base, crops.truth, crops.error, crops.error.square()
        else:
            batch = self.train_set.batch(rng, options.batch, options.patch)
            with self._precision():
                fused = replace(self.residual, module=self.called).on(batch.guide, batch.base).float()
            base, truth, unit, power = batch.base, batch.truth, self.unit, self.power
        error = (fused - truth).abs() / unit
        loss = ((error.square() + BEND**2).sqrt() - BEND if options.loss == "huber" else error).mean()
        if options.loss == "l1+l2":
            loss = loss + ((fused - truth).square() / power).mean()
        if options.loss == "l1+sam":
            loss = loss + ANGLE_WEIGHT * _angle(fused, truth) / _angle(base, truth)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        average(self, AVERAGE)
        self._losses.append(loss.detach())
        self.seconds += time.perf_counter() - start

    def _precision(self) -> AbstractContextManager[None]:
        """Compute in half precision where that is safe, if the run does."""
        import torch

        return nullcontext() if self.half is None else torch.autocast(self.device.partition(":")[0], self.half)

    @property
    def loss(self) -> float:
        """Mean loss since the last validation."""
        return float(sum(map(float, self._losses)) / len(self._losses)) if self._losses else math.nan

    def validate(self) -> None:
        """Score the moving average on the validation scenes, and keep it if it is the best so far."""
        quality, angle = self._score_on(self.val_set.pairs)
        small = self._score_on(self.val_set.small)[0]
        row = {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "rate": self.options.rate_at(self.step - 1),
            "loss": self.loss,
            "psnr": quality,
            "sam": angle,
            "base_psnr": self.base_psnr,
            "base_sam": self.base_sam,
            "small_psnr": small,
            "small_base_psnr": self.small_base_psnr,
        }
        self.log.append(row)
        self._losses = []
        if not math.isfinite(quality):
            raise ModelError(
                f"The network's output is not finite after {self.step} steps; train with a rate below "
                f"{self.options.rate:g}."
            )
        # weighted like the crops
        score = quality if math.isnan(small) else (1 - SMALL_SHARE) * quality + SMALL_SHARE * small
        if self.best is None or score > self.best.score:
            weights = {key: value.detach().cpu().clone() for key, value in self.averaged.state_dict().items()}
            self.best = Best(self.step, score, quality, angle, small, weights)

    def _score_on(self, pairs: Sequence[Example]) -> tuple[float, float]:
        """Return the moving average's mean PSNR and angle on some pairs."""
        import torch

        with torch.inference_mode():
            return _mean_score([(self._result(e), e.truth) for e in pairs])

    def _result(self, pair: Example) -> torch.Tensor:
        """Return the moving average's result ``(B, H, W)`` on a pair."""
        from torch.nn import functional

        module = self.averaged.eval()
        if pair.units is None:
            return replace(self.residual, module=module).on(pair.guide[None], pair.base[None])[0]
        height, width = pair.truth.shape[1:]
        # its sides must be multiples of 4
        pad = (0, -width % 4, 0, -height % 4)
        guide, base = (functional.pad(image[None], pad, mode="replicate") for image in (pair.guide, pair.base))
        fused: torch.Tensor = pair.units.with_module(module).on(guide, base)[0, :, :height, :width]
        return fused

    def progress(self) -> TrainingProgress:
        """Return the progress of the run."""
        last = self.log[-1] if self.log else {"psnr": math.nan, "sam": math.nan, "loss": math.nan}
        loss = self.loss if self._losses else last["loss"]
        return TrainingProgress(
            self.step,
            self.options.steps,
            self.seconds,
            loss,
            last["psnr"],
            last["sam"],
            self.base_psnr,
            self.base_sam,
        )

    def state(self) -> dict[str, Any]:
        """Return everything that a later call needs to resume."""
        best = None if self.best is None else dict(vars(self.best))
        if best is not None:
            # the key of earlier releases
            best["grade"] = best.pop("score")
        return {**state_of(self), "losses": [float(loss) for loss in self._losses], "best": best}

    def restore(self, state: dict[str, Any] | None, setup: dict[str, Any]) -> None:
        """Resume from `state`, if there is one, after checking that it was made with the same `setup`.

        Raises
        ------
        OutputError
            If it belongs to a run with other options.
        """
        import torch

        if state is None:
            return
        # earlier releases trained for one ratio
        facts = {"ratios": (), **state["facts"]}
        load_state(self, {**state, "facts": facts}, setup)
        self._losses = [torch.tensor(loss) for loss in state["losses"]]
        best = state["best"]
        self.best = None if best is None else Best(score=best["grade"], **{k: best[k] for k in best if k != "grade"})


def _numbers(batch: Batch, options: TrainingOptions) -> tuple[Residual, torch.Tensor, float]:
    """Return a `Residual` without its network, and the base's mean error ``(B, 1, 1)`` and mean squared error."""
    guide, base, truth = (image.double().transpose(0, 1).flatten(1).cpu().numpy() for image in batch)
    error = truth - base
    basis = np.linalg.eigh(np.cov(base))[1][:, ::-1][:, : options.directions].copy()
    coefficients, size = basis.T @ base, np.abs(basis.T @ error).mean(axis=1)
    residual = Residual(
        None,  # type: ignore[arg-type]
        basis,
        coefficients.mean(axis=1),
        coefficients.std(axis=1).clip(TINY),
        guide.mean(axis=1),
        guide.std(axis=1).clip(TINY),
        (1.5 * size).clip(TINY),
    )
    unit = np.abs(error).mean(axis=1).clip(TINY).astype(np.float32)[:, None, None]
    return residual, batch.truth.new_tensor(unit), max(float(np.mean(error**2)), TINY**2)


def _angle(fused: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the mean sine of half the spectral angle, which has a gradient everywhere but at 0."""
    from torch.nn import functional

    one, other = functional.normalize(fused, dim=1, eps=1e-4), functional.normalize(truth, dim=1, eps=1e-4)
    return ((one - other).square().sum(1) + 1e-8).sqrt().mean() / 2


def _mean_score(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
    """Return the means of `_score` over pairs of result and truth; NaN if there are none."""
    if not pairs:
        return math.nan, math.nan
    quality, angle = (float(np.mean(column)) for column in zip(*(_score(*pair) for pair in pairs), strict=True))
    return quality, angle


def _score(fused: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Return PSNR in dB, as a mean over bands with data range 1, and the mean spectral angle in degrees."""
    guess, real = (image.clamp(0, 1).cpu().double().numpy() for image in (fused, truth))
    return float(np.mean(psnr(np.square(guess - real).mean((1, 2)), 1.0))), float(
        np.nanmean(spectral_angle(real, guess))
    )
