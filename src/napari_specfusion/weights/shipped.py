"""The weights that come with the package, and which of them fit a scene."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import CheckpointError, ModelError
from napari_specfusion.weights import fitted, trained
from napari_specfusion.weights.checkpoint import load_checkpoint
from napari_specfusion.weights.trained import Trained, load_trained

if TYPE_CHECKING:
    from fractions import Fraction

    from napari_specfusion.data.scene import Scene

__all__ = ["list_weights", "load_weights", "shipped_weights", "weights_for"]

FOLDER = files("napari_specfusion") / "weights"
SUFFIX = ".safetensors"


def list_weights() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(file.name.removesuffix(SUFFIX) for file in FOLDER.iterdir() if file.name.endswith(SUFFIX))


@cache
def shipped_weights(name: str) -> Trained:
    """Open weights that come with the package.

    Parameters
    ----------
    name
        One of `list_weights`.

    Raises
    ------
    ModelError
        If there are none of this name.
    """
    if name not in list_weights():
        raise ModelError(f"There are no weights {name!r}; choose from {', '.join(list_weights()) or 'none at all'}.")
    with as_file(FOLDER / f"{name}{SUFFIX}") as path:
        return load_trained(path, name)


def load_weights(path: str | Path, ratio: Fraction | int | None = None) -> Any:
    """Open a weight file of any kind that `fuse` can use.

    Parameters
    ----------
    path
        What `train` or `fit` wrote, or a bare network: ours or an authors' checkpoint.
    ratio
        HR pixels per LR pixel, for a bare network that does not tell it.

    Returns
    -------
    Method or torch.nn.Module

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds code, or belongs to another ratio.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if file.is_file() and file.suffix == SUFFIX:
        try:
            with safe_open(file, "pt") as stored:
                told = stored.metadata() or {}
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{file.name} is no whole safetensors file ({error}); get it again.") from error
        if trained.KEY in told:
            return load_trained(file)
        if fitted.KEY in told:
            return fitted.load_fitted(file)
    return load_checkpoint(file, ratio=ratio)


def weights_for(scene: Scene) -> list[Trained]:
    """Return the shipped weights that fit a scene: its bands, their wavelengths, and the ratio.

    A guide of another camera is no hindrance, it is adapted. A cube that does not tell its wavelengths gets none.
    """
    if scene.hsi.wavelengths is None:
        return []
    return [weights for weights in map(shipped_weights, list_weights()) if not weights.misfit(scene)]
