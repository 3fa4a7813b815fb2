"""Checkpoints of other authors: PyTorch files, read without running any code in them."""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import CheckpointError
from napari_specfusion.weights.card import ModelCard
from napari_specfusion.weights.pickled import check_pickled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

__all__ = ["read_checkpoint"]

WRAPPERS = ("model_state_dict", "state_dict", "model")
PREFIXES = ("_orig_mod.", "module.", "model.")


def read_checkpoint(file: Path) -> tuple[dict[str, torch.Tensor], ModelCard]:
    """Read a PyTorch checkpoint: a state dict, bare or under ``model_state_dict``, ``state_dict`` or ``model``.

    Returns
    -------
    state
        The tensors, without the name prefixes that torch's wrappers add.
    card
        The description in the options stored with them.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds more than tensors and plain values.
    """
    import torch

    size = file.stat().st_size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_pickled(file)
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file.name} is damaged, is not a PyTorch file, or holds more than tensors and plain values, which may be "
            "code and is never run; get the weights alone from its source."
        ) from error
    except Exception as error:  # torch raises many kinds for a damaged file
        # running out of memory has no words of its own
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{file.name} is not a whole PyTorch file ({reason}); get it again.") from error
    if not isinstance(stored, dict):
        raise CheckpointError(
            f"{file.name} holds a {type(stored).__name__}, not a dictionary of weights; get the file again."
        )
    outer = stored
    for key in WRAPPERS:
        if isinstance(stored.get(key), dict):
            stored = stored[key]
            break
    state: dict[str, torch.Tensor] = {}
    for key, value in stored.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{file.name} holds {key!r}, which is not a tensor, among its weights; get the weights alone from its "
                "source."
            )
        # a view may be far larger than the stored data
        if value.layout != torch.strided or value.is_meta or value.numel() * value.element_size() > size:
            raise CheckpointError(f"{file.name} does not hold all of {key!r}; get the file again.")
        bare = key
        while bare.startswith(PREFIXES):
            bare = bare.removeprefix(next(p for p in PREFIXES if bare.startswith(p)))
        state[bare] = value
    if not state:
        raise CheckpointError(f"{file.name} holds no weights; get the file again.")
    config = outer.get("config") if outer is not stored else None
    return state, _card_of(config) if isinstance(config, dict) else ModelCard()


def _card_of(config: Mapping[str, Any]) -> ModelCard:
    """Return the card from the authors' options."""
    ratio, patch = config.get("sf"), config.get("patch_size")
    return ModelCard(ratio=ratio if type(ratio) is int else None, sizes={"patch": patch} if type(patch) is int else {})
