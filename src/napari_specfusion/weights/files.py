"""Reading and writing weight files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from napari_specfusion.errors import OutputError
from napari_specfusion.networks.registry import create_model
from napari_specfusion.networks.residual import Residual

__all__ = ["read_residual", "write_residual"]

_ARRAYS = ("basis", "centre", "spread", "guide_centre", "guide_spread", "size")
_MODULE = "module."


def write_residual(residual: Residual, path: str | Path, key: str, description: dict[str, Any]) -> None:
    """Write a network, its numbers and a description of plain data, kept under `key`, to a ``.safetensors`` file.

    Raises
    ------
    OutputError
        If the file cannot be written; no half a file is left.
    """
    import torch
    from safetensors.torch import save

    target = Path(path)
    if target.suffix != ".safetensors":
        raise OutputError(f"{target.name} must end in .safetensors; choose another name.")
    module: Any = residual.module
    tensors = {_MODULE + name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    tensors |= {name: torch.as_tensor(np.ascontiguousarray(getattr(residual, name))) for name in _ARRAYS}
    facts = {name: getattr(module, name) for name in ("bands", "guide_bands", "ratio", "sizes")}
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(save(tensors, metadata={key: json.dumps(facts | description)}))
        os.replace(partial, target)
    except Exception as error:  # safetensors raises its own and OSError
        partial.unlink(missing_ok=True)
        raise OutputError(f"{target} cannot be written ({error}); choose another place.") from error


def read_residual(path: Path, key: str) -> tuple[Residual, dict[str, Any]]:
    """Return what `write_residual` wrote.

    Raises
    ------
    Exception
        Of many kinds, if the file is missing, damaged, or holds something else: the caller says what was expected.
    """
    from safetensors import safe_open

    with safe_open(path, "pt") as stored:
        description = json.loads((stored.metadata() or {})[key])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    module = create_model(
        description["model"],
        description["bands"],
        description["guide_bands"],
        description["ratio"],
        **description["sizes"],
    )
    module.load_state_dict({n.removeprefix(_MODULE): v for n, v in tensors.items() if n.startswith(_MODULE)})
    if not all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point()):
        raise ValueError("it holds numbers that are not finite")
    residual = Residual(module.eval(), **{name: tensors[name].numpy() for name in _ARRAYS})
    p, guides = description["bands"], description["guide_bands"]
    shapes = {name: getattr(residual, name).shape for name in _ARRAYS[1:]}
    wanted = {name: (guides,) if name.startswith("guide") else (p,) for name in _ARRAYS[1:]}
    if shapes != wanted or residual.basis.ndim != 2 or residual.basis.shape[1] != p:
        raise ValueError("its numbers do not fit its network")
    return residual, description
