"""Choice of the device to compute on."""

from __future__ import annotations

from napari_specfusion.arguments import short, text
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

    text("The device", name, FusionError)
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and precision != "float64" else "cpu"
    try:
        # read back, which devices that only pretend to compute refuse
        torch.ones(1, device=name).add(1).item()
    except Exception as error:  # each kind of device has errors of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FusionError(f"The device {short(name)} cannot be used ({reason}); choose 'cpu', or 'auto'.") from error
    return name
