"""Weight files: our own safetensors, and the authors' PyTorch checkpoints, which are never unpickled freely."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import CheckpointError, ModelError, OutputError
from napari_specfusion.networks.registry import NETWORKS, create_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

__all__ = ["describe_checkpoint", "load_checkpoint", "save_checkpoint"]

DESCRIPTION = "specfusion"
WRAPPERS = ("model_state_dict", "state_dict", "model")
PREFIXES = ("_orig_mod.", "module.", "model.")
DEFAULT_RATIO = 4


def load_checkpoint(path: str | Path, ratio: int | Fraction | None = None) -> torch.nn.Module:
    """Open a weight file.

    Parameters
    ----------
    path
        Our ``.safetensors``, or an authors' ``.pth`` or ``.pth.tar``: a state dict, bare or under ``model_state_dict``,
        ``state_dict`` or ``model``. The network and its sizes are read off the tensors.
    ratio
        HR pixels per LR pixel to use the weights at. None takes what the file says, and 4 where it says nothing: the
        tensors do not tell it.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds code, belongs to no network known here, or to another ratio.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"There is no weight file {file}; check the path.")
    state, description = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    known = [name for name, spec in NETWORKS.items() if spec.landmark in shapes]
    if not known:
        raise CheckpointError(
            f"{file.name} holds weights of another network (keys such as {', '.join(sorted(shapes)[:3])}); "
            f"known here: {', '.join(NETWORKS)}."
        )
    name = description["model"] if description.get("model") in known else _closest(known, shapes)
    made_for = description.get("ratio")
    if made_for is not None and type(made_for) is not int:
        raise CheckpointError(f"{file.name} tells {made_for!r} as its ratio, not a whole number; get the file again.")
    chosen = Fraction(ratio if ratio is not None else made_for or DEFAULT_RATIO)
    if chosen.denominator != 1:
        raise CheckpointError(f"The ratio is {float(chosen):g}; {name} works at whole ratios.")
    if made_for not in (None, chosen):
        raise CheckpointError(
            f"{file.name} holds weights for ratio {made_for}, not {chosen}; choose weights for this ratio, "
            "or fit the network to the scene."
        )
    try:
        sizes = _all_sizes(NETWORKS[name].read_sizes(shapes), description)
        module = create_model(name, sizes.pop("bands"), sizes.pop("guide_bands"), int(chosen), **sizes)
    except (KeyError, IndexError, TypeError, ValueError, ModelError) as error:
        raise CheckpointError(
            f"{file.name} looks like {name}, but its tensors do not fit together ({error}); get the file again."
        ) from error
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{file.name} does not fill {name}: {reason}; get the file again.") from error
    if not all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point()):
        raise CheckpointError(f"{file.name} holds weights that are not finite; its training has failed.")
    return module.eval()


def _closest(names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return which of the networks of one architecture has most of the sizes that the tensors tell."""
    try:
        read = NETWORKS[names[0]].read_sizes(shapes)
    except (KeyError, IndexError, TypeError, ValueError):
        return names[0]
    return max(names, key=lambda name: sum(read.get(key) == value for key, value in NETWORKS[name].sizes.items()))


def _all_sizes(read: Mapping[str, int], description: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes that the tensors tell and, where they tell nothing, the description does."""
    told = {key: description[key] for key in ("bands", "guide_bands") if key in description}
    told |= description.get("sizes", {})
    for key, value in told.items():
        if type(value) is not int or read.get(key, value) != value:
            raise ValueError(f"{key} is {read.get(key, 'a whole number')} by the tensors, {value!r} by the description")
    return {**told, **read}


def describe_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the description that `save_checkpoint` put into a ``.safetensors`` file.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged.
    """
    return _read_safetensors(Path(path))[1]


def save_checkpoint(module: torch.nn.Module, path: str | Path, **description: Any) -> None:
    """Write a network to a ``.safetensors`` file, under another name first, so that no half a file is ever left.

    Parameters
    ----------
    module
        A network of `create_model`.
    path
        Where to; ends in ``.safetensors``.
    **description
        Plain data to go with it: model, wavelengths, base, protocol, data, scores. Bands, ratio and sizes are added.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from safetensors.torch import save

    target = Path(path)
    if target.suffix != ".safetensors":
        raise OutputError(f"{target.name} must end in .safetensors; choose another name.")
    network: Any = module
    facts = {key: getattr(network, key) for key in ("bands", "guide_bands", "ratio", "sizes")}
    partial = target.with_name(target.name + ".partial")
    try:
        text = json.dumps(facts | description)
        tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        partial.write_bytes(save(tensors, metadata={DESCRIPTION: text}))
        os.replace(partial, target)
    except Exception as error:  # safetensors has an error of its own
        partial.unlink(missing_ok=True)
        raise OutputError(f"{target} cannot be written ({error}); choose another place.") from error


def _read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as stored:
            description = json.loads((stored.metadata() or {}).get(DESCRIPTION, "{}"))
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file.name} is no whole safetensors file ({error}); get it again.") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{file.name} carries a description that is none; write it with save_checkpoint.")
    return tensors, description


def _read_pickle(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file.name} is damaged, no PyTorch file, or holds more than tensors and plain values, which may be code "
            "and is never run; get the weights alone from its source."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{file.name} is no whole PyTorch file ({error}); get it again.") from error
    if not isinstance(stored, dict):
        raise CheckpointError(f"{file.name} holds a {type(stored).__name__}, not a dictionary of weights.")
    outer = stored
    for key in WRAPPERS:
        if isinstance(stored.get(key), dict):
            stored = stored[key]
            break
    state: dict[str, torch.Tensor] = {}
    for key, value in stored.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{file.name} holds {key!r}, which is no tensor, among its weights.")
        bare = key
        while bare.startswith(PREFIXES):
            bare = bare.removeprefix(next(p for p in PREFIXES if bare.startswith(p)))
        state[bare] = value
    if not state:
        raise CheckpointError(f"{file.name} holds no weights.")
    config = outer.get("config") if outer is not stored else None
    return state, _described(config) if isinstance(config, dict) else {}


def _described(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the authors' options tell of the weights beside their tensors, in this package's words."""
    description: dict[str, Any] = {}
    if isinstance(config.get("sf"), int):
        description["ratio"] = config["sf"]
    if isinstance(config.get("patch_size"), int):
        description["sizes"] = {"patch": config["patch_size"]}
    return description
