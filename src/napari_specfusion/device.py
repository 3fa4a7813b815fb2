"""Choice of the device to compute on."""

from __future__ import annotations

from napari_specfusion.errors import FusionError

__all__ = ["pick_device"]


def pick_device(name: str, precision: str = "float32") -> str:
    """Return the torch device called `name`; ``"auto"`` picks the fastest one that supports the precision.

    Raises
    ------
    FusionError
        If the device cannot be used here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and precision != "float64" else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FusionError(f"The device {name!r} cannot be used ({reason}); choose 'cpu', or 'auto'.") from error
    return name
