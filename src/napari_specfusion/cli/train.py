"""``train``: train a network on sharp cubes."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_specfusion.cli.arguments import Name, Positive, default
from napari_specfusion.cli.progress import ProgressLine
from napari_specfusion.training import TrainingOptions, train
from napari_specfusion.weights.load import load_weights

__all__ = ["train_files"]


@dataclass(frozen=True)
class _Options(TrainingOptions):
    """The options of a training; three are spelled otherwise on the command line."""

    protocols: Annotated[tuple[str, ...], Parameter(name="--protocol", consume_multiple=1, metavar="NAME...")] = (
        TrainingOptions.protocols
    )
    ratios: Annotated[tuple[int, ...], Parameter(consume_multiple=1, metavar="RATIO...")] = TrainingOptions.ratios
    both_scales: Annotated[bool, Parameter(negative="--one-scale")] = TrainingOptions.both_scales


OPTIONS = _Options()


def train_files(
    *,
    data: Path,
    out: Path,
    options: Annotated[_Options, Parameter(name="*")] = OPTIONS,
    srf: Name = default(train, "srf"),
    validation: Annotated[tuple[str, ...], Parameter(consume_multiple=1, metavar="SCENE...")] = (),
    start: Path | None = default(train, "start"),
    white: Positive = default(train, "white"),
    device: Name = default(train, "device"),
    compile_network: Annotated[bool, Parameter(name="--compile")] = default(train, "compile_network"),
) -> int:
    """Train a network on sharp cubes, or continue an interrupted training.

    Parameters
    ----------
    data
        Folder of sharp cubes of one sensor, one file each.
    out
        Folder of the training: its state, its log and weights.safetensors.
    srf
        Spectral response of the guide's camera: a name or a CSV file.
    validation
        Scenes to keep for validation. Without it, two are taken, spread evenly over the names.
    start
        Weights to start from, from an earlier training at any ratio.
    white
        Stored integer that means reflectance 1, for files that do not say so.
    device
        Where to compute: cpu, cuda, mps, or auto for the fastest there is.
    compile_network
        Compile the network. This takes minutes and pays off in hours of training on a GPU.
    """
    with ProgressLine(f"Training {options.model} {options.at}") as line:
        trained = train(
            data,
            out,
            TrainingOptions(**asdict(options)),
            srf=srf,
            validation=validation or default(train, "validation"),
            start=None if start is None else load_weights(start),
            white=white,
            device=device,
            compile_network=compile_network,
            progress=line.training,
        )
    scores = trained.card.scores
    print(
        f"{scores['psnr']:.2f} dB, {scores['sam']:.2f} degrees on the validation scenes after "
        f"{trained.card.steps} steps; {options.base} alone: {scores['base_psnr']:.2f} dB, "
        f"{scores['base_sam']:.2f} degrees\nwritten to {out / 'weights.safetensors'}"
    )
    return 0
