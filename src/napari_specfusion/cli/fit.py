"""``fit``: fit a network to one pair."""

from pathlib import Path

from napari_specfusion.cli.arguments import Align, Name, Positive, RatioOrNone, default
from napari_specfusion.cli.files import open_pair
from napari_specfusion.cli.progress import ProgressLine
from napari_specfusion.errors import OutputError
from napari_specfusion.training.fitting import fit

__all__ = ["fit_files"]


def fit_files(
    cube: Path,
    guide: Path,
    /,
    *,
    out: Path,
    minutes: Positive = default(fit, "minutes"),
    model: Name = default(fit, "model"),
    ratio: RatioOrNone = None,
    align: Align = True,
    device: Name = default(fit, "device"),
    overwrite: bool = False,
) -> int:
    """Fit a network to a pair, without a reference.

    The weights are for `fuse --model`. If the network gains nothing on a held-out part of the scene, nothing is written
    and the exit status is 1.

    Parameters
    ----------
    cube
        The cube with many bands and few pixels.
    guide
        The sharper image of the same scene.
    out
        The weight file to write (.safetensors).
    minutes
        Time to train, in minutes.
    model
        The network to fit.
    ratio
        Guide pixels per cube pixel, such as 4 or 10/3. Without it, taken from the two files.
    align
        Bring the guide onto the cube's grid first, if it lies otherwise. --no-align trusts equal corners.
    device
        Where to compute: cpu, cuda, mps, or auto for the fastest available.
    overwrite
        Replace the file if it exists.
    """
    _check_out(out, overwrite)
    scene = open_pair(cube, guide, ratio, align=align)
    with ProgressLine(f"Fitting {model}") as line:
        fitted = fit(scene, model, minutes=minutes, progress=line.fit, device=device)
    print(fitted.message)
    if not fitted.kept:
        return 1
    fitted.save(out)
    print(f"written to {out}")
    return 0


def _check_out(path: Path, overwrite: bool) -> None:
    """Check, before the time is spent, that weights can be written."""
    if path.suffix != ".safetensors":
        raise OutputError(f"The output {path} does not end in .safetensors; weights are written in that format.")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"The folder of {path} does not exist; make it first, or write elsewhere.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; give another file, or --overwrite to replace it.")
