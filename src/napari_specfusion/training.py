"""Training a network on sharp cubes: scenes in, weights out.

A training lives in a folder. Its state is written often, under another name first, and every step draws its crops from
the seed and its own number: one that was killed goes on from the last state and ends with the same weights.
"""

from __future__ import annotations

import copy
import csv
import io
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.degrade import PROTOCOLS
from napari_specfusion.device import pick_device
from napari_specfusion.errors import Cancelled, ModelError, OutputError
from napari_specfusion.examples import SMALL_SHARE, Batch, Example, Examples, open_references
from napari_specfusion.formulas import psnr, spectral_angle
from napari_specfusion.models.registry import create_model
from napari_specfusion.models.residual import Residual
from napari_specfusion.models.trained import BASES, Trained, Training
from napari_specfusion.srf import as_srf

if TYPE_CHECKING:
    import torch

    from napari_specfusion.cube import Cube
    from napari_specfusion.srf import Srf

__all__ = ["TrainingOptions", "TrainingProgress", "train"]

STATE, WEIGHTS, LOG, PLOT = "state.pt", "weights.safetensors", "log.csv", "log.png"
RATE = 1e-3
FINAL_RATE = 0.02
WARM_UP = 100
AVERAGE = 0.999
ANGLE_WEIGHT = 0.1
# crops that the network's spectral directions and ranges are measured on
NUMBERS_CROPS = 256
REPORT_SECONDS = 5.0
TINY = 1e-9
KEPT_NUMBERS = ("basis", "centre", "spread", "guide_centre", "guide_spread", "size")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    model, ratio
        Name of the network, and HR pixels per LR pixel.
    base
        Method whose result the network corrects: ``"subspace"``, or ``"bicubic"`` as published.
    protocols
        How the pairs are simulated.
    loss
        ``"l1"``, or ``"l1+sam"`` with a spectral angle beside it.
    both_scales
        Whether to train on the pairs one scale down, too: a quarter of the crops. Only over ``"subspace"``.
    directions
        Spectral directions along which the network works, at most: the leading ones of the training scenes.
    steps, batch, patch
        Optimiser steps, crops in each, and their side in pixels.
    rate
        Highest learning rate; it warms up, then falls with a cosine.
    seed
        Seeds the weights and the crops.
    validate_every
        Steps between two looks at the scenes kept for validation.
    """

    model: str = "lso-s"
    ratio: int = 4
    base: str = "subspace"
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    loss: str = "l1"
    both_scales: bool = True
    directions: int = 12
    steps: int = 4000
    batch: int = 8
    patch: int = 64
    rate: float = RATE
    seed: int = 0
    validate_every: int = 250

    def __post_init__(self) -> None:
        for name in ("directions", "steps", "batch", "patch", "validate_every"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.patch % self.ratio:
            raise ModelError(f"The patch of {self.patch} pixels is no multiple of the ratio {self.ratio}; choose one.")
        if self.base not in BASES:
            raise ModelError(f"The base is {self.base!r}; choose one of {', '.join(BASES)}.")
        if self.loss not in ("l1", "l1+sam"):
            raise ModelError(f"The loss is {self.loss!r}; choose l1 or l1+sam.")
        unknown = set(self.protocols) - set(PROTOCOLS)
        if unknown or not self.protocols:
            raise ModelError(f"The protocols are {self.protocols}; choose from {', '.join(PROTOCOLS)}.")
        if not 0 < self.rate < 1:
            raise ModelError(f"The learning rate is {self.rate}; it must lie between 0 and 1.")

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        warm = min(1.0, (step + 1) / min(WARM_UP, max(1, self.steps // 10)))
        fall = math.cos(math.pi / 2 * step / self.steps) ** 2
        return self.rate * warm * (FINAL_RATE + (1 - FINAL_RATE) * fall)


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    Attributes
    ----------
    step, steps
        Optimiser steps done, and all of them.
    seconds
        Time spent on them, that of earlier runs included.
    loss
        Mean training loss since the last look at the validation scenes, in units of the base's error.
    psnr, sam
        Means over the validation scenes in dB and degrees; NaN before the first look.
    base_psnr, base_sam
        The same of the base.
    """

    step: int
    steps: int
    seconds: float
    loss: float
    psnr: float
    sam: float
    base_psnr: float
    base_sam: float


