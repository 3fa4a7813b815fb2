"""``train-any``: train a network for any sensor on sharp cubes of many."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_specfusion.bench.cube_list import open_listed_cubes
from napari_specfusion.cli.progress import ProgressLine
from napari_specfusion.training.any_sensor import AnySensorOptions, train_any_sensor

__all__ = ["train_any_files"]

SEVERAL = Parameter(consume_multiple=1)


@dataclass(frozen=True)
class _Options(AnySensorOptions):
    """The options of a training; those that take several values are spelled otherwise on the command line."""

    ratios: Annotated[tuple[int, ...], Parameter(name="--ratio", consume_multiple=1, metavar="RATIO...")] = (
        AnySensorOptions.ratios
    )
    guides: Annotated[tuple[str, ...], Parameter(name="--guide", consume_multiple=1, metavar="NAME...")] = (
        AnySensorOptions.guides
    )


OPTIONS = _Options()


def train_any_files(
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=1, metavar="DIR...")],
    out: Path,
    validation: Annotated[tuple[str, ...], Parameter(consume_multiple=1, metavar="CUBE...")],
    options: Annotated[_Options, Parameter(name="*")] = OPTIONS,
) -> int:
    """Train a network for any sensor on sharp cubes of many, or continue an interrupted training.

    Parameters
    ----------
    data
        Folders of sharp cubes of any sensors. Each may hold a cubes.toml with what the files do not say, as for
        bench airborne.
    out
        Folder of the training: its state, its log and weights.safetensors.
    validation
        Cubes to keep for validation.
    """
    cubes = [cube.cube.replace(name=cube.name).in_memory() for folder in data for cube in open_listed_cubes(folder)]
    with ProgressLine("Training for any sensor") as line:
        trained = train_any_sensor(
            cubes, out, AnySensorOptions(**asdict(options)), validation=validation, progress=line.training
        )
    scores = trained.card.scores
    print(
        f"{scores['gain']:+.2f} dB over {options.base} on the validation cubes after {trained.card.steps} steps, "
        f"{scores['least_gain']:+.2f} dB at least\nwritten to {out / 'weights.safetensors'}"
    )
    return 0
