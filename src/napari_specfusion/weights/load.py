"""Opening a weight file as a model for `fuse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import CheckpointError
from napari_specfusion.networks.residual import Residual
from napari_specfusion.weights.any_sensor import AnySensor
from napari_specfusion.weights.files import SUFFIX, read_weights
from napari_specfusion.weights.fitted import Fitted
from napari_specfusion.weights.trained import Trained

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["load_weights"]


def load_weights(path: str | Path, ratio: Fraction | int | None = None) -> Any:
    """Open a weight file of any kind: from `train` or `fit`, a bare network, or an authors' checkpoint.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or a PyTorch checkpoint (``.pth``, ``.pth.tar``) of the authors of LSO or SpecSolver.
        Nothing in it is ever run.
    ratio
        HR pixels per LR pixel to use a bare network at. None takes the file's, or 4 if the file does not state it.

    Returns
    -------
    Method or torch.nn.Module
        A model for ``fuse(..., model=...)``: a `Trained`, an `AnySensor`, a `Fitted`, or the bare network, in
        evaluation mode and on the CPU.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds code, or belongs to another network or another ratio.
    """
    found = read_weights(path, ratio)
    if found.card.kind == "network":
        return found.module
    if found.card.kind == "any sensor":
        return AnySensor(found.module, found.card, Path(path).stem)
    residual = Residual(found.module, **found.numbers)
    if found.card.kind == "fitted":
        return Fitted.of(residual, found.card)
    name = Path(path).stem
    if not found.card.partner:
        return Trained(residual, found.card, name)
    beside = read_weights(Path(path).with_name(found.card.partner + SUFFIX))
    if (beside.card.kind, beside.card.base) != (found.card.kind, found.card.base) or beside.card.partner:
        raise CheckpointError(f"{found.card.partner} is no partner for {name}; get both files again.")
    partner = Trained(Residual(beside.module, **beside.numbers), beside.card, found.card.partner)
    return Trained(residual, found.card, name, partner=partner)
