"""The training from beginning to end."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_specfusion.device import pick_device
from napari_specfusion.errors import Cancelled, ModelError
from napari_specfusion.sensor.srf import as_srf
from napari_specfusion.simulation.sharp_cubes import open_sharp_cubes
from napari_specfusion.training.folder import TrainingFolder
from napari_specfusion.training.options import TrainingOptions, TrainingProgress
from napari_specfusion.training.pairs import Examples
from napari_specfusion.training.trainer import Best, Trainer
from napari_specfusion.weights.trained import Trained, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.sensor.srf import Srf

__all__ = ["train"]

REPORT_SECONDS = 5.0


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
    progress: Callable[[TrainingProgress], None] | None = None,
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
    progress
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
    references = open_sharp_cubes(scenes, white) if isinstance(scenes, str | Path) else list(scenes)
    kept = _validation_names(references, validation)
    place = pick_device(device, "float32")
    folder = TrainingFolder(Path(out))
    train_set = Examples.of(
        [cube for cube in references if cube.name not in kept],
        options.ratio,
        srf=srf,
        protocols=options.protocols,
        base=options.base,
        both_scales=options.both_scales and options.base != "bicubic",
        device=place,
    )
    val_set = Examples.of(
        [cube for cube in references if cube.name in kept],
        options.ratio,
        srf=srf,
        protocols=options.protocols,
        base=options.base,
        both_scales=bool(train_set.small),
        device=place,
    )
    trainer = Trainer(options, train_set, val_set, place, mixed_precision, compile_network, start)
    facts = {
        **asdict(options),
        "scenes": sorted(cube.name for cube in references),
        "validation": sorted(kept),
        "start": "random weights" if start is None else f"{start.name}, {start.training.steps} steps",
    }
    trainer.restore(folder.read_state(), facts)
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
        folder.write_state({**trainer.state(), "facts": facts})
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
        before = 0 if start is None else start.training.steps
        described = replace(description, steps=before + best.step, scores=scores)
        return Trained(residual, described, f"{options.model} x{options.ratio}")

    folder.check_space(trainer.size)
    reported = -math.inf
    while trainer.step < options.steps:
        if should_stop is not None and should_stop():
            write()
            raise Cancelled(f"The training was stopped after {trainer.step} steps; the same call goes on.")
        trainer.take_step()
        looked = trainer.step % options.validate_every == 0 or trainer.step == options.steps
        if looked:
            trainer.validate()
            write()
        if progress is not None and (looked or time.perf_counter() - reported > REPORT_SECONDS):
            progress(trainer.progress())
            reported = time.perf_counter()
    assert trainer.best is not None
    folder.plot(trainer.log, trainer.base_psnr)
    return trained(trainer.best)


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
