"""What the Fuse dialog asks for, without Qt: choices, their defaults, and the run itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_specfusion.calibration.calibrated import CalibratedScene
from napari_specfusion.errors import FusionError
from napari_specfusion.fusion.engine import FusionProgress, fuse
from napari_specfusion.fusion.resolve import AUTO, list_methods
from napari_specfusion.fusion.result import result_bytes
from napari_specfusion.heap import free_memory
from napari_specfusion.io import open_cube
from napari_specfusion.methods.registry import METHODS
from napari_specfusion.training.fitting import FIT_MINUTES
from napari_specfusion.weights.load import load_weights
from napari_specfusion.weights.shipped import list_weights, shipped_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_specfusion.data.cube import Cube
    from napari_specfusion.data.scene import Scene
    from napari_specfusion.fusion.recipe import Recipe
    from napari_specfusion.training.fitting import FitProgress
    from napari_specfusion.widgets._worker import Report, ShouldStop

__all__ = [
    "AUTO",
    "DEVICES",
    "FIT",
    "METHOD_CHOICES",
    "TILES",
    "WEIGHTS",
    "Choice",
    "FuseOptions",
    "Fused",
    "all_choices",
    "describe_progress",
    "lacks_room",
    "open_result",
    "run_fusion",
    "trained_choices",
    "unfit_weights",
]

FIT, WEIGHTS = "fit", "weights"
# of the free memory, that a result may take without a question
SHARE = 0.7


@dataclass(frozen=True)
class Choice:
    """One entry of a combo box: what it shows, and what it tells when pointed at."""

    title: str
    tip: str


_INFO = {info.name: info for info in list_methods()}

METHOD_CHOICES: Mapping[str, Choice] = {
    # the best first, the baseline last
    **{name: Choice(_INFO[name].title, _INFO[name].summary) for name in (AUTO, *reversed(tuple(METHODS)))},
    FIT: Choice(
        "Network fitted to this scene", "Trains a small network on the two images alone, for the time you set."
    ),
    WEIGHTS: Choice("Network from a weight file", "Uses weights that were trained earlier (.safetensors, .pth)."),
}


def trained_choices() -> dict[str, Choice]:
    """Return an entry for each of the networks whose weights come with the package, without opening them."""
    trained = (info for info in list_methods() if info.name in list_weights())
    return {info.name: Choice(f"Network {info.name}", f"{info.summary} Needs {info.needs}.") for info in trained}


def all_choices() -> dict[str, Choice]:
    """Return all entries, the trained networks behind the automatic choice."""
    others = {key: choice for key, choice in METHOD_CHOICES.items() if key != AUTO}
    return {AUTO: METHOD_CHOICES[AUTO], **trained_choices(), **others}


def unfit_weights(scene: Scene) -> dict[str, str]:
    """Return why weights that come with the package cannot be used for a scene, by name; opens them."""
    reasons = {name: shipped_weights(name).misfit(scene) for name in list_weights()}
    return {name: reason for name, reason in reasons.items() if reason}


TILES: Mapping[int | str | None, str] = {
    "auto": "Automatic",
    256: "256 px",
    512: "512 px",
    1024: "1024 px",
    None: "Whole image at once",
}

DEVICES: Mapping[str, str] = {"auto": "Automatic", "cpu": "Processor (CPU)", "cuda": "NVIDIA GPU", "mps": "Apple GPU"}


@dataclass(frozen=True)
class FuseOptions:
    """How to fuse.

    Attributes
    ----------
    method
        A key of `METHOD_CHOICES` or `trained_choices`.
    minutes
        How long to fit, where the method is fitted.
    weights
        The weight file, where the method has one.
    tile, device
        As `fuse` takes them.
    out
        Folder of the result (``.zarr``); None keeps it in memory.
    align
        As `fuse` takes it: False fuses a pair that was not found to belong together.
    overwrite
        Whether to replace a result at `out`.
    """

    method: str = AUTO
    minutes: float = FIT_MINUTES
    weights: Path | None = None
    tile: int | Literal["auto"] | None = "auto"
    device: str = "auto"
    out: Path | None = None
    align: bool = True
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class Fused:
    """What a run gave: the cube, and what there is to say about it."""

    cube: Cube
    message: str


def run_fusion(
    scene: Scene | CalibratedScene,
    options: FuseOptions,
    report: Report,
    should_stop: ShouldStop,
    recipe: Recipe | None = None,
) -> Fused:
    """Fuse a scene, after fitting or loading a network where that was chosen; the result keeps the `recipe`.

    Raises
    ------
    SpecFusionError
        As `fit`, `load_weights` and `fuse` do.
    """
    model, message = _model(scene, options, report, should_stop)
    cube = fuse(
        scene,
        model=model,
        tile=options.tile,
        device=options.device,
        out=options.out,
        overwrite=options.overwrite,
        align=options.align,
        recipe=recipe,
        progress=report,
        should_stop=should_stop,
    )
    return Fused(cube, message or str(cube.metadata.get("choice", "")))


def open_result(path: Path) -> Fused:
    """Open a result that is there already.

    Raises
    ------
    ReadError
        If it is no image.
    """
    return Fused(open_cube(path), f"Opened {path.name}.")


def lacks_room(scene: Scene) -> tuple[int, int] | None:
    """Return the size of a scene's result and the free memory, in bytes, if the one takes most of the other."""
    size, free = result_bytes(scene), free_memory()
    return (size, free) if free is not None and size > SHARE * free else None


def _model(
    scene: Scene | CalibratedScene, options: FuseOptions, report: Report, should_stop: ShouldStop
) -> tuple[Any, str]:
    if options.method == FIT:
        from napari_specfusion.training.fitting import fit

        fitted = fit(scene, minutes=options.minutes, progress=report, should_stop=should_stop, device=options.device)
        return fitted, fitted.message
    if options.method == WEIGHTS:
        if options.weights is None:
            raise FusionError("No weight file is chosen; choose one, or another method.")
        return load_weights(
            options.weights, ratio=CalibratedScene.of(scene).stated.factor
        ), f"Weights: {options.weights.name}."
    return options.method, ""


def describe_progress(event: FitProgress | FusionProgress) -> tuple[float, str]:
    """Return the share done and a line for the user."""
    if isinstance(event, FusionProgress) and event.step is not None:
        step = event.step
        return step.done / max(1, step.total), f"{step.message}, {step.done + 1} of {step.total}"
    if not isinstance(event, FusionProgress):
        allowed = event.minutes * 60
        line = f"Fitting, step {event.step} \u00b7 {_clock(allowed - event.seconds)} left"
        if not math.isnan(event.score):
            line += f" \u00b7 {event.score:.2f} dB on held-out data"
        return min(1.0, event.seconds / allowed), line
    line = f"Tile {event.done} of {event.total}"
    if event.remaining is not None and event.done < event.total:
        line += f" \u00b7 {_clock(event.remaining)} left"
    return event.done / max(1, event.total), line


def _clock(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