def train(
    scenes: str | Path | Sequence[Cube],
    out: str | Path,
    options: TrainingOptions | None = None,
    *,
    srf: Srf | str | Path = "rgb",
    validation: int | Sequence[str] = 2,
    start: Trained | None = None,
    white: float = 65535.0,
    device: str = "auto",
    mixed_precision: bool | None = None,
    compile_network: bool = False,
    callback: Callable[[TrainingProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train a network on sharp cubes, or go on with a training that was interrupted.

    Parameters
    ----------
    scenes
        Sharp cubes of one sensor, reflectance of about 0 to 1; or the folder that holds them.
    out
        Folder of the training: its state, the log (``log.csv`` and, with matplotlib, ``log.png``) and the weights that
        did best on the validation scenes so far, ``weights.safetensors``. A moving average of the weights is what is
        judged and kept.
    options
        How to train.
    srf
        Response of the guide's camera: an `Srf`, a name or a CSV file.
    validation
        Scenes to keep for validation: how many, spread evenly over the names, or which.
    start
        Weights to begin with, in place of random ones: of the same network, bands and guide bands; any ratio.
    white
        Stored integer that stands for reflectance 1, for files that do not say so themselves.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
    mixed_precision
        Compute in bfloat16 where that does no harm; None does so on CUDA.
    compile_network
        Have ``torch.compile`` make the network faster: worth its minutes in a long training on a GPU.
    callback
        Called every few seconds, and after every look at the validation scenes.
    should_stop
        Asked at every step; true saves the state and ends.

    Returns
    -------
    Trained
        The weights that did best on the validation scenes; `Trained.save` has been called.

    Raises
    ------
    SceneError, ModelError, ReadError
        If the scenes cannot be trained on: values that are not finite, other bands, too small.
    OutputError
        If the folder cannot be written, has no space, or holds a training with other options.
    Cancelled
        If `should_stop` said so; the same call goes on.
    """
    options = options or TrainingOptions()
    references = open_references(scenes, white) if isinstance(scenes, str | Path) else list(scenes)
    kept = _validation_names(references, validation)
    place = pick_device(device, "float32")
    folder = _Folder(Path(out))
    lessons = Examples.of(
        [cube for cube in references if cube.name not in kept],
        options.ratio,
        srf=srf,
        protocols=options.protocols,
        base=options.base,
        both_scales=options.both_scales and options.base != "bicubic",
        device=place,
    )
    exams = Examples.of(
        [cube for cube in references if cube.name in kept],
        options.ratio,
        srf=srf,
        protocols=options.protocols,
        base=options.base,
        both_scales=bool(lessons.small),
        device=place,
    )
    run = _Run(options, lessons, exams, place, mixed_precision, compile_network, start)
    facts = {
        **asdict(options),
        "scenes": sorted(cube.name for cube in references),
        "validation": sorted(kept),
        "start": "random weights" if start is None else f"{start.name}, {start.training.steps} steps",
    }
    run.restore(folder.read_state(), facts)
    first = references[0]
    response = as_srf(srf, first.wavelengths, first.bands)
    centres = () if first.wavelengths is None else tuple(map(float, first.wavelengths))
    description = Training(
        options.model,
        options.base,
        centres,
        tuple(tuple(map(float, row)) for row in response.matrix),
        options.protocols,
        tuple(cube.name for cube in references if cube.name not in kept),
    )

    def write() -> None:
        folder.write_state({**run.state(), "facts": facts})
        folder.write_log(run.log)
        if run.best is not None:
            trained(run.best).save(folder.path / WEIGHTS)

    def trained(best: _Best) -> Trained:
        module = run.fresh()
        module.load_state_dict(best.weights)
        residual = replace(run.residual, module=module.cpu().eval())
        scores = {"psnr": best.psnr, "sam": best.sam, "base_psnr": run.base_psnr, "base_sam": run.base_sam}
        if not math.isnan(best.small_psnr):
            scores |= {"small_psnr": best.small_psnr, "small_base_psnr": run.small_base_psnr}
        before = 0 if start is None else start.training.steps
        described = replace(description, steps=before + best.step, scores=scores)
        return Trained(residual, described, f"{options.model} x{options.ratio}")

    folder.check_space(run.size)
    reported = -math.inf
    while run.step < options.steps:
        if should_stop is not None and should_stop():
            write()
            raise Cancelled(f"The training was stopped after {run.step} steps; the same call goes on.")
        run.advance()
        looked = run.step % options.validate_every == 0 or run.step == options.steps
        if looked:
            run.look()
            write()
        if callback is not None and (looked or time.perf_counter() - reported > REPORT_SECONDS):
            callback(run.progress())
            reported = time.perf_counter()
    assert run.best is not None
    folder.plot(run.log, run.base_psnr)
    return trained(run.best)


def _validation_names(references: Sequence[Cube], validation: int | Sequence[str]) -> set[str]:
    names = [cube.name for cube in references]
    if len(set(names)) < len(names):
        raise ModelError("Two scenes have the same name; give each its own, so that results can be told apart.")
    if isinstance(validation, int):
        if not 0 < validation < len(names):
            raise ModelError(
                f"{validation} of {len(names)} scenes are to be kept for validation; keep at least one, and leave one."
            )
        spread = np.linspace(0, len(names), validation, endpoint=False) + len(names) / validation / 2
        return {names[int(place)] for place in spread}
    missing = sorted(set(validation) - set(names))
    if missing or not validation or len(set(validation)) == len(names):
        raise ModelError(
            f"The validation scenes are {', '.join(validation) or 'none'}; name some of {', '.join(names)}, not all."
        )
    return set(validation)


@dataclass(frozen=True, eq=False)
class _Best:
    """The moving average that did best on the validation scenes."""

    step: int
    grade: float
    psnr: float
    sam: float
    small_psnr: float
    weights: dict[str, torch.Tensor]


class _Run:
    """A training in memory: network, optimiser, moving average, log."""

    def __init__(
        self,
        options: TrainingOptions,
        lessons: Examples,
        exams: Examples,
        device: str,
        mixed_precision: bool | None,
        compile_network: bool,
        start: Trained | None,
    ) -> None:
        import torch

        self.options, self.lessons, self.exams, self.device = options, lessons, exams, device
        torch.manual_seed(options.seed)
        rng = np.random.default_rng([options.seed, 2**32 - 1])
        self.residual, self.unit = _numbers(lessons.batch(rng, NUMBERS_CROPS, options.patch), options)
        if start is not None:
            numbers = start.residual
            if (len(numbers.basis), len(numbers.guide_centre)) != (len(self.unit), len(lessons.pairs[0].guide)):
                raise ModelError(
                    f"{start.name} was trained for {len(numbers.basis)} bands and {len(numbers.guide_centre)} guide "
                    f"bands, the scenes have {len(self.unit)} and {len(lessons.pairs[0].guide)}; start from random "
                    "weights."
                )
            # what the weights mean depends on their directions; how far the base is off, on the ratio
            self.residual = replace(self.residual, **{k: getattr(numbers, k) for k in KEPT_NUMBERS})
        self.network = self.fresh().to(device)
        _start_at_zero(self.network)
        if start is not None:
            try:
                self.network.load_state_dict(start.residual.module.state_dict())
            except RuntimeError as error:
                raise ModelError(
                    f"{start.name} is no {options.model} of the sizes wanted; start from random weights."
                ) from error
        self.averaged = copy.deepcopy(self.network)
        self.called: Any = torch.compile(self.network) if compile_network else self.network
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=options.rate, weight_decay=1e-4)
        half = mixed_precision if mixed_precision is not None else device.startswith("cuda")
        self.half = torch.bfloat16 if half else None
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        self.best: _Best | None = None
        self._losses: list[torch.Tensor] = []
        self.base_psnr, self.base_sam = _mean_score([(exam.base, exam.truth) for exam in exams.pairs])
        self.small_base_psnr = _mean_score([(exam.base, exam.truth) for exam in exams.small])[0]

    def fresh(self) -> torch.nn.Module:
        """Return a network of the kind that is trained."""
        numbers = self.residual
        return create_model(self.options.model, len(numbers.size), len(numbers.guide_centre), self.options.ratio)

    @property
    def size(self) -> int:
        """Bytes of a state."""
        return 5 * sum(p.numel() * p.element_size() for p in self.network.parameters())

    def advance(self) -> None:
        """Take one step."""
        import torch

        start = time.perf_counter()
        options = self.options
        batch = self.lessons.batch(np.random.default_rng([options.seed, self.step]), options.batch, options.patch)
        for group in self.optimiser.param_groups:
            group["lr"] = options.rate_at(self.step)
        with nullcontext() if self.half is None else torch.autocast(self.device.partition(":")[0], self.half):
            fused = replace(self.residual, module=self.called).on(batch.guide, batch.base)
        error = (fused.float() - batch.truth).abs() / self.unit
        loss = error.mean()
        if options.loss == "l1+sam":
            loss = loss + ANGLE_WEIGHT * _angle(fused.float(), batch.truth) / _angle(batch.base, batch.truth)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        decay = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
        self._losses.append(loss.detach())
        self.seconds += time.perf_counter() - start

    @property
    def loss(self) -> float:
        """Mean loss since the last look."""
        return float(sum(map(float, self._losses)) / len(self._losses)) if self._losses else math.nan

    def look(self) -> None:
        """Score the moving average on the validation scenes, and keep it if it is the best so far."""
        quality, angle = self._graded(self.exams.pairs)
        small = self._graded(self.exams.small)[0]
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
        # as the crops are shared out
        grade = quality if math.isnan(small) else (1 - SMALL_SHARE) * quality + SMALL_SHARE * small
        if self.best is None or grade > self.best.grade:
            weights = {key: value.detach().cpu().clone() for key, value in self.averaged.state_dict().items()}
            self.best = _Best(self.step, grade, quality, angle, small, weights)

    def _graded(self, exams: Sequence[Example]) -> tuple[float, float]:
        """Return the moving average's mean PSNR and angle on some pairs."""
        import torch

        residual = replace(self.residual, module=self.averaged.eval())
        with torch.inference_mode():
            return _mean_score([(residual.on(e.guide[None], e.base[None])[0], e.truth) for e in exams])

    def progress(self) -> TrainingProgress:
        """Say how far it is."""
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
        """Return all that a later run needs to go on."""
        best = self.best
        return {
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "losses": [float(loss) for loss in self._losses],
            "log": self.log,
            "best": None if best is None else {**vars(best)},
        }

    def restore(self, state: dict[str, Any] | None, facts: dict[str, Any]) -> None:
        """Go on from `state`, if there is one.

        Raises
        ------
        OutputError
            If it belongs to a training with other options.
        """
        import torch

        if state is None:
            return
        was = state["facts"]
        other = [key for key in facts if was.get(key) != facts[key]]
        if other:
            raise OutputError(
                f"The folder holds a training with another {other[0]} ({was.get(other[0])!r}, not "
                f"{facts[other[0]]!r}); give another folder, or the same options to go on."
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
        self._losses = [torch.tensor(loss) for loss in state["losses"]]
        self.best = None if state["best"] is None else _Best(**state["best"])


class _Folder:
    """Where a training lies on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {path} cannot be made ({error}); choose another place.") from error

    def check_space(self, size: int) -> None:
        """Check that a state of `size` bytes can be written beside the last one."""
        free = shutil.disk_usage(self.path).free
        if free < 3 * size:
            raise OutputError(
                f"{self.path} has {free / 1e6:.0f} MB free, the training needs {3 * size / 1e6:.0f} MB; make room, or "
                "choose another place."
            )

    def read_state(self) -> dict[str, Any] | None:
        """Return the last state, if there is one."""
        import torch

        file = self.path / STATE
        if not file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            state["facts"]["protocols"]  # a file of another kind has none
        except Exception as error:  # torch raises many kinds for a damaged file
            raise OutputError(
                f"{file} is no state of a training ({type(error).__name__}); remove it to begin anew, or choose "
                "another folder."
            ) from error
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the last state."""
        import torch

        self._replace(STATE, lambda file: torch.save(state, file))

    def write_log(self, rows: Sequence[dict[str, float]]) -> None:
        """Replace the log."""
        if not rows:
            return
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self._replace(LOG, lambda file: file.write_text(text.getvalue(), encoding="utf-8"))

    def plot(self, rows: Sequence[dict[str, float]], base_psnr: float) -> None:
        """Draw the log, where matplotlib is installed."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            return
        figure = Figure(figsize=(7, 4), layout="constrained")
        quality = figure.add_subplot()
        steps = [row["step"] for row in rows]
        quality.plot(steps, [row["psnr"] for row in rows], color="tab:blue", label="network")
        quality.axhline(base_psnr, color="tab:blue", linestyle=":", label="base")
        quality.set(xlabel="step", ylabel="PSNR on the validation scenes [dB]")
        quality.legend(loc="lower right")
        loss = quality.twinx()
        loss.plot(steps, [row["loss"] for row in rows], color="tab:orange")
        loss.set_ylabel("training loss", color="tab:orange")
        self._replace(PLOT, lambda file: figure.savefig(file, format="png", dpi=120))

    def _replace(self, name: str, write: Callable[[Path], Any]) -> None:
        target = self.path / name
        partial = target.with_name(name + ".partial")
        try:
            write(partial)
            os.replace(partial, target)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            partial.unlink(missing_ok=True)
            raise OutputError(
                f"{target} cannot be written ({error}); make room and call again: the last state is whole."
            ) from error


def _numbers(batch: Batch, options: TrainingOptions) -> tuple[Residual, torch.Tensor]:
    """Return a residual without its network, and the base's mean error ``(B, 1, 1)``."""
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
    return residual, batch.truth.new_tensor(unit)


def _start_at_zero(network: torch.nn.Module) -> None:
    """Zero the last layer, so that training begins at the base."""
    import torch

    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)][-1]
    torch.nn.init.zeros_(last.weight)
    if last.bias is not None:
        torch.nn.init.zeros_(last.bias)


def _angle(fused: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the mean sine of half the spectral angle, which has a gradient everywhere but at 0."""
    from torch.nn import functional

    one, other = functional.normalize(fused, dim=1, eps=1e-4), functional.normalize(truth, dim=1, eps=1e-4)
    return ((one - other).square().sum(1) + 1e-8).sqrt().mean() / 2


def _mean_score(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
    """Return the means of `_score` over pairs of result and truth; NaN where there are none."""
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
