"""A training run from start to finish."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_specfusion.arguments import callback, flag, instance, number, short
from napari_specfusion.device import pick_device
from napari_specfusion.errors import ModelError, OutputError
from napari_specfusion.files import as_path
from napari_specfusion.sensor.srf import as_srf
from napari_specfusion.simulation.sharp_cubes import WHITE, given_cubes, open_sharp_cubes
from napari_specfusion.training.folder import TrainingFolder
from napari_specfusion.training.loop import run_to_the_end
from napari_specfusion.training.options import VALIDATION_SCENES, TrainingOptions, TrainingProgress
from napari_specfusion.training.pairs import Examples, check_one_sensor
from napari_specfusion.training.trainer import Best, Trainer
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.files import complete_card
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.sensor.srf import Srf

__all__ = ["train"]


def train(
    scenes: str | Path | Sequence[Cube],
    out: str | Path,
    options: TrainingOptions | None = None,
    *,
    srf: Srf | str | Path = "rgb",
    validation: int | Sequence[str] = VALIDATION_SCENES,
    start: Trained | None = None,
    white: float = WHITE,
    device: str = "auto",
    mixed_precision: bool | None = None,
    compile_network: bool = False,
    progress: Callable[[TrainingProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train a network on sharp cubes, or resume an interrupted run.

    Parameters
    ----------
    scenes
        Sharp cubes of one sensor ``(band, y, x)``, reflectance of about 0 to 1; or the folder that holds them.
    out
        Folder for the training state, the log (``log.csv`` and, with matplotlib, ``log.png``) and the best weights so
        far (``weights.safetensors``). A moving average of the weights is validated and saved.
    options
        Network, ratio, number of steps and so on; None takes the defaults of `TrainingOptions`.
    srf
        Spectral response of the guide's camera: an `Srf`, a name or a CSV file.
    validation
        Scenes to hold out for validation: their number, spread evenly over the names, or their names.
    start
        Weights to start from instead of random ones: of the same network, bands and guide bands, at any ratio, and
        like the new ones for one ratio or for several.
    white
        Stored integer for reflectance 1 in files that do not state it.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
    mixed_precision
        Compute in bfloat16 where that is safe; None does so on CUDA.
    compile_network
        Compile the network with ``torch.compile``. This takes minutes and pays off in long runs on a GPU.
    progress
        Called every few seconds and after each validation.
    should_stop
        Called before each step; if it returns True, the state is saved and the run stops.

    Returns
    -------
    Trained
        The weights with the best validation score. They have been saved in `out`.

    Raises
    ------
    SceneError, ModelError, ReadError
        If the scenes cannot be used: values that are not finite, different bands, too few pixels; or if `start` does
        not match.
    OutputError
        If the folder cannot be written, has no space left, or holds a run with other options.
    Cancelled
        If `should_stop` returned True; the same call resumes the run.
    """
    options = TrainingOptions() if options is None else options
    instance("options", options, TrainingOptions, "TrainingOptions(...)", ModelError)
    number("white", white, above=0.0, error=ModelError)
    flag("compile_network", compile_network, ModelError)
    if mixed_precision is not None:
        flag("mixed_precision", mixed_precision, ModelError)
    callback("progress", progress, ModelError)
    callback("should_stop", should_stop, ModelError)
    place = pick_device(device, "float32")
    target = as_path(out, OutputError)
    if start is not None and not isinstance(start, Trained):
        raise ModelError(
            f"The weights to start from are a {type(start).__name__}; give weights from train(...), "
            "or start from random weights."
        )
    cubes = open_sharp_cubes(scenes, white) if isinstance(scenes, str | Path) else given_cubes(scenes)
    held_out = _validation_names(cubes, validation)
    check_one_sensor(cubes)
    train_cubes = [cube for cube in cubes if cube.name not in held_out]
    val_cubes = [cube for cube in cubes if cube.name in held_out]
    folder = TrainingFolder(target)

    def simulated(chosen: Sequence[Cube], both_scales: bool) -> Examples:
        return Examples.of(
            chosen,
            options.ratios or options.ratio,
            srf=srf,
            protocols=options.protocols,
            base=options.base,
            both_scales=both_scales,
            noise=options.noise,
            gain=options.gain or 1.0,
            folder=folder.bases,
            device=place,
            measure=bool(options.ratios),
        )

    train_set = simulated(train_cubes, options.both_scales and options.base != "bicubic")
    val_set = simulated(val_cubes, bool(train_set.small))
    trainer = Trainer(options, train_set, val_set, place, mixed_precision, compile_network, start)
    setup: dict[str, Any] = {
        **asdict(options),
        "scenes": sorted(cube.name for cube in cubes),
        "validation": sorted(held_out),
        "start": "random weights" if start is None else f"{start.name}, {start.card.steps} steps",
    }
    trainer.restore(folder.read_state(), setup)
    first = train_cubes[0]
    card = ModelCard(
        kind="trained",
        network=options.model,
        base=options.base,
        units="pair" if options.ratios else "training",
        ratios=(float(min(options.ratios)), float(max(options.ratios))) if options.ratios else None,
        wavelengths=() if first.wavelengths is None else tuple(map(float, first.wavelengths)),
        response=tuple(tuple(map(float, row)) for row in as_srf(srf, first.wavelengths, first.bands).matrix),
        value_range=(0.0, 1.0),
        protocols=options.protocols,
        data=tuple(cube.name for cube in train_cubes),
    )

    def save() -> None:
        folder.write_state({**trainer.state(), "facts": setup})
        folder.write_log(trainer.log)
        if trainer.best is not None:
            trained(trainer.best).save(folder.weights)

    def trained(best: Best) -> Trained:
        module = trainer.new_network()
        module.load_state_dict(best.weights)
        residual = replace(trainer.residual, module=module.cpu().eval())
        scores = {"psnr": best.psnr, "sam": best.sam, "base_psnr": trainer.base_psnr, "base_sam": trainer.base_sam}
        if not math.isnan(best.small_psnr):
            scores |= {"small_psnr": best.small_psnr, "small_base_psnr": trainer.small_base_psnr}
        steps = best.step + (0 if start is None else start.card.steps)
        complete = complete_card(replace(card, steps=steps, scores=scores), module, residual.numbers)
        return Trained(residual, complete, f"{options.model} {options.at}")

    folder.check_space(trainer.size)
    run_to_the_end(trainer, options.steps, options.validate_every, save, progress, should_stop)
    assert trainer.best is not None
    folder.forget_bases()
    folder.plot(trainer.log, trainer.base_psnr)
    return trained(trainer.best)


def _validation_names(cubes: Sequence[Cube], validation: int | Sequence[str]) -> set[str]:
    """Return the names of the scenes to hold out."""
    names = [cube.name for cube in cubes]
    if len(set(names)) < len(names):
        raise ModelError("Two scenes have the same name; give each scene a unique name.")
    if not isinstance(validation, int) or isinstance(validation, bool):
        given = list(validation) if isinstance(validation, list | tuple | set | frozenset) else [None]
        if not all(isinstance(name, str) for name in given):
            raise ModelError(f"validation is {short(validation)}; give a number of scenes, or a list of their names.")
    if isinstance(validation, int):
        if not 0 < validation < len(names):
            raise ModelError(
                f"{validation} of {len(names)} scenes would be held out for validation; hold out at least one, and "
                "leave at least one to train on."
            )
        spread = np.linspace(0, len(names), validation, endpoint=False) + len(names) / validation / 2
        return {names[int(place)] for place in spread}
    missing = sorted(set(validation) - set(names))
    if missing or not validation or len(set(validation)) == len(names):
        raise ModelError(
            f"The validation scenes are {', '.join(validation) or 'none'}; name some of {', '.join(names)}, not all."
        )
    return set(validation)
