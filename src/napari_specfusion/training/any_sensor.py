"""Training a network for any sensor, on sharp cubes of many sensors."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.arguments import callback, choice, instance, number, short, whole
from napari_specfusion.errors import ModelError, OutputError
from napari_specfusion.files import as_path
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import start_at_zero
from napari_specfusion.simulation.sharp_cubes import given_cubes
from napari_specfusion.training.bases import Bases
from napari_specfusion.training.folder import TrainingFolder
from napari_specfusion.training.loop import average, load_state, run_to_the_end, state_of
from napari_specfusion.training.options import MOST_SEED, TrainingProgress, rate_at
from napari_specfusion.training.plane_pairs import PlaneExample, draw_pairs
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.card import BASES, ModelCard
from napari_specfusion.weights.files import complete_card

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.sensor.srf import Srf

__all__ = ["AnySensorOptions", "train_any_sensor"]

AVERAGE = 0.998
# an LSO of one band
NETWORK = "lso-s"
SIZES = {"width": 16, "heads": 2, "features": 16}


@dataclass(frozen=True)
class AnySensorOptions:
    """Options of `train_any_sensor`.

    Attributes
    ----------
    ratios
        Guide pixels per cube pixel, drawn for each pair.
    guides
        Responses of guide cameras, drawn for each pair: names or CSV files. One that reaches beyond a cube's bands is
        not used with it.
    base
        Method whose result the network corrects.
    pairs
        Pairs that are simulated from each cube.
    steps
        Optimiser steps.
    batch
        Crops in each step; each holds all its planes.
    patch
        Side of a crop in pixels, a multiple of 4.
    rate
        Highest learning rate; it warms up, then falls along a cosine.
    bend
        Size of an error, in root mean squares of its pair, above which it counts in proportion and no longer squared.
    seed
        Seed of the pairs, the weights and the crops.
    validate_every
        Steps between two validations.
    """

    ratios: tuple[int, ...] = (2, 3, 4, 6, 8, 12, 16)
    guides: tuple[str, ...] = ("rgb", "rgbn", "pan")
    base: str = "detail"
    pairs: int = 6
    steps: int = 4000
    batch: int = 3
    patch: int = 64
    rate: float = 2e-3
    bend: float = 3.0
    seed: int = 0
    validate_every: int = 250

    def __post_init__(self) -> None:
        for name in ("pairs", "steps", "batch", "patch", "validate_every"):
            whole(name, getattr(self, name), 1, error=ModelError)
        whole("seed", self.seed, 0, MOST_SEED, ModelError)
        choice("The base", self.base, BASES, ModelError)
        number("The learning rate", self.rate, error=ModelError)
        number("bend", self.bend, above=0.0, error=ModelError)
        for name in ("ratios", "guides"):
            instance(name, getattr(self, name), (tuple, list), "several, as a tuple", ModelError)
        for ratio in self.ratios:
            whole("A ratio", ratio, 2, 64, ModelError)
        for guide in self.guides:
            instance("A guide", guide, (str, Path), "the name of a response, or a CSV file", ModelError)
        if self.patch % 4:
            raise ModelError(f"The patch is {self.patch} pixels; it must be a multiple of 4.")
        if not self.ratios or not self.guides:
            raise ModelError("There is no ratio or no guide to draw from; give at least one of each.")
        if not 0 < self.rate < 1:
            raise ModelError(f"The learning rate is {self.rate}; it must lie between 0 and 1.")

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return rate_at(step, self.steps, self.rate)


def train_any_sensor(
    cubes: Sequence[Cube],
    out: str | Path,
    options: AnySensorOptions | None = None,
    *,
    validation: Sequence[str],
    srfs: Sequence[Srf | str | Path] = (),
    start: AnySensor | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> AnySensor:
    """Train a network for any sensor, or resume an interrupted run.

    Parameters
    ----------
    cubes
        Sharp cubes ``(band, y, x)`` of any sensors, with unique names.
    out
        Folder for the training state, the log and the weights so far (``weights.safetensors``).
    options
        Ratios, guides, number of steps and so on; None takes the defaults.
    validation
        Names of cubes to hold out; they score the weights, which are those after the last step.
    srfs
        More responses of guide cameras, drawn like `options.guides`.
    start
        Weights to start from instead of random ones.
    progress
        Called every few seconds and after each validation.
    should_stop
        Called before each step; if it returns True, the state is saved and the run stops.

    Raises
    ------
    SceneError, ModelError
        If the cubes cannot be used.
    OutputError
        If the folder cannot be written, or holds a run with other options.
    Cancelled
        If `should_stop` returned True; the same call resumes the run.
    """
    options = AnySensorOptions() if options is None else options
    instance("options", options, AnySensorOptions, "AnySensorOptions(...)", ModelError)
    if start is not None:
        instance("start", start, AnySensor, "weights from train_any_sensor(...)", ModelError)
    instance("srfs", srfs, (tuple, list), "a list of responses", ModelError)
    callback("progress", progress, ModelError)
    callback("should_stop", should_stop, ModelError)
    target = as_path(out, OutputError)
    cubes = given_cubes(cubes)
    names = [cube.name for cube in cubes]
    if len(set(names)) < len(names):
        raise ModelError("Two cubes have the same name; give each a unique name.")
    given = validation if isinstance(validation, list | tuple | set | frozenset) else [None]
    if not all(isinstance(name, str) for name in given):
        raise ModelError(f"validation is {short(validation)}; give a list of names of cubes.")
    held_out = set(validation)
    if not held_out or held_out - set(names) or held_out == set(names):
        raise ModelError(f"The cubes to hold out are {', '.join(validation) or 'none'}; name some of them, not all.")
    folder = TrainingFolder(target)
    bases = Bases(options.base, folder.bases)
    guides = (*options.guides, *srfs)
    train_set, val_set = (
        [
            PlaneExample.of(scene, name, bases, validates=name in held_out)
            for scene, name in draw_pairs(chosen, options.ratios, guides, options.pairs, options.seed)
        ]
        for chosen in ([cube for cube in cubes if (cube.name in held_out) == wanted] for wanted in (False, True))
    )
    if not train_set or not val_set:
        raise ModelError("No pair could be simulated; give larger cubes, or other ratios and guides.")
    run = _Run(options, train_set, val_set, start)
    setup: dict[str, Any] = {
        **asdict(options),
        "protocols": (),
        "cubes": sorted(names),
        "validation": sorted(held_out),
        "srfs": [str(srf) for srf in srfs],
        "start": "random weights" if start is None else f"{start.name}, {start.card.steps} steps",
    }
    run.restore(folder.read_state(), setup)
    card = ModelCard(
        kind="any sensor",
        network=NETWORK,
        base=options.base,
        ratios=(min(options.ratios), max(options.ratios)),
        data=tuple(name for name in names if name not in held_out),
    )

    def trained() -> AnySensor:
        scores = {"gain": run.log[-1]["gain"], "least_gain": run.log[-1]["least"]} if run.log else {}
        complete = replace(card, scores=scores, steps=run.step + (0 if start is None else start.card.steps))
        return AnySensor(run.averaged, complete_card(complete, run.averaged, {}), "lso-any")

    def save() -> None:
        folder.write_state({**run.state(), "facts": setup})
        folder.write_log(run.log)
        trained().save(folder.weights)

    run_to_the_end(run, options.steps, options.validate_every, save, progress, should_stop)
    folder.forget_bases()
    return trained()


class _Run:
    """The training in memory."""

    def __init__(
        self,
        options: AnySensorOptions,
        train_set: Sequence[PlaneExample],
        val_set: Sequence[PlaneExample],
        start: AnySensor | None = None,
    ) -> None:
        import torch

        from napari_specfusion.networks.planes import CHANNELS

        torch.manual_seed(options.seed)
        self.options, self.train_set, self.val_set = options, train_set, val_set
        self.network = create_model(NETWORK, 1, CHANNELS - 1, 4, **SIZES)
        start_at_zero(self.network)
        if start is not None:
            self.network.load_state_dict(start.module.state_dict())
        self.averaged = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=options.rate, weight_decay=1e-4)
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        self._losses: list[float] = []

    def take_step(self) -> None:
        """Take one step."""
        import torch

        from napari_specfusion.networks.planes import expected

        start, options = time.perf_counter(), self.options
        rng = np.random.default_rng([options.seed, self.step])
        for group in self.optimiser.param_groups:
            group["lr"] = options.rate_at(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(options.batch):
            crop = self.train_set[int(rng.integers(len(self.train_set)))].crop(rng, options.patch)
            off = (expected(self.network, crop.inputs) - crop.error) * crop.weight
            loss = ((off.square() + options.bend**2).sqrt() - options.bend).mean() / options.batch
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        average(self, AVERAGE)
        self._losses.append(total)
        self.seconds += time.perf_counter() - start

    def validate(self) -> None:
        """Score the moving average of the weights on the pairs that were held out."""
        gains = [gain(self.averaged, example) for example in self.val_set]
        row = {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "rate": self.options.rate_at(self.step - 1),
            "loss": float(np.mean(self._losses)) if self._losses else math.nan,
            "gain": float(np.mean(gains)),
            "least": float(np.min(gains)),
        }
        self.log.append(row)
        self._losses = []
        if not math.isfinite(row["gain"]):
            raise ModelError(
                f"The network's output is not finite after {self.step} steps; train with a rate below "
                f"{self.options.rate:g}."
            )

    def progress(self) -> TrainingProgress:
        """Return the progress of the run; the gain stands in for the PSNR, over a base of 0."""
        last = self.log[-1] if self.log else {"gain": math.nan, "loss": math.nan}
        loss = float(np.mean(self._losses)) if self._losses else last["loss"]
        return TrainingProgress(
            self.step, self.options.steps, self.seconds, loss, last["gain"], math.nan, 0.0, math.nan
        )

    def state(self) -> dict[str, Any]:
        """Return everything that a later call needs to resume."""
        return {**state_of(self), "losses": self._losses}

    def restore(self, state: dict[str, Any] | None, setup: dict[str, Any]) -> None:
        """Resume from `state`, if there is one.

        Raises
        ------
        OutputError
            If it belongs to a run with other options.
        """
        if state is not None:
            load_state(self, state, setup)
            self._losses = state["losses"]


def gain(network: torch.nn.Module, example: PlaneExample) -> float:
    """Return by how many dB a network improves the base's PSNR, mean over the bands, on a pair to validate with."""
    import torch

    assert example.lacking is not None
    height, width = (n // 4 * 4 for n in example.error.shape[1:])
    area, view = (slice(height), slice(width)), example.view
    lacking = example.lacking[:, *area]
    with torch.inference_mode():
        found = view.error_of(network, example.guide[:, *area], example.planes[:, *area])
        added = torch.einsum("bp,pyx->byx", found.new_tensor(view.synthesis), found)
        before, after = (error.double().square().mean((1, 2)).clamp_min(1e-20) for error in (lacking, lacking - added))
    return float(10 * (before / after).log10().mean())
